//! Segments that reach a listener: the cgroup of the connection about to be born, and a request that
//! is here before it.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{
    bpf_ktime_get_ns,
    generated::{bpf_get_netns_cookie, bpf_sk_cgroup_id, bpf_skb_load_bytes},
};
use probes_ebpf::{
    conversation::of_method,
    http1::{Head, Method, found, method},
    wire::{Handshake, Pending, PendingKey, asking, loss, request, role},
};

use crate::{
    connection::{endpoint_at, settings_of},
    count::lose_of,
    http::route,
    http2_birth,
    maps::{HANDSHAKE, PENDING, skb_netns},
    scratch::{START, Scratch, claim, edge_read_head, load, release},
    segment::{Segment, address},
    tls,
};

/// What a client of TLS begins with.
const TLS_HANDSHAKE: u64 = 0x1603;

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
                opening: 0,
                hello: 0,
                hello_end: 0,
                pad: 0,
            };
        }
    }
    if segment.payload == 0 {
        return;
    }
    let mut head = MaybeUninit::<u64>::uninit();
    // SAFETY: eight bytes into eight bytes.
    if unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, head.as_mut_ptr().cast(), 8) } != 0 {
        http2_birth::keep(segment);
        return;
    }
    // SAFETY: just filled.
    let head = u64::from_be(unsafe { head.assume_init() });
    // Less of a hello says too little of what its client offers.
    if head >> 48 == TLS_HANDSHAKE && segment.payload > 12 {
        tls::keep_hello(segment);
        return;
    }
    let method = method(head);
    if method == Method::Http2 || method == Method::None {
        http2_birth::keep(segment);
        return;
    }
    let netns = if skb_netns() {
        // SAFETY: the program's own context.
        unsafe { bpf_get_netns_cookie(segment.skb.cast()) }
    } else {
        0
    };
    let key = PendingKey {
        netns,
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
    let settings = settings_at(netns, cgroup, segment.local_port);
    let Some((slot, scratch)) = claim() else { return };
    let length = load(segment, 0, scratch);
    scratch.head = Head::default();
    let end = edge_read_head(slot, START, START + length);
    let found = route(&mut scratch.window, START, settings);
    let under = u64::from(settings) << 32 | u64::from(found);
    let request = u64::from(end) << 32 | u64::from(of_method(method));
    keep(&key, segment, scratch, under, request);
    release(scratch);
}

/// Remembers the request, of settings and route, of an end and a method, for its connection. In a frame of its own: the 512 bytes that
/// all frames on the way to a header's fields share are used up, as Linux 5.10 rounds them.
#[inline(never)]
fn keep(key: &PendingKey, segment: &Segment, scratch: &mut Scratch, under: u64, request: u64) {
    let (settings, route) = ((under >> 32) as u32, under as u16);
    let (end, of_method) = ((request >> 32) as u32, request as u8);
    let head = scratch.head;
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut pending = Pending {
        started_ns: now,
        last_byte_ns: now,
        settings,
        request_seq: segment.seq,
        payload: segment.payload,
        route,
        request: of_method,
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
            lose_of(settings, loss::PIPELINED);
        }
    }
    if PENDING.insert(key, &pending, 0).is_err() {
        lose_of(settings, loss::PENDING_FULL);
    }
}

#[inline(never)]
fn settings_at(netns: u64, cgroup: u64, port: u16) -> u32 {
    settings_of(endpoint_at(netns, cgroup, port, role::SERVER))
}
