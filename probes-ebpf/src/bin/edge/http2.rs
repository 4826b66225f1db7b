//! HTTP/2 connections: from their preface on, every frame of both directions is found, and what user
//! space needs of it is told.
//!
//! Nothing is decided here: paths and codes are compressed (see `probes_ebpf::http2_wire`). A request
//! that cannot be told any more is counted as `UNKNOWN` at once, so that requests begun = told + unknown.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_loop, bpf_tail_call, generated::bpf_get_socket_cookie},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use probes_ebpf::{
    http2::walk::{self, STEPS, Span, arrive, joins, leave},
    http2_wire::{Http2, event, mode},
    wire::{Connection, birth, flight, loss, protocol, role},
};

use crate::{
    answering::weather,
    connection::{self, identify},
    count::{lose_of, swap},
    http2_birth::upgrades,
    http2_edge::{Walk, tell_event},
    http2_entry,
    maps::{HTTP2, HTTP2_IN, HTTP2_OUT},
    reading::bytes,
    segment::{PASS, Segment, control_segment, parse},
};

#[cgroup_skb(ingress)]
pub fn edge_http2_in(context: SkBuffContext) -> i32 {
    segment(&context, true)
}

#[cgroup_skb(egress)]
pub fn edge_http2_out(context: SkBuffContext) -> i32 {
    segment(&context, false)
}

/// Goes over to the program that follows HTTP/2, and does not come back: the walk needs a stack and a
/// verifier's patience of its own. Without that program (an old kernel) this does nothing.
#[inline(always)]
pub fn walk(segment: &Segment) {
    let program = if segment.ingress {
        &raw const HTTP2_IN
    } else {
        &raw const HTTP2_OUT
    };
    // SAFETY: the program's own context.
    unsafe { bpf_tail_call(segment.skb.cast(), program.cast_mut().cast(), 0) };
}

/// A client said that it speaks HTTP/2, or a segment looks as if one had.
#[inline(always)]
pub fn begins(segment: &Segment, known: Option<*mut Connection>, role: u8) -> Option<*mut Connection> {
    let found = known.or_else(|| connection::find_or_create(segment.sk))?;
    // SAFETY: a live map value.
    let connection = unsafe { &mut *found };
    connection.protocol = protocol::HTTP2;
    connection.role = role;
    // What was taken for a turn of another protocol was none.
    let idle = connection.flight & !((1 << flight::ORDINAL_SHIFT) - 1);
    swap(&raw mut connection.flight, idle);
    Some(found)
}

#[inline(always)]
fn segment(context: &SkBuffContext, ingress: bool) -> i32 {
    let Some(headers) = parse(context, ingress) else {
        return PASS;
    };
    let segment = &headers.segment;
    let Some(connection) = connection::find(segment.sk) else {
        return PASS;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    let is_followed = connection.protocol != protocol::SWITCHED || upgrades(segment, connection);
    if is_followed && let Some(http2) = find_or_begin(segment, connection) {
        follow(segment, connection, http2);
    }
    if headers.has_end {
        control_segment(segment, false);
    }
    PASS
}

#[inline(always)]
fn find_or_begin(segment: &Segment, connection: &mut Connection) -> Option<*mut Http2> {
    if let Some(http2) = find(segment.sk, false) {
        return Some(http2);
    }
    let role = if segment.ingress {
        role::SERVER
    } else {
        role::CLIENT
    };
    let is_unseen = connection.birth == birth::UNSEEN;
    if connection.role != role && !is_unseen {
        return None;
    }
    let is_early = connection.protocol == protocol::UNDECIDED;
    let (first, head) = (
        bytes(segment.skb, segment.offset),
        bytes(segment.skb, segment.offset),
    );
    let is_late = joins(connection.protocol, first, head)?;
    // An answer may begin as a request does. Which it is, who listens tells; settings may be a cgroup's, which asks, too.
    if is_late && is_unseen && connection::serves(segment) != (role == role::SERVER) {
        return None;
    }
    connection.role = role;
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    identify(connection, segment.skb.cast(), segment.sk, port, role);
    // Clients of services that nobody named are left alone.
    if connection.settings == 0 && role == role::CLIENT {
        return None;
    }
    let http2 = find(segment.sk, true)?;
    let first = if is_early {
        connection.asked as u32
    } else {
        segment.seq
    };
    // SAFETY: a live map value, and the program's own context.
    unsafe {
        let cookie = bpf_get_socket_cookie(segment.skb.cast());
        walk::begin(&mut *http2, cookie, first, is_late);
    }
    if is_late {
        lose_of(connection.settings, loss::HTTP2_JOINED_LATE);
    }
    Some(http2)
}

#[inline(always)]
pub fn find(sk: *mut c_void, create: bool) -> Option<*mut Http2> {
    connection::stored(&raw const HTTP2, sk, create)
}

/// What leaves is in order and one by one, by the socket's own lock; what comes in is not.
#[inline(always)]
fn follow(segment: &Segment, connection: &mut Connection, http2: *mut Http2) {
    if segment.ingress && !http2_entry::enter(http2) {
        // What is behind it will find a hole.
        lose_of(connection.settings, loss::INTERRUPTED);
        return;
    }
    follow_alone(segment, connection, http2);
    if segment.ingress {
        http2_entry::leave(http2);
        http2_entry::forget_ended(http2);
    }
}

/// Apart, as what comes behind it in the program needs room on the stack, too.
#[inline(never)]
fn follow_alone(segment: &Segment, connection: &mut Connection, http2: *mut Http2) {
    let asks = segment.ingress == (connection.role == role::SERVER);
    let mut walk = Walk {
        skb: segment.skb,
        sk: segment.sk,
        connection,
        http2,
        // SAFETY: takes nothing.
        now: unsafe { bpf_ktime_get_ns() },
        remote: &raw const segment.remote,
        asks: u16::from(asks),
        is_ingress: u16::from(segment.ingress),
    };
    let span = Span {
        offset: segment.offset,
        payload: segment.payload,
        seq: segment.seq,
    };
    if !arrive(&mut walk, &span) {
        return;
    }
    if !asks {
        weather(segment, connection);
    }
    // SAFETY: the callback takes an index and the context given here, which outlives the call.
    unsafe { bpf_loop(STEPS, step as *mut c_void, (&raw mut walk).cast(), 0) };
    leave(&mut walk);
}

/// Not mangled would make it global, and a callback must not be.
extern "C" fn step(_: u64, walk: *mut Walk) -> i64 {
    // SAFETY: the context `follow_alone` passed.
    i64::from(!walk::step(unsafe { &mut *walk }))
}

/// The connection has ended under its requests; `outcome` says by whom.
#[inline(always)]
pub fn closed(sk: *mut c_void, connection: &Connection, outcome: u16) {
    let Some(http2) = find(sk, false) else {
        return;
    };
    // SAFETY: a live map value.
    let ended = unsafe { &mut *http2 };
    if ended.mode == mode::TRACKED {
        tell_event(ended, connection, event::CLOSED, outcome);
    }
    ended.mode = mode::ENDED;
    http2_entry::forget_ended(http2);
}
