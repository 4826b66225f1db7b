//! What no socket of ours can tell: SYN-ACKs sent again, and resets that belong to no connection.
//! Counted for the host, or for the service whose listener or port it was. No objective stands on these:
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
use probes_ebpf::wire::{Endpoint, ROUTE_NONE, control, kernel, role, what};

use crate::{
    connection::{count_tcp, endpoint_at, find, is_counted, settings_of},
    count::count,
    maps::{CONTROL, PORTS, of_kernel, synack_sport},
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
    match home(sk.cast()) {
        Home::Here { netns, cgroup } => {
            let endpoint = endpoint_at(netns, cgroup, port, role::SERVER);
            count(
                &endpoint,
                settings_of(endpoint),
                ROUTE_NONE,
                what::SYN_RETRANSMITS,
                1,
            );
        }
        Home::Elsewhere => add(0, 0, what::SYN_RETRANSMITS),
        Home::Untold => synack(port),
    }
    0
}

/// Where a socket belongs, by the kernel's own types: no helper tells it here.
enum Home {
    Here {
        netns: u64,
        cgroup: u64,
    },
    /// None of its packets is seen, so it may well have the port of one that is.
    Elsewhere,
    Untold,
}

#[inline(always)]
fn home(sk: *const u8) -> Home {
    let at = of_kernel(kernel::SOCK_CGROUP);
    if at == 0 {
        return Home::Untold;
    }
    // SAFETY: as above, of each; what cannot be read is 0.
    unsafe {
        let cgroup = *sk.add(at).cast::<*const u8>();
        if !is_within(cgroup) {
            return Home::Elsewhere;
        }
        let netns = *sk.add(of_kernel(kernel::SOCK_NETNS)).cast::<*const u8>();
        Home::Here {
            netns: *netns.add(of_kernel(kernel::NETNS_COOKIE)).cast::<u64>(),
            cgroup: id(cgroup),
        }
    }
}

/// Nested more deeply than anyone nests them.
const CGROUP_DEPTH: u32 = 32;

/// Whether a cgroup is the one whose packets are seen, or beneath it. Every cgroup begins with the state of
/// its own, which knows the parent's.
#[inline(always)]
unsafe fn is_within(cgroup: *const u8) -> bool {
    let within = match CONTROL.get_ptr(control::WITHIN) {
        // SAFETY: a live map value.
        Some(cell) => unsafe { *cell },
        None => return false,
    };
    let mut state = cgroup;
    let mut depth = 0;
    while depth < CGROUP_DEPTH {
        // SAFETY: as the caller's.
        let found = unsafe { id(*state.add(of_kernel(kernel::STATE_CGROUP)).cast::<*const u8>()) };
        if found == within || found == 0 {
            return found != 0;
        }
        // SAFETY: as the caller's.
        state = unsafe { *state.add(of_kernel(kernel::STATE_PARENT)).cast::<*const u8>() };
        depth += 1;
    }
    false
}

#[inline(always)]
unsafe fn id(cgroup: *const u8) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        let node = *cgroup.add(of_kernel(kernel::CGROUP_NODE)).cast::<*const u8>();
        *node.add(of_kernel(kernel::NODE_ID)).cast::<u64>()
    }
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
