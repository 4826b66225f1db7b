//! Connections whose protocol nobody here reads: a turn is what the client says until the server
//! speaks. Its time is from the client's last byte to the server's first, its status is not known.
//!
//! A turn is no more than what TCP shows of a request. Several requests sent at once are one turn;
//! bytes that the client sends while an answer is still under way to it begin none, which keeps
//! acknowledgements of multiplexed protocols out. What a server says unasked answers nothing.
//!
//! Some protocols only ever speak one way, so a turn is held against a server once its endpoint has
//! answered one, not before. A client that closes sooner than an answer could have reached it wanted none.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_tcp_sock, generated::bpf_skb_load_bytes};
use probes_ebpf::{
    http2,
    opening::{GOODBYE, OPENING, is_goodbye, protocol_of},
    wire::{Connection, CountKey, ROUTE_OTHER, birth, flight, protocol, request, role, turn, what},
};

use crate::{
    answering::weather,
    connection::{endpoint, find_or_create, identify, is_in_flight},
    count::{ask_of, swap},
    maps::{COUNTS, ENDPOINTS},
    request::{begin, end},
    segment::{Segment, rest},
    tls,
};

/// How many turns in clear there may be before a connection turns to TLS.
const CLEAR_WORDS: u64 = 8;
/// Added to the round trip time: a process takes a moment from its last word to its close.
const GOODBYE_NS: u64 = 1_000_000;

/// Whether `connection` is counted by turns.
#[inline(always)]
pub fn is_opaque(connection: &Connection) -> bool {
    connection.protocol == protocol::TLS || connection.protocol == protocol::OTHER
}

/// Deals with a segment of a connection that is known to be counted by turns; one of [`rest`] if it was one.
/// Those older than the probe are only thought to be: they are asked about once it is seen that no HTTP begins.
#[inline(always)]
pub fn takes(segment: &Segment, connection: &mut Connection, remote: &[u32; 4]) -> Option<u32> {
    if connection.birth == birth::UNSEEN {
        return None;
    }
    if connection.protocol == protocol::UNDECIDED && !is_in_flight(connection) {
        if is_early(segment, connection) {
            // Of all protocols, it is HTTP/2 that cannot be read without it.
            connection.role = role::SERVER;
            return Some(rest::HTTP2);
        }
        decide(segment, connection);
    }
    if !is_opaque(connection) {
        return None;
    }
    take(segment, connection, remote);
    Some(rest::NOTHING)
}

/// Whether what a client begins with is still missing: TCP brings it later.
#[inline(always)]
fn is_early(segment: &Segment, connection: &mut Connection) -> bool {
    if !segment.ingress || connection.birth != birth::ACCEPTED || connection.asked == 0 {
        return false;
    }
    let ahead = segment.seq.wrapping_sub(connection.asked as u32) as i32;
    if ahead <= 0 {
        connection.role = 0;
        // What is here may be too little to tell what it is.
        let end = (ahead as u32).wrapping_add(segment.payload);
        if (end as i32) > 0 {
            connection.asked += u64::from(end);
        }
        return false;
    }
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return false;
    }
    // What a listener took (TCP_DEFER_ACCEPT, data in the SYN) did not pass here, and is not missing.
    // SAFETY: not null.
    let next = unsafe { (&raw const (*tcp).rcv_nxt).read_volatile() };
    segment.seq.wrapping_sub(next) as i32 > 0
}

/// What a connection speaks that was seen from birth, by its first bytes.
#[inline(always)]
fn decide(segment: &Segment, connection: &mut Connection) {
    let is_asked = segment.ingress == (connection.birth == birth::ACCEPTED);
    let mut bytes = [0u32; OPENING / 4];
    let length = if segment.payload < OPENING as u32 {
        segment.payload
    } else {
        OPENING as u32
    };
    // Keeps the bounds 1 and 12 visible to the verifier.
    let length = (length.wrapping_sub(1) & 15) + 1;
    if length > OPENING as u32 {
        return;
    }
    // SAFETY: at most twelve bytes into twelve.
    let rc = unsafe {
        bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset,
            bytes.as_mut_ptr().cast(),
            length,
        )
    };
    if rc != 0 {
        return;
    }
    // SAFETY: as many bytes of a type that any bytes are.
    let bytes: [u8; OPENING] = unsafe { core::mem::transmute(bytes) };
    if is_asked {
        let found = protocol_of(&bytes, length);
        // Who reads HTTP/2 decides that by itself.
        if found != protocol::HTTP2 && !http2::begins_request(&bytes) {
            connection.protocol = found;
        }
    } else if !(bytes[0] == b'H' && bytes[1] == b'T' && bytes[2] == b'T' && bytes[3] == b'P')
        && !http2::is_settings(&bytes)
    {
        connection.protocol = if bytes[0] == 0x16 && bytes[1] == 3 {
            protocol::TLS
        } else {
            protocol::OTHER
        };
    }
}

/// A segment that begins nothing HTTP, of a connection older than the probe: turns are taken if it is a
/// server's. The decision is tentative, HTTP shows sooner or later.
#[inline(always)]
pub fn join(segment: &Segment, known: Option<*mut Connection>, remote: &[u32; 4]) {
    let Some(connection) = known.or_else(|| find_or_create(segment.sk)) else {
        return;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    if connection.birth != birth::UNSEEN {
        return;
    }
    if connection.protocol == protocol::UNDECIDED {
        identify(
            connection,
            segment.skb.cast(),
            segment.sk,
            segment.local_port,
            role::SERVER,
        );
        if connection.settings == 0 || !listens(connection) {
            return;
        }
        connection.role = role::SERVER;
        connection.protocol = protocol::OTHER;
        if tls::begins_record(segment) {
            connection.protocol = protocol::TLS;
            connection.spare[turn::WORD] = probes_ebpf::tls::state::JOINED;
        }
    }
    if is_opaque(connection) {
        take(segment, connection, remote);
    }
}

/// Whether the local port is one that somebody listens on, and not a client's own.
#[inline(always)]
fn listens(connection: &Connection) -> bool {
    let mut key = endpoint(connection, role::SERVER);
    if ENDPOINTS.get_ptr(&key).is_some() {
        return true;
    }
    key.netns = 0;
    key.cgroup = 0;
    ENDPOINTS.get_ptr(&key).is_some()
}

/// The server answers in HTTP after all. The turn in flight is the rest of a request that began before the
/// probe did, so it is dropped, and the answer counts as one to such a request.
#[inline(always)]
pub fn is_http_after_all(segment: &Segment, connection: &mut Connection) {
    let idle = connection.flight & !((1 << flight::ORDINAL_SHIFT) - 1);
    // An exchange, as the iterator may be booking it as overdue.
    swap(&raw mut connection.flight, idle);
    connection.protocol = protocol::HTTP1;
    connection.response_seq = segment.seq.wrapping_sub(1);
}

/// The connection is born of the first words of a client whose protocol nobody here reads: a listener took them.
#[inline(always)]
pub fn born(connection: &mut Connection, seq: u32, length: u32, now: u64) {
    connection.protocol = protocol::OTHER;
    connection.role = role::SERVER;
    connection.client_end = seq.wrapping_add(length);
    connection.spare[turn::WORD] = turn::ASKED;
    connection.route = ROUTE_OTHER;
    connection.request_seq = seq;
    connection.request = request::COMPLETE;
    begin(connection, role::SERVER, now, now);
}

/// Takes a segment with payload of a connection that is counted by turns.
#[inline(always)]
pub fn take(segment: &Segment, connection: &mut Connection, remote: &[u32; 4]) {
    let role = match connection.birth {
        birth::ACCEPTED => role::SERVER,
        birth::OPENED => role::CLIENT,
        _ => connection.role,
    };
    let last = segment.seq.wrapping_add(segment.payload);
    let is_client = segment.ingress == (role == role::SERVER);
    match (connection.protocol == protocol::TLS, is_client) {
        (true, true) => tls::asks(segment, connection, role, last, remote),
        (true, false) => tls::answers(segment, connection, last),
        (false, true) => asks(segment, connection, role, last, remote),
        (false, false) => answers(segment, connection, last),
    }
}

#[inline(always)]
fn asks(segment: &Segment, connection: &mut Connection, role: u8, last: u32, remote: &[u32; 4]) {
    let state = connection.spare[turn::WORD];
    if state & turn::ASKED != 0 && is_up_to(last, connection.client_end) {
        return;
    }
    connection.client_end = last;
    connection.spare[turn::WORD] = state | turn::ASKED;
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    if is_in_flight(connection) {
        connection.last_byte_ns = now;
        return;
    }
    let may_begin_tls = connection.flight >> flight::ORDINAL_SHIFT < CLEAR_WORDS;
    if may_begin_tls && tls::begins_handshake(segment) {
        connection.protocol = protocol::TLS;
        connection.spare[turn::WORD] = 0;
        tls::asks(segment, connection, role, last, remote);
        return;
    }
    if !is_mid_answer(segment, connection, role) && !says_goodbye(segment) {
        begins(segment, connection, role, now, remote);
    }
}

/// Whether this is the last that a client says, which nobody answers: the server may close before it does.
#[inline(always)]
fn says_goodbye(segment: &Segment) -> bool {
    let mut word = 0u64;
    if segment.payload != GOODBYE {
        return false;
    }
    // SAFETY: five bytes into eight.
    let rc = unsafe {
        bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset,
            (&raw mut word).cast(),
            GOODBYE,
        )
    };
    rc == 0 && is_goodbye(u64::from_be(word))
}

/// Whether the server is still speaking to whoever sent this. Only its own side knows what has reached the client.
#[inline(always)]
pub fn is_mid_answer(segment: &Segment, connection: &Connection, role: u8) -> bool {
    connection.spare[turn::WORD] & turn::ANSWERED != 0
        && role == role::SERVER
        && segment.ack != connection.response_seq
        && is_up_to(segment.ack, connection.response_seq)
}

/// Begins a turn, unless it is one of a client that nobody named.
#[inline(always)]
pub fn begins(segment: &Segment, connection: &mut Connection, role: u8, now: u64, remote: &[u32; 4]) -> bool {
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    identify(connection, segment.skb.cast(), segment.sk, port, role);
    if role == role::CLIENT && connection.settings == 0 {
        return false;
    }
    connection.route = ROUTE_OTHER;
    connection.request_seq = segment.seq;
    connection.request = request::COMPLETE;
    connection.spare[turn::WORD] &= !turn::DOUBTFUL;
    begin(connection, role, now, now);
    if role == role::SERVER && connection.settings != 0 {
        ask_of(connection, remote, now);
    }
    true
}

#[inline(always)]
fn answers(segment: &Segment, connection: &mut Connection, last: u32) {
    let state = connection.spare[turn::WORD];
    if state & turn::ANSWERED != 0 && is_up_to(last, connection.response_seq) {
        return;
    }
    connection.response_seq = last;
    connection.spare[turn::WORD] = state | turn::ANSWERED;
    if is_in_flight(connection) {
        answered(segment, connection);
    }
}

/// The turn in flight is answered by this segment.
#[inline(always)]
pub fn answered(segment: &Segment, connection: &mut Connection) {
    weather(segment, connection);
    end(connection, what::ANSWERED);
}

/// One side has sent FIN: the peer of a socket in `role`s of [`role::SERVER`], the socket's own of clients.
#[inline(always)]
pub fn closes(segment: &Segment, connection: &mut Connection, role: u8) {
    if connection.role != role || !is_opaque(connection) || !is_in_flight(connection) {
        return;
    }
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return;
    }
    // SAFETY: not null; and the clock takes nothing.
    let (rtt_ns, now) = unsafe { (u64::from((*tcp).srtt_us >> 3) * 1000, bpf_ktime_get_ns()) };
    if now.saturating_sub(connection.last_byte_ns) < rtt_ns + GOODBYE_NS {
        connection.spare[turn::WORD] |= turn::DOUBTFUL;
    }
}

/// What an end at this time is worth, and when it was; `None` when it counts as nothing.
#[inline(always)]
pub fn judge(connection: &mut Connection, outcome: u16, now: u64) -> Option<(u16, u64)> {
    if let Some(answered) = tls::held_answer(connection) {
        return Some((what::ANSWERED, answered));
    }
    if outcome == what::ANSWERED {
        return Some((outcome, now));
    }
    if connection.spare[turn::WORD] & turn::DOUBTFUL != 0 {
        return None;
    }
    if outcome != what::RESET_BY_SERVER && !has_answered(connection) {
        // No time of it is held against anyone.
        connection.request &= !request::COMPLETE;
        return Some((what::UNKNOWN, now));
    }
    Some((outcome, now))
}

/// Whether nobody can say that the turn in flight waits for an answer.
#[inline(always)]
pub fn is_doubtful(connection: &Connection) -> bool {
    is_opaque(connection)
        && (connection.spare[turn::WORD] & turn::DOUBTFUL != 0
            || tls::held_answer(connection).is_some()
            || !has_answered(connection))
}

/// Whether the endpoint has ever answered a turn, under the settings of this one.
#[inline(always)]
fn has_answered(connection: &Connection) -> bool {
    let key = CountKey {
        endpoint: endpoint(connection, connection.role),
        settings: connection.request_settings,
        route: ROUTE_OTHER,
        what: what::ANSWERED,
    };
    COUNTS.get_ptr(&key).is_some()
}

/// In sequence numbers.
#[inline(always)]
pub fn is_up_to(seq: u32, end: u32) -> bool {
    seq.wrapping_sub(end) as i32 <= 0
}
