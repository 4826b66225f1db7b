//! Segments that ask: requests that begin, and bodies that go on.
//!
//! A request that comes whole and alone, as nearly all do, is dealt with here; the rest in `pieces`.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_tcp_sock};
use probes_ebpf::{
    conversation::{Standing, body_goes_on, is_busy, is_of_a_size, position, standing, touch, whole},
    http1::Method,
    wire::{Connection, asking, asks, birth, protocol, role, spare::AHEAD},
};

use crate::{
    answering::is_repeated,
    connection::{find_or_create, identify},
    conversation::Kernel,
    count::ask_of,
    http2, pieces,
    pipeline::{self, Socket},
    scratch::{claim, release},
    segment::{Segment, rest},
};

/// The first request that is seen of a connection, or the next of one older than the probe.
#[inline(always)]
pub fn first_request(
    segment: &Segment,
    known: Option<*mut Connection>,
    role: u8,
    method: Method,
) -> Option<*mut Connection> {
    if was_seen(segment) {
        return None;
    }
    let found = known.or_else(|| find_or_create(segment.sk))?;
    // SAFETY: a live map value.
    let connection = unsafe { &mut *found };
    // The body of an answer may begin like a request: only one side of a connection asks.
    let opposite = if role == role::SERVER {
        birth::OPENED
    } else {
        birth::ACCEPTED
    };
    if connection.birth == opposite {
        return None;
    }
    let start = position(connection, segment.seq);
    // An answer that came early leaves the rest of a body behind it, which may begin like one too.
    if connection.role == role && connection.asking & asking::END_KNOWN != 0 && start < connection.request_end
    {
        return None;
    }
    if method == Method::Http2 {
        return http2::begins(segment, Some(found), role);
    }
    connection.protocol = protocol::HTTP1;
    connection.role = role;
    connection.asked = u64::from(segment.seq);
    connection.asking &= asking::PIPELINE;
    connection.spare[AHEAD] = 0;
    Some(found)
}

/// A segment in the direction of requests, on a connection where they are HTTP/1. One of [`rest`].
#[inline(always)]
pub fn ask(segment: &Segment, connection: &mut Connection) -> u32 {
    let role = connection.role;
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    let is_idle = !is_busy(connection);
    if is_idle {
        identify(connection, segment.skb.cast(), segment.sk, port, role);
    }
    if role == role::CLIENT && connection.settings == 0 {
        pass_over(connection, segment);
        return rest::NOTHING;
    }
    if connection.asks & asks::LAST_BYTE != 0 && connection.asking & asking::PIPELINE == 0 {
        // What follows answers keeps its place there.
        let _ = pipeline::find_or_create(segment.sk, connection);
    }
    let start = position(connection, segment.seq);
    match standing(connection, start, segment.payload) {
        Standing::Again => {
            // Or it fills a gap, and the request is not here before it is. What a listener with a full queue
            // turned away was here: its client has waited since.
            let was_turned_away = segment.seq == connection.request_seq;
            if !is_idle && !was_turned_away && !was_seen(segment) {
                touch(&mut Socket(segment.sk), connection, now());
            }
            rest::NOTHING
        }
        Standing::Body => {
            let mut edge = Kernel { segment, slot: 0 };
            body_goes_on(
                &mut edge,
                &mut Socket(segment.sk),
                connection,
                start,
                segment.payload,
            );
            rest::NOTHING
        }
        Standing::Alone if is_of_a_size(segment.payload) && is_whole(segment, connection, start) => {
            rest::NOTHING
        }
        _ => pieces::visit(segment, connection, start),
    }
}

/// What nobody asks about is no request, and nothing is missing once somebody does.
#[inline(always)]
fn pass_over(connection: &mut Connection, segment: &Segment) {
    let end = position(connection, segment.seq) + u64::from(segment.payload);
    if end > connection.asked {
        connection.asked = end;
        connection.request_end = end;
        connection.asking = (connection.asking & asking::PIPELINE) | asking::END_KNOWN;
    }
}

/// Takes a request without a body that is all of the segment; says whether it is one.
#[inline(always)]
fn is_whole(segment: &Segment, connection: &mut Connection, start: u64) -> bool {
    let Some((slot, scratch)) = claim() else {
        return false;
    };
    let mut edge = Kernel { segment, slot };
    let is_whole = whole(&mut edge, connection, scratch, start, segment.payload);
    release(scratch);
    is_whole
}

/// Counts the request for the address it came from.
#[inline(always)]
pub fn charge(segment: &Segment, connection: &mut Connection, now: u64) {
    if connection.role == role::SERVER && connection.settings != 0 {
        ask_of(connection, &segment.remote, now);
    }
}

#[inline(always)]
fn was_seen(segment: &Segment) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    !tcp.is_null() && is_repeated(segment, tcp)
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
