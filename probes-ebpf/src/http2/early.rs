//! Segments of an HTTP/2 connection that came before what they follow.
//!
//! Ingress is seen in the order in which segments come: one that was lost comes after those behind it, and on
//! two CPUs one overtakes another. Where frames begin in such a segment is known only once all before it has
//! come, so its bytes are kept until then, in slots that all connections share.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a checked conversion costs the kernel a branch"
)]

use super::walk::{Edge, Span, direction, unplace};
use crate::{
    conversation::Exchange,
    http2_wire::{EARLY_BYTES, EARLY_OF_ONE, EARLY_SLOTS, Early, mode},
};

/// Segments of up to half a slot are put together in one, while less than half of it is taken.
pub const HALF: u32 = EARLY_BYTES / 2;

/// What [`place`] answers beside a slot, and where in it.
const NO_ROOM: u64 = u64::MAX;
const CAME_BEFORE: u64 = u64::MAX - 1;
/// What [`next`] answers beside a slot.
const NOTHING: u32 = u32::MAX;
const NOT_YET: u32 = u32::MAX - 1;

/// The slots of all connections. Of those that a connection owns, who follows it is the only user.
pub trait Slots: Exchange {
    fn slot(&mut self, slot: u32) -> Option<&mut Early>;
}

/// Makes room for bytes of a connection that `has` so many slots: the slot, and from bit 32 on where in it. Who
/// leaves holes on purpose is lost by itself, and others go on.
#[inline(always)]
pub fn place<S: Slots>(slots: &mut S, owner: u64, seq: u32, length: u32, has: u8) -> u64 {
    for slot in 0..EARLY_SLOTS {
        let Some(early) = of(slots, slot, owner) else {
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
    let within = within(has);
    for slot in 0..EARLY_SLOTS {
        if slot >= within {
            break;
        }
        if let Some(early) = slots.slot(slot)
            && S::compare_swap(&mut early.owner, 0, owner) == 0
        {
            early.seq = seq;
            early.length = length;
            return u64::from(slot);
        }
    }
    NO_ROOM
}

/// In how many slots, from the first on, a connection looks for a free one. Fewer the more it has: where those are
/// taken it has a third of what is free, and the rest remains for who has less.
#[inline(always)]
fn within(has: u8) -> u32 {
    if has < EARLY_OF_ONE {
        EARLY_SLOTS - 3 * u32::from(has)
    } else {
        0
    }
}

/// The slot that goes on at `next`. Those that end before are let go; from bit 32 on how many those were.
#[inline(always)]
pub fn next<S: Slots>(slots: &mut S, owner: u64, next: u32) -> u64 {
    let mut rest = NOTHING;
    let mut gone = 0u64;
    for slot in 0..EARLY_SLOTS {
        let Some(early) = of(slots, slot, owner) else {
            continue;
        };
        let ahead = early.seq.wrapping_sub(next) as i32;
        if ahead > 0 {
            rest = NOT_YET;
        } else if ahead.unsigned_abs() < early.length {
            rest = slot;
            break;
        } else {
            S::swap(&mut early.owner, 0);
            gone += 1 << 32;
        }
    }
    gone | u64::from(rest)
}

/// Lets go all that is kept of a connection; how many slots that were.
#[inline(always)]
pub fn forget<S: Slots>(slots: &mut S, owner: u64) -> u32 {
    let mut count = 0;
    for slot in 0..EARLY_SLOTS {
        if let Some(early) = of(slots, slot, owner) {
            S::swap(&mut early.owner, 0);
            count += 1;
        }
    }
    count
}

#[inline(always)]
fn of<S: Slots>(slots: &mut S, slot: u32, owner: u64) -> Option<&mut Early> {
    slots.slot(slot).filter(|early| early.owner == owner)
}

/// Keeps a segment. `false`: there is no room for it.
#[inline(never)]
pub fn keep(edge: &mut impl Edge, span: &Span) -> bool {
    if span.payload > EARLY_BYTES {
        return false;
    }
    let http2 = edge.http2();
    let (owner, has) = (http2.cookie, http2.early);
    let place = edge.early_place(owner, span.seq, span.payload, has);
    if place == CAME_BEFORE || place == NO_ROOM {
        return place == CAME_BEFORE;
    }
    let from = (place >> 32) as u32;
    edge.http2().early += u8::from(from == 0);
    edge.early_fill(place as u32, from, span)
}

/// Whether the walk goes on in what was kept, from where it stands.
#[inline(always)]
pub fn resume(edge: &mut impl Edge) -> bool {
    if !edge.is_ingress() || edge.http2().early == 0 {
        return false;
    }
    let owner = edge.http2().cookie;
    let next = direction(edge).next;
    let found = edge.early_next(owner, next);
    let slot = found as u32;
    let http2 = edge.http2();
    http2.source = 0;
    http2.early = if slot == NOTHING {
        0
    } else {
        http2.early.wrapping_sub((found >> 32) as u8)
    };
    // Neither answer is a slot.
    let Some((seq, length)) = edge.early_extent(slot) else {
        return false;
    };
    let at = direction(edge);
    let seen = at.next.wrapping_sub(seq);
    at.offset = seen;
    at.available = length.wrapping_sub(seen);
    at.next = seq.wrapping_add(length);
    edge.http2().source = slot as u8 + 1;
    true
}

/// Whether what is walked along was let go meanwhile, as the connection was lost: the walk ends here.
#[inline(always)]
pub fn is_gone(edge: &mut impl Edge) -> bool {
    let http2 = edge.http2();
    let is_gone = http2.source != 0 && http2.mode != mode::TRACKED;
    if is_gone {
        http2.source = 0;
        direction(edge).available = 0;
        unplace(edge);
    }
    is_gone
}

/// Nothing that was kept is needed any more.
#[inline(always)]
pub fn forget_all(edge: &mut impl Edge) {
    if edge.http2().early != 0 {
        edge.http2().early = 0;
        let owner = edge.http2().cookie;
        edge.early_forget(owner);
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    struct Room(Vec<Early>);

    impl Slots for Room {
        fn slot(&mut self, slot: u32) -> Option<&mut Early> {
            self.0.get_mut(slot as usize)
        }
    }

    impl Exchange for Room {
        fn swap(cell: &mut u64, new: u64) -> u64 {
            mem::replace(cell, new)
        }

        fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64 {
            let held = *cell;
            if held == old {
                *cell = new;
            }
            held
        }
    }

    /// Keeps whole slots for `owner`, with holes between them, for as long as it can; how many.
    fn take_all(room: &mut Room, owner: u64) -> u8 {
        let mut has = 0;
        while place(room, owner, u32::from(has) * 3 * EARLY_BYTES, EARLY_BYTES, has) != NO_ROOM {
            has += 1;
        }
        has
    }

    #[test]
    fn connections_that_take_all_they_can_leave_room_for_others() {
        let free = Early {
            owner: 0,
            seq: 0,
            length: 0,
            bytes: [0; EARLY_BYTES as usize],
        };
        let mut room = Room(vec![free; EARLY_SLOTS as usize]);
        let taken: Vec<u8> = (1..=8).map(|owner| take_all(&mut room, owner)).collect();
        assert_eq!(taken, [16, 12, 9, 7, 5, 4, 3, 2]);
        // Who leaves makes room for who stays.
        forget(&mut room, 1);
        assert_eq!(take_all(&mut room, 9), 16);
    }
}
