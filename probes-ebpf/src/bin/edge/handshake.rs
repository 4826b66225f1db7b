//! Segments that reach a listener: the cgroup of the connection about to be born, and a request that
//! is here before it.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{
    bpf_ktime_get_ns,
    generated::{bpf_get_netns_cookie, bpf_sk_cgroup_id, bpf_skb_load_bytes},
};
use probes_ebpf::{
    http1::{Head, Method, found, method},
    wire::{Connection, Handshake, Pending, PendingKey, asking, loss, request, role},
};

use crate::{
    connection::refresh,
    count::lose,
    http::route,
    maps::{HANDSHAKE, PENDING, skb_netns},
    pieces::of_method,
    scratch::{START, claim, edge_read_head, load, release},
    segment::{Segment, address},
};

/// The segment reaches the listener, because it is the one that completes the handshake: with
/// TCP_DEFER_ACCEPT, or when the third ACK was lost. It will not be filtered again for the child.
#[inline(never)]
pub fn before_birth(segment: &Segment, ip: *const u8, is_v4: bool) {
    // SAFETY: the verifier knows `sk` is a socket.
    let cgroup = unsafe { bpf_sk_cgroup_id(segment.sk) };
    let remote = address(ip, is_v4, 12, 8);
    let local = address(ip, is_v4, 16, 24);
    if let Some(handshake) = HANDSHAKE.get_ptr_mut(0) {
        // SAFETY: this CPU's only element.
        unsafe {
            *handshake = Handshake {
                cgroup,
                remote_port: segment.remote_port,
                local_port: segment.local_port,
                pad: 0,
            };
        }
    }
    if segment.payload <= 12 {
        return;
    }
    let mut head = MaybeUninit::<u64>::uninit();
    // SAFETY: eight bytes into eight bytes.
    if unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, head.as_mut_ptr().cast(), 8) } != 0 {
        return;
    }
    // SAFETY: just filled.
    let method = method(u64::from_be(unsafe { head.assume_init() }));
    if method == Method::None || method == Method::Http2 {
        return;
    }
    let mut connection = Connection {
        cgroup,
        port: segment.local_port,
        ..Connection::default()
    };
    if skb_netns() {
        // SAFETY: the program's own context.
        connection.netns = unsafe { bpf_get_netns_cookie(segment.skb.cast()) };
    }
    let key = PendingKey {
        netns: connection.netns,
        remote,
        local,
        remote_port: segment.remote_port,
        local_port: segment.local_port,
        pad: 0,
    };
    if let Some(earlier) = PENDING.get_ptr(&key) {
        // Sent again because the queue was full: it has waited since its first arrival.
        // SAFETY: a live map value.
        if unsafe { (*earlier).request_seq } == segment.seq {
            return;
        }
    }
    refresh(&mut connection, role::SERVER);
    let Some((slot, scratch)) = claim() else { return };
    let length = load(segment, 0, scratch);
    scratch.head = Head::default();
    let end = edge_read_head(slot, START, START + length);
    let head = scratch.head;
    let route = route(&scratch.window, START, connection.settings);
    release(scratch);
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut pending = Pending {
        started_ns: now,
        last_byte_ns: now,
        settings: connection.settings,
        request_seq: segment.seq,
        payload: segment.payload,
        route,
        request: of_method(method),
        asking: 0,
        length: u64::from(end.wrapping_sub(START)) + head.content_length,
    };
    let here = u64::from(segment.payload);
    if end <= START || head.found & found::UNREADABLE != 0 {
        // Its end is not known: for all one can tell, this is the whole of it.
        pending.request |= request::COMPLETE;
    } else if head.found & found::CHUNKED != 0 {
        pending.asking = asking::CHUNKED;
    } else {
        pending.asking = asking::END_KNOWN;
        if pending.length <= here {
            pending.request |= request::COMPLETE;
        }
        if pending.length < here {
            // Where these requests should wait does not exist yet.
            lose(loss::PIPELINED);
        }
    }
    if PENDING.insert(&key, &pending, 0).is_err() {
        lose(loss::PENDING_FULL);
    }
}
