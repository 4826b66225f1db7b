//! Turns inside TLS, by its records: what they mean is decided in the library's `tls`, what it means for the
//! connection here.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_ktime_get_ns, generated::bpf_skb_load_bytes},
};
use probes_ebpf::{
    tls::{self, Payload, state},
    wire::{Connection, Handshake, protocol, turn, what},
};

use crate::{
    answering::is_new,
    connection::is_in_flight,
    maps::HANDSHAKE,
    request::end,
    segment::Segment,
    turns::{answered, begins, is_mid_answer, is_up_to},
};

/// Where records are read.
struct Bytes {
    skb: *mut __sk_buff,
    offset: u32,
    length: u32,
}

impl Payload for Bytes {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: N bytes into N bytes; the helper refuses what is past the packet's end.
        let rc = unsafe {
            bpf_skb_load_bytes(
                self.skb.cast(),
                self.offset + at,
                bytes.as_mut_ptr().cast(),
                N as u32,
            )
        };
        // SAFETY: filled when the helper says so.
        if rc == 0 {
            Some(unsafe { bytes.assume_init() })
        } else {
            None
        }
    }
}

#[inline(always)]
fn bytes(segment: &Segment) -> Bytes {
    Bytes {
        skb: segment.skb,
        offset: segment.offset,
        length: segment.payload,
    }
}

// The walks over records are global functions, which take and give plain numbers: the verifier looks at each of
// them once, and not again on every path that leads to it.

/// [`tls::client_hello`], which does not ask how long the segment is: an argument that is not used must not be there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_tls_hello(skb: *mut __sk_buff, offset: u32) -> u64 {
    let length = 0;
    tls::client_hello(&Bytes { skb, offset, length })
}

/// [`tls::client`]: its state in the lower half, in the upper the next record's place above [`LENGTH_BITS`] of
/// length. `at` has [`GAP`] in its highest bit.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_tls_client(skb: *mut __sk_buff, offset: u32, length: u32, at: u32, state: u64) -> u64 {
    let bytes = Bytes { skb, offset, length };
    let asked = tls::client(&bytes, at & !GAP, at & GAP != 0, state);
    let next = if asked.next > FURTHEST {
        FURTHEST
    } else {
        asked.next
    };
    let upper = u64::from(next) << LENGTH_BITS | u64::from(asked.length);
    upper << 32 | asked.state & LOWER
}

/// [`tls::server`]: its state in the lower half, whether it answers above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_tls_server(skb: *mut __sk_buff, offset: u32, length: u32, state: u64) -> u64 {
    let (state, is_answer) = tls::server(&Bytes { skb, offset, length }, state);
    u64::from(is_answer) << 32 | state & LOWER
}

const LOWER: u64 = u32::MAX as u64;
const GAP: u32 = 1 << 31;
const LENGTH_BITS: u32 = 15;
const FURTHEST: u32 = (1 << (32 - LENGTH_BITS)) - 1;

/// Whether a client's segment begins a handshake: connections may turn to TLS after a word or two in clear.
#[inline(always)]
pub fn begins_handshake(segment: &Segment) -> bool {
    matches!(bytes(segment).load(0), Some([0x16, 3, _, _, _, 1]))
}

/// Whether the segment begins with a record of application data, as those of an old connection do.
#[inline(always)]
pub fn begins_record(segment: &Segment) -> bool {
    matches!(tls::header(&bytes(segment), 0), Some((0x17, _)))
}

/// A hello has reached a listener: what its connection would have learnt of it is kept for the one that is born of
/// it next, on this CPU.
#[inline(never)]
pub fn keep_hello(segment: &Segment) {
    let Some(handshake) = HANDSHAKE.get_ptr_mut(0) else {
        return;
    };
    let word = turn::ASKED | edge_tls_hello(segment.skb, segment.offset);
    let asked = edge_tls_client(segment.skb, segment.offset, segment.payload, 0, word);
    // SAFETY: this CPU's only element.
    unsafe {
        (*handshake).hello = asked & LOWER;
        (*handshake).hello_end = segment.seq.wrapping_add((asked >> (32 + LENGTH_BITS)) as u32);
    }
}

/// The connection is born whose hello was kept.
#[inline(always)]
pub fn born(connection: &mut Connection, handshake: &Handshake) {
    connection.protocol = protocol::TLS;
    connection.spare[turn::WORD] = handshake.hello;
    connection.client_end = handshake.hello_end;
}

#[inline(always)]
pub fn asks(segment: &Segment, connection: &mut Connection, role: u8, last: u32, remote: &[u32; 4]) {
    let mut word = connection.spare[turn::WORD];
    let mut at = 0;
    if word & turn::ASKED == 0 {
        word |= turn::ASKED | edge_tls_hello(segment.skb, segment.offset);
    } else {
        // In the handshake this is where the next record begins, later what has been said.
        if is_up_to(last, connection.client_end) {
            return;
        }
        let behind = connection.client_end.wrapping_sub(segment.seq);
        at = if (behind as i32) < 0 { GAP } else { behind };
    }
    let is_waiting = is_in_flight(connection);
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    if is_waiting && !tls::may_be_answered(word) {
        connection.client_end = last;
        connection.last_byte_ns = now;
        return;
    }
    let asked = edge_tls_client(segment.skb, segment.offset, segment.payload, at, word);
    let length = (asked >> 32) as u32 & ((1 << LENGTH_BITS) - 1);
    let is_first = word & state::ANSWERING == 0;
    word = word & !LOWER | asked & LOWER;
    connection.spare[turn::WORD] = word;
    connection.client_end = if word & state::FINISHED == 0 {
        segment.seq.wrapping_add((asked >> (32 + LENGTH_BITS)) as u32)
    } else {
        last
    };
    if length == 0 {
        return;
    }
    if is_waiting {
        // It speaks again, so it has been answered.
        end(connection, what::ANSWERED);
        connection.spare[turn::WORD] |= state::ANSWERING;
    } else if is_mid_answer(segment, connection, role) {
        return;
    }
    if begins(segment, connection, role, now, remote) {
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
pub fn answers(segment: &Segment, connection: &mut Connection, last: u32) {
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
    } else {
        if !is_new(segment) {
            return;
        }
    }
    let found = edge_tls_server(segment.skb, segment.offset, segment.payload, word);
    let is_answer = found >> 32 != 0;
    let mut after = word & !LOWER | found & LOWER;
    if is_answer {
        connection.response_seq = last;
        after = after & !state::HELD | turn::ANSWERED;
    } else if !is_waiting {
        // A ticket that came while nothing was asked.
        after &= !state::HELD;
    } else if after & (state::HELD_TICKET | state::HELD_CONTROL) != 0 {
        // SAFETY: takes nothing.
        let now = unsafe { bpf_ktime_get_ns() };
        let waited = now.saturating_sub(connection.last_byte_ns) >> state::TIME_UNIT_SHIFT;
        after = after & !(u64::MAX << state::TIME_SHIFT) | waited << state::TIME_SHIFT;
    }
    connection.spare[turn::WORD] = after;
    if is_answer && is_waiting {
        answered(segment, connection);
    }
}

/// When the turn in flight was answered, if what is held was its answer.
#[inline(always)]
pub fn held_answer(connection: &Connection) -> Option<u64> {
    let word = connection.spare[turn::WORD];
    if connection.protocol != protocol::TLS || !tls::may_be_answered(word) {
        return None;
    }
    Some(connection.last_byte_ns + ((word >> state::TIME_SHIFT) << state::TIME_UNIT_SHIFT))
}
