//! One walk at a time over what comes in on an HTTP/2 connection.
//!
//! Programs for ingress run before the socket's lock is taken, so segments of one connection may pass on several CPUs
//! at once. Whoever is first is waited for, which takes as long as following one segment.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use probes_ebpf::http2_wire::{Http2, mode};

use crate::{
    exchange::{compare_swap, swap},
    http2_slots::edge_early_forget,
};

/// About a millisecond: longer than the longest segment takes, unless its CPU is taken away meanwhile.
const ATTEMPTS: u32 = 1 << 15;

struct Entry {
    busy: *mut u64,
    is_taken: u64,
}

/// `false`: whoever is in took too long.
#[inline(always)]
pub fn enter(http2: *mut Http2) -> bool {
    if enter_free(http2) {
        return true;
    }
    // SAFETY: a live map value.
    let busy = unsafe { &raw mut (*http2).busy };
    let mut entry = Entry { busy, is_taken: 0 };
    // SAFETY: the callback takes an index and the context given here, which outlives the call.
    unsafe { bpf_loop(ATTEMPTS, try_to_enter as *mut c_void, (&raw mut entry).cast(), 0) };
    entry.is_taken != 0
}

/// `false`: somebody is in.
#[inline(always)]
pub fn enter_free(http2: *mut Http2) -> bool {
    // SAFETY: a live map value.
    compare_swap(unsafe { &raw mut (*http2).busy }, 0, 1) == 0
}

/// Whoever is in leaves.
#[inline(always)]
pub fn leave(http2: *mut Http2) {
    // SAFETY: a live map value.
    swap(unsafe { &raw mut (*http2).busy }, 0);
}

/// What a connection that has ended had kept is let go, by whoever of its last two comes later.
#[inline(always)]
pub fn forget_ended(http2: *mut Http2) {
    // SAFETY: a live map value.
    let ended = unsafe { &mut *http2 };
    if ended.mode == mode::ENDED && ended.early != 0 && enter_free(http2) {
        ended.early = 0;
        edge_early_forget(ended.cookie);
        leave(http2);
    }
}

unsafe extern "C" fn try_to_enter(_: u64, entry: *mut Entry) -> u64 {
    // SAFETY: the caller's own, and a live map value.
    unsafe {
        let is_taken = compare_swap((*entry).busy, 0, 1) == 0;
        (*entry).is_taken = u64::from(is_taken);
        u64::from(is_taken)
    }
}
