//! Slots where bytes of segments are laid out, and the functions that read them.
//!
//! Each reading function is a global one, so that the verifier looks at its loop once and takes
//! everything it returns for possible, wherever it is called from.

use core::mem::{self, MaybeUninit};

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::map, maps::PerCpuArray};
use probes_ebpf::{
    conversation::{BETWEEN, START, Scratch},
    http1::{self, CARRY, Head, Lines, WINDOW},
    opening::OPENING,
};

/// A program may be interrupted by another on its CPU, and that one again.
pub const SLOTS: u32 = 4;

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SLOTS, 0);

#[inline(always)]
pub fn at(slot: u32) -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's element, which the caller has claimed.
    unsafe { SCRATCH.get_ptr_mut(slot)?.as_mut() }
}

/// Copies from `offset` of the packet on to [`START`] what fits of the `rest`; says how much, 0 when it cannot.
#[inline(always)]
pub fn load(skb: *mut __sk_buff, offset: u32, rest: u32, scratch: &mut Scratch) -> u32 {
    let length = if rest < WINDOW as u32 { rest } else { WINDOW as u32 };
    // Keeps the bounds 1 and WINDOW visible to the verifier.
    let length = (length.wrapping_sub(1) & (WINDOW as u32 - 1)) + 1;
    // SAFETY: the window has CARRY + WINDOW bytes and more.
    let rc = unsafe {
        let to = scratch.window.0.as_mut_ptr().add(CARRY / 8);
        bpf_skb_load_bytes(skb.cast(), offset, to.cast(), length)
    };
    if rc == 0 { length } else { 0 }
}

/// So many bytes from `offset` of the packet on.
#[inline(always)]
pub fn bytes<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: N bytes into N bytes, which are filled when there is no error.
    unsafe {
        let rc = bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32);
        if rc == 0 { Some(bytes.assume_init()) } else { None }
    }
}

/// The first bytes from `offset` on, of which `length` are there.
#[inline(always)]
pub fn opening(skb: *mut __sk_buff, offset: u32, length: u32) -> Option<[u8; OPENING]> {
    let mut bytes = [0u32; OPENING / 4];
    // Keeps the bounds 1 and 12 visible to the verifier.
    let length = (length.wrapping_sub(1) & 15) + 1;
    if length > OPENING as u32 {
        return None;
    }
    // SAFETY: at most twelve bytes into twelve.
    let rc = unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), length) };
    if rc != 0 {
        return None;
    }
    // SAFETY: as many bytes of a type that any bytes are.
    Some(unsafe { mem::transmute::<[u32; OPENING / 4], [u8; OPENING]>(bytes) })
}

/// [`end_of_head`](http1::end_of_head) of what begins at [`START`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_end_of_head(slot: u32, to: u32) -> u32 {
    match at(slot) {
        Some(scratch) => http1::end_of_head(&scratch.window, to),
        None => 0,
    }
}

/// Goes on reading the header in `head`; says where it ends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_read_head(slot: u32, from: u32, to: u32) -> u32 {
    let Some(scratch) = at(slot) else { return 0 };
    let mut head = scratch.head;
    http1::read_head(&mut Apart { slot, to, scratch }, from, &mut head);
    if let Some(scratch) = at(slot) {
        scratch.head = head;
    }
    head.end
}

/// Reads lines by functions of their own.
struct Apart<'a> {
    slot: u32,
    to: u32,
    scratch: &'a mut Scratch,
}

impl Lines for Apart<'_> {
    #[inline(always)]
    fn line_feed(&mut self, line: u32) -> u32 {
        edge_line_feed(self.slot, line, self.to)
    }

    #[inline(always)]
    fn read_field(&mut self, line: u32, end: u32, head: &mut Head) {
        self.scratch.head = *head;
        edge_read_field(self.slot, line, end);
        *head = self.scratch.head;
    }

    #[inline(always)]
    fn byte(&self, index: u32) -> u8 {
        self.scratch.window.byte(index)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_line_feed(slot: u32, line: u32, to: u32) -> u32 {
    match at(slot) {
        Some(scratch) => http1::line_feed(&scratch.window, line, to),
        None => 0,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_read_field(slot: u32, line: u32, end: u32) -> u32 {
    let Some(scratch) = at(slot) else { return 0 };
    http1::read_field(&scratch.window, line, end, &mut scratch.head);
    1
}

/// Takes what stands between two chunks; says how many bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_read_chunks(slot: u32, to: u32) -> u32 {
    let Some(scratch) = at(slot) else { return 0 };
    scratch.chunks.read::<BETWEEN>(&scratch.window, START, to)
}
