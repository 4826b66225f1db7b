//! What a connection needs in addition whose requests or answers come in pieces, or more than one at a time.

use crate::http1::{CARRY, Chunks, Head};

/// Requests that may wait behind the one that is answered next.
pub const QUEUE: usize = 64;

/// What only those connections need whose messages come in pieces, or on each other's heels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    /// Requests that were ever put into the queue; written by the side that asks alone.
    pub pushed: u64,
    /// Requests that were ever taken out of it.
    pub taken: u64,
    /// When the first bytes came of a request whose method is not complete yet.
    pub began_ns: u64,
    /// The header of a request, and of an answer, that goes on.
    pub asked: Piece,
    pub answered: Piece,
    /// The body of an answer: what is still to come of it.
    pub remaining: u64,
    pub chunks: Chunks,
    /// The sequence number of the answers' next byte.
    pub next: u32,
    /// Of the answer whose header goes on.
    pub status: u16,
    /// [`answering`].
    pub answering: u8,
    /// [`request`](super::request), of the request that is being answered.
    pub request: u8,
    pub ending: Ending,
    pub queue: [Queued; QUEUE],
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            pushed: 0,
            taken: 0,
            began_ns: 0,
            asked: Piece::default(),
            answered: Piece::default(),
            remaining: 0,
            chunks: Chunks::default(),
            next: 0,
            status: 0,
            answering: answering::LOST,
            request: 0,
            ending: Ending::default(),
            queue: [Queued::default(); QUEUE],
        }
    }
}

/// An answer that has begun, of a service that [`asks`](super::asks) for its last byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// As [`Connection::flight`](super::Connection::flight): 0 when no answer is on its way.
    pub flight: u64,
    /// Of the request.
    pub started_ns: u64,
    pub settings: u32,
    pub route: u16,
    pub status: u16,
}

/// The unfinished line at the end of a piece of a header, and what the lines before it said.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece {
    pub head: Head,
    /// Its first bytes, at the end.
    pub line: [u64; CARRY / 8],
    /// How many they are.
    pub length: u32,
    /// With requests: those that found no room in the queue, or as many as nobody knows. With answers: so many of
    /// theirs have passed. Each is written by its side alone.
    pub unplaced: u32,
}

/// A request that waits for the one before it to be answered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Queued {
    pub started_ns: u64,
    pub last_byte_ns: u64,
    pub settings: u32,
    pub route: u16,
    /// [`request`](super::request).
    pub request: u8,
    pub pad: u8,
}

/// What the next byte of an answer belongs to.
pub mod answering {
    /// Not known: wait for a segment that begins with a status line.
    pub const LOST: u8 = 0;
    pub const STATUS_LINE: u8 = 1;
    pub const HEADER: u8 = 2;
    pub const BODY: u8 = 3;
    pub const CHUNKS: u8 = 4;
    /// Until the connection ends.
    pub const REST: u8 = 5;
}
