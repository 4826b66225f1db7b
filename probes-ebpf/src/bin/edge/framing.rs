//! Answers, followed from end to end where requests wait behind one another: `conversation` follows them.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use probes_ebpf::{
    conversation::{ANSWER_PARTS, all_parts, answer_part, lose_place, place_answers},
    wire::{Connection, loss, what},
};

use crate::{
    answering::{is_new, weather},
    connection::find,
    conversation::Kernel,
    count::lose_of,
    pipeline::{self, abandon, find_or_create},
    reading::at,
    scratch::{claim, release, segment_of, visit_of},
    segment::{Segment, rest},
};

/// Prepares to follow answers through a segment. One of [`rest`].
#[inline(always)]
pub fn visit(segment: &Segment, connection: &mut Connection) -> u32 {
    let Some(pipeline) = find_or_create(segment.sk, connection) else {
        return rest::NOTHING;
    };
    if !is_new(segment) {
        return rest::NOTHING;
    }
    let mut edge = Kernel { segment, slot: 0 };
    let Some(done) = place_answers(&mut edge, connection, pipeline, segment.seq, segment.payload) else {
        return rest::NOTHING;
    };
    weather(segment, connection);
    let Some((slot, scratch)) = claim() else {
        // Counted as lost there.
        lose_place(&mut edge, pipeline);
        return rest::NOTHING;
    };
    scratch.visit = visit_of(segment, 0, done);
    rest::ANSWERS | slot
}

/// Follows answers through the segment in a slot, and gives the slot back.
#[inline(always)]
pub fn follow(segment: &Segment, slot: u32) {
    let is_followed = all_parts(ANSWER_PARTS, || edge_answer_part(segment.skb, slot) != 0);
    let Some(scratch) = at(slot) else { return };
    let is_lost = scratch.visit.is_lost != 0;
    release(scratch);
    if !is_followed {
        lose_of(settings(segment.sk), loss::UNFRAMED);
    }
    if (!is_followed || is_lost)
        && let Some(pipeline) = pipeline::find(segment.sk)
    {
        lose_place(&mut Kernel { segment, slot }, pipeline);
        abandon(segment.skb, what::UNKNOWN);
    }
}

/// Of the socket's connection.
#[inline(always)]
pub fn settings(sk: *mut c_void) -> u32 {
    // SAFETY: a live map value.
    find(sk).map_or(0, |connection| unsafe { (*connection).settings })
}

/// As `edge_request_part`, of answers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_answer_part(skb: *mut __sk_buff, slot: u32) -> u32 {
    // SAFETY: the program's own context.
    let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
    if sk.is_null() {
        return 0;
    }
    let (Some(scratch), Some(connection), Some(pipeline)) = (at(slot), find(sk), pipeline::find(sk)) else {
        return 0;
    };
    let segment = &segment_of(&scratch.visit, skb, sk);
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    u32::from(answer_part(
        &mut Kernel { segment, slot },
        connection,
        pipeline,
        scratch,
    ))
}
