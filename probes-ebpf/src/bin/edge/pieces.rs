//! Requests that come in pieces, with a body, or several to a segment.

use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use probes_ebpf::{
    http1::{Head, Method, WINDOW, found, method},
    wire::{Connection, QUEUE, Queued, asking, loss, protocol, request},
};

use crate::{
    asking::{begin_or_wait, complete, now, touch},
    connection::{find, is_in_flight},
    count::lose_of,
    framing::settings,
    http::route,
    pipeline::{self, is_busy},
    scratch::{START, Scratch, Visit, at, carry, claim, edge_read_head, keep, load, release},
    segment::{Segment, rest},
};

/// Bytes that show which method a request has.
const METHOD: u32 = 8;
/// Bytes of a request line that a route is found by.
const ROUTE_LINE: u32 = 60;

/// Prepares to take a segment apart. `start` is where it stands in the count of `asked`, and some of it
/// is new. One of [`rest`].
#[inline(always)]
pub fn visit(segment: &Segment, connection: &mut Connection, start: u64) -> u32 {
    let done = connection.asked.saturating_sub(start) as u32;
    if connection.asking & asking::OPEN != 0 && start > connection.asked {
        // A piece is missing, and what comes later cannot be understood without it.
        lose_of(connection.settings, loss::UNPARSABLE);
        connection.asking &= asking::PIPELINE;
        complete(segment, connection);
    }
    connection.asked = start + u64::from(segment.payload);
    let Some((slot, scratch)) = claim() else {
        return rest::NOTHING;
    };
    scratch.visit = Visit::of(segment, start, done, 0);
    rest::REQUESTS | slot
}

/// Takes the segment in a slot apart, and gives the slot back.
#[inline(always)]
pub fn take(skb: *mut __sk_buff, slot: u32) {
    let mut steps = 0;
    while steps < STEPS && edge_request_part(skb, slot) != 0 {
        steps += 1;
    }
    if steps == STEPS {
        // SAFETY: the program's own context.
        let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
        lose_of(if sk.is_null() { 0 } else { settings(sk) }, loss::PIPELINED);
    }
    if let Some(scratch) = at(slot) {
        release(scratch);
    }
}

/// Parts that are taken of one segment: headers, bodies, and empty lines between them.
const STEPS: u32 = 2 * QUEUE as u32;

/// Takes the next part of the segment in a slot; says whether there may be another. Global, so that
/// the verifier looks at it once and not at every repetition.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_request_part(skb: *mut __sk_buff, slot: u32) -> u32 {
    // SAFETY: the program's own context.
    let sk: *mut c_void = unsafe { (*skb).__bindgen_anon_2.sk }.cast();
    if sk.is_null() {
        return 0;
    }
    let (Some(scratch), Some(connection)) = (at(slot), find(sk)) else {
        return 0;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    let segment = scratch.visit.segment(skb, sk);
    let mut done = scratch.visit.done;
    if done >= segment.payload {
        return 0;
    }
    let goes_on = step(&segment, connection, &mut done, slot, scratch);
    scratch.visit.done = done;
    u32::from(goes_on)
}

#[inline(always)]
fn step(
    segment: &Segment,
    connection: &mut Connection,
    offset: &mut u32,
    slot: u32,
    scratch: &mut Scratch,
) -> bool {
    if connection.asking & asking::CHUNKED != 0 && !is_next(segment, connection, *offset) {
        chunked(segment, connection);
        return false;
    }
    let place = scratch.visit.start + u64::from(*offset);
    if connection.asking & asking::END_KNOWN != 0 && place < connection.request_end {
        let left = connection.request_end - place;
        touch(segment, connection, now());
        let rest = u64::from(segment.payload.wrapping_sub(*offset));
        if left > rest {
            return false;
        }
        complete(segment, connection);
        *offset += left as u32;
        return true;
    }
    let length = load(segment, *offset, scratch);
    if length == 0 {
        return false;
    }
    if connection.asking & asking::OPEN != 0 {
        header_goes_on(segment, connection, place, offset, length, slot, scratch)
    } else {
        request_begins(segment, connection, place, offset, length, slot, scratch)
    }
}

#[inline(always)]
fn request_begins(
    segment: &Segment,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    slot: u32,
    scratch: &mut Scratch,
) -> bool {
    let first = scratch.window.byte(START);
    if first == b'\r' || first == b'\n' {
        // Some clients send an empty line too many.
        *offset += 1;
        return true;
    }
    scratch.head = Head::default();
    let now = now();
    if length < METHOD {
        scratch.head.line = START;
        wait_for_more(segment, connection, scratch, length, now);
        return false;
    }
    let to = START + length;
    let word = scratch.window.word(START);
    if !starts(segment, connection, scratch, START, word, now, now) {
        return false;
    }
    read_on(
        segment, connection, place, offset, length, slot, scratch, START, to,
    )
}

#[inline(always)]
fn header_goes_on(
    segment: &Segment,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    slot: u32,
    scratch: &mut Scratch,
) -> bool {
    let Some(pipeline) = pipeline::find(segment.sk) else {
        return false;
    };
    let from = carry(scratch, &pipeline.asked);
    let to = START + length;
    let began = pipeline.began_ns;
    let now = now();
    if began != 0 {
        // Not even the method was complete.
        if to - from < METHOD {
            scratch.head.line = from;
            wait_for_more(segment, connection, scratch, length, began);
            return false;
        }
        pipeline.began_ns = 0;
        let word = scratch.window.word(from);
        if !starts(segment, connection, scratch, from, word, began, now) {
            return false;
        }
    } else {
        touch(segment, connection, now);
    }
    read_on(
        segment, connection, place, offset, length, slot, scratch, from, to,
    )
}

/// Begins the request at `from`, if it is one.
#[inline(always)]
fn starts(
    segment: &Segment,
    connection: &mut Connection,
    scratch: &Scratch,
    from: u32,
    word: u64,
    started_ns: u64,
    now: u64,
) -> bool {
    let method = method(word);
    if method == Method::None || method == Method::Http2 {
        no_request(segment, connection, now);
        return false;
    }
    connection.asking = (connection.asking & asking::PIPELINE) | asking::ROUTE_OPEN;
    begin_or_wait(
        segment,
        connection,
        &Queued {
            started_ns,
            last_byte_ns: now,
            settings: connection.settings,
            route: route(&scratch.window, from, connection.settings),
            request: of_method(method),
            pad: 0,
        },
    );
    true
}

/// What a method says of the request, and of its answer.
#[inline(always)]
pub fn of_method(method: Method) -> u8 {
    match method {
        Method::Head => request::HEAD,
        Method::Connect => request::CONNECT,
        _ => 0,
    }
}

/// Bytes where a request should begin: of a body without a known end, or nobody knows what.
#[inline(always)]
fn no_request(segment: &Segment, connection: &mut Connection, now: u64) {
    connection.asking &= asking::PIPELINE | asking::END_KNOWN;
    if is_in_flight(connection) {
        if connection.asking & asking::END_KNOWN == 0 {
            touch(segment, connection, now);
        } else {
            lose_of(connection.settings, loss::UNPARSABLE);
        }
    } else if connection.flight == 0 {
        // Its very first bytes began like a method.
        connection.protocol = protocol::OTHER;
    }
}

/// Reads the header on to its end, or to that of the segment.
#[inline(always)]
fn read_on(
    segment: &Segment,
    connection: &mut Connection,
    place: u64,
    offset: &mut u32,
    length: u32,
    slot: u32,
    scratch: &mut Scratch,
    from: u32,
    to: u32,
) -> bool {
    let end = edge_read_head(slot, from, to);
    if connection.asking & asking::ROUTE_OPEN != 0 {
        let is_line_complete = end != 0 || scratch.head.line != from || to - from >= ROUTE_LINE;
        if from != START {
            find_route_again(segment, connection, scratch, from);
        }
        if is_line_complete {
            connection.asking &= !asking::ROUTE_OPEN;
        }
    }
    if end <= START || end > to {
        wait_for_more(segment, connection, scratch, length, 0);
        *offset += length;
        return true;
    }
    let read = end - START;
    *offset += read;
    let head = scratch.head;
    connection.asking &= asking::PIPELINE;
    if head.found & found::UNREADABLE != 0 {
        lose_of(connection.settings, loss::UNPARSABLE);
        complete(segment, connection);
        return false;
    }
    if head.found & found::CHUNKED != 0 {
        connection.asking |= asking::CHUNKED;
        return true;
    }
    connection.asking |= asking::END_KNOWN;
    connection.request_end = place + u64::from(read) + head.content_length;
    if head.content_length == 0 {
        complete(segment, connection);
    }
    true
}

#[inline(always)]
fn wait_for_more(
    segment: &Segment,
    connection: &mut Connection,
    scratch: &Scratch,
    length: u32,
    began_ns: u64,
) {
    let Some(pipeline) = pipeline::find_or_create(segment.sk, connection) else {
        connection.asking &= asking::PIPELINE;
        return;
    };
    keep(scratch, START + length, &mut pipeline.asked);
    pipeline.began_ns = began_ns;
    connection.asking |= asking::OPEN;
}

#[inline(always)]
fn find_route_again(segment: &Segment, connection: &mut Connection, scratch: &Scratch, from: u32) {
    let found = route(&scratch.window, from, connection.settings);
    if let Some(pipeline) = pipeline::find(segment.sk)
        && let Some(waiting) = pipeline::newest(pipeline)
    {
        waiting.route = found;
        return;
    }
    connection.route = found;
}

/// Whether the body in chunks is over after all: it was answered, and a request stands here.
#[inline(always)]
fn is_next(segment: &Segment, connection: &mut Connection, offset: u32) -> bool {
    if is_busy(connection) || segment.payload.wrapping_sub(offset) <= METHOD {
        return false;
    }
    let mut word = 0u64;
    // SAFETY: eight bytes into eight bytes.
    let rc = unsafe {
        bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset + offset,
            (&raw mut word).cast(),
            METHOD,
        )
    };
    let is_next = rc == 0 && method(u64::from_be(word)) != Method::None;
    if is_next {
        connection.asking &= asking::PIPELINE;
    }
    is_next
}

/// A body in chunks goes on. That it ends shows at the end of a segment alone.
#[inline(always)]
fn chunked(segment: &Segment, connection: &mut Connection) {
    touch(segment, connection, now());
    let mut tail = [0u8; 5];
    if segment.payload < 5 {
        return;
    }
    let end = segment.offset + segment.payload;
    // SAFETY: five bytes into five bytes.
    let rc = unsafe { bpf_skb_load_bytes(segment.skb.cast(), end - 5, tail.as_mut_ptr().cast(), 5) };
    if rc == 0
        && tail[0] == b'0'
        && tail[1] == b'\r'
        && tail[2] == b'\n'
        && tail[3] == b'\r'
        && tail[4] == b'\n'
    {
        connection.asking = (connection.asking & asking::PIPELINE) | asking::END_KNOWN;
        connection.request_end = connection.asked;
        complete(segment, connection);
    }
}

const _: () = assert!(WINDOW > ROUTE_LINE as usize);
