//! How connections come to speak HTTP/2 other than by beginning with a preface that passes here: by an
//! upgrade from HTTP/1, and with a preface that reached the listener (TCP_DEFER_ACCEPT).

use core::{
    ptr::{self, null_mut},
    slice,
};

use aya_ebpf::{
    bindings::bpf_sock_ops,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_socket_cookie, bpf_skb_load_bytes},
    },
};
use probes_ebpf::{
    http1::{BODY, Method, method},
    http2::{
        is_settings,
        telling::{of_direction, tell_hole},
        walk::{self, Edge as _, direction, lost, unplace},
    },
    http2_wire::{ANSWERS, Http2, OPENING_MOST, Opening, Record, event},
    opening::{OPENING as HEAD, protocol_of},
    wire::{Connection, kernel, loss, protocol, role},
};

use crate::{
    count::lose_of,
    http2::find,
    http2_edge::{Walk, head},
    http2_entry,
    http2_slots::bounded,
    maps::{HANDSHAKE, HTTP2_RECORDS, OPENING, of_kernel},
    reading::{bytes, edge_end_of_head, opening},
    scratch::{START, claim, load, release},
    segment::Segment,
    turns,
};

/// A connection that was told to switch protocols: whether it is HTTP/2 that it has switched to. The first
/// segment that says something after the answer of 101 decides.
#[inline(never)]
pub fn upgrades(segment: &Segment, connection: &mut Connection) -> bool {
    let asks = segment.ingress == (connection.role == role::SERVER);
    if asks {
        let from = segment.seq.wrapping_sub(connection.asked as u32);
        if (from as i32) < 0 {
            // The request again.
            return false;
        }
        let begins = goes_on_as_preface(segment, from);
        if begins && from + segment.payload < TELLING {
            // It may still be.
            return false;
        }
        return begin_if(begins, segment, connection, None);
    }
    let from = behind_head(segment);
    if from >= segment.payload {
        return false;
    }
    let at = Segment {
        offset: segment.offset + from,
        payload: segment.payload - from,
        seq: segment.seq.wrapping_add(from),
        ..*segment
    };
    let begins = bytes(at.skb, at.offset).is_some_and(|head| is_settings(&head));
    begin_if(begins, &at, connection, Some(at.seq))
}

/// As many bytes of a preface as tell it.
const TELLING: u32 = 4;

/// Whether a segment is the preface's from a byte on, as far as that tells.
#[inline(always)]
fn goes_on_as_preface(segment: &Segment, from: u32) -> bool {
    const PREFACE: u64 = u64::from_be_bytes(*b"PRI * HT");
    if from >= TELLING {
        return false;
    }
    let here = if segment.payload < TELLING {
        segment.payload
    } else {
        TELLING
    };
    let Some([a, b, c, d, ..]) = opening(segment.skb, segment.offset, here) else {
        return false;
    };
    let expected = (PREFACE << (8 * from) >> 32) as u32;
    (u32::from_be_bytes([a, b, c, d]) ^ expected) >> ((32 - 8 * here) & 31) == 0
}

/// How much of a segment belongs to the answer that switches protocols: all of it when one begins here and
/// does not end.
#[inline(always)]
fn behind_head(segment: &Segment) -> u32 {
    let is_answer = head(segment.skb, segment.offset).is_some_and(|head| head[..4] == *b"HTTP");
    if !is_answer {
        return 0;
    }
    let Some((slot, scratch)) = claim() else {
        return segment.payload;
    };
    let length = load(segment, 0, scratch);
    let end = edge_end_of_head(slot, START + length) & !BODY;
    release(scratch);
    if end <= START || end > START + length {
        return segment.payload;
    }
    end - START
}

#[inline(always)]
fn begin_if(begins: bool, segment: &Segment, connection: &mut Connection, answers: Option<u32>) -> bool {
    if !begins {
        connection.protocol = protocol::UPGRADED;
        return false;
    }
    // SAFETY: the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(segment.skb.cast()) };
    let asked = connection.asked as u32;
    let Some(found) = find(segment.sk, true) else {
        return false;
    };
    connection.protocol = protocol::HTTP2;
    // Both directions may show it at the same time. One begins; the other goes on, or waits where it follows.
    if !http2_entry::enter_free(found) {
        return true;
    }
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *found };
    if http2.mode != 0 {
        http2_entry::leave(found);
        return true;
    }
    let mut walk = begin(found, connection, cookie, asked);
    if let Some(next) = answers {
        http2.directions[ANSWERS].next = next;
        http2.directions[ANSWERS].is_placed = 1;
    }
    // What was asked in HTTP/1 is answered here.
    http2.last_stream = 1;
    walk.now = connection.last_byte_ns;
    let upgraded = Record {
        upload_ns: connection.started_ns,
        outcome: connection.route,
        ..of_direction(&mut walk, event::UPGRADED, 1, 0)
    };
    if !walk.tell(&upgraded) {
        lost(&mut walk, loss::HTTP2_RING_FULL);
    }
    http2_entry::leave(found);
    true
}

/// Begins to follow a connection whose client says its preface at `first`.
#[inline(always)]
fn begin(http2: *mut Http2, connection: &mut Connection, cookie: u64, first: u32) -> Walk {
    // SAFETY: a live map value.
    walk::begin(unsafe { &mut *http2 }, cookie, first, false);
    Walk {
        skb: null_mut(),
        sk: null_mut(),
        connection,
        http2,
        // SAFETY: takes nothing.
        now: unsafe { bpf_ktime_get_ns() },
        // Nothing is walked along.
        remote: ptr::null(),
        asks: 1,
        is_ingress: 1,
    }
}

/// What has reached a listener may be a preface, or come behind one that was lost. It is kept for the connection
/// that is born of it next, on this CPU, if any is.
#[inline(never)]
pub fn keep(segment: &Segment) {
    let (Some(opening), Some(handshake)) = (OPENING.get_ptr_mut(0), HANDSHAKE.get_ptr_mut(0)) else {
        return;
    };
    let here = if segment.payload < OPENING_MOST {
        segment.payload
    } else {
        OPENING_MOST
    };
    // SAFETY: this CPU's only elements; the length is at most that of the bytes.
    unsafe {
        let bytes = (&raw mut (*opening).bytes).cast();
        let length = bounded::<{ OPENING_MOST as usize }>(here);
        if bpf_skb_load_bytes(segment.skb.cast(), segment.offset, bytes, length) != 0 {
            return;
        }
        (*opening).record.at_ns = bpf_ktime_get_ns();
        (*opening).record.stream = segment.seq;
        (*handshake).opening = segment.payload;
    }
}

/// The connection is born of the segment that was kept, with this many bytes.
#[inline(never)]
pub fn born(ops: *mut bpf_sock_ops, connection: &mut Connection, length: u32) {
    // SAFETY: the context's own field.
    let sk = unsafe { (*ops).__bindgen_anon_2.sk };
    let Some(opening) = OPENING.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: this CPU's only element.
    let opening = unsafe { &mut *opening };
    let (first, seq) = (connection.asked as u32, opening.record.stream);
    let ahead = seq.wrapping_sub(first) as i32;
    if ahead < 0 {
        return;
    }
    if ahead == 0 {
        let spoken = begun(opening, length);
        // What may still be an empty line in front of a request is left to what follows it.
        let is_turn = spoken == protocol::OTHER || spoken == protocol::UNDECIDED && length > 2;
        if is_turn {
            turns::born(connection, seq, length, opening.record.at_ns);
        }
        if spoken != protocol::HTTP2 {
            return;
        }
    }
    if sk.is_null() || of_kernel(kernel::FOLLOWS_HTTP2) == 0 {
        return;
    }
    if ahead > 0 && length > OPENING_MOST {
        // What comes next begins to follow it, if it is HTTP/2, and finds that this is missing.
        return;
    }
    // SAFETY: the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
    connection.role = role::SERVER;
    let Some(http2) = find(sk.cast(), true) else {
        return;
    };
    if ahead == 0 {
        connection.protocol = protocol::HTTP2;
    }
    // The next segment may be on another CPU already; it waits where it follows.
    if !http2_entry::enter_free(http2) {
        return;
    }
    let mut walk = begin(http2, connection, cookie, first);
    walk.now = opening.record.at_ns;
    if length > OPENING_MOST || !tell_opening(&mut walk, opening, length) {
        lost(&mut walk, loss::HTTP2_HOLE);
        unplace(&mut walk);
    }
    http2_entry::leave(http2);
}

/// To the walk it is a part of a hole, which has been filled already where the preface is in it.
#[inline(always)]
fn tell_opening(walk: &mut Walk, opening: &mut Opening, length: u32) -> bool {
    if !tell_hole(walk) {
        return false;
    }
    let seq = opening.record.stream;
    direction(walk).begin_raw();
    direction(walk).told(seq, length);
    opening.record = of_direction(walk, event::RAW, seq, length as u16);
    let size = size_of::<Record>() as u32 + bounded::<{ OPENING_MOST as usize }>(length);
    // SAFETY: no more than is there.
    let told = unsafe { slice::from_raw_parts((&raw const *opening).cast::<u8>(), size as usize) };
    if HTTP2_RECORDS.output::<[u8]>(told, 0).is_ok() {
        return true;
    }
    lose_of(walk.connection().settings, loss::HTTP2_RING_FULL);
    false
}

/// What the kept bytes begin, of which so many were there. A part of a preface will do: the rest comes behind it.
#[inline(always)]
fn begun(opening: &Opening, length: u32) -> u8 {
    let mut head = [0; HEAD];
    head.copy_from_slice(&opening.bytes[..HEAD]);
    let word = u64::from_be_bytes([
        head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7],
    ]);
    if length >= 4 && method(word) == Method::Http2 {
        return protocol::HTTP2;
    }
    protocol_of(&head, length)
}
