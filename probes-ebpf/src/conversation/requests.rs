//! Requests that come in pieces, with a body, or several to a segment.

use super::{
    Edge, Pipelines, START, Scratch, begin_or_wait, carry, complete, is_busy, is_in_flight, keep, newest,
    touch,
};
use crate::{
    http1::{Head, Method, WINDOW, found, method},
    wire::{Connection, QUEUE, Queued, asking, loss, protocol, request},
};

/// Bytes that show which method a request has.
const METHOD: u32 = 8;
/// Bytes of a request line that a route is found by.
const ROUTE_LINE: u32 = 60;
const _: () = assert!(WINDOW > ROUTE_LINE as usize);

/// Parts that are taken of one segment: headers, bodies, and empty lines between them.
pub const REQUEST_PARTS: u32 = 2 * QUEUE as u32;

/// Takes note of a segment of `payload` bytes that stands at `start` in the count of `asked`, and of which some
/// is new. How much of it is not.
#[inline(always)]
pub fn place_requests(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    start: u64,
    payload: u32,
) -> u32 {
    let done = connection.asked.saturating_sub(start) as u32;
    if connection.asking & asking::OPEN != 0 && start > connection.asked {
        // A piece is missing, and what comes later cannot be understood without it.
        edge.lose(connection.settings, loss::UNPARSABLE);
        connection.asking &= asking::PIPELINE;
        complete(pipelines, connection);
    }
    connection.asked = start + u64::from(payload);
    done
}

/// Takes the next part of the segment in `scratch`; says whether there may be another.
#[inline(always)]
pub fn request_part(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    scratch: &mut Scratch,
) -> bool {
    let mut done = scratch.visit.done;
    if done >= scratch.visit.payload {
        return false;
    }
    let goes_on = step(edge, pipelines, connection, &mut done, scratch);
    scratch.visit.done = done;
    goes_on
}

#[inline(always)]
fn step(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    offset: &mut u32,
    scratch: &mut Scratch,
) -> bool {
    let payload = scratch.visit.payload;
    if connection.asking & asking::CHUNKED != 0 && !is_next(edge, connection, payload, *offset) {
        chunked(edge, pipelines, connection, payload, *offset);
        return false;
    }
    let place = scratch.visit.start + u64::from(*offset);
    if connection.asking & asking::END_KNOWN != 0 && place < connection.request_end {
        let left = connection.request_end - place;
        touch(pipelines, connection, edge.now());
        let rest = u64::from(payload.wrapping_sub(*offset));
        if left > rest {
            return false;
        }
        complete(pipelines, connection);
        *offset += left as u32;
        return true;
    }
    let length = edge.load(scratch, *offset);
    if length == 0 {
        return false;
    }
    if connection.asking & asking::OPEN != 0 {
        header_goes_on(edge, pipelines, connection, place, offset, length, scratch)
    } else {
        request_begins(edge, pipelines, connection, place, offset, length, scratch)
    }
}

#[inline(always)]
fn request_begins(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    scratch: &mut Scratch,
) -> bool {
    let first = scratch.window.byte(START);
    if first == b'\r' || first == b'\n' {
        // Some clients send an empty line too many.
        *offset += 1;
        return true;
    }
    scratch.head = Head::default();
    let now = edge.now();
    if length < METHOD {
        scratch.head.line = START;
        wait_for_more(pipelines, connection, scratch, length, now);
        return false;
    }
    let to = START + length;
    let word = scratch.window.word(START);
    if !starts(edge, pipelines, connection, scratch, START, word, now, now) {
        return false;
    }
    read_on(
        edge, pipelines, connection, place, offset, length, scratch, START, to,
    )
}

#[inline(always)]
fn header_goes_on(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    scratch: &mut Scratch,
) -> bool {
    let Some(pipeline) = pipelines.find() else {
        return false;
    };
    let from = carry(scratch, &pipeline.asked);
    let to = START + length;
    let began = pipeline.began_ns;
    let now = edge.now();
    if began != 0 {
        // Not even the method was complete.
        if to - from < METHOD {
            scratch.head.line = from;
            wait_for_more(pipelines, connection, scratch, length, began);
            return false;
        }
        pipeline.began_ns = 0;
        let word = scratch.window.word(from);
        if !starts(edge, pipelines, connection, scratch, from, word, began, now) {
            return false;
        }
    } else {
        touch(pipelines, connection, now);
    }
    read_on(
        edge, pipelines, connection, place, offset, length, scratch, from, to,
    )
}

/// Begins the request at `from`, if it is one.
#[inline(always)]
fn starts(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    scratch: &mut Scratch,
    from: u32,
    word: u64,
    started_ns: u64,
    now: u64,
) -> bool {
    let method = method(word);
    if method == Method::None || method == Method::Http2 {
        no_request(edge, pipelines, connection, now);
        return false;
    }
    connection.asking = (connection.asking & asking::PIPELINE) | asking::ROUTE_OPEN;
    let fresh = Queued {
        started_ns,
        last_byte_ns: now,
        settings: connection.settings,
        route: edge.route(scratch, from, connection.settings),
        request: of_method(method),
        pad: 0,
    };
    begin_or_wait(edge, pipelines, connection, &fresh);
    true
}

/// What a method says of the request, and of its answer.
#[inline(always)]
#[must_use]
pub fn of_method(method: Method) -> u8 {
    match method {
        Method::Head => request::HEAD,
        Method::Connect => request::CONNECT,
        _ => 0,
    }
}

/// Bytes where a request should begin: of a body without a known end, or nobody knows what.
#[inline(always)]
fn no_request(edge: &mut impl Edge, pipelines: &mut impl Pipelines, connection: &mut Connection, now: u64) {
    connection.asking &= asking::PIPELINE | asking::END_KNOWN;
    if is_in_flight(connection) {
        if connection.asking & asking::END_KNOWN == 0 {
            touch(pipelines, connection, now);
        } else {
            edge.lose(connection.settings, loss::UNPARSABLE);
        }
    } else if connection.flight == 0 {
        // Its very first bytes began like a method.
        connection.protocol = protocol::OTHER;
    }
}

/// Reads the header on to its end, or to that of the segment.
#[inline(always)]
fn read_on(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    scratch: &mut Scratch,
    from: u32,
    to: u32,
) -> bool {
    let end = edge.read_head(scratch, from, to);
    if connection.asking & asking::ROUTE_OPEN != 0 {
        let is_line_complete = end != 0 || scratch.head.line != from || to - from >= ROUTE_LINE;
        if from != START {
            find_route_again(edge, pipelines, connection, scratch, from);
        }
        if is_line_complete {
            connection.asking &= !asking::ROUTE_OPEN;
        }
    }
    if end <= START || end > to {
        wait_for_more(pipelines, connection, scratch, length, 0);
        *offset += length;
        return true;
    }
    let read = end - START;
    *offset += read;
    let head = scratch.head;
    connection.asking &= asking::PIPELINE;
    if head.found & found::UNREADABLE != 0 {
        edge.lose(connection.settings, loss::UNPARSABLE);
        complete(pipelines, connection);
        return false;
    }
    if head.found & found::CHUNKED != 0 {
        connection.asking |= asking::CHUNKED;
        connection.request_end = 0;
        return true;
    }
    connection.asking |= asking::END_KNOWN;
    connection.request_end = place + u64::from(read) + head.content_length;
    if head.content_length == 0 {
        complete(pipelines, connection);
    }
    true
}

#[inline(always)]
fn wait_for_more(
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    scratch: &Scratch,
    length: u32,
    began_ns: u64,
) {
    let Some(pipeline) = pipelines.find_or_create(connection) else {
        connection.asking &= asking::PIPELINE;
        return;
    };
    keep(scratch, START + length, &mut pipeline.asked);
    pipeline.began_ns = began_ns;
    connection.asking |= asking::OPEN;
}

#[inline(always)]
fn find_route_again(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    scratch: &mut Scratch,
    from: u32,
) {
    let found = edge.route(scratch, from, connection.settings);
    if let Some(pipeline) = pipelines.find()
        && let Some(waiting) = newest(pipeline)
    {
        waiting.route = found;
        return;
    }
    connection.route = found;
}

/// Whether the body in chunks is over after all: it was answered, and a request stands here.
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

/// What ends a body in chunks that has no trailer.
const LAST_CHUNK: &[u8; LAST_LENGTH as usize] = b"0\r\n\r\n";
const LAST_LENGTH: u32 = 5;

/// A body in chunks goes on. That it ends shows at the end of a segment alone. Until it does, `request_end` is
/// how much of [`LAST_CHUNK`] stands at the end of what has come: it may be cut in two.
#[inline(always)]
fn chunked(
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
            matched = goes_on(matched, byte);
        }
    } else {
        matched = connection.request_end;
        let mut at = 0;
        while at < LAST_LENGTH - 1 {
            if at < rest
                && let Some([byte]) = edge.bytes::<1>(offset + at)
            {
                matched = goes_on(matched, byte);
            }
            at += 1;
        }
    }
    connection.request_end = matched;
    if matched == u64::from(LAST_LENGTH) {
        connection.asking = (connection.asking & asking::PIPELINE) | asking::END_KNOWN;
        connection.request_end = connection.asked;
        complete(pipelines, connection);
    }
}

/// How much of [`LAST_CHUNK`] stands at the end with this byte, if so much did before it.
#[inline(always)]
fn goes_on(matched: u64, byte: u8) -> u64 {
    let mut expected = [0; 8];
    expected[..LAST_LENGTH as usize].copy_from_slice(LAST_CHUNK);
    let expected = u64::from_le_bytes(expected) >> (8 * (matched & 7));
    if byte == expected as u8 {
        matched + 1
    } else {
        u64::from(byte == LAST_CHUNK[0])
    }
}
