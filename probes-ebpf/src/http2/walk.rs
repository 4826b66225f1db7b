//! A connection of HTTP/2, walked along segment by segment: every frame of both directions is found, and what user
//! space needs of it is told.
//!
//! In: a segment, and the records of its connection. Out: the records as they are after it. All else is asked of
//! [`Edge`], so that the same code runs in the kernel at a socket, and on the host over bytes that a test chose.
//! A request that cannot be told any more is counted as unknown at once, so that requests begun = told + unknown.

use super::{
    Direction, FRAME_HEADER, PREFACE, begins_request, early, frame_flag, kind,
    place::place,
    telling::{tell_end, tell_lost, tell_piece},
};
use crate::{
    http2_wire::{ANSWERS, ASKS, Http2, Record, mode},
    wire::{Connection, Endpoint, loss, protocol, role},
};

/// Steps along one segment and what was kept behind it, each a frame or a piece of one. A segment of the smallest
/// frames takes 8192 at most; nobody may keep this CPU for much longer.
pub const STEPS: u32 = 1 << 16;
/// The most of a payload that one record holds.
pub const CHUNK: u32 = 4096;
/// What a preface is known by.
/// As many as decide that a connection speaks HTTP/2.
const PREFACE_BEGINS: [u8; 4] = *b"PRI ";

/// Where a segment's payload stands in its packet, and in the stream of its direction.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub offset: u32,
    pub payload: u32,
    pub seq: u32,
}

/// The bytes of the segment at hand, and of those that came before what they follow.
pub trait Bytes {
    /// The first bytes from `offset` of the packet on.
    fn head(&mut self, offset: u32) -> Option<[u8; 12]>;
    /// So many bytes, which are there, from `offset` of `source` on: of the packet, or of a slot with 1 added.
    fn read<const N: usize>(&mut self, source: u8, offset: u32) -> [u8; N];
    /// [`begins_trailers`](super::begins_trailers), of what is at `offset` of the packet.
    fn begins_trailers(&mut self, offset: u32) -> bool;
    /// [`early::place`].
    fn early_place(&mut self, owner: u64, seq: u32, length: u32, has: u8) -> u64;
    /// Copies a segment to `from` of a slot.
    fn early_fill(&mut self, slot: u32, from: u32, span: &Span) -> bool;
    /// [`early::next`].
    fn early_next(&mut self, owner: u64, next: u32) -> u64;
    /// Where the bytes of a slot begin in the stream, and how many they are.
    fn early_extent(&mut self, slot: u32) -> Option<(u32, u32)>;
    /// [`early::forget`].
    fn early_forget(&mut self, owner: u64) -> u32;
}

/// What is done for a walk, and asked on its behalf.
pub trait Edge: Bytes {
    fn http2(&mut self) -> &mut Http2;
    fn connection(&mut self) -> &mut Connection;
    fn endpoint(&mut self) -> Endpoint;
    /// Whether it is the client who speaks.
    fn asks(&self) -> bool;
    fn is_ingress(&self) -> bool;
    /// When the segment passed.
    fn now(&self) -> u64;
    /// Up to where TCP has received, which it may not tell.
    fn received(&mut self) -> Option<u32>;
    /// Looks the connection's settings up again if they may have changed.
    fn refresh(&mut self);
    /// Counts a request for the address it came from.
    fn charge(&mut self);
    /// Counts a request that is not told.
    fn unknown(&mut self);
    /// Something was lost of these settings.
    fn lose(&mut self, settings: u32, reason: u32);
    /// Notes that bytes of a request came that has not ended.
    fn uploads(&mut self, stream: u32);
    /// When the last of those came, else 0.
    fn uploaded(&mut self, stream: u32) -> u64;
    /// Whether there was room for a record. Where there was none, that is a loss of the connection's settings.
    fn tell(&mut self, record: &Record) -> bool;
    /// As [`Edge::tell`], with where the direction stands.
    fn tell_direction(&mut self, record: &Record) -> bool;
    /// Whether there was room for a record with the next `length` bytes, of which there are between 1 and `N`. The
    /// record is made where it goes.
    fn tell_bytes<const N: usize>(&mut self, length: u32, record: impl FnOnce(&mut Self) -> Record) -> bool;
}

#[inline(always)]
pub fn direction(edge: &mut impl Edge) -> &mut Direction {
    let asks = edge.asks();
    let http2 = edge.http2();
    if asks {
        &mut http2.directions[ASKS]
    } else {
        &mut http2.directions[ANSWERS]
    }
}

/// How a connection may be joined with a segment of its client, which begins with `first` and with `head`: whether in
/// the middle. `None`: not with this one.
#[inline(always)]
#[must_use]
pub fn joins(protocol: u8, first: Option<[u8; 4]>, head: Option<[u8; 12]>) -> Option<bool> {
    // What it begins with is missing. Should that be a preface, this is what follows.
    if protocol == protocol::UNDECIDED {
        return Some(false);
    }
    // A body may begin with a letter of it, too; and of a preface not all may be there.
    if first? == PREFACE_BEGINS {
        return Some(false);
    }
    begins_request(&head?).then_some(true)
}

/// Begins to follow a connection whose client says its preface at `first`, or with its frames there.
#[inline(always)]
pub fn begin(http2: &mut Http2, cookie: u64, first: u32, is_late: bool) {
    http2.cookie = cookie;
    http2.mode = if is_late { mode::LOST } else { mode::TRACKED };
    let asks = &mut http2.directions[ASKS];
    asks.next = first.wrapping_add(if is_late { 0 } else { PREFACE });
    asks.is_placed = 1;
}

/// A segment is here. Whether there is anything to step along.
#[inline(always)]
pub fn arrive(edge: &mut impl Edge, span: &Span) -> bool {
    let mode = edge.http2().mode;
    if mode == mode::ENDED || mode == mode::LOST && !edge.asks() {
        return false;
    }
    if edge.http2().owes_notice != 0 {
        tell_lost(edge);
    }
    place(edge, span)
}

/// No more steps are taken: where some were left, what follows is not known.
#[inline(always)]
pub fn leave(edge: &mut impl Edge) {
    if direction(edge).available != 0 {
        lost(edge, loss::HTTP2_HOLE);
        unplace(edge);
    }
}

/// One frame header, or one piece of a payload. Whether there may be another.
#[inline(always)]
pub fn step(edge: &mut impl Edge) -> bool {
    if direction(edge).available == 0 && !early::resume(edge) || early::is_gone(edge) {
        return false;
    }
    let mut begins = false;
    if !direction(edge).in_payload() {
        if !take_header(edge) {
            return true;
        }
        begins = begin_frame(edge);
    }
    let is_tracked = edge.http2().mode == mode::TRACKED;
    let at = direction(edge);
    let available = at.available;
    let mut length = at.left;
    if length > available {
        length = available;
    }
    let is_told = is_tracked && at.is_told();
    if is_told {
        if length > CHUNK {
            length = CHUNK;
        }
        tell_piece(edge, length, begins);
        let is_lost = edge.http2().mode == mode::LOST;
        let at = direction(edge);
        if is_lost && at.is_raw != 0 {
            at.available = 0;
            unplace(edge);
            return false;
        }
    }
    let at = direction(edge);
    let (kind, flags, stream) = (at.kind, at.flags, at.stream);
    let ends = at.take(length);
    at.pass(length);
    if at.is_raw != 0 {
        at.stream = stream.wrapping_add(length);
        return true;
    }
    if is_tracked && kind == kind::DATA {
        if flags & frame_flag::END_STREAM != 0 {
            if ends {
                tell_end(edge);
            }
        } else if edge.asks() && length != 0 {
            edge.http2().uploads = 1;
            edge.uploads(stream);
        }
    }
    true
}

/// Whether a whole frame header has been taken.
#[inline(always)]
fn take_header(edge: &mut impl Edge) -> bool {
    let source = edge.http2().source;
    let at = direction(edge);
    let offset = at.offset;
    if at.have == 0 && at.available >= FRAME_HEADER {
        let header = edge.read(source, offset);
        let at = direction(edge);
        at.pass(FRAME_HEADER);
        at.begin(&header);
        return true;
    }
    let [byte] = edge.read(source, offset);
    let at = direction(edge);
    at.pass(1);
    at.take_header_byte(byte);
    at.in_payload()
}

/// A request begins with HEADERS on a stream higher than any before. Whether one does.
#[inline(always)]
fn begin_frame(edge: &mut impl Edge) -> bool {
    let at = direction(edge);
    let (kind, stream) = (at.kind, at.stream);
    if !edge.asks() || kind != kind::HEADERS || stream <= edge.http2().last_stream {
        return false;
    }
    if edge.http2().last_stream == 0 && edge.http2().mode == mode::LOST && is_trailers(edge) {
        return false;
    }
    edge.http2().last_stream = stream;
    edge.refresh();
    let connection = edge.connection();
    if connection.role == role::SERVER && connection.settings != 0 {
        edge.charge();
    }
    if edge.http2().mode == mode::LOST {
        edge.unknown();
    }
    true
}

/// Whether the header block at hand ends a request that began before its connection was joined.
#[inline(always)]
fn is_trailers(edge: &mut impl Edge) -> bool {
    let at = direction(edge);
    let (flags, offset) = (at.flags, at.offset);
    let is_bare = flags & (frame_flag::PADDED | frame_flag::PRIORITY) == 0;
    flags & frame_flag::END_STREAM != 0 && is_bare && edge.begins_trailers(offset)
}

/// From now on the kernel counts the requests of this connection, as unknown.
#[inline(always)]
pub fn lost(edge: &mut impl Edge, reason: u32) {
    if edge.http2().mode != mode::TRACKED {
        return;
    }
    edge.http2().mode = mode::LOST;
    if edge.is_ingress() {
        early::forget_all(edge);
    }
    let settings = edge.connection().settings;
    edge.lose(settings, reason);
    tell_lost(edge);
}

/// Where frames begin is not known any more.
#[inline(always)]
pub fn unplace(edge: &mut impl Edge) {
    let at = direction(edge);
    at.is_placed = 0;
    at.is_raw = 0;
    at.have = 0;
    at.left = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_joined_at_its_preface_or_where_a_request_begins() {
        let joins = |protocol, bytes: &[u8]| {
            joins(
                protocol,
                bytes.first_chunk().copied(),
                bytes.first_chunk().copied(),
            )
        };
        let request = b"\x00\x00\x1e\x01\x05\x00\x00\x00\x01\x82\x04\x81";
        for (bytes, joined) in [
            (&b"PRI * HTTP/2.0"[..], Some(false)),
            (b"PRI * HTT", Some(false)),
            (b"PRI ", Some(false)),
            (request, Some(true)),
            (&request[..11], None),
            (b"POST /anywhere", None),
            (b"PRI", None),
        ] {
            assert_eq!(joins(protocol::HTTP2, bytes), joined, "{bytes:?}");
        }
        // The preface is what is missing.
        assert_eq!(joins(protocol::UNDECIDED, b"any"), Some(false));
    }
}
