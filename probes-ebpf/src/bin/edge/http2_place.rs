//! Where the walk along an HTTP/2 connection goes on in a segment, and what becomes of one that it cannot
//! go on in.

use aya_ebpf::helpers::bpf_tcp_sock;
use probes_ebpf::{
    http2::{FRAME_HEADER, begins_frame, begins_request},
    http2_wire::{RAW_MOST, event, mode},
    wire::{loss, protocol},
};

use crate::{
    http2::{Walk, head, lost, unplace},
    http2_early, http2_record,
    segment::Segment,
};

/// Finds where the walk goes on in this segment: behind what was seen before. `false`: nowhere.
#[inline(always)]
pub fn place(walk: &mut Walk, segment: &Segment) -> bool {
    // SAFETY: a live map value.
    let is_lost = unsafe { (*walk.http2).mode } == mode::LOST;
    if is_lost && walk.is_ingress != 0 {
        // What leaves may have been lost meanwhile, which may not touch what is kept of what comes in.
        // SAFETY: a live map value.
        http2_early::forget(unsafe { &mut *walk.http2 });
    }
    let (seq, payload) = (segment.seq, segment.payload);
    if is_lost && walk.direction().is_raw != 0 {
        unplace(walk);
    }
    let direction = walk.direction();
    if direction.is_placed == 0 {
        if is_lost {
            // Only a segment that begins with a request tells where frames begin.
            let head = head(segment);
            if !head.is_some_and(|head| begins_request(&head)) {
                return false;
            }
        }
        let direction = walk.direction();
        direction.next = seq;
        direction.is_placed = 1;
    }
    let direction = walk.direction();
    direction.offset = segment.offset;
    direction.available = payload;
    if direction.is_raw != 0 {
        return raw(walk, segment);
    }
    let ahead = seq.wrapping_sub(direction.next) as i32;
    if ahead > 0 {
        // TCP brings what is missing later, when what follows it has passed. It matters only where
        // the hole holds more than the payload of one frame that nobody needs.
        let hole = ahead as u32;
        let is_harmless = direction.in_payload() && !direction.is_told() && hole < direction.left;
        if !is_harmless {
            return open_hole(walk, segment);
        }
        direction.take(hole);
    } else {
        let seen = ahead.unsigned_abs();
        if seen >= payload {
            return false;
        }
        direction.offset += seen;
        direction.available -= seen;
    }
    walk.direction().next = seq.wrapping_add(payload);
    true
}

/// A part of this direction comes later. This segment is kept until then. Where that cannot be, or where the
/// very beginning is missing, which may be another protocol's, user space is told every byte until frames can
/// be followed again, puts them in order, and finds the frames.
#[inline(always)]
fn open_hole(walk: &mut Walk, segment: &Segment) -> bool {
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&mut *walk.http2, &*walk.connection) };
    if http2.mode != mode::TRACKED || !segment.ingress {
        return give_up(walk);
    }
    if was_missed(segment, walk.direction().next) {
        return give_up(walk);
    }
    if connection.protocol == protocol::HTTP2 && http2_early::keep(http2, segment) {
        return false;
    }
    if http2.early != 0 || !http2_record::tell_hole(walk) {
        return give_up(walk);
    }
    let direction = walk.direction();
    direction.begin_raw();
    raw(walk, segment)
}

/// Whether TCP has what was expected at `next`: it did not pass here, and will not.
#[inline(always)]
fn was_missed(segment: &Segment, next: u32) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    // SAFETY: the helper's answer.
    !tcp.is_null() && (unsafe { (*tcp).rcv_nxt }.wrapping_sub(next) as i32) > 0
}

/// A segment of a direction that had a hole.
#[inline(always)]
fn raw(walk: &mut Walk, segment: &Segment) -> bool {
    let (seq, payload) = (segment.seq, segment.payload);
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    // All before it has come, and nothing behind it was told. What TCP has not looked at yet, or has
    // dropped for want of room, was told and is not in its count.
    // SAFETY: the helper's answer.
    let is_next = !tcp.is_null() && unsafe { (*tcp).rcv_nxt } == seq && walk.direction().next == seq;
    if is_next && head(segment).is_some_and(|head| begins_frame(&head)) {
        if !http2_record::tell_whole(walk, seq) {
            return give_up(walk);
        }
        unplace(walk);
        let direction = walk.direction();
        direction.is_placed = 1;
        direction.next = seq.wrapping_add(payload);
        return true;
    }
    if walk.direction().told(seq, payload) > RAW_MOST {
        return give_up(walk);
    }
    let direction = walk.direction();
    direction.kind = event::RAW;
    direction.stream = seq;
    direction.left = payload;
    direction.have = FRAME_HEADER as u8;
    true
}

#[inline(always)]
fn give_up(walk: &mut Walk) -> bool {
    lost(walk, loss::HTTP2_HOLE);
    unplace(walk);
    false
}
