//! The slots that keep segments of HTTP/2 which came before what they follow, see `probes_ebpf::http2::early`.
//!
//! What goes through all of them is global and takes numbers, so that the verifier reads it once.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_probe_read_kernel, bpf_skb_load_bytes},
    macros::map,
    maps::Array,
};
use probes_ebpf::{
    conversation::Exchange,
    http2::{
        early::{self, HALF, Slots},
        walk::Span,
    },
    http2_wire::{EARLY_BYTES, EARLY_SLOTS, Early},
};

use crate::exchange;

/// Segments that came before what they follow: 4 MiB.
#[map]
static HTTP2_EARLY: Array<Early> = Array::with_max_entries(EARLY_SLOTS, 0);

const BYTES: usize = EARLY_BYTES as usize;

struct Room;

impl Slots for Room {
    #[inline(always)]
    fn slot(&mut self, slot: u32) -> Option<&mut Early> {
        // SAFETY: a live map value.
        unsafe { HTTP2_EARLY.get_ptr_mut(slot)?.as_mut() }
    }
}

impl Exchange for Room {
    #[inline(always)]
    fn swap(cell: &mut u64, new: u64) -> u64 {
        exchange::swap(cell, new)
    }

    #[inline(always)]
    fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64 {
        exchange::compare_swap(cell, old, new)
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn edge_early_place(owner: u64, seq: u32, length: u32, has: u32) -> u64 {
    early::place(&mut Room, owner, seq, length, has as u8)
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn edge_early_next(owner: u64, next: u32) -> u64 {
    early::next(&mut Room, owner, next)
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn edge_early_forget(owner: u64) -> u32 {
    early::forget(&mut Room, owner)
}

/// Where the bytes of a slot begin in the stream, and how many they are.
#[inline(always)]
pub fn extent(slot: u32) -> Option<(u32, u32)> {
    let early = HTTP2_EARLY.get_ptr(slot)?;
    // SAFETY: a live map value.
    unsafe { Some(((*early).seq, (*early).length)) }
}

/// Copies a segment to `from` of a slot: it has all of it, or one half behind a place in the other.
#[inline(always)]
pub fn fill(skb: *mut __sk_buff, slot: u32, from: u32, span: &Span) -> bool {
    let Some(early) = HTTP2_EARLY.get_ptr_mut(slot) else {
        return false;
    };
    // SAFETY: a live map value, and no more than it has room for.
    let rc = unsafe {
        let bytes = (&raw mut (*early).bytes).cast::<u8>();
        if from == 0 {
            let length = bounded::<BYTES>(span.payload);
            bpf_skb_load_bytes(skb.cast(), span.offset, bytes.cast(), length)
        } else {
            let length = bounded::<{ HALF as usize }>(span.payload);
            let to = bytes.add(bounded::<{ HALF as usize }>(from) as usize);
            bpf_skb_load_bytes(skb.cast(), span.offset, to.cast(), length)
        }
    };
    rc == 0
}

/// Copies what is walked along: of the segment, or of a slot, which is `source` less 1.
///
/// # Safety
/// `to` has room for `length` bytes, and as many are there.
#[inline(always)]
pub unsafe fn copy(skb: *mut __sk_buff, source: u8, offset: u32, to: *mut c_void, length: u32) {
    // SAFETY: as the caller says.
    unsafe {
        if source == 0 {
            bpf_skb_load_bytes(skb.cast(), offset, to, length);
        } else if let Some(early) = HTTP2_EARLY.get_ptr(u32::from(source) - 1) {
            let bytes = (&raw const (*early).bytes).cast::<u8>();
            bpf_probe_read_kernel(to, length, bytes.add(offset as usize % BYTES).cast());
        }
    }
}

/// `length`, which is between 1 and the power of two `N`, so that the verifier sees it, too. The compiler
/// knows it already, and would leave out a mask that it can see through.
#[inline(always)]
pub fn bounded<const N: usize>(length: u32) -> u32 {
    let mut less = u64::from(length.wrapping_sub(1));
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{less} &= {mask}", less = inout(reg) less, mask = const N as i32 - 1) };
    less as u32 + 1
}
