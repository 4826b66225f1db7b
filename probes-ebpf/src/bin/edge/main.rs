//! Requests as the socket edge sees them, counted in the kernel.
//!
//! In: every TCP segment and socket event of one cgroup and what lies beneath it, and the settings
//! that user space wrote. Out: counters per endpoint, route and outcome; latencies; requests by
//! remote address; what was lost. No event leaves the kernel but the header blocks of HTTP/2, which
//! only user space can read.
//!
//! | program | hook | owns |
//! |---|---|---|
//! | `edge_in`, `edge_out` | cgroup_skb | requests, statuses, latencies, resets on a socket |
//! | `edge_http2_in`, `edge_http2_out` | called by those | HTTP/2: its frames, and what user space needs of them |
//! | `edge_socket` | sock_ops | connections: birth, end, retransmits |
//! | `edge_in_flight` | iter/tcp | requests that are overdue before they end; bytes, round trips |
//! | `edge_read` | tp_btf | how long requests waited until they were read |
//! | `edge_synacks`, else `edge_synack` | tp_btf, else tracepoint | SYN-ACKs sent again: they have no socket yet |
//! | `edge_resets_*`, else `edge_reset_*` | tp_btf, else tracepoint | resets that no socket of ours knows; reasons |
//!
//! Cost: by the kernel's own account of each program, `cargo bench --profile dev --bench probe-overhead -- account`;
//! README has the table, and 65 ns a run of it are the accounting.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod answering;
#[cfg(target_arch = "bpf")]
mod asking;
#[cfg(target_arch = "bpf")]
mod connection;
#[cfg(target_arch = "bpf")]
mod conversation;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod exchange;
#[cfg(target_arch = "bpf")]
mod framing;
#[cfg(target_arch = "bpf")]
mod handshake;
#[cfg(target_arch = "bpf")]
mod http;
#[cfg(target_arch = "bpf")]
mod http2;
#[cfg(target_arch = "bpf")]
mod http2_birth;
#[cfg(target_arch = "bpf")]
mod http2_edge;
#[cfg(target_arch = "bpf")]
mod http2_entry;
#[cfg(target_arch = "bpf")]
mod http2_slots;
#[cfg(target_arch = "bpf")]
mod http2_trailers;
#[cfg(target_arch = "bpf")]
mod in_flight;
#[cfg(target_arch = "bpf")]
mod last_byte;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod pieces;
#[cfg(target_arch = "bpf")]
mod pipeline;
#[cfg(target_arch = "bpf")]
mod queue;
#[cfg(target_arch = "bpf")]
mod reading;
#[cfg(target_arch = "bpf")]
mod request;
#[cfg(target_arch = "bpf")]
mod scratch;
#[cfg(target_arch = "bpf")]
mod segment;
#[cfg(target_arch = "bpf")]
mod socket;
#[cfg(target_arch = "bpf")]
mod tcp;
#[cfg(target_arch = "bpf")]
mod tls;
#[cfg(target_arch = "bpf")]
mod tls_records;
#[cfg(target_arch = "bpf")]
mod tracepoint;
#[cfg(target_arch = "bpf")]
mod turns;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
