//! Slots of the scratch space, taken and given back; and the segment that is read in one.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
pub use probes_ebpf::conversation::{START, Scratch};
use probes_ebpf::{conversation::Visit, wire::loss};

pub use crate::reading::edge_read_head;
use crate::{
    count::{compare_swap, lose},
    reading::{self, SLOTS, at},
    segment::Segment,
};

/// Takes a place to read, which must be given back with [`release`], and its number.
#[inline(always)]
pub fn claim() -> Option<(u32, &'static mut Scratch)> {
    let mut slot = 0;
    while slot < SLOTS {
        if let Some(scratch) = at(slot)
            && compare_swap(&raw mut scratch.is_taken, 0, 1) == 0
        {
            return Some((slot, scratch));
        }
        slot += 1;
    }
    lose(loss::INTERRUPTED);
    None
}

#[inline(always)]
pub fn release(scratch: &mut Scratch) {
    // SAFETY: an aligned word of a map value.
    unsafe { (&raw mut scratch.is_taken).write_volatile(0) };
}

pub fn visit_of(segment: &Segment, start: u64, done: u32) -> Visit {
    Visit {
        start,
        remote: segment.remote,
        offset: segment.offset,
        payload: segment.payload,
        seq: segment.seq,
        done,
        pad: 0,
        local_port: segment.local_port,
        remote_port: segment.remote_port,
        is_ingress: u32::from(segment.ingress),
        is_lost: 0,
    }
}

/// The segment again.
#[inline(always)]
pub fn segment_of(visit: &Visit, skb: *mut __sk_buff, sk: *mut c_void) -> Segment {
    Segment {
        skb,
        sk,
        ingress: visit.is_ingress != 0,
        offset: visit.offset,
        payload: visit.payload,
        seq: visit.seq,
        ack: 0,
        flags: 0,
        local_port: visit.local_port,
        remote_port: visit.remote_port,
        remote: visit.remote,
    }
}

/// Copies what fits of the payload from `offset` on to [`START`]; says how much, 0 when it cannot.
#[inline(always)]
pub fn load(segment: &Segment, offset: u32, scratch: &mut Scratch) -> u32 {
    let rest = segment.payload.wrapping_sub(offset);
    reading::load(segment.skb, segment.offset + offset, rest, scratch)
}
