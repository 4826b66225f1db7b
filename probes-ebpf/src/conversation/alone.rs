//! A segment of requests, before any of it is read: where it stands; and a request that comes whole and alone, as
//! nearly all do.

use super::{Edge, Pipelines, START, Scratch, begin, complete, is_busy, of_method, touch};
use crate::{
    http1::{Method, WINDOW, method},
    wire::{Connection, asking, request},
};

/// No request is shorter.
pub const SHORTEST: u32 = 16;

/// Where a segment stands in the count of `asked`.
#[inline(always)]
#[must_use]
pub fn position(connection: &Connection, seq: u32) -> u64 {
    let ahead = seq.wrapping_sub(connection.asked as u32) as i32;
    connection.asked.wrapping_add(i64::from(ahead) as u64)
}

/// What a segment of requests is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of it is new.
    Again,
    /// All of it is of a body whose end is known.
    Body,
    /// Nothing goes on in front of it or is missing, and nothing waits.
    Alone,
    Other,
}

#[inline(always)]
#[must_use]
pub fn standing(connection: &Connection, start: u64, payload: u32) -> Standing {
    let end = start + u64::from(payload);
    if end <= connection.asked {
        return Standing::Again;
    }
    let is_known = connection.asking & asking::END_KNOWN != 0;
    if is_known && end <= connection.request_end {
        return Standing::Body;
    }
    // Behind others that wait it may not begin, even while none is in flight.
    let goes_on = asking::OPEN | asking::CHUNKED | asking::PIPELINE;
    let is_free = connection.asking & goes_on == 0 && !is_busy(connection);
    if is_free && start == connection.asked && (!is_known || start >= connection.request_end) {
        return Standing::Alone;
    }
    Standing::Other
}

/// The body goes on.
#[inline(always)]
pub fn body_goes_on(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    start: u64,
    payload: u32,
) {
    connection.asked = start + u64::from(payload);
    // It may have been answered already.
    if is_busy(connection) {
        touch(pipelines, connection, edge.now());
        if connection.asked == connection.request_end {
            complete(pipelines, connection);
        }
    }
}

/// Takes a request without a body that is all of its segment; says whether it is one.
#[inline(always)]
pub fn whole(
    edge: &mut impl Edge,
    connection: &mut Connection,
    scratch: &mut Scratch,
    start: u64,
    payload: u32,
) -> bool {
    let length = edge.load(scratch, 0);
    let to = START + length;
    let method = method(scratch.window.word(START));
    let is_whole = length == payload
        && (method == Method::Bare || method == Method::Head)
        && edge.end_of_head(scratch, to) == to;
    if !is_whole {
        return false;
    }
    connection.route = edge.route(scratch, START, connection.settings);
    connection.asked = start + u64::from(payload);
    connection.request_end = connection.asked;
    connection.asking = (connection.asking & asking::PIPELINE) | asking::END_KNOWN;
    connection.request = request::COMPLETE | of_method(method);
    let now = edge.now();
    let role = connection.role;
    begin(connection, role, now, now);
    edge.charge(connection, now);
    true
}

/// Whether it may be looked at by [`whole`].
#[inline(always)]
#[must_use]
pub fn is_of_a_size(payload: u32) -> bool {
    (SHORTEST..=WINDOW as u32).contains(&payload)
}
