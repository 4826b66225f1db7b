//! Requests that come in pieces, with a body, or several to a segment.

use super::{
    Edge, Pipelines, START, Scratch, UNTOLD, alone::SHORTEST, begin_or_wait, carry, chunked, complete,
    has_unplaced, is_busy, is_in_flight, keep, newest, touch,
};
use crate::{
    http1::{Head, Method, WINDOW, found, method},
    wire::{Connection, QUEUE, Queued, asking, loss, protocol, request, spare::AHEAD},
};

/// Bytes that show which method a request has.
const METHOD: u32 = 8;
/// Bytes of a request line that a route is found by.
const ROUTE_LINE: u32 = 60;
const _: () = assert!(WINDOW > ROUTE_LINE as usize);

/// Parts that are taken of one segment: headers, bodies, and empty lines between them.
pub const REQUEST_PARTS: u32 = 2 * QUEUE as u32;

/// Takes note of a segment of `payload` bytes that stands at `start` in the count of `asked`, and of which some
/// is new. How much of it is not; `None` where it cannot be read yet.
#[inline(always)]
pub fn place_requests(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    start: u64,
    payload: u32,
) -> Option<u32> {
    let done = connection.asked.saturating_sub(start) as u32;
    let end = start + u64::from(payload);
    if start > connection.asked && !is_inside(connection, start) {
        // A piece is missing.
        let is_open = connection.asking & asking::OPEN != 0;
        if connection.asking & asking::CHUNKED != 0 {
            chunked::jumps(connection, start);
        } else if begins_here(edge) {
            // It may have been requests, and their answers are not waited for.
            let missing = start - connection.asked;
            if !is_open {
                edge.lose(connection.settings, loss::UNPARSABLE);
            } else if !leave_header(pipelines, connection) || missing > u64::from(SHORTEST) {
                edge.lose(connection.settings, loss::UNPARSABLE);
                leave_answers(pipelines, connection);
            }
        } else if is_open || connection.asking & asking::END_KNOWN != 0 || !is_busy(connection) {
            let ahead = &mut connection.spare[AHEAD];
            *ahead = if *ahead > end { *ahead } else { end };
            return None;
        }
    }
    connection.asked = end;
    Some(done)
}

/// Whether a body is known to go on there.
#[inline(always)]
fn is_inside(connection: &Connection, start: u64) -> bool {
    connection.asking & asking::END_KNOWN != 0 && start < connection.request_end
}

#[inline(always)]
fn begins_here(edge: &mut impl Edge) -> bool {
    let word = edge.bytes::<{ METHOD as usize }>(0);
    word.is_some_and(|word| is_method(u64::from_be_bytes(word)))
}

/// Whether a request begins so.
#[inline(always)]
fn is_method(word: u64) -> bool {
    !matches!(method(word), Method::None | Method::Http2)
}

/// The header that goes on is not read to its end. Whether its request has begun, and is counted as what it is.
#[inline(always)]
fn leave_header(pipelines: &mut impl Pipelines, connection: &mut Connection) -> bool {
    connection.asking &= asking::PIPELINE;
    complete(pipelines, connection);
    pipelines.find().is_none_or(|pipeline| pipeline.began_ns == 0)
}

/// Requests may be missing in front of those that come now, and nobody knows how many. Where others wait to be
/// answered, nobody can tell whose the answers behind theirs are.
#[inline(always)]
fn leave_answers(pipelines: &mut impl Pipelines, connection: &mut Connection) {
    if is_busy(connection)
        && let Some(pipeline) = pipelines.find()
    {
        pipeline.asked.unplaced = UNTOLD;
    }
}

/// All that can be read of a segment has been; what came too early before it is not to come again.
#[inline(always)]
fn catch_up(edge: &mut impl Edge, pipelines: &mut impl Pipelines, connection: &mut Connection) {
    let ahead = connection.spare[AHEAD];
    if ahead <= connection.asked {
        return;
    }
    let is_known = connection.asking & asking::END_KNOWN != 0;
    if is_known && connection.request_end <= connection.asked {
        // That is of a request which is still to begin.
        return;
    }
    connection.asked = ahead;
    if is_known {
        if ahead >= connection.request_end {
            complete(pipelines, connection);
        }
        if ahead <= connection.request_end {
            return;
        }
    } else if connection.asking & asking::CHUNKED != 0 {
        chunked::unfollow(connection);
        complete(pipelines, connection);
        return;
    } else if connection.asking & asking::OPEN == 0 || leave_header(pipelines, connection) {
        return;
    }
    // What stood there has not been read.
    edge.lose(connection.settings, loss::UNPARSABLE);
}

/// No more parts are taken of the segment in `scratch`.
#[inline(always)]
pub fn leave_requests(
    edge: &mut impl Edge,
    pipelines: &mut impl Pipelines,
    connection: &mut Connection,
    scratch: &Scratch,
) {
    if connection.asking & asking::CHUNKED != 0 {
        chunked::unfollow(connection);
        chunked::look_for_end(
            edge,
            pipelines,
            connection,
            scratch.visit.payload,
            scratch.visit.done,
        );
        return;
    }
    edge.lose(connection.settings, loss::PIPELINED);
    if let Some(pipeline) = pipelines.find_or_create(connection) {
        pipeline.asked.unplaced = UNTOLD;
    }
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
    if done < scratch.visit.payload {
        let goes_on = step(edge, pipelines, connection, &mut done, scratch);
        scratch.visit.done = done;
        if goes_on && done < scratch.visit.payload {
            return true;
        }
    }
    catch_up(edge, pipelines, connection);
    false
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
    if connection.asking & asking::CHUNKED != 0 {
        return chunked::goes_on(edge, pipelines, connection, offset, scratch);
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
    let mut from = carry(scratch, &pipeline.asked);
    let to = START + length;
    let mut began = pipeline.began_ns;
    let now = edge.now();
    if began != 0 {
        // Not even the method was complete.
        if to - from < METHOD {
            scratch.head.line = from;
            wait_for_more(pipelines, connection, scratch, length, began);
            return false;
        }
        pipeline.began_ns = 0;
        let mut word = scratch.window.word(from);
        let alone = scratch.window.word(START);
        if length >= METHOD && !is_method(word) && is_method(alone) {
            // What came before was the end of a body that nobody knew of.
            (from, began, word) = (START, now, alone);
            scratch.head = Head::default();
        }
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
    if !is_method(word) {
        no_request(edge, pipelines, connection, now);
        return false;
    }
    connection.asking = (connection.asking & asking::PIPELINE) | asking::ROUTE_OPEN;
    let fresh = Queued {
        started_ns,
        last_byte_ns: now,
        settings: connection.settings,
        route: edge.route(scratch, from, connection.settings),
        request: of_method(method(word)),
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
    } else if connection.flight == 0 && connection.asking & asking::END_KNOWN == 0 {
        // Its very first bytes began like a method. What they did begin is not counted.
        connection.protocol = protocol::OTHER;
        edge.lose(connection.settings, loss::UNPARSABLE);
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
        chunked::begins(connection);
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
    if let Some(pipeline) = pipelines.find() {
        if has_unplaced(pipeline) {
            return;
        }
        if let Some(waiting) = newest(pipeline) {
            waiting.route = found;
            return;
        }
    }
    connection.route = found;
}
