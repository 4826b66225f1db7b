//! One connection: its header tables, and its requests in flight.
//!
//! In: its records, in order. Out: one [`Ended`] a request, and nothing else is ever counted of it.

use std::collections::BTreeMap;

use probes_ebpf::{
    http2::{frame_flag, kind},
    http2_wire::{ANSWERS, ASKS, Record, event, part},
    wire::what,
};
use serde::{Deserialize, Serialize};

use super::{
    meaning::Meaning,
    raw::Raw,
    tally::{Ended, Place, Timing},
};
use crate::hpack::{Decoder, HpackError};

/// A connection that every header block of was seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Connection {
    sides: [Side; 2],
    pub streams: BTreeMap<u32, Stream>,
    /// The highest stream a request began on.
    last_stream: u32,
    pub last_ns: u64,
}

/// One direction of it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Side {
    decoder: Decoder,
    /// While the kernel cannot follow.
    raw: Option<Raw>,
    /// The number its next record has.
    next: u32,
    /// What has come of the current frame's payload.
    frame: Vec<u8>,
    /// What has come of the current header block, and what is known of its first frame.
    block: Vec<u8>,
    ends_stream: bool,
    is_promise: bool,
    began_ns: u64,
}

/// A request in flight.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub place: Place,
    pub timing: Timing,
    is_grpc: bool,
    /// Of the answer, once it has begun; else 0.
    status: u16,
    answered_ns: u64,
}

impl Stream {
    pub fn is_answered(&self) -> bool {
        self.status != 0
    }
}

/// Why a connection cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("records are missing")]
    Gap,
    #[error(transparent)]
    Hpack(#[from] HpackError),
    #[error("a frame is shorter than its flags say")]
    Frame,
    #[error("a header block is longer than any server takes")]
    TooLong,
}

/// Of one header block, or of one frame that holds a piece of it.
const BLOCK_MOST: usize = 256 << 10;

/// `TCP_RTO_MAX` is two minutes.
const LONGEST_WAIT_NS: u64 = 150_000_000_000;

/// What of a block matters here.
#[derive(Debug, Default)]
struct Fields {
    method: Vec<u8>,
    path: Vec<u8>,
    status: Option<u16>,
    grpc_status: Option<u16>,
    is_grpc: bool,
}

impl Connection {
    /// Takes one record; adds the requests that ended by it to `ended`.
    pub fn take(
        &mut self,
        record: &Record,
        piece: &[u8],
        meaning: &mut dyn Meaning,
        ended: &mut Vec<Ended>,
    ) -> Result<(), Lost> {
        let side = self
            .sides
            .get_mut(usize::from(record.direction))
            .ok_or(Lost::Gap)?;
        if side.next != record.number {
            return Err(Lost::Gap);
        }
        side.next = side.next.wrapping_add(1);
        self.last_ns = record.at_ns;
        match record.kind {
            event::HOLE => side.raw = Some(Raw::new(piece).ok_or(Lost::Gap)?),
            event::RAW => self.take_raw(record, piece, meaning, ended)?,
            event::UPGRADED => self.upgraded(record),
            event::WHOLE => {
                let raw = side.raw.take();
                if !raw.is_some_and(|raw| raw.is_whole(record.stream)) {
                    return Err(Lost::Gap);
                }
            }
            _ => ended.extend(self.take_frame(record, piece, meaning)?),
        }
        Ok(())
    }

    /// Bytes of a direction that the kernel cannot follow, as they came.
    fn take_raw(
        &mut self,
        record: &Record,
        piece: &[u8],
        meaning: &mut dyn Meaning,
        ended: &mut Vec<Ended>,
    ) -> Result<(), Lost> {
        let direction = usize::from(record.direction);
        let mut raw = self.sides[direction].raw.take().ok_or(Lost::Gap)?;
        let mut result = Ok(());
        let is_held = raw.take(record, piece, &mut |record, piece| {
            if result.is_ok() {
                result = self
                    .take_frame(record, piece, meaning)
                    .map(|end| ended.extend(end));
            }
        });
        self.sides[direction].raw = Some(raw);
        result?;
        if is_held { Ok(()) } else { Err(Lost::Gap) }
    }

    /// A piece of a frame.
    fn take_frame(
        &mut self,
        record: &Record,
        piece: &[u8],
        meaning: &mut dyn Meaning,
    ) -> Result<Option<Ended>, Lost> {
        let side = &mut self.sides[usize::from(record.direction)];
        let asks = usize::from(record.direction) == ASKS;
        if record.kind == kind::DATA {
            let ends = record.flags & frame_flag::END_STREAM != 0 && record.part & part::LAST != 0;
            if !ends {
                self.upload_goes_on(record, asks);
                return Ok(None);
            }
            return Ok(self.data_ends(record, asks));
        }
        if record.part & part::FIRST != 0 {
            side.frame.clear();
            if record.kind == kind::HEADERS {
                side.began_ns = record.at_ns;
            }
            if asks && record.kind == kind::HEADERS && record.stream > self.last_stream {
                self.begin(record);
            }
        }
        let side = &mut self.sides[usize::from(record.direction)];
        side.frame.extend_from_slice(piece);
        if side.frame.len() > BLOCK_MOST {
            return Err(Lost::TooLong);
        }
        if record.part & part::LAST == 0 {
            return Ok(None);
        }
        if record.kind == kind::RST_STREAM {
            return Ok(self.reset(record, asks));
        }
        let Some(fields) = side.frame_ends(record)? else {
            return Ok(None);
        };
        let (ends_stream, began_ns) = (side.ends_stream, side.began_ns);
        if side.is_promise {
            return Ok(None);
        }
        if asks {
            self.asked(record, &fields, ends_stream, meaning);
            return Ok(None);
        }
        Ok(self.answered(record, &fields, ends_stream, began_ns))
    }

    /// The highest stream a request began on.
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether all that is known of it are bytes that still wait for a preface, for longer than TCP waits
    /// before it sends again: it spoke another protocol, or has ended.
    pub fn is_none(&self, now_ns: u64) -> bool {
        let asks = &self.sides[ASKS];
        let waits = asks.raw.as_ref().is_some_and(|raw| {
            // One record told of the hole.
            usize::try_from(asks.next).is_ok_and(|told| told == 1 + raw.waiting())
        });
        waits && now_ns.saturating_sub(self.last_ns) > LONGEST_WAIT_NS
    }

    /// Everything in flight ends as `outcome`.
    pub fn end_all(&mut self, outcome: u16, at_ns: u64) -> Vec<Ended> {
        let streams = std::mem::take(&mut self.streams);
        let ended = streams.into_values();
        ended.map(|stream| stream.end(outcome, at_ns, false)).collect()
    }

    /// Those in flight of which `is_over` says so end as `outcome`.
    pub fn end_where(
        &mut self,
        mut is_over: impl FnMut(&Stream) -> bool,
        outcome: u16,
        at_ns: u64,
    ) -> impl Iterator<Item = Ended> {
        let over = self.streams.extract_if(.., move |_, stream| is_over(stream));
        over.map(move |(_, stream)| stream.end(outcome, at_ns, false))
    }

    /// What was asked in HTTP/1 will be answered here.
    fn upgraded(&mut self, record: &Record) {
        self.begin(record);
        if let Some(stream) = self.streams.get_mut(&record.stream) {
            stream.place.route = record.outcome;
            stream.timing.started_ns = record.upload_ns;
            stream.timing.is_complete = true;
        }
    }

    fn begin(&mut self, record: &Record) {
        self.last_stream = record.stream;
        let stream = Stream {
            place: Place::new(&record.endpoint, record.settings),
            timing: Timing {
                started_ns: record.at_ns,
                last_byte_ns: record.at_ns,
                is_complete: false,
                over: 0,
                is_final: false,
            },
            is_grpc: false,
            status: 0,
            answered_ns: 0,
        };
        self.streams.insert(record.stream, stream);
    }

    /// A request's header block, or its trailers.
    fn asked(&mut self, record: &Record, fields: &Fields, ends_stream: bool, meaning: &mut dyn Meaning) {
        let Some(stream) = self.streams.get_mut(&record.stream) else {
            return;
        };
        if !fields.method.is_empty() {
            stream.is_grpc = fields.is_grpc;
            stream.place.route = meaning.route(stream.place.settings, &fields.method, &fields.path);
        }
        stream.timing.last_byte_ns = record.at_ns;
        stream.timing.is_complete |= ends_stream;
    }

    /// An answer's header block: informational, the answer itself, or its trailers.
    fn answered(
        &mut self,
        record: &Record,
        fields: &Fields,
        ends_stream: bool,
        began_ns: u64,
    ) -> Option<Ended> {
        let stream = self.streams.get_mut(&record.stream)?;
        let is_final = fields.status.is_some_and(|status| status >= 200 || status == 101);
        if stream.status == 0 && is_final {
            stream.status = fields.status.unwrap_or(0);
            stream.answered_ns = began_ns;
            if !stream.timing.is_complete {
                stream.timing.last_byte_ns = stream.timing.last_byte_ns.max(record.upload_ns);
            }
        }
        if !ends_stream {
            return None;
        }
        let grpc = fields
            .grpc_status
            .filter(|_| stream.is_grpc && stream.status == 200);
        let outcome = grpc.map_or(stream.status, |code| what::GRPC + code);
        self.end(record, if outcome == 0 { what::UNKNOWN } else { outcome }, true)
    }

    /// The last byte of a stream's DATA has passed, and nothing follows it.
    fn data_ends(&mut self, record: &Record, asks: bool) -> Option<Ended> {
        let stream = self.streams.get_mut(&record.stream)?;
        if asks {
            stream.timing.is_complete = true;
            if !stream.is_answered() {
                stream.timing.last_byte_ns = record.at_ns;
            }
            return None;
        }
        let outcome = if stream.status == 0 {
            what::UNKNOWN
        } else {
            stream.status
        };
        self.end(record, outcome, true)
    }

    /// Told of bytes without order alone: else the kernel keeps it, see `Record::upload_ns`.
    fn upload_goes_on(&mut self, record: &Record, asks: bool) {
        if let Some(stream) = self.streams.get_mut(&record.stream)
            && asks
            && !stream.is_answered()
        {
            stream.timing.last_byte_ns = record.at_ns;
        }
    }

    fn reset(&mut self, record: &Record, asks: bool) -> Option<Ended> {
        let outcome = if asks {
            what::CLIENT_GAVE_UP
        } else {
            what::RESET_BY_SERVER
        };
        self.end(record, outcome, false)
    }

    fn end(&mut self, record: &Record, outcome: u16, is_whole: bool) -> Option<Ended> {
        let stream = self.streams.remove(&record.stream)?;
        Some(stream.end(outcome, record.at_ns, is_whole))
    }
}

impl Stream {
    fn end(self, outcome: u16, at_ns: u64, is_whole: bool) -> Ended {
        // A client that stops reading an answer has had its status. A call's own status comes last.
        let stands = outcome == what::CLIENT_GAVE_UP && self.is_answered() && !self.is_grpc;
        Ended {
            place: self.place,
            timing: self.timing,
            outcome: if stands { self.status } else { outcome },
            end_ns: if self.is_answered() {
                self.answered_ns
            } else {
                at_ns
            },
            last_ns: at_ns,
            is_whole,
        }
    }
}

impl Side {
    /// The frame of a header block is whole: what the block says, once that is whole, too.
    fn frame_ends(&mut self, record: &Record) -> Result<Option<Fields>, Lost> {
        let frame = std::mem::take(&mut self.frame);
        let mut payload = &frame[..];
        if record.kind != kind::CONTINUATION {
            self.block.clear();
            self.is_promise = record.kind == kind::PUSH_PROMISE;
            self.ends_stream = record.flags & frame_flag::END_STREAM != 0;
            payload = fragment(record, payload).ok_or(Lost::Frame)?;
        }
        self.block.extend_from_slice(payload);
        if self.block.len() > BLOCK_MOST {
            return Err(Lost::TooLong);
        }
        if record.flags & frame_flag::END_HEADERS == 0 {
            return Ok(None);
        }
        let block = std::mem::take(&mut self.block);
        let mut fields = Fields::default();
        self.decoder
            .decode(&block, |name, value| fields.take(name, value))?;
        Ok(Some(fields))
    }
}

/// The part of a payload that is header block: without padding, priority and promised stream.
fn fragment<'a>(record: &Record, payload: &'a [u8]) -> Option<&'a [u8]> {
    let mut payload = payload;
    if record.flags & frame_flag::PADDED != 0 {
        let (padding, rest) = payload.split_first()?;
        let length = rest.len().checked_sub(usize::from(*padding))?;
        payload = &rest[..length];
    }
    let skipped = match record.kind {
        kind::PUSH_PROMISE => 4,
        _ if record.flags & frame_flag::PRIORITY != 0 => 5,
        _ => 0,
    };
    payload.get(skipped..)
}

impl Fields {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":method" => self.method = value.to_vec(),
            b":path" => self.path = value.to_vec(),
            b":status" => self.status = number(value).filter(|status| (100..=999).contains(status)),
            // Codes beyond those that are defined mean as much as UNKNOWN.
            b"grpc-status" => self.grpc_status = Some(number(value).filter(|code| *code <= 16).unwrap_or(2)),
            b"content-type" => self.is_grpc = value.starts_with(b"application/grpc"),
            _ => {}
        }
    }
}

fn number(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

const _: () = assert!(ASKS == 0 && ANSWERS == 1);
