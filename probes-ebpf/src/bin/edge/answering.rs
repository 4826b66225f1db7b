//! Segments that answer, and what TCP says of the connection as they leave.
//!
//! An answer ends its request with its first bytes, so nothing is read here but status lines. Where
//! requests wait behind one another, `framing` follows the answers to their ends.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::bpf_tcp_sock as TcpSock,
    helpers::{bpf_tcp_sock, generated::bpf_skb_load_bytes},
};
use probes_ebpf::{
    conversation::{SWITCHING_PROTOCOLS, answered, is_in_flight, is_interim},
    http1::{STATUS_LINE, status},
    wire::{Connection, ROUTE_OTHER, asking, birth, flag, protocol, role, what},
};

use crate::{
    connection::{endpoint, identify},
    conversation::Kernel,
    count::count,
    exchange::raise,
    framing,
    request::end,
    segment::{Segment, rest},
    tcp::retransmitted,
};

/// What a server may send unasked, as it closes a connection that has been idle.
const REQUEST_TIMEOUT: u16 = 408;

/// The first bytes of a segment as a status line: 0 when they are none.
#[inline(always)]
pub fn status_at_start(segment: &Segment) -> u16 {
    if segment.payload < STATUS_LINE {
        return 0;
    }
    // Not zeroed, which would be a loop of its own here.
    let mut words = MaybeUninit::<[u64; 2]>::uninit();
    let line = words.as_mut_ptr();
    // SAFETY: twelve bytes into sixteen.
    let rc = unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, line.cast(), STATUS_LINE) };
    if rc != 0 {
        return 0;
    }
    // SAFETY: eight and four of the twelve bytes that are there.
    let (version, code) = unsafe { (line.cast::<u64>().read(), line.cast::<u32>().add(2).read()) };
    status(u64::from_be(version), u32::from_be(code))
}

/// A segment in the direction of answers, on a connection where they are HTTP/1. One of [`rest`].
#[inline(always)]
pub fn answer(segment: &Segment, connection: &mut Connection) -> u32 {
    let is_waited_for = is_in_flight(connection);
    let was_sent = was_sent(segment, connection);
    if connection.asking & asking::PIPELINE != 0 || is_waited_for && segment.payload < STATUS_LINE {
        return framing::visit(segment, connection);
    }
    let rest = answer_alone(segment, connection, is_waited_for, was_sent);
    if rest == rest::NOTHING && connection.protocol == protocol::SWITCHED {
        return rest::HTTP2;
    }
    rest
}

/// Whether a server has sent all of this segment before, as far as its connection's record tells: every
/// segment of such a connection passes here. `None` where TCP must be asked, which costs more.
#[inline(always)]
fn was_sent(segment: &Segment, connection: &mut Connection) -> Option<bool> {
    if segment.ingress || connection.birth == birth::UNSEEN {
        return None;
    }
    let last = segment.seq.wrapping_add(segment.payload);
    if connection.flags & flag::SENT_KNOWN == 0 {
        raise(connection, flag::SENT_KNOWN);
        connection.client_end = last;
        return None;
    }
    let is_again = (last.wrapping_sub(connection.client_end) as i32) <= 0;
    if !is_again {
        connection.client_end = last;
    }
    Some(is_again)
}

/// The answer to the one request in flight, if any is. One of [`rest`].
#[inline(always)]
fn answer_alone(
    segment: &Segment,
    connection: &mut Connection,
    is_waited_for: bool,
    was_sent: Option<bool>,
) -> u32 {
    let status = status_at_start(segment);
    if !is_waited_for {
        if status != 0 && connection.role == role::SERVER {
            unexpected_answer(segment, connection, status);
        }
        return rest::NOTHING;
    }
    if was_sent.unwrap_or_else(|| !is_new(segment)) {
        return rest::NOTHING;
    }
    if status == 0 {
        // The rest of an earlier answer's body, or none of HTTP/1's: a status line may still come.
        raise(connection, flag::UNREADABLE);
        return rest::NOTHING;
    }
    if is_interim(status) {
        // The answer may begin anywhere in this segment or in one of those that follow.
        return framing::visit(segment, connection);
    }
    connection.response_seq = segment.seq;
    answered::<Kernel>(connection, status);
    weather(segment, connection);
    end(connection, status);
    rest::NOTHING
}

/// An answer to a request that began before the probe did, or that was lost.
#[inline(never)]
pub fn unexpected_answer(segment: &Segment, connection: &mut Connection, status: u16) {
    if connection.birth == birth::OPENED || segment.seq == connection.response_seq || is_interim(status) {
        return;
    }
    // Nobody asked: some servers say so to a connection that stays silent, or leaves so.
    let is_silent = connection.protocol == protocol::UNDECIDED || status == REQUEST_TIMEOUT;
    if connection.birth == birth::ACCEPTED && is_silent {
        return;
    }
    if !is_new(segment) {
        return;
    }
    connection.response_seq = segment.seq;
    connection.role = role::SERVER;
    identify(
        connection,
        segment.skb.cast(),
        segment.sk,
        segment.local_port,
        role::SERVER,
    );
    let endpoint = endpoint(connection, role::SERVER);
    count(&endpoint, connection.settings, ROUTE_OTHER, what::UNKNOWN, 1);
    if status == SWITCHING_PROTOCOLS {
        connection.protocol = protocol::UPGRADED;
    }
}

/// Whether TCP has not had all of this segment before, as far as it can be asked.
#[inline(always)]
pub fn is_new(segment: &Segment) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    !tcp.is_null() && !is_repeated(segment, tcp)
}

/// Whether TCP has had all of this segment before. Called while it is in the window's front:
/// `rcv_nxt` and `snd_nxt` move after the packet has passed here.
#[inline(always)]
pub fn is_repeated(segment: &Segment, tcp: *mut TcpSock) -> bool {
    // SAFETY: the helper's answer, which is not null.
    let (received, sent) = unsafe {
        (
            (&raw const (*tcp).rcv_nxt).read_volatile(),
            (&raw const (*tcp).snd_nxt).read_volatile(),
        )
    };
    let next = if segment.ingress { received } else { sent };
    let last = segment.seq.wrapping_add(segment.payload);
    (last.wrapping_sub(next) as i32) <= 0
}

/// Counts retransmits of sockets whose birth nobody saw, as an answer leaves.
#[inline(always)]
pub fn weather(segment: &Segment, connection: &mut Connection) {
    if connection.birth != birth::UNSEEN {
        return;
    }
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if !tcp.is_null() {
        // SAFETY: not null.
        let (again, all) = unsafe { ((*tcp).total_retrans, (*tcp).data_segs_out) };
        retransmitted(connection, again, all);
    }
}
