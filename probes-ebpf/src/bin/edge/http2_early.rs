//! Segments of an HTTP/2 connection that came before what they follow.
//!
//! Ingress is seen in the order in which segments come: one that was lost comes after those behind it, and on
//! two CPUs one overtakes another. Where frames begin in such a segment is known only once all before it has
//! come, so its bytes are kept until then. Only who has entered the connection (`http2_entry`) touches them.
//!
//! What goes through the slots is global and takes numbers, so that the verifier reads it once.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skb_load_bytes};
use probes_ebpf::http2_wire::{EARLY_BYTES, EARLY_OF_ONE, EARLY_SLOTS, Early, Http2, mode};

use crate::{
    count::{compare_swap, swap},
    http2::{Walk, unplace},
    http2_entry,
    http2_record::bounded,
    maps::HTTP2_EARLY,
    segment::Segment,
};

const BYTES: usize = EARLY_BYTES as usize;
/// Segments of up to half a slot are put together in one, while less than half of it is taken.
const HALF: u32 = EARLY_BYTES / 2;

/// What [`edge_early_place`] answers beside a slot, and where in it.
const NO_ROOM: u64 = u64::MAX;
const CAME_BEFORE: u64 = u64::MAX - 1;
/// What [`edge_early_next`] answers beside a slot.
const NOTHING: u32 = u32::MAX;
const NOT_YET: u32 = u32::MAX - 1;

/// Keeps a segment. `false`: there is no room for it.
#[inline(never)]
pub fn keep(http2: &mut Http2, segment: &Segment) -> bool {
    let payload = segment.payload;
    if payload > EARLY_BYTES {
        return false;
    }
    let may_take = u32::from(http2.early < EARLY_OF_ONE);
    let place = edge_early_place(http2.cookie, segment.seq, payload, may_take);
    if place == CAME_BEFORE || place == NO_ROOM {
        return place == CAME_BEFORE;
    }
    let (from, offset) = ((place >> 32) as u32, segment.offset);
    http2.early += u8::from(from == 0);
    let Some(early) = HTTP2_EARLY.get_ptr_mut(place as u32) else {
        return false;
    };
    // SAFETY: a live map value: all of it, or one half behind a place in the other.
    let rc = unsafe {
        let bytes = (&raw mut (*early).bytes).cast::<u8>();
        if from == 0 {
            let length = bounded::<BYTES>(payload);
            bpf_skb_load_bytes(segment.skb.cast(), offset, bytes.cast(), length)
        } else {
            let length = bounded::<{ BYTES / 2 }>(payload);
            let to = bytes.add(bounded::<{ BYTES / 2 }>(from) as usize);
            bpf_skb_load_bytes(segment.skb.cast(), offset, to.cast(), length)
        }
    };
    rc == 0
}

/// Makes room for bytes: the slot, and from bit 32 on where in it. No connection has all of the slots: one
/// whose client leaves holes on purpose is lost by itself, and others go on.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn edge_early_place(owner: u64, seq: u32, length: u32, may_take: u32) -> u64 {
    for slot in 0..EARLY_SLOTS {
        let Some(early) = of(slot, owner) else {
            continue;
        };
        let behind = seq.wrapping_sub(early.seq);
        if behind <= early.length && behind.wrapping_add(length) <= early.length {
            return CAME_BEFORE;
        }
        if behind == early.length && behind < HALF && length <= HALF {
            early.length += length;
            return u64::from(slot) | u64::from(behind) << 32;
        }
    }
    if may_take == 0 {
        return NO_ROOM;
    }
    for slot in 0..EARLY_SLOTS {
        if let Some(early) = take(slot, owner) {
            early.seq = seq;
            early.length = length;
            return u64::from(slot);
        }
    }
    NO_ROOM
}

/// The slot that goes on at `next`. Those that end before are let go; from bit 32 on how many those were.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn edge_early_next(owner: u64, next: u32) -> u64 {
    let mut rest = NOTHING;
    let mut gone = 0u64;
    for slot in 0..EARLY_SLOTS {
        let Some(early) = of(slot, owner) else {
            continue;
        };
        let ahead = early.seq.wrapping_sub(next) as i32;
        if ahead > 0 {
            rest = NOT_YET;
        } else if ahead.unsigned_abs() < early.length {
            rest = slot;
            break;
        } else {
            swap(&raw mut early.owner, 0);
            gone += 1 << 32;
        }
    }
    gone | u64::from(rest)
}

/// Lets go all that is kept of a connection; how many slots that were.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn edge_early_forget(owner: u64) -> u32 {
    let mut count = 0;
    for slot in 0..EARLY_SLOTS {
        if let Some(early) = of(slot, owner) {
            swap(&raw mut early.owner, 0);
            count += 1;
        }
    }
    count
}

/// Whether the walk goes on in what was kept, from where it stands.
#[inline(always)]
pub fn resume(walk: &mut Walk) -> bool {
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *walk.http2 };
    if walk.is_ingress == 0 || http2.early == 0 {
        return false;
    }
    let direction = walk.direction();
    let found = edge_early_next(http2.cookie, direction.next);
    let slot = found as u32;
    http2.source = 0;
    http2.early = if slot == NOTHING {
        0
    } else {
        http2.early.wrapping_sub((found >> 32) as u8)
    };
    // Neither answer is a slot.
    let Some(early) = HTTP2_EARLY.get_ptr(slot) else {
        return false;
    };
    // SAFETY: a live map value.
    let (seq, length) = unsafe { ((*early).seq, (*early).length) };
    let seen = direction.next.wrapping_sub(seq);
    direction.offset = seen;
    direction.available = length.wrapping_sub(seen);
    direction.next = seq.wrapping_add(length);
    http2.source = slot as u8 + 1;
    true
}

/// Whether what is walked along was let go meanwhile, as the connection was lost: the walk ends here.
#[inline(always)]
pub fn is_gone(walk: &mut Walk) -> bool {
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *walk.http2 };
    let is_gone = http2.source != 0 && http2.mode != mode::TRACKED;
    if is_gone {
        http2.source = 0;
        walk.direction().available = 0;
        unplace(walk);
    }
    is_gone
}

/// Reads the next bytes of what is walked along: of the segment, or of one that was kept.
#[inline(always)]
pub fn read(walk: &mut Walk, to: *mut c_void, length: u32) {
    let skb = walk.skb;
    let offset = walk.direction().offset;
    // SAFETY: a live map value.
    let source = unsafe { (*walk.http2).source };
    // SAFETY: the caller has room for as many bytes, and as many are there.
    unsafe {
        if source == 0 {
            bpf_skb_load_bytes(skb.cast(), offset, to, length);
        } else if let Some(early) = HTTP2_EARLY.get_ptr(u32::from(source) - 1) {
            let bytes = (&raw const (*early).bytes).cast::<u8>();
            bpf_probe_read_kernel(to, length, bytes.add(offset as usize % BYTES).cast());
        }
    }
}

/// Nothing that was kept is needed any more.
#[inline(always)]
pub fn forget(http2: &mut Http2) {
    if http2.early != 0 {
        http2.early = 0;
        edge_early_forget(http2.cookie);
    }
}

/// What a connection that has ended had kept is let go, by whoever of its last two comes later.
#[inline(always)]
pub fn forget_ended(http2: *mut Http2) {
    // SAFETY: a live map value.
    let ended = unsafe { &mut *http2 };
    if ended.mode == mode::ENDED && ended.early != 0 && http2_entry::enter_free(http2) {
        forget(ended);
        http2_entry::leave(http2);
    }
}

#[inline(always)]
fn of(slot: u32, owner: u64) -> Option<&'static mut Early> {
    // SAFETY: a live map value, of which its owner is the only user.
    let early = unsafe { &mut *HTTP2_EARLY.get_ptr_mut(slot)? };
    (early.owner == owner).then_some(early)
}

/// A slot that was free.
#[inline(always)]
fn take(slot: u32, owner: u64) -> Option<&'static mut Early> {
    // SAFETY: as above.
    let early = unsafe { &mut *HTTP2_EARLY.get_ptr_mut(slot)? };
    (compare_swap(&raw mut early.owner, 0, owner) == 0).then_some(early)
}
