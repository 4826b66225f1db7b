//! Where bytes of segments are laid out to be read, and the functions that read them.
//!
//! Each reading function is a global one, so that the verifier looks at its loop once and takes
//! everything it returns for possible, wherever it is called from.

use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::map, maps::PerCpuArray};
use probes_ebpf::{
    http1::{self, CARRY, Chunks, Head, Lines, WINDOW, Window},
    wire::{Piece, loss},
};

use crate::{
    count::{compare_swap, lose},
    segment::Segment,
};

#[repr(C)]
pub struct Scratch {
    /// Whether a program is reading here.
    is_taken: u64,
    pub window: Window,
    pub head: Head,
    pub chunks: Chunks,
    pub visit: Visit,
}

/// A segment that is being taken apart, as the functions that take the next part find it again.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Visit {
    /// Where the segment stands in the count of `asked`.
    pub start: u64,
    pub remote: [u32; 4],
    pub offset: u32,
    pub payload: u32,
    pub seq: u32,
    /// How far it has been taken apart.
    pub done: u32,
    pub rtt: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub is_ingress: u32,
    pub is_lost: u32,
}

/// A program may be interrupted by another on its CPU, and that one again.
const SLOTS: u32 = 4;

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SLOTS, 0);

pub const START: u32 = CARRY as u32;

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

#[inline(always)]
pub fn at(slot: u32) -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's element, which the caller has claimed.
    unsafe { SCRATCH.get_ptr_mut(slot)?.as_mut() }
}

impl Visit {
    pub fn of(segment: &Segment, start: u64, done: u32, rtt: u32) -> Self {
        Self {
            start,
            remote: segment.remote,
            offset: segment.offset,
            payload: segment.payload,
            seq: segment.seq,
            done,
            rtt,
            local_port: segment.local_port,
            remote_port: segment.remote_port,
            is_ingress: u32::from(segment.ingress),
            is_lost: 0,
        }
    }

    /// The segment again.
    #[inline(always)]
    pub fn segment(&self, skb: *mut __sk_buff, sk: *mut c_void) -> Segment {
        Segment {
            skb,
            sk,
            ingress: self.is_ingress != 0,
            offset: self.offset,
            payload: self.payload,
            seq: self.seq,
            ack: 0,
            flags: 0,
            local_port: self.local_port,
            remote_port: self.remote_port,
            remote: self.remote,
        }
    }
}

/// Copies what fits of the payload from `offset` on to [`START`]; says how much, 0 when it cannot.
#[inline(always)]
pub fn load(segment: &Segment, offset: u32, scratch: &mut Scratch) -> u32 {
    let rest = segment.payload.wrapping_sub(offset);
    let length = if rest < WINDOW as u32 { rest } else { WINDOW as u32 };
    // Keeps the bounds 1 and WINDOW visible to the verifier.
    let length = (length.wrapping_sub(1) & (WINDOW as u32 - 1)) + 1;
    // SAFETY: the window has CARRY + WINDOW bytes and more.
    let rc = unsafe {
        let to = scratch.window.0.as_mut_ptr().add(CARRY / 8);
        bpf_skb_load_bytes(segment.skb.cast(), segment.offset + offset, to.cast(), length)
    };
    if rc == 0 { length } else { 0 }
}

/// Puts what an earlier segment left in front of this one's bytes; says where it begins.
#[inline(always)]
pub fn carry(scratch: &mut Scratch, piece: &Piece) -> u32 {
    let mut index = 0;
    while index < CARRY / 8 {
        scratch.window.0[index] = piece.line[index];
        index += 1;
    }
    scratch.head = piece.head;
    START - (piece.length as u32 & (START - 1))
}

/// Keeps the line that the bytes up to `to` leave unfinished, or its first bytes.
#[inline(always)]
pub fn keep(scratch: &Scratch, to: u32, piece: &mut Piece) {
    let line = scratch.head.line;
    let length = to.wrapping_sub(line);
    // One byte less than there is room for: a length of 64 would read as 0.
    let (base, length) = if length < START {
        (to - START, length)
    } else {
        (line.wrapping_sub(1), START - 1)
    };
    let mut index = 0;
    while index < CARRY / 8 {
        piece.line[index] = scratch.window.word(base + index as u32 * 8).to_be();
        index += 1;
    }
    piece.length = u64::from(length);
    piece.head = scratch.head;
}

/// Where the header ends that begins at [`START`]; 0 when it does not.
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

/// Bytes that may stand between two chunks and are taken in one go.
const BETWEEN: u32 = 64;

/// Takes what stands between two chunks; says how many bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_read_chunks(slot: u32, to: u32) -> u32 {
    let Some(scratch) = at(slot) else { return 0 };
    scratch.chunks.read::<BETWEEN>(&scratch.window, START, to)
}
