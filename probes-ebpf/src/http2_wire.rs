//! What the walk along HTTP/2 connections keeps in the kernel, and tells user space.
//!
//! Paths, codes and grpc-status are compressed against a table that every header block changes, so
//! user space reads all of them, in the order of the ring buffer. One [`Record`] is a piece of a
//! frame, or says what became of the connection.

use crate::{http2::Direction, wire::Endpoint};

/// Indexes of [`Http2::directions`].
pub const ASKS: usize = 0;
pub const ANSWERS: usize = 1;

/// One socket that speaks HTTP/2. An ABI as [`crate::wire::Connection`] is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Http2 {
    pub directions: [Direction; 2],
    pub cookie: u64,
    /// The highest stream a request began on.
    pub last_stream: u32,
    /// [`mode`].
    pub mode: u8,
    /// User space has not been told yet that this connection was lost.
    pub owes_notice: u8,
    /// A request has sent DATA that did not end it: `UPLOADS` may know of its last byte.
    pub uploads: u8,
    pub pad: u8,
    /// A segment that came in is being followed.
    pub busy: u64,
    /// In how many slots there is what came before what it follows, see [`Early`].
    pub early: u8,
    /// The slot that is walked along now, with 1 added; 0: the segment at hand.
    pub source: u8,
    pub spare: [u8; 22],
}

/// Bytes that came before what they follow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Early {
    /// The cookie of the connection they belong to; 0: free.
    pub owner: u64,
    pub seq: u32,
    pub length: u32,
    pub bytes: [u8; EARLY_BYTES as usize],
}

/// As long as a segment can be.
pub const EARLY_BYTES: u32 = 64 << 10;
/// Of all connections together.
pub const EARLY_SLOTS: u32 = 64;
/// A quarter of them is the most that one connection holds, see [`place`](crate::http2::early::place).
pub const EARLY_OF_ONE: u8 = 16;

pub mod mode {
    /// Every header block since the preface was told.
    pub const TRACKED: u8 = 1;
    /// Some were not: requests are counted as `UNKNOWN` by the kernel.
    pub const LOST: u8 = 2;
    /// Nothing more will be told.
    pub const ENDED: u8 = 3;
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub cookie: u64,
    /// Monotonic time at which the segment passed.
    pub at_ns: u64,
    /// With a response's HEADERS: the last byte of its request so far, if DATA that did not end it
    /// brought it; else 0.
    pub upload_ns: u64,
    pub endpoint: Endpoint,
    pub settings: u32,
    pub stream: u32,
    /// Numbers the records of one direction of a connection, from 0.
    pub number: u32,
    pub pad: u32,
    /// How many bytes of the payload follow.
    pub length: u16,
    /// Of [`event::CLOSED`]: how requests in flight ended. Of [`event::UPGRADED`]: the route.
    pub outcome: u16,
    /// A frame's kind (`http2::kind`), or one of [`event`].
    pub kind: u8,
    pub flags: u8,
    /// [`ASKS`] or [`ANSWERS`].
    pub direction: u8,
    /// [`part`].
    pub part: u8,
}

pub mod event {
    /// The connection has ended.
    pub const CLOSED: u8 = 0xf0;
    /// TCP brings a part of this direction too late. What follows is the kernel's
    /// [`Direction`](crate::http2::Direction), which has come up to its `next`.
    pub const HOLE: u8 = 0xf2;
    /// Bytes of a direction with a hole, as they came; `stream` is their sequence number.
    pub const RAW: u8 = 0xf3;
    /// All has come up to the sequence number `stream`, where the kernel takes a frame to begin and
    /// follows again.
    pub const WHOLE: u8 = 0xf4;
    /// The request of `stream` was asked in HTTP/1: it was whole at `at_ns`, and had begun at `upload_ns`.
    pub const UPGRADED: u8 = 0xf5;
    /// The kernel could not follow or tell: what is in flight ends as `UNKNOWN`, what comes is
    /// counted by the kernel.
    pub const LOST: u8 = 0xf1;
}

pub mod part {
    pub const FIRST: u8 = 1;
    pub const LAST: u8 = 2;
    /// With it a request begins: its stream is higher than any before.
    pub const BEGINS: u8 = 4;
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub cookie: u64,
    pub stream: u32,
    pub pad: u32,
}

/// Bytes of one direction that are told as they came. One that is in no order for longer is lost.
pub const RAW_MOST: u32 = 1 << 20;
/// Of those, what may wait for others that came later.
pub const HELD_MOST: usize = 256 << 10;

/// What a segment held that reached a listener, before its connection was born: a record that is told then.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub record: Record,
    pub bytes: [u8; OPENING_MOST as usize],
}

/// More than a client sends before it has heard of the server.
pub const OPENING_MOST: u32 = 16 << 10;

/// Bytes of the ring buffer: two seconds of 20,000 requests a second.
pub const RING_BYTES: u32 = 16 << 20;

const _: () = {
    assert!(EARLY_OF_ONE as u32 * 4 == EARLY_SLOTS);
    assert!(size_of::<Http2>() == 128);
    assert!(size_of::<Record>() == 72);
};
