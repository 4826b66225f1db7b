//! TLS as far as turns need it: which records are an application's, and which of those were asked for.
//!
//! In TLS 1.3 most of the handshake looks like application data. The client's part of it ends with its
//! Finished, whose length its cipher suite tells; then the server may send session tickets, which race
//! with the first request. OpenSSL and BoringSSL send two of one length, Go and resumed sessions one.
//! What may be a ticket is held: more from the server makes it one, more from the client makes it an answer.
//!
//! Records are only walked where something depends on their kind: in the handshake, and where one side begins
//! to speak, which is where a record begins. The bulk of neither direction is looked at.

/// Bits of a connection's word of `wire::turn`, which has the lowest three.
pub mod state {
    /// Application data may come: the client's handshake is over.
    pub const FINISHED: u64 = 1 << 3;
    pub const VERSION_KNOWN: u64 = 1 << 4;
    pub const VERSION_13: u64 = 1 << 5;
    /// A cipher suite with SHA-384.
    pub const LONG_FINISHED: u64 = 1 << 6;
    /// The client takes tickets.
    pub const TAKES_TICKETS: u64 = 1 << 7;
    /// The client offers HTTP/2.
    pub const OFFERS_HTTP2: u64 = 1 << 8;
    /// The client has sent encrypted records that are no Finished: certificates, or early data.
    pub const SPOKE_EARLY: u64 = 1 << 9;
    /// All that the server says from now on was asked for.
    pub const ANSWERING: u64 = 1 << 10;
    /// The turn in flight may have been answered by what was rather a ticket.
    pub const HELD_TICKET: u64 = 1 << 11;
    /// The turn in flight may have been answered by what was rather a control frame of HTTP/2.
    pub const HELD_CONTROL: u64 = 1 << 12;
    /// Bits 13 and 14: tickets seen, up to two.
    pub const TICKET_SHIFT: u32 = 13;
    /// A segment ended within the header of an application's record.
    pub const CUT: u64 = 1 << 15;
    /// Bits 16 to 31: the length of the first.
    pub const LENGTH_SHIFT: u32 = 16;
    /// Bits 32 to 63: when it was held, after the request's last byte.
    pub const TIME_SHIFT: u32 = 32;
    /// Of that time, a unit is this power of two of nanoseconds.
    pub const TIME_UNIT_SHIFT: u32 = 8;

    pub const HELD: u64 = HELD_TICKET | HELD_CONTROL | (u32::MAX as u64) << TIME_SHIFT;
    /// Of a connection whose handshake nobody saw.
    pub const JOINED: u64 = FINISHED | VERSION_KNOWN | VERSION_13 | ANSWERING;
}

use state::{
    ANSWERING, CUT, FINISHED, HELD_CONTROL, HELD_TICKET, LENGTH_SHIFT, LONG_FINISHED, OFFERS_HTTP2,
    SPOKE_EARLY, TAKES_TICKETS, TICKET_SHIFT, VERSION_13, VERSION_KNOWN,
};

pub const HEADER: u32 = 5;
const APPLICATION_DATA: u8 = 0x17;
const LONGEST: u32 = (1 << 14) + 2048;
/// How many records of a segment are looked at.
const RECORDS: usize = 8;
const EXTENSIONS: usize = 32;
const PROTOCOLS: usize = 4;

/// What TLS 1.3 adds to a record's content: its true kind, and the tag.
const SEALED_13: u32 = 17;
/// What TLS 1.2 adds at most to content this short.
const SEALED_12: u32 = 24;
const ALERT: u32 = 2 + SEALED_13;
const FINISHED_SHA256: u32 = 4 + 32 + SEALED_13;
const FINISHED_SHA384: u32 = 4 + 48 + SEALED_13;
/// No request of HTTP/1 is as short as this, and acknowledgements of HTTP/2 are no longer.
const CONTROL: u32 = 17;
/// Several control frames at once, or the settings that a server of HTTP/2 begins with.
const CONTROLS: u32 = 64;
const TICKET_SHORTEST: u32 = 60;
const TICKET_LONGEST: u32 = 1500;
/// Tickets of one connection differ by a block of their cipher, if at all.
const TICKET_BLOCK: u64 = 16;

/// The payload of a segment.
pub trait Payload {
    fn length(&self) -> u32;
    /// `None` when it ends before.
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]>;
}

/// What a client's segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub state: u64,
    /// Where the next record begins, from the segment's start: where it began before that, less than zero.
    pub next: u32,
    /// The length of the record that asks; 0 when none does.
    pub length: u32,
}

/// Reads the records of a client's segment from `at` on. `is_gap`: bytes before it are missing. In a handshake of TLS 1.3
/// `at` may be less than zero, where the segment before has the beginning of a header.
#[inline(always)]
pub fn client(payload: &impl Payload, at: u32, is_gap: bool, state: u64) -> Asked {
    let mut asked = Asked {
        state,
        next: at,
        length: 0,
    };
    if at.cast_signed() < 0 && !end_header(payload, &mut asked) {
        return asked;
    }
    let mut records = 0;
    while records < RECORDS && asked.next < payload.length() {
        records += 1;
        let Some((kind, length)) = header(payload, asked.next) else {
            let is_cut = is_cut(payload, asked.next);
            if is_cut && asked.state & VERSION_KNOWN != 0 {
                asked.state |= if asked.state & VERSION_13 == 0 {
                    FINISHED | ANSWERING
                } else {
                    CUT
                };
            }
            // In the middle of a record. Only what is missing may have begun it, or so little as does not tell its length.
            if asked.state & FINISHED != 0 && (is_gap || is_cut) {
                asked.length = LONGEST;
            }
            break;
        };
        asked.next += HEADER + length;
        if kind != APPLICATION_DATA {
            continue;
        }
        if asked.state & FINISHED == 0 {
            if asked.state & VERSION_KNOWN == 0 {
                continue;
            }
            if asked.state & VERSION_13 != 0 {
                asked.state |= finishes(asked.state, length);
                continue;
            }
            asked.state |= FINISHED | ANSWERING;
        }
        if is_request(asked.state, length) {
            asked.length = length;
            break;
        }
    }
    asked
}

/// What a record of this length says in a handshake of TLS 1.3.
#[inline(always)]
fn finishes(state: u64, length: u32) -> u64 {
    let finished = if state & LONG_FINISHED != 0 {
        FINISHED_SHA384
    } else {
        FINISHED_SHA256
    };
    if length == finished { FINISHED } else { SPOKE_EARLY }
}

/// Takes a record whose header began in the segment before. Whether that ends in this one.
#[inline(always)]
fn end_header(payload: &impl Payload, asked: &mut Asked) -> bool {
    // Its last two bytes are the length. Where only the last is here, the other was nothing: what is of interest is short.
    let end = asked.next.wrapping_add(HEADER);
    let Some([low]) = payload.load(end - 1) else {
        return false;
    };
    let high = match payload.load(end.saturating_sub(2)) {
        Some([high]) if end > 1 => high,
        _ => 0,
    };
    let length = u32::from(u16::from_be_bytes([high, low]));
    asked.next = end + length;
    if asked.state & CUT != 0 {
        asked.state |= finishes(asked.state, length);
    }
    true
}

/// Whether a record of an application begins there, and the segment ends before its length.
#[inline(always)]
fn is_cut(payload: &impl Payload, at: u32) -> bool {
    payload.length() - at < HEADER && matches!(payload.load(at), Some([APPLICATION_DATA]))
}

/// Whether an application's record of this length may ask for something.
#[inline(always)]
fn is_request(state: u64, length: u32) -> bool {
    let is_13 = state & VERSION_13 != 0;
    // An empty record says nothing, and hides nothing behind it.
    if length == 0 || is_13 && length == ALERT {
        return false;
    }
    let sealed = if is_13 { SEALED_13 } else { SEALED_12 };
    state & OFFERS_HTTP2 == 0 || length > CONTROL + sealed
}

/// Whether a record of this length, not the first of its connection, may be nothing but control frames.
#[inline(always)]
#[must_use]
pub fn may_be_control(state: u64, length: u32) -> bool {
    state & OFFERS_HTTP2 != 0 && length <= CONTROLS + SEALED_12
}

/// Reads the records of a server's segment: the state after it, and whether it answers.
#[inline(always)]
pub fn server(payload: &impl Payload, state: u64) -> (u64, bool) {
    if state & FINISHED == 0 {
        return (before_finished(payload, state), false);
    }
    let mut state = state;
    let mut at = 0;
    let mut records = 0;
    while records < RECORDS && at < payload.length() {
        records += 1;
        let Some((kind, length)) = header(payload, at) else {
            return (state | ANSWERING, true);
        };
        if kind == APPLICATION_DATA {
            let held = hold(state, length);
            if held == 0 {
                return (state | ANSWERING, true);
            }
            state = held;
        }
        at += HEADER + length;
    }
    (state, false)
}

/// The state once a record is held that was perhaps not asked for; 0 when it was.
#[inline(always)]
fn hold(state: u64, length: u32) -> u64 {
    if state & ANSWERING != 0 {
        return 0;
    }
    let seen = state >> TICKET_SHIFT & 3;
    let first = state >> LENGTH_SHIFT & 0xffff;
    if state & VERSION_13 != 0 && state & TAKES_TICKETS != 0 {
        if seen == 0 && (TICKET_SHORTEST..=TICKET_LONGEST).contains(&length) {
            return state | HELD_TICKET | 1 << TICKET_SHIFT | u64::from(length) << LENGTH_SHIFT;
        }
        let apart = u64::from(length).abs_diff(first);
        if seen == 1 && (apart == 0 || apart == TICKET_BLOCK) {
            return (state & !(3 << TICKET_SHIFT)) | HELD_TICKET | 2 << TICKET_SHIFT;
        }
    }
    if state & OFFERS_HTTP2 != 0 && length <= CONTROLS + SEALED_13 {
        return state | HELD_CONTROL;
    }
    0
}

/// Whether what is held may be the answer all the same. Two alike are tickets.
#[inline(always)]
#[must_use]
pub fn may_be_answered(state: u64) -> bool {
    state & HELD_CONTROL != 0 || state & HELD_TICKET != 0 && state >> TICKET_SHIFT & 3 == 1
}

#[inline(always)]
fn before_finished(payload: &impl Payload, state: u64) -> u64 {
    if state & VERSION_KNOWN == 0 {
        return state | server_hello(payload);
    }
    // A client with a certificate may hide its Finished in a longer record; a server that speaks again has had it.
    if state & SPOKE_EARLY != 0
        && let Some((APPLICATION_DATA, _)) = header(payload, 0)
    {
        return state | FINISHED;
    }
    state
}

/// What the client offers, from its first segment. All of it, when it does not end there.
#[inline(always)]
pub fn client_hello(payload: &impl Payload) -> u64 {
    const ALL: u64 = TAKES_TICKETS | OFFERS_HTTP2;
    const SESSION: u32 = HEADER + 4 + 2 + 32;
    let Some([0x16, _, _, a, b]) = payload.load(0) else {
        return ALL;
    };
    let end = HEADER + u32::from(u16::from_be_bytes([a, b]));
    let Some([session]) = payload.load(SESSION) else {
        return ALL;
    };
    let mut at = SESSION + 1 + u32::from(session);
    let Some(suites) = payload.load(at) else {
        return ALL;
    };
    at += 2 + u32::from(u16::from_be_bytes(suites));
    let Some([compressions]) = payload.load(at) else {
        return ALL;
    };
    at += 1 + u32::from(compressions) + 2;
    let mut offers = 0;
    let mut extensions = 0;
    while extensions < EXTENSIONS {
        if at >= end {
            return offers;
        }
        let Some([a, b, c, d]) = payload.load(at) else {
            return ALL;
        };
        match u16::from_be_bytes([a, b]) {
            // psk_key_exchange_modes
            45 => offers |= TAKES_TICKETS,
            // application_layer_protocol_negotiation
            16 => offers |= protocols(payload, at + 4),
            _ => {}
        }
        at += 4 + u32::from(u16::from_be_bytes([c, d]));
        extensions += 1;
    }
    ALL
}

#[inline(always)]
fn protocols(payload: &impl Payload, from: u32) -> u64 {
    let Some(list) = payload.load(from) else {
        return OFFERS_HTTP2;
    };
    let end = from + 2 + u32::from(u16::from_be_bytes(list));
    let mut at = from + 2;
    let mut seen = 0;
    while seen < PROTOCOLS && at + 3 <= end {
        let Some([length, first, second]) = payload.load(at) else {
            return OFFERS_HTTP2;
        };
        if length == 2 && first == b'h' && second == b'2' {
            return OFFERS_HTTP2;
        }
        at += 1 + u32::from(length);
        seen += 1;
    }
    0
}

/// The version and the length of Finished, by the cipher suite that the server chose.
#[inline(always)]
fn server_hello(payload: &impl Payload) -> u64 {
    const SESSION: u32 = HEADER + 4 + 2 + 32;
    const SERVER_HELLO: u8 = 2;
    let Some([0x16, 3, _, _, _, SERVER_HELLO]) = payload.load(0) else {
        return 0;
    };
    let Some([session]) = payload.load(SESSION) else {
        return 0;
    };
    match payload.load(SESSION + 1 + u32::from(session)) {
        Some([0x13, 2]) => VERSION_KNOWN | VERSION_13 | LONG_FINISHED,
        Some([0x13, _]) => VERSION_KNOWN | VERSION_13,
        Some(_) => VERSION_KNOWN,
        None => 0,
    }
}

/// Kind and length of the record that begins there, if one does.
#[inline(always)]
pub fn header(payload: &impl Payload, at: u32) -> Option<(u8, u32)> {
    let [kind, major, minor, a, b] = payload.load(at)?;
    let length = u32::from(u16::from_be_bytes([a, b]));
    let is_record =
        (0x14..=APPLICATION_DATA).contains(&kind) && major == 3 && minor <= 4 && length <= LONGEST;
    if is_record { Some((kind, length)) } else { None }
}

#[cfg(test)]
mod tests;
