//! What no socket of ours can tell: SYN-ACKs sent again, and resets that belong to no connection.
//! Counted for the host, or for a service where its port is its own. No objective stands on these:
//! their fields move between kernels.

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use probes_ebpf::wire::{Endpoint, ROUTE_NONE, role, what};

use crate::{
    count::count,
    maps::{PORTS, synack_sport},
};

#[tracepoint]
pub fn edge_synack(context: TracePointContext) -> u32 {
    let offset = synack_sport() as usize;
    let mut port = 0u16;
    let mut settings = 0;
    if offset != 0 {
        // SAFETY: the offset comes from the tracepoint's own description.
        port = unsafe { context.read_at(offset) }.unwrap_or(0);
        match PORTS.get_ptr(&u32::from(port)) {
            // SAFETY: a live map value.
            Some(found) => settings = unsafe { *found },
            None => port = 0,
        }
    }
    add(port, settings, what::SYN_RETRANSMITS);
    let _ = context.as_ptr();
    0
}

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
