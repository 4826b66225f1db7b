//! What TCP itself knows of a connection: bytes, round trips, why it ended.
//!
//! Nothing here runs per packet, but for those that close a window: looking whether one does costs a
//! bare ACK 0 to 2 ns of 29 (test runs of both programs with and without, the best of 25). Sockets
//! are asked as they open and as they end, and once a second by the iterator while they live, which
//! takes 0.2 us of CPU for one that is idle and 0.3 us for one that moved bytes.

use core::ffi::c_void;

use aya_ebpf::{bindings::bpf_sock_ops, helpers::bpf_ktime_get_ns, helpers::generated::bpf_skc_to_tcp_sock};
use probes_ebpf::wire::{
    Connection, ROUTE_CONNECT, ROUTE_ROUND_TRIP, birth, flag, kernel,
    spare::{BYTES_KNOWN, BYTES_RECEIVED, BYTES_SENT, SEGMENTS_SENT},
    what,
};

use crate::{
    connection::{count_tcp, endpoint, find, is_counted, role_of},
    count::observe,
    exchange::{raise, swap},
    maps::of_kernel,
};

/// `TCP_ESTABLISHED`.
const ESTABLISHED: u32 = 1;

const EPIPE: u32 = 32;
const ENETUNREACH: u32 = 101;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;

/// The first SYN is about to leave. A socket may be connected again, after it failed or was let go of its peer
/// (`AF_UNSPEC`): of the connection before, nothing holds of this one but whose it is.
#[inline(never)]
pub fn opening(connection: &mut Connection) {
    swap(&raw mut connection.flight, 0);
    *connection = Connection {
        version: connection.version,
        birth: birth::OPENED,
        port: connection.port,
        netns: connection.netns,
        cgroup: connection.cgroup,
        settings: connection.settings,
        asks: connection.asks,
        ..Connection::default()
    };
    // SAFETY: takes nothing.
    connection.spare[BYTES_RECEIVED] = unsafe { bpf_ktime_get_ns() };
}

#[inline(always)]
pub fn opened(connection: &mut Connection) {
    count_tcp(connection, what::CONNECTED, 1);
    let began = connection.spare[BYTES_RECEIVED];
    connection.spare[BYTES_RECEIVED] = BYTES_KNOWN;
    if began & BYTES_KNOWN == 0 && began != 0 {
        // SAFETY: takes nothing.
        let now = unsafe { bpf_ktime_get_ns() };
        observe_one(connection, ROUTE_CONNECT, now.saturating_sub(began));
    }
}

/// The connection will not be opened.
#[inline(always)]
pub fn not_opened(connection: &Connection, ops: *mut bpf_sock_ops) {
    count_tcp(connection, what::CONNECT_FAILURES, 1);
    let because = match error_of(ops) {
        Some(0) => what::CONNECT_CANCELED,
        Some(ECONNREFUSED) => what::CONNECT_REFUSED,
        Some(ETIMEDOUT) => what::CONNECT_TIMED_OUT,
        Some(EHOSTUNREACH) => what::CONNECT_HOST_UNREACHABLE,
        Some(ENETUNREACH) => what::CONNECT_NETWORK_UNREACHABLE,
        Some(ECONNRESET) => what::CONNECT_RESET,
        // A reset answers a SYN where nobody listens.
        None if connection.flags & flag::PEER_RESET != 0 => what::CONNECT_REFUSED,
        _ => what::CONNECT_OTHER,
    };
    count_tcp(connection, because, 1);
}

/// An open connection ends, which was in the state `old`.
#[inline(always)]
pub fn over(connection: &mut Connection, ops: *mut bpf_sock_ops, old: u32) {
    count_tcp(connection, what::CLOSED, 1);
    match error_of(ops) {
        Some(ETIMEDOUT) => count_tcp(connection, what::CONNECTION_TIMEOUTS, 1),
        // TCP took one that passed here while data before it still waited for its reader.
        Some(ECONNRESET | EPIPE) if connection.flags & flag::PEER_RESET == 0 => peer_reset(connection),
        _ => {}
    }
    // SAFETY: the context's own fields.
    let (mut received, acked, segments, srtt, una, next) = unsafe {
        (
            (*ops).bytes_received,
            (*ops).bytes_acked,
            (*ops).data_segs_out,
            (*ops).srtt_us,
            (*ops).snd_una,
            (*ops).snd_nxt,
        )
    };
    // TCP counts FINs as bytes.
    if connection.flags & flag::PEER_CLOSED != 0 && old != ESTABLISHED {
        received = received.saturating_sub(1);
    }
    let mut sent = payload_acked(connection, acked);
    if connection.flags & flag::LOCAL_CLOSED != 0 && una == next {
        sent = sent.saturating_sub(1);
    }
    count_first(connection, segments);
    count_bytes(connection, received, sent);
    round_trip(connection, srtt);
}

/// The peer has reset the connection.
#[inline(always)]
pub fn peer_reset(connection: &mut Connection) {
    // It may say so again for each segment that was on its way, before TCP has taken the first.
    if connection.flags & flag::PEER_RESET == 0 {
        count_tcp(connection, what::RESETS_RECEIVED, 1);
        raise(connection, flag::PEER_RESET);
    }
}

/// Whether the socket will say as it ends what ended it. Then only a reset that TCP is sure to take is
/// believed as it passes: anybody can forge one that stands elsewhere, and TCP ignores it.
#[inline(always)]
pub fn has_last_word(connection: &Connection) -> bool {
    let is_open = connection.spare[BYTES_RECEIVED] & BYTES_KNOWN != 0;
    connection.birth != birth::UNSEEN && is_open && of_kernel(kernel::SOCK_ERROR) != 0
}

/// A segment says that its sender has no room for more.
#[inline(always)]
pub fn closed_window(sk: *mut c_void, ingress: bool) {
    let what = if ingress {
        what::ZERO_WINDOWS_RECEIVED
    } else {
        what::ZERO_WINDOWS_SENT
    };
    if let Some(connection) = find(sk) {
        // SAFETY: a live map value.
        count_tcp(unsafe { &*connection }, what, 1);
    }
}

/// A connection that the iterator passes, with its socket locked.
#[inline(always)]
pub fn passed(connection: &mut Connection, sk: *mut c_void) {
    if of_kernel(kernel::TCP_BYTES_RECEIVED) == 0
        || of_kernel(kernel::TCP_BYTES_ACKED) == 0
        || of_kernel(kernel::TCP_ROUND_TRIP) == 0
        || of_kernel(kernel::TCP_SEGMENTS_SENT) == 0
    {
        return;
    }
    let is_known = connection.spare[BYTES_RECEIVED] & BYTES_KNOWN != 0;
    if connection.birth == birth::OPENED && !is_known {
        return;
    }
    // SAFETY: the verifier knows `sk` is a socket; null for one that is no full TCP socket.
    let tcp = unsafe { bpf_skc_to_tcp_sock(sk) }.cast::<u8>();
    if tcp.is_null() {
        return;
    }
    // SAFETY: fields of the kernel's own type, where it says they are; the verifier checks each.
    let (received, acked, segments, srtt) = unsafe {
        (
            *tcp.add(of_kernel(kernel::TCP_BYTES_RECEIVED)).cast::<u64>(),
            *tcp.add(of_kernel(kernel::TCP_BYTES_ACKED)).cast::<u64>(),
            *tcp.add(of_kernel(kernel::TCP_SEGMENTS_SENT)).cast::<u32>(),
            *tcp.add(of_kernel(kernel::TCP_ROUND_TRIP)).cast::<u32>(),
        )
    };
    if connection.birth != birth::UNSEEN {
        count_first(connection, segments);
    } else if of_kernel(kernel::TCP_TOTAL_RETRANSMITS) != 0 {
        // SAFETY: as above.
        let again = unsafe { *tcp.add(of_kernel(kernel::TCP_TOTAL_RETRANSMITS)).cast::<u32>() };
        retransmitted(connection, again, segments);
    }
    // Bytes of what is about to end, with its FINs, are asked then.
    if connection.flags & (flag::PEER_CLOSED | flag::LOCAL_CLOSED) != 0 {
        return;
    }
    let sent = payload_acked(connection, acked);
    if !is_known {
        // Older than the probe: from here on.
        connection.spare[BYTES_RECEIVED] = received | BYTES_KNOWN;
        connection.spare[BYTES_SENT] = sent;
    } else if count_bytes(connection, received, sent) {
        round_trip(connection, srtt);
    }
}

/// Counts what a socket older than the probe has sent, and sent again, since it was last asked.
#[inline(always)]
pub fn retransmitted(connection: &mut Connection, total: u32, segments: u32) {
    if connection.flags & flag::RETRANSMITS_KNOWN == 0 {
        connection.spare[SEGMENTS_SENT] = u64::from(segments);
    } else {
        let again = total.wrapping_sub(connection.retransmits);
        if again != 0 {
            count_again(connection, again);
        }
        count_first(connection, segments);
    }
    raise(connection, flag::RETRANSMITS_KNOWN);
    connection.retransmits = total;
}

/// TCP counts the SYN of who opened the connection as a byte.
#[inline(always)]
fn payload_acked(connection: &Connection, acked: u64) -> u64 {
    acked.saturating_sub(u64::from(connection.birth == birth::OPENED))
}

/// Counts segments that have left again.
#[inline(always)]
fn count_again(connection: &mut Connection, segments: u32) {
    count_tcp(connection, what::RETRANSMITS, u64::from(segments));
    // TCP has them among all that left, but they are none that first did.
    let counted = connection.spare[SEGMENTS_SENT] as u32;
    connection.spare[SEGMENTS_SENT] = u64::from(counted.wrapping_add(segments));
}

/// Counts segments that have left since, `segments` being all that ever did.
#[inline(always)]
fn count_first(connection: &mut Connection, segments: u32) {
    let fresh = segments.wrapping_sub(connection.spare[SEGMENTS_SENT] as u32) as i32;
    if fresh > 0 {
        connection.spare[SEGMENTS_SENT] = u64::from(segments);
        count_tcp(connection, what::SEGMENTS_SENT, fresh as u64);
    }
}

/// Segments have left again, from `sequence` on. What first left until now is counted with them: no share is of these alone.
#[inline(always)]
pub fn sent_again(connection: &mut Connection, ops: *mut bpf_sock_ops, sequence: u32, segments: u32) {
    // SAFETY: the context's own fields.
    let (next, all) = unsafe { ((*ops).snd_nxt, (*ops).data_segs_out) };
    // A FIN alone has no data, and so is not among what left.
    if connection.flags & flag::LOCAL_CLOSED != 0 && sequence.wrapping_add(1) == next {
        count_tcp(connection, what::RETRANSMITS, u64::from(segments));
    } else {
        count_again(connection, segments);
    }
    count_first(connection, all);
}

/// Whether there were any.
#[inline(always)]
fn count_bytes(connection: &mut Connection, received: u64, sent: u64) -> bool {
    let fresh_in = received.saturating_sub(connection.spare[BYTES_RECEIVED] & !BYTES_KNOWN);
    let fresh_out = sent.saturating_sub(connection.spare[BYTES_SENT]);
    if fresh_in != 0 {
        connection.spare[BYTES_RECEIVED] = received | BYTES_KNOWN;
        count_tcp(connection, what::BYTES_RECEIVED, fresh_in);
    }
    if fresh_out != 0 {
        connection.spare[BYTES_SENT] = sent;
        count_tcp(connection, what::BYTES_SENT, fresh_out);
    }
    fresh_in | fresh_out != 0
}

#[inline(always)]
fn round_trip(connection: &Connection, srtt: u32) {
    // In eighths of a microsecond; 0 before the first.
    if srtt != 0 {
        observe_one(connection, ROUTE_ROUND_TRIP, u64::from(srtt) * 125);
    }
}

#[inline(always)]
fn observe_one(connection: &Connection, route: u16, ns: u64) {
    if is_counted(connection) {
        let endpoint = endpoint(connection, role_of(connection));
        observe(&endpoint, connection.settings, route, ns);
    }
}

/// The error that the socket's owner will be told; `None` where the kernel does not say.
#[inline(always)]
fn error_of(ops: *mut bpf_sock_ops) -> Option<u32> {
    if of_kernel(kernel::SOCK_ERROR) == 0 {
        return None;
    }
    // SAFETY: the context's own field, checked; then as in `passed`.
    unsafe {
        let sk = (*ops).__bindgen_anon_2.sk;
        if sk.is_null() {
            return None;
        }
        let tcp = bpf_skc_to_tcp_sock(sk.cast()).cast::<u8>();
        if tcp.is_null() {
            return None;
        }
        Some(*tcp.add(of_kernel(kernel::SOCK_ERROR)).cast::<u32>())
    }
}
