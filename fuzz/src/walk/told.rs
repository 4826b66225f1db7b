//! What user space makes of what it is told, and what a plain reader makes of the same stream.

use probes_ebpf::{
    http2::{frame_flag, kind},
    http2_wire::{ASKS, Record, event as http2_event, part},
    replay::http2::{Entry, event},
};

use super::super::raw::Raw;

/// A frame that user space needs, or the end of a stream's DATA, which has no bytes.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    bytes: Vec<u8>,
    is_whole: bool,
}

/// Those of one direction, in order.
#[derive(Debug, Default)]
pub struct Frames {
    list: Vec<Frame>,
    /// The kernel took something for the beginning of a frame that was none, and user space has seen that.
    pub is_given_up: bool,
}

impl Frames {
    pub fn of(journal: &[(Entry, Vec<u8>)], asks: bool) -> Self {
        let mut frames = Self::default();
        let mut raw: Option<Raw> = None;
        for (entry, bytes) in journal {
            let record = &entry.record;
            let is_its = (usize::from(record.direction) == ASKS) == asks;
            if entry.event != event::TOLD || !is_its {
                continue;
            }
            match record.kind {
                http2_event::LOST => break,
                http2_event::HOLE => raw = Some(Raw::new(bytes).expect("where it stands")),
                http2_event::RAW => {
                    let raw = raw.as_mut().expect("behind a hole");
                    assert!(raw.take(record, bytes, &mut |record, bytes| frames.take(record, bytes)));
                }
                http2_event::WHOLE => {
                    if !raw.take().expect("behind a hole").is_whole(record.stream) {
                        frames.is_given_up = true;
                        break;
                    }
                }
                _ => frames.take(record, bytes),
            }
        }
        frames.settled()
    }

    fn take(&mut self, record: &Record, bytes: &[u8]) {
        let is_last = record.part & part::LAST != 0;
        if record.kind == kind::DATA {
            if is_last && record.flags & frame_flag::END_STREAM != 0 {
                self.list.push(Frame::of(record, true));
            }
            return;
        }
        if record.part & part::FIRST != 0 {
            self.list.push(Frame::of(record, false));
        }
        let frame = self.list.last_mut().expect("a first piece");
        assert!(!frame.is_whole && (frame.kind, frame.stream) == (record.kind, record.stream));
        frame.bytes.extend_from_slice(bytes);
        frame.is_whole = is_last;
    }

    /// A frame of which nothing has come may be told or not.
    fn settled(mut self) -> Self {
        self.list
            .pop_if(|frame| !frame.is_whole && frame.bytes.is_empty());
        self
    }

    /// Whether `all` begins with these.
    pub fn begins(&self, all: &Self) -> bool {
        let Some((last, before)) = self.list.split_last() else {
            return true;
        };
        let Some((same, rest)) = all.list.split_at_checked(before.len()) else {
            return false;
        };
        same == before && rest.first().is_some_and(|frame| last.begins(frame))
    }
}

impl Frame {
    fn of(record: &Record, is_whole: bool) -> Self {
        Self {
            kind: record.kind,
            flags: record.flags,
            stream: record.stream,
            bytes: Vec::new(),
            is_whole,
        }
    }

    fn begins(&self, all: &Self) -> bool {
        let is_it = (self.kind, self.flags, self.stream) == (all.kind, all.flags, all.stream);
        is_it
            && all.bytes.starts_with(&self.bytes)
            && (all.is_whole || !self.is_whole)
            && (!self.is_whole || self.bytes == all.bytes)
    }
}

/// Every frame of a stream that user space needs.
pub fn plain(mut rest: &[u8]) -> Frames {
    let mut frames = Frames::default();
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let bytes = &after[..length.min(after.len())];
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
            bytes: bytes.to_vec(),
            is_whole: bytes.len() == length,
        };
        match frame.kind {
            kind::HEADERS | kind::CONTINUATION | kind::RST_STREAM | kind::PUSH_PROMISE => {
                frames.list.push(frame);
            }
            kind::DATA if frame.is_whole && frame.flags & frame_flag::END_STREAM != 0 => {
                frames.list.push(Frame {
                    bytes: Vec::new(),
                    ..frame
                });
            }
            _ => {}
        }
        rest = &after[bytes.len()..];
    }
    frames.settled()
}
