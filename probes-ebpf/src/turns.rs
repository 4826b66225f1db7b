//! Connections whose protocol nobody here reads: a turn is what the client says until the server
//! speaks. Its time is from the client's last byte to the server's first, its status is not known.
//!
//! A turn is no more than what TCP shows of a request. Several requests sent at once are one turn;
//! bytes that the client sends while an answer is still under way to it begin none, which keeps
//! acknowledgements of multiplexed protocols out. What a server says unasked answers nothing.
//!
//! Some protocols only ever speak one way, so a turn is held against a server once its endpoint has
//! answered one, not before. A client that closes sooner than an answer could have reached it wanted none.
//!
//! In: a segment, and its connection's record. Out: the record as it is after it. All else is asked of [`Edge`], so
//! that the same code runs in the kernel at a socket, and on the host over bytes that a test chose.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a checked conversion costs the kernel a branch"
)]

mod records;

pub use records::{held_answer, of_hello, read_client, read_server};

use crate::{
    conversation::{Exchange, begin, is_in_flight},
    http2,
    opening::{GOODBYE, OPENING, is_goodbye, protocol_of},
    tls::{self, Payload},
    wire::{Connection, ROUTE_OTHER, birth, flight, protocol, request, role, turn, what},
};

/// How many turns in clear there may be before a connection turns to TLS.
const CLEAR_WORDS: u64 = 8;
/// Added to the round trip time: a process takes a moment from its last word to its close.
const GOODBYE_NS: u64 = 1_000_000;

/// A segment with data, and what is done and asked on a turn's behalf.
pub trait Edge: Exchange + Payload {
    fn is_ingress(&self) -> bool;
    fn seq(&self) -> u32;
    fn ack(&self) -> u32;
    /// The first bytes, of which `length` are there.
    fn opening(&mut self, length: u32) -> Option<[u8; OPENING]>;
    fn now(&mut self) -> u64;
    /// Up to where TCP has received, which it may not tell.
    fn received(&mut self) -> Option<u32>;
    /// Whether TCP has not had all of the segment before.
    fn is_new(&mut self) -> bool;
    fn round_trip_ns(&mut self) -> Option<u64>;
    /// Fills what the socket can tell, and looks its settings up when they may have changed.
    fn identify(&mut self, connection: &mut Connection, role: u8);
    /// Whether the local port is one that somebody listens on, and not a client's own.
    fn listens(&mut self, connection: &Connection) -> bool;
    /// Counts a turn for the address it came from.
    fn charge(&mut self, connection: &mut Connection, now: u64);
    /// An answer leaves.
    fn weather(&mut self, connection: &mut Connection);
    /// Ends the turn in flight.
    fn end(&mut self, connection: &mut Connection, outcome: u16);
    /// [`tls::client_hello`].
    fn read_hello(&mut self) -> u64;
    /// [`read_client`].
    fn read_client(&mut self, at: u32, state: u64) -> u64;
    /// [`read_server`].
    fn read_server(&mut self, state: u64) -> u64;
}

/// Whether `connection` is counted by turns.
#[inline(always)]
#[must_use]
pub fn is_opaque(connection: &Connection) -> bool {
    connection.protocol == protocol::TLS || connection.protocol == protocol::OTHER
}

/// What has become of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is not, or not yet, one of a connection that is counted by turns.
    Not,
    /// It was part of a turn.
    Turn,
    /// What a client begins with is missing, and comes later. Of all protocols, it is HTTP/2 that cannot be read
    /// without it.
    Early,
}

/// Deals with a segment of a connection that is known to be counted by turns.
/// Those older than the probe are only thought to be: they are asked about once it is seen that no HTTP begins.
#[inline(always)]
pub fn takes(edge: &mut impl Edge, connection: &mut Connection) -> Taken {
    if connection.birth == birth::UNSEEN {
        return Taken::Not;
    }
    if connection.protocol == protocol::UNDECIDED && !is_in_flight(connection) {
        if is_stray(edge) {
            return Taken::Turn;
        }
        if is_early(edge, connection) {
            connection.role = role::SERVER;
            return Taken::Early;
        }
        decide(edge, connection);
    }
    if !is_opaque(connection) {
        return Taken::Not;
    }
    take(edge, connection);
    Taken::Turn
}

/// Whether TCP had all of it before, if it was ever said: who keeps a silent connection alive may send the byte in front
/// of the next one, which at first is none. Where it has had nothing yet, nothing was repeated: an answer may come before the
/// handshake's is taken up.
#[inline(always)]
fn is_stray(edge: &mut impl Edge) -> bool {
    edge.is_ingress() && edge.received() != Some(0) && !edge.is_new()
}

/// Whether what a client begins with is still missing: TCP brings it later.
#[inline(always)]
fn is_early(edge: &mut impl Edge, connection: &mut Connection) -> bool {
    if !edge.is_ingress() || connection.birth != birth::ACCEPTED || connection.asked == 0 {
        return false;
    }
    let ahead = edge.seq().wrapping_sub(connection.asked as u32) as i32;
    if ahead <= 0 {
        connection.role = 0;
        // What is here may be too little to tell what it is.
        let end = (ahead as u32).wrapping_add(edge.length());
        if (end as i32) > 0 {
            connection.asked += u64::from(end);
        }
        return false;
    }
    // What a listener took (TCP_DEFER_ACCEPT, data in the SYN) did not pass here, and is not missing.
    match edge.received() {
        Some(next) => edge.seq().wrapping_sub(next) as i32 > 0,
        None => false,
    }
}

/// What a connection speaks that was seen from birth, by its first bytes.
#[inline(always)]
fn decide(edge: &mut impl Edge, connection: &mut Connection) {
    let is_asked = edge.is_ingress() == (connection.birth == birth::ACCEPTED);
    let length = if edge.length() < OPENING as u32 {
        edge.length()
    } else {
        OPENING as u32
    };
    let Some(bytes) = edge.opening(length) else {
        return;
    };
    if is_asked {
        let found = protocol_of(&bytes, length);
        // Who reads HTTP/2 decides that by itself.
        if found != protocol::HTTP2 && !http2::begins_request(&bytes) {
            connection.protocol = found;
        }
    } else if bytes[..4] != *b"HTTP" && !bytes.first_chunk().is_some_and(http2::is_settings) {
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
pub fn join(edge: &mut impl Edge, connection: &mut Connection) {
    if connection.birth != birth::UNSEEN {
        return;
    }
    if connection.protocol == protocol::UNDECIDED {
        if is_stray(edge) {
            return;
        }
        edge.identify(connection, role::SERVER);
        if connection.settings == 0 || !edge.listens(connection) {
            return;
        }
        connection.role = role::SERVER;
        connection.protocol = protocol::OTHER;
        if records::begins_record(edge) {
            connection.protocol = protocol::TLS;
            connection.spare[turn::WORD] = tls::state::JOINED;
        }
    }
    if is_opaque(connection) {
        take(edge, connection);
    }
}

/// The server answers in HTTP after all. The turn in flight is the rest of a request that began before the
/// probe did, so it is dropped, and the answer counts as one to such a request.
#[inline(always)]
pub fn is_http_after_all<E: Edge>(edge: &mut E, connection: &mut Connection) {
    let idle = connection.flight & !((1 << flight::ORDINAL_SHIFT) - 1);
    // An exchange, as the iterator may be booking it as overdue.
    E::swap(&mut connection.flight, idle);
    connection.protocol = protocol::HTTP1;
    connection.response_seq = edge.seq().wrapping_sub(1);
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
pub fn take(edge: &mut impl Edge, connection: &mut Connection) {
    let role = match connection.birth {
        birth::ACCEPTED => role::SERVER,
        birth::OPENED => role::CLIENT,
        _ => connection.role,
    };
    let last = edge.seq().wrapping_add(edge.length());
    let is_client = edge.is_ingress() == (role == role::SERVER);
    // How far this side has come is known once it has said something.
    let has_spoken = if is_client { turn::ASKED } else { turn::ANSWERED };
    if connection.spare[turn::WORD] & has_spoken == 0 && is_stray(edge) {
        return;
    }
    match (connection.protocol == protocol::TLS, is_client) {
        (true, true) => records::asks(edge, connection, role, last),
        (true, false) => records::answers(edge, connection, last),
        (false, true) => asks(edge, connection, role, last),
        (false, false) => answers(edge, connection, last),
    }
}

#[inline(always)]
fn asks(edge: &mut impl Edge, connection: &mut Connection, role: u8, last: u32) {
    let state = connection.spare[turn::WORD];
    if state & turn::ASKED != 0 && is_up_to(last, connection.client_end) {
        return;
    }
    connection.client_end = last;
    connection.spare[turn::WORD] = state | turn::ASKED;
    let now = edge.now();
    if is_in_flight(connection) {
        connection.last_byte_ns = now;
        return;
    }
    let may_begin_tls = connection.flight >> flight::ORDINAL_SHIFT < CLEAR_WORDS;
    if may_begin_tls && records::begins_handshake(edge) {
        connection.protocol = protocol::TLS;
        connection.spare[turn::WORD] = 0;
        records::asks(edge, connection, role, last);
        return;
    }
    if !is_mid_answer(edge, connection, role) && !says_goodbye(edge) {
        begins(edge, connection, role, now);
    }
}

/// Whether this is the last that a client says, which nobody answers: the server may close before it does.
#[inline(always)]
fn says_goodbye(edge: &impl Edge) -> bool {
    if edge.length() != GOODBYE {
        return false;
    }
    match edge.load(0) {
        Some([a, b, c, d, e]) => is_goodbye(u64::from_be_bytes([a, b, c, d, e, 0, 0, 0])),
        None => false,
    }
}

/// Whether the server is still speaking to whoever sent this. Only its own side knows what has reached the client.
#[inline(always)]
fn is_mid_answer(edge: &impl Edge, connection: &Connection, role: u8) -> bool {
    connection.spare[turn::WORD] & turn::ANSWERED != 0
        && role == role::SERVER
        && edge.ack() != connection.response_seq
        && is_up_to(edge.ack(), connection.response_seq)
}

/// Begins a turn, unless it is one of a client that nobody named.
#[inline(always)]
fn begins(edge: &mut impl Edge, connection: &mut Connection, role: u8, now: u64) -> bool {
    edge.identify(connection, role);
    if role == role::CLIENT && connection.settings == 0 {
        return false;
    }
    connection.route = ROUTE_OTHER;
    connection.request_seq = edge.seq();
    connection.request = request::COMPLETE;
    connection.spare[turn::WORD] &= !turn::DOUBTFUL;
    begin(connection, role, now, now);
    if role == role::SERVER && connection.settings != 0 {
        edge.charge(connection, now);
    }
    true
}

#[inline(always)]
fn answers(edge: &mut impl Edge, connection: &mut Connection, last: u32) {
    let state = connection.spare[turn::WORD];
    if state & turn::ANSWERED != 0 && is_up_to(last, connection.response_seq) {
        return;
    }
    connection.response_seq = last;
    connection.spare[turn::WORD] = state | turn::ANSWERED;
    if is_in_flight(connection) {
        answered(edge, connection);
    }
}

/// The turn in flight is answered by this segment.
#[inline(always)]
fn answered(edge: &mut impl Edge, connection: &mut Connection) {
    edge.weather(connection);
    edge.end(connection, what::ANSWERED);
}

/// One side has sent FIN: the peer of a socket in `role`s of [`role::SERVER`], the socket's own of clients.
#[inline(always)]
pub fn closes(edge: &mut impl Edge, connection: &mut Connection, role: u8) {
    if connection.role != role || !is_opaque(connection) || !is_in_flight(connection) {
        return;
    }
    let Some(round_trip_ns) = edge.round_trip_ns() else {
        return;
    };
    if edge.now().saturating_sub(connection.last_byte_ns) < round_trip_ns + GOODBYE_NS {
        connection.spare[turn::WORD] |= turn::DOUBTFUL;
    }
}

/// What an end at this time is worth, and when it was; `None` when it counts as nothing. `has_answered`: whether the
/// endpoint has ever answered a turn.
#[inline(always)]
pub fn judge(
    connection: &mut Connection,
    outcome: u16,
    now: u64,
    has_answered: impl FnOnce(&Connection) -> bool,
) -> Option<(u16, u64)> {
    if let Some(answered) = held_answer(connection) {
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
pub fn is_doubtful(connection: &Connection, has_answered: impl FnOnce(&Connection) -> bool) -> bool {
    is_opaque(connection)
        && (connection.spare[turn::WORD] & turn::DOUBTFUL != 0
            || held_answer(connection).is_some()
            || !has_answered(connection))
}

/// In sequence numbers.
#[inline(always)]
fn is_up_to(seq: u32, end: u32) -> bool {
    seq.wrapping_sub(end) as i32 <= 0
}
