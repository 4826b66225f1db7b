//! What the single words of small maps mean.

/// Indexes of `CONTROL`.
pub mod control {
    /// Raised by user space whenever an endpoint's settings change.
    pub const GENERATION: u32 = 0;
    /// Wall time at boot, in ns since 1970: fixed once, so that start times never move.
    pub const ANCHOR: u32 = 1;
    /// Nanoseconds since boot when these pins were made.
    pub const MADE: u32 = 2;
    /// [`mode`](super::mode).
    pub const MODE: u32 = 3;
    /// Whether reads are not timed.
    pub const READS: u32 = 4;
    /// The cgroup whose packets are seen, with all beneath it.
    pub const WITHIN: u32 = 5;
    pub const WORDS: u32 = 8;
}

/// Indexes of `KERNEL`, which is fixed when the object is loaded: where the kernel's own types have a
/// field, in bytes.
pub mod kernel {
    pub const SOCK_ERROR: usize = 0;
    pub const TCP_BYTES_RECEIVED: usize = 1;
    pub const TCP_BYTES_ACKED: usize = 2;
    pub const TCP_ROUND_TRIP: usize = 3;
    pub const TCP_TOTAL_RETRANSMITS: usize = 4;
    /// Not a place: whether `tcp_send_reset` tells a reason (Linux 6.10).
    pub const RESET_REASON: usize = 5;
    pub const SOCK_LOCAL_PORT: usize = 6;
    /// Not a place: whether the programs are there that follow HTTP/2.
    pub const FOLLOWS_HTTP2: usize = 7;
    /// A socket's cgroup, and what leads from there to its id and to its parents; with 0 here, none of these
    /// and of the namespace's is told.
    pub const SOCK_CGROUP: usize = 8;
    pub const CGROUP_NODE: usize = 9;
    pub const NODE_ID: usize = 10;
    pub const STATE_PARENT: usize = 11;
    pub const STATE_CGROUP: usize = 12;
    pub const SOCK_NETNS: usize = 13;
    pub const NETNS_COOKIE: usize = 14;
    pub const TCP_SEGMENTS_SENT: usize = 15;
    pub const WORDS: usize = 16;
}

/// How much is done for each request. Each leaves out what the ones before it do, too.
pub mod mode {
    pub const FULL: u64 = 0;
    /// Remote addresses are not counted.
    pub const NO_SOURCES: u64 = 1;
    /// No route is looked up.
    pub const NO_ROUTES: u64 = 2;
}

/// Indexes of `LOSSES`, which knows no service, and of `LOST`.
pub mod loss {
    pub const COUNTS_FULL: u32 = 0;
    pub const LATENCIES_FULL: u32 = 1;
    pub const SOURCES_FULL: u32 = 2;
    pub const STORAGE_FULL: u32 = 3;
    pub const PENDING_FULL: u32 = 4;
    /// A request for which the queue behind the one in flight had no room, or that came behind such a one. Its
    /// response is `UNKNOWN`.
    pub const PIPELINED: u32 = 5;
    /// Bytes where a request or an answer should begin that are neither, or that are missing there.
    pub const UNPARSABLE: u32 = 6;
    /// Answers so many or so small in one segment that the place of the next was lost: those in flight
    /// are `UNKNOWN`. Or one of which a piece was missing, so that its last byte was not seen.
    pub const UNFRAMED: u32 = 7;
    /// A segment that was not read, because it interrupted one that interrupted others.
    pub const INTERRUPTED: u32 = 8;
    /// Counted under `other` in [`mode::NO_ROUTES`](super::mode), though its service has routes.
    pub const UNROUTED: u32 = 19;
    /// Connections of which a record found no room in the ring buffer.
    pub const HTTP2_RING_FULL: u32 = 10;
    /// Connections whose frames could not be followed: a hole in the sequence, or too many frames.
    pub const HTTP2_HOLE: u32 = 11;
    /// Connections that were speaking HTTP/2 before the probe could read their headers.
    pub const HTTP2_JOINED_LATE: u32 = 12;
    /// All of [`HTTP2_RING_FULL`], of whichever service: no loss of its own, it says that ends may be missing.
    pub const HTTP2_RING_DOUBT: u32 = 13;
    /// A counter of TCP's, or a time that is none of a request's: without one no request is missing.
    pub const SIGNALS_FULL: u32 = 14;
    pub const WORDS: u32 = 32;
}
