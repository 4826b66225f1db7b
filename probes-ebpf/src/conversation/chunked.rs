//! The body of a request, in chunks. How far it has come is kept in `request_end`, which means nothing else until
//! the body has ended.
//!
//! Where a piece is missing, or there are more chunks to a segment than are read, its end is looked for at the
//! ends of segments alone: a trailer is not seen then, nor what stands behind the end.

use super::{Edge, Pipelines, START, Scratch, complete, is_busy, touch};
use crate::{
    http1::{Chunks, Method, method, phase},
    wire::{Connection, asking},
};

/// Not a [`phase`], which are kept as one more than they are: `remaining` is how much of [`LAST_CHUNK`] stands at the
/// end of what has come, which may be cut in two. All that earlier builds of this version of the record know.
const UNFOLLOWED: u64 = 0;
const PHASE_SHIFT: u32 = 56;
const COUNT_SHIFT: u32 = 59;
/// Sizes are below 2^56, their digits and phases below these.
const REMAINING: u64 = (1 << PHASE_SHIFT) - 1;

/// What ends a body in chunks that has no trailer.
const LAST_CHUNK: &[u8; LAST_LENGTH as usize] = b"0\r\n\r\n";
const LAST_LENGTH: u32 = 5;
/// Bytes that show that a request begins.
const METHOD: u32 = 8;

#[inline(always)]
fn is_followed(connection: &Connection) -> bool {
    connection.request_end >> PHASE_SHIFT & 7 != UNFOLLOWED
}

#[inline(always)]
fn kept(connection: &Connection) -> Chunks {
    let word = connection.request_end;
    Chunks {
        remaining: word & REMAINING,
        phase: ((word >> PHASE_SHIFT) as u32 & 7).wrapping_sub(1),
        count: (word >> COUNT_SHIFT) as u32,
    }
}

#[inline(always)]
fn keep(connection: &mut Connection, chunks: &Chunks) {
    connection.request_end = (chunks.remaining & REMAINING)
        | u64::from(chunks.phase + 1) << PHASE_SHIFT
        | u64::from(chunks.count) << COUNT_SHIFT;
}

#[inline(always)]
pub fn begins(connection: &mut Connection) {
    keep(connection, &Chunks::default());
}

/// From here on its end is looked for where segments end.
#[inline(always)]
pub fn unfollow(connection: &mut Connection) {
    connection.request_end = UNFOLLOWED << PHASE_SHIFT;
}

/// What stands before `start` has not come yet.
#[inline(always)]
pub fn jumps(connection: &mut Connection, start: u64) {
    let mut chunks = kept(connection);
    let missing = start - connection.asked;
    if chunks.phase == phase::DATA && missing <= chunks.remaining {
        chunks.skip(missing);
        keep(connection, &chunks);
    } else {
        unfollow(connection);
    }
}

/// Takes the next part of the body; says whether there may be another of the segment.
#[inline(always)]
pub fn goes_on(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    offset: &mut u32,
    scratch: &mut Scratch,
) -> bool {
    let payload = scratch.visit.payload;
    let mut chunks = kept(connection);
    if !is_followed(connection) {
        if is_next(edge, connection, payload, *offset) {
            return true;
        }
        look_for_end(edge, pipelines, connection, payload, *offset);
        return false;
    }
    touch(pipelines, connection, edge.now());
    if chunks.phase == phase::DATA {
        *offset += chunks.skip(u64::from(payload.wrapping_sub(*offset))) as u32;
        keep(connection, &chunks);
        return true;
    }
    let length = edge.load(scratch, *offset);
    if length == 0 {
        unfollow(connection);
        return false;
    }
    scratch.chunks = chunks;
    let read = edge.read_chunks(scratch, START + length);
    chunks = scratch.chunks;
    if chunks.phase == phase::BROKEN {
        unfollow(connection);
        look_for_end(edge, pipelines, connection, payload, *offset);
        return false;
    }
    *offset += read;
    if chunks.phase == phase::DONE {
        ends(pipelines, connection, scratch.visit.start + u64::from(*offset));
    } else {
        keep(connection, &chunks);
    }
    true
}

#[inline(always)]
fn ends(pipelines: &mut impl Pipelines, connection: &mut Connection, end: u64) {
    connection.asking = (connection.asking & asking::PIPELINE) | asking::END_KNOWN;
    connection.request_end = end;
    complete(pipelines, connection);
}

/// Whether the body is over after all: it was answered, and a request stands here.
#[inline(always)]
fn is_next(edge: &mut impl Edge, connection: &mut Connection, payload: u32, offset: u32) -> bool {
    if is_busy(connection) || payload.wrapping_sub(offset) <= METHOD {
        return false;
    }
    let word = edge.bytes::<{ METHOD as usize }>(offset);
    let is_next = word.is_some_and(|word| method(u64::from_be_bytes(word)) != Method::None);
    if is_next {
        connection.asking &= asking::PIPELINE;
    }
    is_next
}

/// Looks whether the body ends with the segment, of which all that stands before `offset` was looked at.
#[inline(always)]
pub fn look_for_end(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    payload: u32,
    offset: u32,
) {
    touch(pipelines, connection, edge.now());
    let rest = payload.wrapping_sub(offset);
    let mut matched = 0;
    if rest >= LAST_LENGTH {
        let tail = edge.bytes::<{ LAST_LENGTH as usize }>(payload - LAST_LENGTH);
        for byte in tail.unwrap_or_default() {
            matched = matches(matched, byte);
        }
    } else {
        matched = connection.request_end & REMAINING;
        let mut at = 0;
        while at < LAST_LENGTH - 1 {
            if at < rest
                && let Some([byte]) = edge.bytes::<1>(offset + at)
            {
                matched = matches(matched, byte);
            }
            at += 1;
        }
    }
    if matched == u64::from(LAST_LENGTH) {
        let end = connection.asked;
        ends(pipelines, connection, end);
    } else {
        connection.request_end = matched | UNFOLLOWED << PHASE_SHIFT;
    }
}

/// How much of [`LAST_CHUNK`] stands at the end with this byte, if so much did before it.
#[inline(always)]
fn matches(matched: u64, byte: u8) -> u64 {
    let mut expected = [0; 8];
    expected[..LAST_LENGTH as usize].copy_from_slice(LAST_CHUNK);
    let expected = u64::from_le_bytes(expected) >> (8 * (matched & 7));
    if byte == expected as u8 {
        matched + 1
    } else {
        u64::from(byte == LAST_CHUNK[0])
    }
}
