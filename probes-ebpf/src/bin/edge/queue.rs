//! How long a request waited until the server read: the part of the turnaround that no server's own
//! clock can see. From the request's last byte in to the first read after it.
//!
//! The kernel passes here whenever an application has read from any TCP socket. A read that began
//! before the last segment of a request and ends as it arrives is taken for the read after it; such a
//! request seems to have waited for nothing. What is read over io_uring or by splice passes here, too.

use core::{ffi::c_void, ptr};

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use probes_ebpf::wire::{ROUTE_QUEUE, control, flight, request, role};

use crate::{
    connection::{endpoint, find, is_in_flight},
    count::{compare_swap, observe, word},
};

/// `tcp_rcv_space_adjust(sk)`.
#[btf_tracepoint]
pub fn edge_read(context: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = context.arg(0);
    if sk.is_null() || word(control::READS) != 0 {
        return 0;
    }
    let Some(connection) = find(sk) else { return 0 };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    // SAFETY: as above; packets may end the request meanwhile.
    let before = unsafe { ptr::read_volatile(&raw const connection.flight) };
    if !is_in_flight(connection)
        || before & flight::READ != 0
        || connection.role != role::SERVER
        || connection.request & request::COMPLETE == 0
    {
        return 0;
    }
    let since = connection.last_byte_ns;
    let settings = connection.request_settings;
    // Whoever swaps the word has booked the read, once; when it fails the request is over.
    if compare_swap(&raw mut connection.flight, before, before | flight::READ) == before {
        // SAFETY: takes nothing.
        let now = unsafe { bpf_ktime_get_ns() };
        let endpoint = endpoint(connection, role::SERVER);
        observe(&endpoint, settings, ROUTE_QUEUE, now.saturating_sub(since));
    }
    0
}
