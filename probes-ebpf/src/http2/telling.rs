//! What user space is told of a walk, and what happens when there is no room for it.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a checked conversion costs the kernel a branch"
)]

use super::{
    Direction, kind,
    walk::{Edge, direction, lost},
};
use crate::{
    http2_wire::{ANSWERS, ASKS, Record, event, part},
    wire::loss,
};

/// Tells the next `length` bytes of what is walked along, which are payload of the current frame, or all that is known
/// of it so far. Whether that `begins` a request.
#[inline(always)]
pub fn tell_piece(edge: &mut impl Edge, length: u32, begins: bool) {
    // One of a few sizes, for the verifier wants to know them beforehand.
    let is_told = if length == 0 {
        put::<0>(edge, length, begins)
    } else if length <= 64 {
        put::<64>(edge, length, begins)
    } else if length <= 256 {
        put::<256>(edge, length, begins)
    } else if length <= 1024 {
        put::<1024>(edge, length, begins)
    } else {
        put::<4096>(edge, length, begins)
    };
    if is_told {
        return;
    }
    lost(edge, loss::HTTP2_RING_FULL);
    // The request whose first record is missing is known to nobody else. Of one whose trailers are, user space knows.
    if begins {
        edge.unknown();
    }
}

/// Tells that the last byte of a stream's DATA has passed.
#[inline(always)]
pub fn tell_end(edge: &mut impl Edge) {
    if !put::<0>(edge, 0, false) {
        lost(edge, loss::HTTP2_RING_FULL);
    }
}

#[inline(always)]
fn put<const N: usize>(edge: &mut impl Edge, length: u32, begins: bool) -> bool {
    let mut upload_ns = 0;
    if !edge.asks() && edge.http2().uploads != 0 && direction(edge).kind == kind::HEADERS {
        let stream = direction(edge).stream;
        upload_ns = edge.uploaded(stream);
    }
    let is_told = edge.tell_bytes::<N>(length, |edge| of_piece(edge, length, upload_ns, begins));
    if is_told {
        let at = direction(edge);
        at.records = at.records.wrapping_add(1);
    }
    is_told
}

/// The record of the next `length` bytes.
#[inline(always)]
fn of_piece(edge: &mut impl Edge, length: u32, upload_ns: u64, begins: bool) -> Record {
    let endpoint = edge.endpoint();
    let (cookie, settings) = (edge.http2().cookie, edge.connection().settings);
    let (asks, now) = (edge.asks(), edge.now());
    let at = direction(edge);
    let mut part = if begins { part::BEGINS } else { 0 };
    if at.is_first != 0 {
        part |= part::FIRST;
    }
    if at.left == length {
        part |= part::LAST;
    }
    Record {
        cookie,
        at_ns: now,
        upload_ns,
        endpoint,
        settings,
        stream: at.stream,
        number: at.records,
        pad: 0,
        length: length as u16,
        outcome: 0,
        kind: at.kind,
        flags: at.flags,
        direction: if asks { ASKS as u8 } else { ANSWERS as u8 },
        part,
    }
}

/// Tells where the direction stands as a hole opens in front of it.
#[inline(never)]
pub fn tell_hole(edge: &mut impl Edge) -> bool {
    let record = of_direction(edge, event::HOLE, 0, size_of::<Direction>() as u16);
    edge.tell_direction(&record)
}

/// Tells that all has come up to `seq`, where a frame begins.
#[inline(never)]
pub fn tell_whole(edge: &mut impl Edge, seq: u32) -> bool {
    let record = of_direction(edge, event::WHOLE, seq, 0);
    edge.tell(&record)
}

/// Tells that the kernel counts from here on; owes it when there is no room even for that.
#[inline(always)]
pub fn tell_lost(edge: &mut impl Edge) {
    let now = edge.now();
    let record = of_connection(edge, event::LOST, 0, now);
    let is_told = edge.tell(&record);
    edge.http2().owes_notice = u8::from(!is_told);
}

/// The next record of the direction at hand.
#[inline(always)]
pub fn of_direction(edge: &mut impl Edge, kind: u8, stream: u32, length: u16) -> Record {
    let (asks, now) = (edge.asks(), edge.now());
    let at = direction(edge);
    let number = at.records;
    at.records = number.wrapping_add(1);
    Record {
        stream,
        number,
        length,
        direction: if asks { ASKS as u8 } else { ANSWERS as u8 },
        ..of_connection(edge, kind, 0, now)
    }
}

/// A record that stands for the connection. Zeros are written out: to take a blank one is a call, with a frame of
/// its own.
#[inline(always)]
fn of_connection(edge: &mut impl Edge, kind: u8, outcome: u16, at_ns: u64) -> Record {
    Record {
        cookie: edge.http2().cookie,
        at_ns,
        endpoint: edge.endpoint(),
        settings: edge.connection().settings,
        upload_ns: 0,
        stream: 0,
        number: 0,
        pad: 0,
        length: 0,
        outcome,
        kind,
        flags: 0,
        direction: 0,
        part: 0,
    }
}
