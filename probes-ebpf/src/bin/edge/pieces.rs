//! Requests that come in pieces, with a body, or several to a segment: `conversation` takes them apart.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use probes_ebpf::{
    conversation::{REQUEST_PARTS, all_parts, leave_requests, place_requests, request_part},
    wire::Connection,
};

use crate::{
    connection::find,
    conversation::Kernel,
    pipeline::Socket,
    reading::at,
    scratch::{claim, release, segment_of, visit_of},
    segment::{Segment, rest},
};

/// Prepares to take a segment apart. `start` is where it stands in the count of `asked`, and some of it
/// is new. One of [`rest`].
#[inline(always)]
pub fn visit(segment: &Segment, connection: &mut Connection, start: u64) -> u32 {
    let mut edge = Kernel { segment, slot: 0 };
    let pipelines = &mut Socket(segment.sk);
    let Some(done) = place_requests(&mut edge, pipelines, connection, start, segment.payload) else {
        return rest::NOTHING;
    };
    let Some((slot, scratch)) = claim() else {
        return rest::NOTHING;
    };
    scratch.visit = visit_of(segment, start, done);
    rest::REQUESTS | slot
}

/// Takes the segment in a slot apart, and gives the slot back.
#[inline(always)]
pub fn take(skb: *mut __sk_buff, slot: u32) {
    if !all_parts(REQUEST_PARTS, || edge_request_part(skb, slot) != 0) {
        edge_leave_requests(skb, slot);
    }
    if let Some(scratch) = at(slot) {
        release(scratch);
    }
}

/// Takes the next part of the segment in a slot; says whether there may be another. Global, so that
/// the verifier looks at it once and not at every repetition.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_request_part(skb: *mut __sk_buff, slot: u32) -> u32 {
    // SAFETY: the program's own context.
    let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
    if sk.is_null() {
        return 0;
    }
    let (Some(scratch), Some(connection)) = (at(slot), find(sk)) else {
        return 0;
    };
    let segment = &segment_of(&scratch.visit, skb, sk);
    let mut edge = Kernel { segment, slot };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    u32::from(request_part(&mut edge, &mut Socket(sk), connection, scratch))
}

/// The segment in a slot has more parts than are taken.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_leave_requests(skb: *mut __sk_buff, slot: u32) -> u32 {
    // SAFETY: the program's own context.
    let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
    if sk.is_null() {
        return 0;
    }
    let (Some(scratch), Some(connection)) = (at(slot), find(sk)) else {
        return 0;
    };
    let segment = &segment_of(&scratch.visit, skb, sk);
    let mut edge = Kernel { segment, slot };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    leave_requests(&mut edge, &mut Socket(sk), connection, scratch);
    1
}
