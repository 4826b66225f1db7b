//! Segments that reach a listener: the cgroup of the connection about to be born, and a request that
//! is here before it.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{
    bpf_ktime_get_ns,
    generated::{bpf_get_netns_cookie, bpf_sk_cgroup_id, bpf_skb_load_bytes},
};
use probes_ebpf::wire::{Connection, Handshake, Pending, PendingKey, loss, role};

use crate::{
    connection::refresh,
    count::lose,
    http::{Method, bounds, method, route},
    maps::{HANDSHAKE, PENDING, skb_netns},
    segment::{Segment, address},
};

/// The segment reaches the listener, because it is the one that completes the handshake: with
/// TCP_DEFER_ACCEPT, or when the third ACK was lost. It will not be filtered again for the child.
#[inline(always)]
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
    let (request_end, flags) = bounds(segment, method);
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let pending = Pending {
        started_ns: now,
        last_byte_ns: now,
        settings: connection.settings,
        request_seq: segment.seq,
        request_end,
        route: route(segment, connection.settings),
        flags,
        pad: 0,
    };
    if PENDING.insert(&key, &pending, 0).is_err() {
        lose(loss::PENDING_FULL);
    }
}
