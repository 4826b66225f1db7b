//! Hellos of TLS that reach a listener before their connection is born (TCP_DEFER_ACCEPT).

use probes_ebpf::{
    turns::of_hello,
    wire::{Connection, Handshake, protocol, turn},
};

use crate::{
    maps::HANDSHAKE,
    segment::Segment,
    tls_records::{edge_tls_client, edge_tls_hello},
};

/// A hello has reached a listener: what its connection would have learnt of it is kept for the one that is born of
/// it next, on this CPU.
#[inline(never)]
pub fn keep_hello(segment: &Segment) {
    let Some(handshake) = HANDSHAKE.get_ptr_mut(0) else {
        return;
    };
    let word = turn::ASKED | edge_tls_hello(segment.skb, segment.offset);
    let (hello, next) = of_hello(edge_tls_client(
        segment.skb,
        segment.offset,
        segment.payload,
        0,
        word,
    ));
    // SAFETY: this CPU's only element.
    unsafe {
        (*handshake).hello = hello;
        (*handshake).hello_end = segment.seq.wrapping_add(next);
    }
}

/// The connection is born whose hello was kept.
#[inline(always)]
pub fn born(connection: &mut Connection, handshake: &Handshake) {
    connection.protocol = protocol::TLS;
    connection.spare[turn::WORD] = handshake.hello;
    connection.client_end = handshake.hello_end;
}
