//! Segments that ask: the one that begins a request, and those that go on with it.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use probes_ebpf::wire::{Connection, SourceKey, birth, flag, loss, protocol, role};

use crate::{
    body,
    connection::{find_or_create, identify},
    count::{lose, source},
    http::{Method, bounds, method, route},
    request::begin,
    segment::{Segment, is_repeated},
};

#[inline(always)]
pub fn request_begins(
    segment: &Segment,
    known: Option<*mut Connection>,
    role: u8,
    method: Method,
    remote: &[u32; 4],
) {
    if is_repeated(segment) {
        return;
    }
    let Some(connection) = known.or_else(|| find_or_create(segment.sk)) else {
        return;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    // The body of an answer may begin like a request: only one side of a connection asks.
    let opposite = if role == role::SERVER {
        birth::OPENED
    } else {
        birth::ACCEPTED
    };
    if connection.birth == opposite {
        return;
    }
    // An answer that came early leaves the rest of a body behind it, which may begin like one too.
    if connection.role == role
        && connection.flags & flag::END_KNOWN != 0
        && (segment.seq.wrapping_sub(connection.request_end) as i32) < 0
    {
        return;
    }
    if method == Method::Http2 {
        connection.protocol = protocol::HTTP2;
        return;
    }
    connection.protocol = protocol::HTTP1;
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    connection.role = role;
    identify(connection, segment.skb.cast(), segment.sk, port, role);
    if role == role::CLIENT && connection.settings == 0 {
        return;
    }
    let (request_end, ends) = bounds(segment, method);
    connection.route = route(segment, connection.settings);
    connection.request_seq = segment.seq;
    connection.request_end = request_end;
    connection.flags = (connection.flags & !(flag::END_KNOWN | flag::COMPLETE)) | ends;
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    begin(connection, role, now, now);
    if role == role::SERVER && connection.settings != 0 {
        source(&SourceKey {
            address: *remote,
            settings: connection.settings,
            pad: 0,
        });
    }
}

#[inline(always)]
pub fn request_goes_on(segment: &Segment, connection: &mut Connection, word: u64) {
    if segment.seq == connection.request_seq || is_repeated(segment) {
        return;
    }
    let known = connection.flags & flag::END_KNOWN != 0;
    let is_next = if known {
        (segment.seq.wrapping_sub(connection.request_end) as i32) >= 0
    } else {
        connection.flags & flag::COMPLETE != 0 && method(word) != Method::None
    };
    if is_next {
        lose(loss::PIPELINED);
        return;
    }
    // SAFETY: takes nothing.
    connection.last_byte_ns = unsafe { bpf_ktime_get_ns() };
    let last = segment.seq.wrapping_add(segment.payload);
    if known {
        if (last.wrapping_sub(connection.request_end) as i32) >= 0 {
            connection.flags |= flag::COMPLETE;
        }
    } else if connection.flags & flag::COMPLETE == 0
        && segment.payload >= 5
        && body::ends_chunked(segment.skb.cast(), segment.offset + segment.payload)
    {
        connection.flags |= flag::COMPLETE;
    }
}
