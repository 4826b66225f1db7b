//! Turns inside TLS, by its records: what they mean is decided in [`tls`], what it means for the connection here.

use super::{Edge, answered, begins, is_mid_answer, is_up_to};
use crate::{
    conversation::is_in_flight,
    tls::{self, HEADER, Payload, state},
    wire::{Connection, protocol, turn, what},
};

/// [`tls::client`], in numbers: its state in the lower half, in the upper the next record's place above
/// [`LENGTH_BITS`] of length, plus [`HEADER`], as it may be less than zero. `at` is [`GAP`] where bytes before it are missing.
#[inline(always)]
pub fn read_client(payload: &impl Payload, at: u32, state: u64) -> u64 {
    let is_gap = at == GAP;
    let asked = tls::client(payload, if is_gap { 0 } else { at }, is_gap, state);
    let next = asked.next.wrapping_add(HEADER);
    let next = if next > FURTHEST { FURTHEST } else { next };
    let upper = u64::from(next) << LENGTH_BITS | u64::from(asked.length);
    upper << 32 | asked.state & LOWER
}

/// [`tls::server`], in numbers: its state in the lower half, whether it answers above.
#[inline(always)]
pub fn read_server(payload: &impl Payload, state: u64) -> u64 {
    let (state, is_answer) = tls::server(payload, state);
    u64::from(is_answer) << 32 | state & LOWER
}

/// Where the next record begins by what [`read_client`] says.
#[inline(always)]
fn next_of(read: u64) -> u32 {
    ((read >> (32 + LENGTH_BITS)) as u32).wrapping_sub(HEADER)
}

const LOWER: u64 = u32::MAX as u64;
const GAP: u32 = 1 << 31;
const LENGTH_BITS: u32 = 15;
const FURTHEST: u32 = (1 << (32 - LENGTH_BITS)) - 1;

/// What [`read_client`] says of a hello: the connection's word of `turn`, and where the record behind it begins.
#[inline(always)]
#[must_use]
pub fn of_hello(read: u64) -> (u64, u32) {
    (read & LOWER, next_of(read))
}

/// Whether a client's segment begins a handshake: connections may turn to TLS after a word or two in clear.
#[inline(always)]
pub fn begins_handshake(payload: &impl Payload) -> bool {
    matches!(payload.load(0), Some([0x16, 3, _, _, _, 1]))
}

/// Whether the segment begins with a record of application data, as those of an old connection do.
#[inline(always)]
pub fn begins_record(payload: &impl Payload) -> bool {
    matches!(tls::header(payload, 0), Some((0x17, _)))
}

#[inline(always)]
pub fn asks(edge: &mut impl Edge, connection: &mut Connection, role: u8, last: u32) {
    let mut word = connection.spare[turn::WORD];
    let mut at = 0;
    if word & turn::ASKED == 0 {
        word |= turn::ASKED | edge.read_hello();
    } else {
        // In the handshake this is where the next record begins, later what has been said.
        if is_up_to(last, connection.client_end) {
            return;
        }
        at = connection.client_end.wrapping_sub(edge.seq());
        // A header that began before this segment, and was cut, is read on in a handshake of TLS 1.3 alone.
        let is_read_on = word & (state::FINISHED | state::VERSION_13) == state::VERSION_13
            && at.wrapping_add(HEADER) < HEADER;
        if (at as i32) < 0 && !is_read_on {
            at = GAP;
        }
    }
    let is_waiting = is_in_flight(connection);
    let now = edge.now();
    if is_waiting && !tls::may_be_answered(word) {
        connection.client_end = last;
        connection.last_byte_ns = now;
        return;
    }
    let asked = edge.read_client(at, word);
    let length = (asked >> 32) as u32 & ((1 << LENGTH_BITS) - 1);
    let is_first = word & state::ANSWERING == 0;
    word = word & !LOWER | asked & LOWER;
    connection.spare[turn::WORD] = word;
    connection.client_end = if word & state::FINISHED == 0 {
        edge.seq().wrapping_add(next_of(asked))
    } else {
        last
    };
    if length == 0 {
        return;
    }
    if is_waiting {
        // It speaks again, so it has been answered.
        edge.end(connection, what::ANSWERED);
        connection.spare[turn::WORD] |= state::ANSWERING;
    } else if is_mid_answer(edge, connection, role) {
        return;
    }
    if begins(edge, connection, role, now) {
        let word = connection.spare[turn::WORD] & !state::HELD;
        let doubt = if !is_first && tls::may_be_control(word, length) {
            turn::DOUBTFUL
        } else {
            0
        };
        connection.spare[turn::WORD] = word | doubt;
    }
}

#[inline(always)]
pub fn answers(edge: &mut impl Edge, connection: &mut Connection, last: u32) {
    let word = connection.spare[turn::WORD];
    let is_waiting = is_in_flight(connection);
    if word & state::ANSWERING != 0 {
        if word & turn::ANSWERED != 0 && is_up_to(last, connection.response_seq) {
            return;
        }
        connection.response_seq = last;
        connection.spare[turn::WORD] = word | turn::ANSWERED;
        if !is_waiting {
            return;
        }
    } else if !edge.is_new() {
        return;
    }
    let found = edge.read_server(word);
    let is_answer = found >> 32 != 0;
    let mut after = word & !LOWER | found & LOWER;
    if is_answer {
        connection.response_seq = last;
        after = after & !state::HELD | turn::ANSWERED;
    } else if !is_waiting {
        // A ticket that came while nothing was asked.
        after &= !state::HELD;
    } else if after & (state::HELD_TICKET | state::HELD_CONTROL) != 0 {
        let waited = edge.now().saturating_sub(connection.last_byte_ns) >> state::TIME_UNIT_SHIFT;
        after = after & !(u64::MAX << state::TIME_SHIFT) | waited << state::TIME_SHIFT;
    }
    connection.spare[turn::WORD] = after;
    if is_answer && is_waiting {
        answered(edge, connection);
    }
}

/// When the turn in flight was answered, if what is held was its answer.
#[inline(always)]
#[must_use]
pub fn held_answer(connection: &Connection) -> Option<u64> {
    let word = connection.spare[turn::WORD];
    if connection.protocol != protocol::TLS || !tls::may_be_answered(word) {
        return None;
    }
    Some(connection.last_byte_ns + ((word >> state::TIME_SHIFT) << state::TIME_UNIT_SHIFT))
}
