//! HTTP/2 connections: from their preface on, every frame of both directions is found, and what user
//! space needs of it is told.
//!
//! Nothing is decided here: paths and codes are compressed (see `probes_ebpf::http2_wire`). A request
//! that cannot be told any more is counted as `UNKNOWN` at once, so that requests begun = told + unknown.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{
        bpf_ktime_get_ns, bpf_loop, bpf_tail_call,
        generated::{bpf_get_socket_cookie, bpf_skb_load_bytes},
    },
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use probes_ebpf::{
    http2::{Direction, FRAME_HEADER, PREFACE, begins_request, frame_flag, kind},
    http2_wire::{ANSWERS, ASKS, Http2, event, mode},
    wire::{Connection, ROUTE_OTHER, flight, loss, protocol, role, what},
};

use crate::{
    answering::weather,
    connection::{self, endpoint, identify, refresh},
    count::{ask_of, count, lose_of, swap},
    http2_birth::upgrades,
    http2_early, http2_entry, http2_place,
    http2_record::{self, CHUNK},
    maps::{HTTP2, HTTP2_IN, HTTP2_OUT},
    segment::{PASS, Segment, control_segment, parse},
};

/// Steps along one segment and what was kept behind it, each a frame or a piece of one. A segment of the smallest
/// frames takes 8192 at most; nobody may keep this CPU for much longer.
const STEPS: u32 = 1 << 16;

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
    let role = connection.role;
    if segment.ingress != (role == role::SERVER) {
        return None;
    }
    // What it begins with is missing. Should that be a preface, this is what follows.
    let is_early = connection.protocol == protocol::UNDECIDED;
    let head = head(segment);
    let is_late = !is_early && head?[0] != b'P';
    if is_late && !begins_request(&head?) {
        return None;
    }
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    identify(connection, segment.skb.cast(), segment.sk, port, role);
    // Clients of services that nobody named are left alone.
    if role == role::CLIENT && connection.settings == 0 {
        return None;
    }
    let http2 = find(segment.sk, true)?;
    let preface = if is_early {
        connection.asked as u32
    } else {
        segment.seq
    };
    // SAFETY: a live map value, and the program's own context.
    unsafe {
        (*http2).cookie = bpf_get_socket_cookie(segment.skb.cast());
        (*http2).mode = if is_late { mode::LOST } else { mode::TRACKED };
        let asks = &mut (*http2).directions[ASKS];
        asks.next = preface.wrapping_add(if is_late { 0 } else { PREFACE });
        asks.is_placed = 1;
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

/// What a walk along one segment carries from step to step.
#[repr(C)]
pub struct Walk {
    pub skb: *mut __sk_buff,
    pub connection: *mut Connection,
    pub http2: *mut Http2,
    pub now: u64,
    pub remote: *const [u32; 4],
    pub asks: u16,
    pub is_ingress: u16,
}

impl Walk {
    #[inline(always)]
    pub fn direction(&mut self) -> &mut Direction {
        // SAFETY: a live map value.
        let http2 = unsafe { &mut *self.http2 };
        if self.asks != 0 {
            &mut http2.directions[ASKS]
        } else {
            &mut http2.directions[ANSWERS]
        }
    }
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
        http2_early::forget_ended(http2);
    }
}

/// Apart, as what comes behind it in the program needs room on the stack, too.
#[inline(never)]
fn follow_alone(segment: &Segment, connection: &mut Connection, http2: *mut Http2) {
    let asks = segment.ingress == (connection.role == role::SERVER);
    let mut walk = Walk {
        skb: segment.skb,
        connection,
        http2,
        // SAFETY: takes nothing.
        now: unsafe { bpf_ktime_get_ns() },
        remote: &raw const segment.remote,
        asks: u16::from(asks),
        is_ingress: u16::from(segment.ingress),
    };
    // SAFETY: a live map value.
    let mode = unsafe { (*http2).mode };
    if mode == mode::ENDED || mode == mode::LOST && !asks {
        return;
    }
    if unsafe { (*http2).owes_notice } != 0 {
        http2_record::tell_lost(&mut walk);
    }
    if !http2_place::place(&mut walk, segment) {
        return;
    }
    if !asks {
        weather(segment, connection);
    }
    // SAFETY: the callback takes an index and the context given here, which outlives the call.
    unsafe { bpf_loop(STEPS, step as *mut c_void, (&raw mut walk).cast(), 0) };
    if walk.direction().available != 0 {
        lost(&mut walk, loss::HTTP2_HOLE);
        unplace(&mut walk);
    }
}

#[inline(always)]
pub fn head(segment: &Segment) -> Option<[u8; 12]> {
    let mut head = [0u8; 12];
    // SAFETY: twelve bytes into twelve bytes.
    let rc = unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, head.as_mut_ptr().cast(), 12) };
    (rc == 0).then_some(head)
}

/// Where frames begin is not known any more.
#[inline(always)]
pub fn unplace(walk: &mut Walk) {
    let direction = walk.direction();
    direction.is_placed = 0;
    direction.is_raw = 0;
    direction.have = 0;
    direction.left = 0;
}

/// One frame header, or one piece of a payload. Not mangled would make it global, and a callback must
/// not be.
extern "C" fn step(_: u64, walk: *mut Walk) -> i64 {
    // SAFETY: the context `walk` passed.
    let walk = unsafe { &mut *walk };
    let direction = walk.direction();
    if direction.available == 0 && !http2_early::resume(walk) || http2_early::is_gone(walk) {
        return 1;
    }
    let direction = walk.direction();
    if !direction.in_payload() {
        if !take_header(walk) {
            return 0;
        }
        begin_frame(walk);
    }
    let is_tracked = unsafe { (*walk.http2).mode } == mode::TRACKED;
    let direction = walk.direction();
    let available = direction.available;
    let mut length = direction.left;
    if length > available {
        length = available;
    }
    let is_told = is_tracked && direction.is_told();
    if is_told {
        if length > CHUNK {
            length = CHUNK;
        }
        http2_record::tell_piece(walk, length);
        let is_lost = unsafe { (*walk.http2).mode } == mode::LOST;
        let direction = walk.direction();
        if is_lost && direction.is_raw != 0 {
            direction.available = 0;
            unplace(walk);
            return 1;
        }
    }
    let direction = walk.direction();
    let (kind, flags, stream) = (direction.kind, direction.flags, direction.stream);
    let ends = direction.take(length);
    direction.pass(length);
    if direction.is_raw != 0 {
        direction.stream = stream.wrapping_add(length);
        return 0;
    }
    if is_tracked && kind == kind::DATA {
        if flags & frame_flag::END_STREAM != 0 {
            if ends {
                http2_record::tell_end(walk);
            }
        } else if walk.asks != 0 && length != 0 {
            http2_record::uploads(walk, stream);
        }
    }
    0
}

/// Whether a whole frame header has been taken.
#[inline(always)]
fn take_header(walk: &mut Walk) -> bool {
    let direction = walk.direction();
    if direction.have == 0 && direction.available >= FRAME_HEADER {
        let mut header = [0u8; FRAME_HEADER as usize];
        http2_early::read(walk, header.as_mut_ptr().cast(), FRAME_HEADER);
        let direction = walk.direction();
        direction.pass(FRAME_HEADER);
        direction.begin(&header);
        return true;
    }
    let mut byte = 0u8;
    http2_early::read(walk, (&raw mut byte).cast(), 1);
    let direction = walk.direction();
    direction.pass(1);
    direction.take_header_byte(byte);
    direction.in_payload()
}

/// A request begins with HEADERS on a stream higher than any before.
#[inline(always)]
fn begin_frame(walk: &mut Walk) {
    let direction = walk.direction();
    let (kind, stream) = (direction.kind, direction.stream);
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&mut *walk.http2, &mut *walk.connection) };
    if walk.asks == 0 || kind != kind::HEADERS || stream <= http2.last_stream {
        return;
    }
    http2.last_stream = stream;
    refresh(connection, connection.role);
    if connection.role == role::SERVER && connection.settings != 0 {
        // SAFETY: the segment's own, which outlives the walk.
        ask_of(connection, unsafe { &*walk.remote }, walk.now);
    }
    if http2.mode == mode::LOST {
        count_unknown(connection);
    }
}

#[inline(always)]
pub fn count_unknown(connection: &Connection) {
    let endpoint = endpoint(connection, connection.role);
    count(&endpoint, connection.settings, ROUTE_OTHER, what::UNKNOWN, 1);
}

/// From now on the kernel counts the requests of this connection, as unknown.
#[inline(always)]
pub fn lost(walk: &mut Walk, reason: u32) {
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *walk.http2 };
    if http2.mode == mode::TRACKED {
        http2.mode = mode::LOST;
        if walk.is_ingress != 0 {
            http2_early::forget(http2);
        }
        // SAFETY: a live map value.
        lose_of(unsafe { (*walk.connection).settings }, reason);
        http2_record::tell_lost(walk);
    }
}

/// The connection has ended under its requests; `outcome` says by whom.
#[inline(always)]
pub fn closed(sk: *mut c_void, connection: &Connection, outcome: u16) {
    let Some(http2) = find(sk, false) else {
        return;
    };
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *http2 };
    if http2.mode == mode::TRACKED {
        http2_record::tell_event(http2, connection, event::CLOSED, outcome);
    }
    http2.mode = mode::ENDED;
    http2_early::forget_ended(http2);
}
