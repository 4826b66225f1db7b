//! What no socket of ours can tell: SYN-ACKs sent again, and resets that belong to no connection.
//! Counted for the host, or for a service where its port is its own. No objective stands on these:
//! their fields move between kernels, and they cannot be replaced without a gap.
//!
//! A reset counts once: where the socket is known, `edge_in` and `edge_out` have counted it. Only
//! what the kernel sends in answer to a segment leaves through a socket of its own, so that is
//! counted here even of a known one.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use probes_ebpf::wire::{Endpoint, ROUTE_NONE, kernel, role, what};

use crate::{
    connection::{count_tcp, find, is_counted},
    count::count,
    maps::{PORTS, of_kernel, synack_sport},
};

/// `tcp_send_reset(sk, skb, reason)`: without `skb` the socket sends it of its own accord.
#[btf_tracepoint]
pub fn edge_resets_sent(context: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = context.arg(0);
    let answers: *mut c_void = context.arg(1);
    let because = if of_kernel(kernel::RESET_REASON) != 0 {
        let reason: u32 = context.arg(2);
        let reason = if reason < u32::from(what::RESET_REASONS) {
            reason as u16
        } else {
            0
        };
        what::RESET_SENT_BECAUSE + reason
    } else {
        0
    };
    if !sk.is_null()
        && let Some(connection) = find(sk)
    {
        // SAFETY: a live map value.
        let connection = unsafe { &*connection };
        if is_counted(connection) {
            if !answers.is_null() {
                count_tcp(connection, what::RESETS_SENT, 1);
            }
            if because != 0 {
                count_tcp(connection, because, 1);
            }
            return 0;
        }
    }
    add(0, 0, what::RESETS_SENT);
    if because != 0 {
        add(0, 0, because);
    }
    0
}

/// `tcp_receive_reset(sk)`.
#[btf_tracepoint]
pub fn edge_resets_received(context: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = context.arg(0);
    if !sk.is_null()
        && let Some(connection) = find(sk)
        // SAFETY: a live map value.
        && is_counted(unsafe { &*connection })
    {
        return 0;
    }
    add(0, 0, what::RESETS_RECEIVED);
    0
}

/// `tcp_retransmit_synack(sk, req)`, `sk` being the listener. Unlike a plain tracepoint's program, one
/// of this kind runs also while its CPU is inside of bpf(2).
#[btf_tracepoint]
pub fn edge_synacks(context: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = context.arg(0);
    let at = of_kernel(kernel::SOCK_LOCAL_PORT);
    if sk.is_null() || at == 0 {
        add(0, 0, what::SYN_RETRANSMITS);
        return 0;
    }
    // SAFETY: a field of the kernel's own type, where it says it is; the verifier checks it.
    let port = unsafe { *sk.cast::<u8>().add(at).cast::<u16>() };
    synack(port);
    0
}

/// Where the listener cannot be told.
#[tracepoint]
pub fn edge_synack(context: TracePointContext) -> u32 {
    let offset = synack_sport() as usize;
    if offset == 0 {
        add(0, 0, what::SYN_RETRANSMITS);
    } else {
        // SAFETY: the offset comes from the tracepoint's own description.
        synack(unsafe { context.read_at(offset) }.unwrap_or(0));
    }
    let _ = context.as_ptr();
    0
}

/// Of the service that has the port to itself, else of the host.
#[inline(always)]
fn synack(port: u16) {
    match PORTS.get_ptr(&u32::from(port)) {
        // SAFETY: a live map value.
        Some(settings) => add(port, unsafe { *settings }, what::SYN_RETRANSMITS),
        None => add(0, 0, what::SYN_RETRANSMITS),
    }
}

/// Where the socket cannot be told: all of them.
#[tracepoint]
pub fn edge_reset_sent(_: TracePointContext) -> u32 {
    add(0, 0, what::RESETS_SENT);
    0
}

#[tracepoint]
pub fn edge_reset_received(_: TracePointContext) -> u32 {
    add(0, 0, what::RESETS_RECEIVED);
    0
}

#[inline(always)]
fn add(port: u16, settings: u32, what: u16) {
    let endpoint = Endpoint {
        port,
        role: role::SERVER,
        ..Endpoint::default()
    };
    count(&endpoint, settings, ROUTE_NONE, what, 1);
}
