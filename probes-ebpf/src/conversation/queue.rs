//! The request in flight, and those that wait behind it.
//!
//! The side that asks puts in, the side that answers takes out, on different CPUs if need be. Who may
//! fill the connection's record with the next request is whoever marks it as starting.

use super::{Edge, Exchange, Pipelines};
use crate::wire::{Connection, Pipeline, QUEUE, Queued, asking, flight, loss, request};

/// Of requests that found no room: nobody knows how many.
pub const UNTOLD: u32 = u32::MAX;

/// Starts the clocks. The caller has filled the rest of the record.
#[inline(always)]
pub fn begin(connection: &mut Connection, role: u8, started_ns: u64, last_byte_ns: u64) {
    connection.request_settings = connection.settings;
    start(connection, role, started_ns, last_byte_ns);
}

#[inline(always)]
fn start(connection: &mut Connection, role: u8, started_ns: u64, last_byte_ns: u64) {
    connection.role = role;
    connection.started_ns = started_ns;
    connection.last_byte_ns = last_byte_ns;
    let ordinal = (connection.flight >> flight::ORDINAL_SHIFT) + 1;
    connection.flight = (ordinal << flight::ORDINAL_SHIFT) | flight::IN_FLIGHT;
}

#[inline(always)]
#[must_use]
pub fn is_in_flight(connection: &Connection) -> bool {
    connection.flight & flight::IN_FLIGHT != 0
}

/// What is in flight. The other side of the connection may change it on another CPU.
#[inline(always)]
#[must_use]
pub fn in_flight_now(connection: &Connection) -> u64 {
    // SAFETY: a live record; an aligned word is never torn.
    unsafe { (&raw const connection.flight).read_volatile() }
}

#[inline(always)]
#[must_use]
pub fn is_busy(connection: &Connection) -> bool {
    in_flight_now(connection) & (flight::IN_FLIGHT | flight::STARTING) != 0
}

#[inline(always)]
#[must_use]
pub fn is_empty(pipeline: &Pipeline) -> bool {
    // SAFETY: a live record; an aligned word is never torn.
    unsafe { (&raw const pipeline.pushed).read_volatile() == (&raw const pipeline.taken).read_volatile() }
}

/// Whether answers are to come to requests that found no room. Then none behind those finds any, else it would be
/// given an answer of theirs.
#[inline(always)]
#[must_use]
pub fn has_unplaced(pipeline: &Pipeline) -> bool {
    // SAFETY: a live record; an aligned word is never torn.
    unsafe {
        (&raw const pipeline.asked.unplaced).read_volatile()
            != (&raw const pipeline.answered.unplaced).read_volatile()
    }
}

#[inline(always)]
fn place(pipeline: &mut Pipeline, number: u64) -> &mut Queued {
    &mut pipeline.queue[number as usize & (QUEUE - 1)]
}

/// The request that came last, if it waits.
#[inline(always)]
pub fn newest(pipeline: &mut Pipeline) -> Option<&mut Queued> {
    if is_empty(pipeline) {
        return None;
    }
    let last = pipeline.pushed.wrapping_sub(1);
    Some(place(pipeline, last))
}

#[inline(always)]
pub fn push<E: Edge>(edge: &mut E, connection: &mut Connection, pipeline: &mut Pipeline, request: &Queued) {
    if pipeline.pushed.wrapping_sub(pipeline.taken) >= QUEUE as u64 || has_unplaced(pipeline) {
        edge.lose(connection.settings, loss::PIPELINED);
        if pipeline.asked.unplaced != UNTOLD {
            pipeline.asked.unplaced = pipeline.asked.unplaced.wrapping_add(1);
        }
        return;
    }
    let next = pipeline.pushed;
    *place(pipeline, next) = *request;
    // An exchange, as it also keeps what stands before it before it.
    E::swap(&mut pipeline.pushed, next + 1);
    // The one ahead may have been answered meanwhile.
    take::<E>(connection, pipeline);
}

/// Puts the next request in flight, unless one is.
#[inline(always)]
pub fn take<E: Exchange>(connection: &mut Connection, pipeline: &mut Pipeline) {
    let mut tries = 0;
    while tries < 2 {
        let idle = connection.flight;
        if idle & (flight::IN_FLIGHT | flight::STARTING) != 0 || is_empty(pipeline) {
            return;
        }
        if E::compare_swap(&mut connection.flight, idle, idle | flight::STARTING) != idle {
            return;
        }
        let number = pipeline.taken;
        if number == pipeline.pushed {
            // The other side took it, and another may come before it sees that we do not.
            E::swap(&mut connection.flight, idle);
            tries += 1;
            continue;
        }
        let request = *place(pipeline, number);
        E::swap(&mut pipeline.taken, number + 1);
        connection.request_settings = request.settings;
        connection.route = request.route;
        connection.request = request.request;
        let role = connection.role;
        start(connection, role, request.started_ns, request.last_byte_ns);
        return;
    }
}

/// Begins a request, or has it wait behind the one in flight.
#[inline(always)]
pub fn begin_or_wait(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    fresh: &Queued,
) {
    edge.charge(connection, fresh.last_byte_ns);
    let has_queue = connection.asking & asking::PIPELINE != 0;
    if has_queue || is_busy(connection) {
        match pipelines.find_or_create(connection) {
            // In this order: what the other side takes out is in flight before it no longer waits.
            Some(pipeline) if !is_empty(pipeline) || is_busy(connection) || has_unplaced(pipeline) => {
                push(edge, connection, pipeline, fresh);
                return;
            }
            Some(_) => {}
            None => {
                edge.lose(connection.settings, loss::PIPELINED);
                return;
            }
        }
    }
    connection.route = fresh.route;
    connection.request = fresh.request;
    let role = connection.role;
    begin(connection, role, fresh.started_ns, fresh.last_byte_ns);
}

/// More of the request that came last is here.
#[inline(always)]
pub fn touch(pipelines: &mut impl Pipelines, connection: &mut Connection, now: u64) {
    if connection.asking & asking::PIPELINE != 0
        && let Some(pipeline) = pipelines.find()
    {
        if has_unplaced(pipeline) {
            return;
        }
        if let Some(waiting) = newest(pipeline) {
            waiting.last_byte_ns = now;
            return;
        }
    }
    connection.last_byte_ns = now;
}

/// All of the request that came last is here.
#[inline(always)]
pub fn complete(pipelines: &mut impl Pipelines, connection: &mut Connection) {
    if connection.asking & asking::PIPELINE != 0
        && let Some(pipeline) = pipelines.find()
    {
        if has_unplaced(pipeline) {
            return;
        }
        if let Some(waiting) = newest(pipeline) {
            waiting.request |= request::COMPLETE;
            return;
        }
    }
    connection.request |= request::COMPLETE;
}
