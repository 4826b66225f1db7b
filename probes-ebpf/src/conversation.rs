//! A connection of HTTP/1, followed segment by segment: requests that come in pieces or several at a time, and
//! their answers.
//!
//! In: a segment, and the records of its connection. Out: the records as they are after it. All else is asked of
//! [`Edge`] and [`Pipelines`], so that the same code runs in the kernel at a socket, and on the host over bytes
//! that a test chose.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::too_many_arguments,
    reason = "a checked conversion costs the kernel a branch, and a struct of arguments a place in its small stack"
)]

mod alone;
mod answers;
mod chunked;
mod queue;
mod requests;
mod slice;

pub use alone::{Standing, body_goes_on, is_of_a_size, position, standing, whole};
pub use answers::{
    ANSWER_PARTS, SWITCHING_PROTOCOLS, answer_part, answered, is_interim, lose_place, place_answers,
};
pub use chunked::unfollow;
pub use queue::{
    UNTOLD, begin, begin_or_wait, complete, has_unplaced, in_flight_now, is_busy, is_empty, is_in_flight,
    newest, push, take, touch,
};
pub use requests::{REQUEST_PARTS, leave_requests, of_method, place_requests, request_part};
pub use slice::Slice;

use core::mem;

use crate::{
    http1::{CARRY, Chunks, Head, Window},
    wire::{Connection, Ending, Piece, Pipeline},
};

/// Where the bytes of a segment begin in the window.
pub const START: u32 = CARRY as u32;
/// Bytes that may stand between two chunks and are taken in one go.
pub const BETWEEN: u32 = 64;

/// Where bytes of a segment are laid out to be read, and how far that has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scratch {
    /// Whether a program is reading here.
    pub is_taken: u64,
    pub window: Window,
    pub head: Head,
    pub chunks: Chunks,
    pub visit: Visit,
}

/// A segment that is being taken apart, as the functions that take the next part find it again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit {
    /// Where the segment stands in the count of `asked`.
    pub start: u64,
    pub remote: [u32; 4],
    pub offset: u32,
    pub payload: u32,
    pub seq: u32,
    /// How far it has been taken apart.
    pub done: u32,
    pub pad: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub is_ingress: u32,
    pub is_lost: u32,
}

// Tests compare it to the byte, so that padding would have to be a field.
const _: () = assert!(size_of::<Visit>() == mem::offset_of!(Visit, is_lost) + 4);

/// The bytes of one segment, and what reads them once they are laid out.
pub trait Bytes {
    /// Copies what fits of the payload from `offset` on to [`START`]; says how much, 0 when it cannot.
    fn load(&mut self, scratch: &mut Scratch, offset: u32) -> u32;
    /// So many bytes of the payload.
    fn bytes<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]>;
    /// Where the header ends that begins at [`START`], with [`BODY`](crate::http1::BODY) if there may be one; else 0.
    fn end_of_head(&mut self, scratch: &mut Scratch, to: u32) -> u32;
    /// Goes on reading the header in `head`; says where it ends.
    fn read_head(&mut self, scratch: &mut Scratch, from: u32, to: u32) -> u32;
    /// Takes what stands between two chunks; says how many bytes.
    fn read_chunks(&mut self, scratch: &mut Scratch, to: u32) -> u32;
}

/// Words that two processors may write at once.
pub trait Exchange {
    /// Puts `new` into `cell` and returns what was there.
    fn swap(cell: &mut u64, new: u64) -> u64;
    /// Puts `new` into `cell` if it holds `old`; returns what it held.
    fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64;
    /// Sets one of [`flag`](crate::wire::flag).
    #[inline(always)]
    fn raise(connection: &mut Connection, flag: u8) {
        connection.flags |= flag;
    }
    /// Takes one of them back.
    #[inline(always)]
    fn lower(connection: &mut Connection, flag: u8) {
        connection.flags &= !flag;
    }
}

/// What is done for a conversation, and asked on its behalf.
pub trait Edge: Bytes + Exchange {
    fn now(&mut self) -> u64;
    /// The route of the request whose line begins at `from`.
    fn route(&mut self, scratch: &mut Scratch, from: u32, settings: u32) -> u16;
    /// Counts a request for the address it came from.
    fn charge(&mut self, connection: &mut Connection, now: u64);
    /// Something was lost of these settings.
    fn lose(&mut self, settings: u32, reason: u32);
    /// Ends the request in flight; what was in flight, if it was answered and counted, else 0.
    fn end(&mut self, connection: &mut Connection, status: u16) -> u64;
    /// An answer to a request that nobody saw.
    fn unasked(&mut self, connection: &Connection);
    /// The last byte of an answer has passed.
    fn over(&mut self, connection: &Connection, ending: &mut Ending);
    /// Ends every request: no more answers will be understood.
    fn abandon(&mut self, connection: &mut Connection, pipeline: &mut Pipeline);
}

/// Where a connection's pipeline is kept, if it has one.
pub trait Pipelines {
    fn find(&mut self) -> Option<&mut Pipeline>;
    /// Counts it as lost when there is no room.
    fn find_or_create(&mut self, connection: &mut Connection) -> Option<&mut Pipeline>;
}

/// Calls `part` until it says that there is no other; whether it did within so many calls.
#[inline(always)]
pub fn all_parts(most: u32, mut part: impl FnMut() -> bool) -> bool {
    let mut parts = 0;
    while parts < most && part() {
        parts += 1;
    }
    parts != most
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
    START - (piece.length & (START - 1))
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
    piece.length = length;
    piece.head = scratch.head;
}
