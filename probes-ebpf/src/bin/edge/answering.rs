//! Segments that answer, and what TCP says of the connection as they leave.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_tcp_sock, generated::bpf_skb_load_bytes};
use probes_ebpf::wire::{Connection, ROUTE_OTHER, birth, loss, role, what};

use crate::{
    connection::{endpoint, identify},
    count::{count, lose},
    http::status_of,
    request::end,
    segment::{Segment, is_repeated},
    tcp::retransmitted,
};

#[inline(always)]
pub fn answer(
    segment: &Segment,
    connection: &mut Connection,
    is_status_line: bool,
    head: &MaybeUninit<[u8; 12]>,
) {
    if is_repeated(segment) {
        return;
    }
    let mut status = 0;
    if is_status_line {
        // SAFETY: a status line is only found in a filled head.
        let first = unsafe { head.assume_init_ref() };
        status = status_of(first);
        if status >= 100 && status < 200 && status != 101 {
            // `HTTP/1.1 100 Continue` is 25 bytes with its empty line; the answer may share the segment.
            if segment.payload <= 25 + 12 {
                return;
            }
            let mut second = MaybeUninit::<[u8; 12]>::uninit();
            // SAFETY: twelve bytes into twelve bytes.
            let rc = unsafe {
                bpf_skb_load_bytes(
                    segment.skb.cast(),
                    segment.offset + 25,
                    second.as_mut_ptr().cast(),
                    12,
                )
            };
            if rc != 0 {
                return;
            }
            // SAFETY: just filled.
            let second = unsafe { second.assume_init_ref() };
            if second[0] != b'H' || second[1] != b'T' || second[2] != b'T' || second[3] != b'P' {
                return;
            }
            status = status_of(second);
        }
    }
    connection.response_seq = segment.seq;
    if status == 0 {
        lose(loss::UNPARSABLE);
        end(connection, what::UNKNOWN, 0);
        return;
    }
    let rtt = weather(segment, connection);
    end(connection, status, rtt);
}

/// An answer to a request that began before the probe did, or behind another one.
#[inline(always)]
pub fn unexpected_answer(segment: &Segment, connection: &mut Connection, head: &MaybeUninit<[u8; 12]>) {
    // SAFETY: only called with a filled head.
    let status = status_of(unsafe { head.assume_init_ref() });
    if connection.birth == birth::OPENED || status < 101 || segment.seq == connection.response_seq {
        return;
    }
    if is_repeated(segment) || status < 200 && status != 101 {
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
}

/// Round trip time in microseconds as an answer leaves; 0 when TCP has none. Counts retransmits of
/// sockets whose birth nobody saw.
#[inline(always)]
pub fn weather(segment: &Segment, connection: &mut Connection) -> u32 {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return 0;
    }
    let (rtt, total) = unsafe { ((*tcp).srtt_us >> 3, (*tcp).total_retrans) };
    if connection.birth == birth::UNSEEN {
        retransmitted(connection, total);
    }
    rtt
}
