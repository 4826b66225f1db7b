//! Answers, followed from end to end: where requests wait behind one another, one answer may begin
//! anywhere in a segment.

use super::{Edge, Exchange, START, Scratch, UNTOLD, carry, has_unplaced, is_in_flight, keep, take};
use crate::{
    http1::{Head, STATUS_LINE, found, phase, status},
    wire::{Connection, Ending, Pipeline, answering, asks, flag, flight, loss, protocol, request, role},
};

/// Parts that are followed in one segment: headers, bodies, and chunks.
pub const ANSWER_PARTS: u32 = 256;

/// The status of a connection that is no longer HTTP.
pub const SWITCHING_PROTOCOLS: u16 = 101;

/// Takes note of a segment that TCP has not sent before; says how much of it has been followed already, or
/// `None` where no answer begins, if one must.
#[inline(always)]
pub fn place_answers<E: Edge>(
    edge: &mut E,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    seq: u32,
    payload: u32,
) -> Option<u32> {
    let mut done = 0;
    let ahead = seq.wrapping_sub(pipeline.next) as i32;
    if pipeline.answering != answering::LOST {
        if ahead > 0 {
            // Answers passed unseen, or will come later than these.
            if lose_place(edge, pipeline) {
                edge.lose(pipeline.ending.settings, loss::UNFRAMED);
            }
            edge.abandon(connection, pipeline);
        } else {
            done = ahead.wrapping_neg() as u32;
        }
    }
    if pipeline.answering == answering::LOST {
        if payload >= STATUS_LINE && status_at_start(edge) == 0 {
            if is_in_flight(connection) {
                E::raise(connection, flag::UNREADABLE);
            }
            return None;
        }
        pipeline.answering = answering::STATUS_LINE;
        pipeline.answered.length = 0;
    }
    pipeline.next = seq.wrapping_add(payload);
    Some(done)
}

/// Where the next answer begins is not known any more. Whether an answer was on its way whose last byte
/// will not be seen.
#[inline(always)]
pub fn lose_place<E: Edge>(_: &mut E, pipeline: &mut Pipeline) -> bool {
    pipeline.answering = answering::LOST;
    if pipeline.asked.unplaced != UNTOLD {
        pipeline.answered.unplaced = pipeline.asked.unplaced;
    }
    E::swap(&mut pipeline.ending.flight, 0) & flight::IN_FLIGHT != 0
}

#[inline(always)]
fn status_at_start(edge: &mut impl Edge) -> u16 {
    let (Some(first), Some(then)) = (edge.bytes::<8>(0), edge.bytes::<4>(8)) else {
        return 0;
    };
    status(u64::from_be_bytes(first), u32::from_be_bytes(then))
}

/// Takes the next part of the segment in `scratch`; says whether there may be another.
#[inline(always)]
pub fn answer_part(
    edge: &mut impl Edge,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    scratch: &mut Scratch,
) -> bool {
    let mut done = scratch.visit.done;
    if done >= scratch.visit.payload {
        return false;
    }
    let goes_on = step(edge, connection, pipeline, &mut done, scratch);
    scratch.visit.done = done;
    goes_on && done < scratch.visit.payload
}

#[inline(always)]
fn step(
    edge: &mut impl Edge,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    offset: &mut u32,
    scratch: &mut Scratch,
) -> bool {
    let rest = scratch.visit.payload.wrapping_sub(*offset);
    let place = pipeline.answering;
    if place == answering::REST {
        return false;
    }
    if place == answering::BODY {
        if pipeline.remaining > u64::from(rest) {
            pipeline.remaining -= u64::from(rest);
            return false;
        }
        *offset += pipeline.remaining as u32;
        ends(edge, connection, pipeline);
        return true;
    }
    if place == answering::CHUNKS && pipeline.chunks.phase == phase::DATA {
        *offset += pipeline.chunks.skip(u64::from(rest)) as u32;
        return true;
    }
    let length = edge.load(scratch, *offset);
    if length == 0 {
        scratch.visit.is_lost = 1;
        return false;
    }
    if place == answering::CHUNKS {
        return chunks(edge, connection, pipeline, scratch, offset, length);
    }
    header(edge, connection, pipeline, scratch, offset, length)
}

#[inline(always)]
fn chunks(
    edge: &mut impl Edge,
    connection: &Connection,
    pipeline: &mut Pipeline,
    scratch: &mut Scratch,
    offset: &mut u32,
    length: u32,
) -> bool {
    scratch.chunks = pipeline.chunks;
    *offset += edge.read_chunks(scratch, START + length);
    pipeline.chunks = scratch.chunks;
    if pipeline.chunks.phase == phase::DONE {
        ends(edge, connection, pipeline);
    } else if pipeline.chunks.phase == phase::BROKEN {
        edge.lose(connection.settings, loss::UNPARSABLE);
        scratch.visit.is_lost = 1;
        return false;
    }
    true
}

#[inline(always)]
fn header(
    edge: &mut impl Edge,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    scratch: &mut Scratch,
    offset: &mut u32,
    length: u32,
) -> bool {
    let from = carry(scratch, &pipeline.answered);
    let to = START + length;
    if pipeline.answering == answering::STATUS_LINE {
        if to - from < STATUS_LINE {
            scratch.head = Head::default();
            scratch.head.line = from;
            keep(scratch, to, &mut pipeline.answered);
            return false;
        }
        let status = status(
            scratch.window.word(from),
            (scratch.window.word(from + 8) >> 32) as u32,
        );
        if status == 0 {
            edge.lose(connection.settings, loss::UNPARSABLE);
            scratch.visit.is_lost = 1;
            return false;
        }
        scratch.head = Head::default();
        pipeline.status = status;
        pipeline.answering = answering::HEADER;
        begins(edge, connection, pipeline, scratch.visit.seq);
        if connection.protocol != protocol::HTTP1 {
            return false;
        }
    }
    let end = edge.read_head(scratch, from, to);
    if end <= START || end > to {
        keep(scratch, to, &mut pipeline.answered);
        *offset += length;
        return true;
    }
    *offset += end - START;
    pipeline.answered.length = 0;
    let head = scratch.head;
    let status = pipeline.status;
    if status < 200 {
        pipeline.answering = answering::STATUS_LINE;
    } else if status == 204 || status == 304 || pipeline.request & request::HEAD != 0 {
        ends(edge, connection, pipeline);
    } else if head.found & found::UNREADABLE != 0 {
        pipeline.answering = answering::REST;
    } else if head.found & found::CHUNKED != 0 {
        pipeline.answering = answering::CHUNKS;
        pipeline.chunks.phase = phase::SIZE;
        pipeline.chunks.remaining = 0;
        pipeline.chunks.count = 0;
    } else if head.found & found::CONTENT_LENGTH != 0 {
        pipeline.answering = answering::BODY;
        pipeline.remaining = head.content_length;
        if head.content_length == 0 {
            ends(edge, connection, pipeline);
        }
    } else {
        pipeline.answering = answering::REST;
    }
    true
}

/// An answer begins, and with it ends its request.
#[inline(always)]
fn begins<E: Edge>(edge: &mut E, connection: &mut Connection, pipeline: &mut Pipeline, seq: u32) {
    let status = pipeline.status;
    if is_interim(status) {
        return;
    }
    connection.response_seq = seq;
    pipeline.request = connection.request;
    if !is_in_flight(connection) {
        if has_unplaced(pipeline) {
            pipeline.answered.unplaced = pipeline.answered.unplaced.wrapping_add(1);
        }
        if connection.role == role::SERVER {
            edge.unasked(connection);
        }
        return;
    }
    let mut ending = Ending {
        flight: 0,
        started_ns: connection.started_ns,
        settings: connection.request_settings,
        route: connection.route,
        status,
    };
    answered::<E>(connection, status);
    ending.flight = edge.end(connection, status);
    if connection.asks & asks::LAST_BYTE != 0 && connection.protocol == protocol::HTTP1 {
        pipeline.ending = ending;
    }
    take::<E>(connection, pipeline);
}

/// What an answer changes about the connection.
#[inline(always)]
pub fn answered<E: Exchange>(connection: &mut Connection, status: u16) {
    E::lower(connection, flag::UNREADABLE);
    let is_tunnel = connection.request & request::CONNECT != 0 && status / 100 == 2;
    if status == SWITCHING_PROTOCOLS {
        connection.protocol = protocol::SWITCHED;
    } else if is_tunnel {
        connection.protocol = protocol::UPGRADED;
    }
}

#[inline(always)]
#[must_use]
pub fn is_interim(status: u16) -> bool {
    status < 200 && status != SWITCHING_PROTOCOLS
}

/// The answer's last byte is in this segment.
#[inline(always)]
fn ends(edge: &mut impl Edge, connection: &Connection, pipeline: &mut Pipeline) {
    pipeline.answering = answering::STATUS_LINE;
    if pipeline.ending.flight != 0 {
        edge.over(connection, &mut pipeline.ending);
    }
}
