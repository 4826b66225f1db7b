//! Answers, followed from end to end: where requests wait behind one another, one answer may begin
//! anywhere in a segment.

use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_tcp_sock};
use probes_ebpf::{
    http1::{Head, STATUS_LINE, found, phase, status},
    wire::{
        Connection, Ending, Pipeline, ROUTE_OTHER, answering, asks, flag, loss, protocol, request, role, what,
    },
};

use crate::{
    answering::{answered, is_interim, is_repeated, status_at_start, weather},
    connection::{endpoint, find, is_in_flight},
    count::{count, lose_of},
    last_byte,
    pipeline::{self, abandon, find_or_create, take},
    request::end,
    scratch::{
        START, Scratch, Visit, at, carry, claim, edge_read_chunks, edge_read_head, keep, load, release,
    },
    segment::{Segment, rest},
};

/// Parts that are followed in one segment: headers, bodies, and chunks.
const STEPS: u32 = 256;

/// Prepares to follow answers through a segment. One of [`rest`].
#[inline(always)]
pub fn visit(segment: &Segment, connection: &mut Connection) -> u32 {
    let Some(pipeline) = find_or_create(segment.sk, connection) else {
        return rest::NOTHING;
    };
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() || is_repeated(segment, tcp) {
        return rest::NOTHING;
    }
    let mut done = 0;
    let ahead = segment.seq.wrapping_sub(pipeline.next) as i32;
    if pipeline.answering != answering::LOST {
        if ahead > 0 {
            // Answers passed unseen, or will come later than these.
            pipeline.answering = answering::LOST;
            abandon(segment.skb, what::UNKNOWN);
        } else {
            done = ahead.wrapping_neg() as u32;
        }
    }
    if pipeline.answering == answering::LOST {
        if segment.payload >= STATUS_LINE && status_at_start(segment) == 0 {
            if is_in_flight(connection) {
                connection.flags |= flag::UNREADABLE;
            }
            return rest::NOTHING;
        }
        pipeline.answering = answering::STATUS_LINE;
        pipeline.answered.length = 0;
    }
    pipeline.next = segment.seq.wrapping_add(segment.payload);
    let rtt = weather(connection, tcp);
    let Some((slot, scratch)) = claim() else {
        pipeline.answering = answering::LOST;
        return rest::NOTHING;
    };
    scratch.visit = Visit::of(segment, 0, done, rtt);
    rest::ANSWERS | slot
}

/// Follows answers through the segment in a slot, and gives the slot back.
#[inline(always)]
pub fn follow(segment: &Segment, slot: u32) {
    let mut steps = 0;
    while steps < STEPS && edge_answer_part(segment.skb, slot) != 0 {
        steps += 1;
    }
    let Some(scratch) = at(slot) else { return };
    let is_lost = scratch.visit.is_lost != 0;
    release(scratch);
    if steps == STEPS {
        lose_of(settings(segment.sk), loss::UNFRAMED);
    }
    if (steps == STEPS || is_lost)
        && let Some(pipeline) = pipeline::find(segment.sk)
    {
        pipeline.answering = answering::LOST;
        abandon(segment.skb, what::UNKNOWN);
    }
}

/// Of the socket's connection.
#[inline(always)]
pub fn settings(sk: *mut c_void) -> u32 {
    // SAFETY: a live map value.
    find(sk).map_or(0, |connection| unsafe { (*connection).settings })
}

/// As `edge_request_part`, of answers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_answer_part(skb: *mut __sk_buff, slot: u32) -> u32 {
    // SAFETY: the program's own context.
    let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
    if sk.is_null() {
        return 0;
    }
    let (Some(scratch), Some(connection), Some(pipeline)) = (at(slot), find(sk), pipeline::find(sk)) else {
        return 0;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    let segment = scratch.visit.segment(skb, sk);
    let mut done = scratch.visit.done;
    if done >= segment.payload {
        return 0;
    }
    let goes_on = step(&segment, connection, pipeline, &mut done, slot, scratch);
    scratch.visit.done = done;
    u32::from(goes_on)
}

/// Takes the next part of the segment; says whether there may be another.
#[inline(always)]
fn step(
    segment: &Segment,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    offset: &mut u32,
    slot: u32,
    scratch: &mut Scratch,
) -> bool {
    let rest = segment.payload.wrapping_sub(*offset);
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
        ends(connection, pipeline);
        return true;
    }
    if place == answering::CHUNKS && pipeline.chunks.phase == phase::DATA {
        *offset += pipeline.chunks.skip(u64::from(rest)) as u32;
        return true;
    }
    let length = load(segment, *offset, scratch);
    if length == 0 {
        scratch.visit.is_lost = 1;
        return false;
    }
    if place == answering::CHUNKS {
        return chunks(connection, pipeline, slot, scratch, offset, length);
    }
    header(segment, connection, pipeline, slot, scratch, offset, length)
}

#[inline(always)]
fn chunks(
    connection: &Connection,
    pipeline: &mut Pipeline,
    slot: u32,
    scratch: &mut Scratch,
    offset: &mut u32,
    length: u32,
) -> bool {
    scratch.chunks = pipeline.chunks;
    *offset += edge_read_chunks(slot, START + length);
    pipeline.chunks = scratch.chunks;
    if pipeline.chunks.phase == phase::DONE {
        ends(connection, pipeline);
    } else if pipeline.chunks.phase == phase::BROKEN {
        lose_of(connection.settings, loss::UNPARSABLE);
        scratch.visit.is_lost = 1;
        return false;
    }
    true
}

#[inline(always)]
fn header(
    segment: &Segment,
    connection: &mut Connection,
    pipeline: &mut Pipeline,
    slot: u32,
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
            lose_of(connection.settings, loss::UNPARSABLE);
            scratch.visit.is_lost = 1;
            return false;
        }
        scratch.head = Head::default();
        pipeline.status = status;
        pipeline.answering = answering::HEADER;
        begins(segment, connection, pipeline, scratch.visit.rtt);
        if connection.protocol == protocol::UPGRADED {
            return false;
        }
    }
    let end = edge_read_head(slot, from, to);
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
        ends(connection, pipeline);
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
            ends(connection, pipeline);
        }
    } else {
        pipeline.answering = answering::REST;
    }
    true
}

/// An answer begins, and with it ends its request.
#[inline(always)]
fn begins(segment: &Segment, connection: &mut Connection, pipeline: &mut Pipeline, rtt: u32) {
    let status = pipeline.status;
    if is_interim(status) {
        return;
    }
    connection.response_seq = segment.seq;
    pipeline.request = connection.request;
    if !is_in_flight(connection) {
        if connection.role == role::SERVER {
            let endpoint = endpoint(connection, role::SERVER);
            count(&endpoint, connection.settings, ROUTE_OTHER, what::UNKNOWN, 1);
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
    answered(connection, status);
    ending.flight = end(connection, status, rtt);
    if connection.asks & asks::LAST_BYTE != 0 && connection.protocol != protocol::UPGRADED {
        pipeline.ending = ending;
    }
    take(connection, pipeline);
}

/// The answer's last byte is in this segment.
#[inline(always)]
fn ends(connection: &Connection, pipeline: &mut Pipeline) {
    pipeline.answering = answering::STATUS_LINE;
    if pipeline.ending.flight != 0 {
        last_byte::over(connection, &mut pipeline.ending, true);
    }
}
