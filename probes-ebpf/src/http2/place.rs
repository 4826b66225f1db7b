//! Where the walk along an HTTP/2 connection goes on in a segment, and what becomes of one that it cannot
//! go on in.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a checked conversion costs the kernel a branch"
)]

use super::{
    FRAME_HEADER, begins_frame, begins_request, early,
    telling::{tell_hole, tell_whole},
    walk::{Edge, Span, direction, lost, unplace},
};
use crate::{
    http2_wire::{RAW_MOST, event, mode},
    wire::{loss, protocol},
};

/// Finds where the walk goes on in this segment: behind what was seen before. `false`: nowhere.
#[inline(always)]
pub fn place(edge: &mut impl Edge, span: &Span) -> bool {
    let is_lost = edge.http2().mode == mode::LOST;
    if is_lost && edge.is_ingress() {
        // What leaves may have been lost meanwhile, which may not touch what is kept of what comes in.
        early::forget_all(edge);
    }
    let Span { offset, payload, seq } = *span;
    if is_lost && direction(edge).is_raw != 0 {
        unplace(edge);
    }
    if direction(edge).is_placed == 0 {
        if is_lost {
            // Only a segment that begins with a request tells where frames begin.
            let head = edge.head(offset);
            if !head.is_some_and(|head| begins_request(&head)) {
                return false;
            }
        }
        let at = direction(edge);
        at.next = seq;
        at.is_placed = 1;
    }
    let at = direction(edge);
    at.offset = offset;
    at.available = payload;
    if at.is_raw != 0 {
        return raw(edge, span);
    }
    let ahead = seq.wrapping_sub(at.next) as i32;
    if ahead > 0 {
        // TCP brings what is missing later, when what follows it has passed. It matters only where
        // the hole holds more than the payload of one frame that nobody needs.
        let hole = ahead as u32;
        let is_harmless = at.in_payload() && !at.is_told() && hole < at.left;
        if !is_harmless {
            return open_hole(edge, span);
        }
        at.take(hole);
    } else {
        let seen = ahead.unsigned_abs();
        if seen >= payload {
            return false;
        }
        at.offset += seen;
        at.available -= seen;
    }
    direction(edge).next = seq.wrapping_add(payload);
    true
}

/// A part of this direction comes later. This segment is kept until then. Where that cannot be, or where the
/// very beginning is missing, which may be another protocol's, user space is told every byte until frames can
/// be followed again, puts them in order, and finds the frames.
#[inline(always)]
fn open_hole(edge: &mut impl Edge, span: &Span) -> bool {
    if edge.http2().mode != mode::TRACKED || !edge.is_ingress() {
        return give_up(edge);
    }
    let next = direction(edge).next;
    if was_missed(edge, next) {
        return give_up(edge);
    }
    if edge.connection().protocol == protocol::HTTP2 && early::keep(edge, span) {
        return false;
    }
    if edge.http2().early != 0 || !tell_hole(edge) {
        return give_up(edge);
    }
    direction(edge).begin_raw();
    raw(edge, span)
}

/// Whether TCP has what was expected at `next`: it did not pass here, and will not.
#[inline(always)]
fn was_missed(edge: &mut impl Edge, next: u32) -> bool {
    (edge.received()).is_some_and(|received| (received.wrapping_sub(next) as i32) > 0)
}

/// A segment of a direction that had a hole.
#[inline(always)]
fn raw(edge: &mut impl Edge, span: &Span) -> bool {
    let Span { offset, payload, seq } = *span;
    // All before it has come, and nothing behind it was told. What TCP has not looked at yet, or has
    // dropped for want of room, was told and is not in its count.
    let is_next = edge.received() == Some(seq) && direction(edge).next == seq;
    if is_next && (edge.head(offset)).is_some_and(|head| begins_frame(&head)) {
        if !tell_whole(edge, seq) {
            return give_up(edge);
        }
        unplace(edge);
        let at = direction(edge);
        at.is_placed = 1;
        at.next = seq.wrapping_add(payload);
        return true;
    }
    if direction(edge).told(seq, payload) > RAW_MOST {
        return give_up(edge);
    }
    let at = direction(edge);
    at.kind = event::RAW;
    at.stream = seq;
    at.left = payload;
    at.have = FRAME_HEADER as u8;
    true
}

#[inline(always)]
fn give_up(edge: &mut impl Edge) -> bool {
    lost(edge, loss::HTTP2_HOLE);
    unplace(edge);
    false
}
