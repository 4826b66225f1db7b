//! Records of the `edge` object: what the kernel counts, and under which key.
//!
//! User space writes [`Settings`], endpoint and route entries; the kernel writes counters. Numeric
//! ids are fixed for ever: gaps are fine, reuse is not. Any change of a size or a meaning here
//! must raise [`VERSION`], which names the directory of the pinned counters.

mod bucket;
mod pipeline;
pub mod spare;
mod statuses;
mod words;

pub use bucket::bucket;
pub use pipeline::{Ending, Piece, Pipeline, QUEUE, Queued, answering};
pub use statuses::{STATUSES, place_of_status};
pub use words::{control, kernel, loss, mode};

/// Of the records in this file. [`Connection`] has a version of its own: it outlives upgrades.
pub const VERSION: u32 = 6;
/// Of [`Connection`].
pub const CONNECTION_VERSION: u8 = 4;

/// Where a connection ends, as the kernel knows it. Names are user space's business.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Network namespace cookie; 0 where the kernel refuses to tell, and in wildcards.
    pub netns: u64,
    /// Of the socket, fixed when it was created. 0 in wildcards.
    pub cgroup: u64,
    /// Server: the local port. Client: the remote port. 0 in wildcards.
    pub port: u16,
    /// [`role`].
    pub role: u8,
    pub pad: [u8; 5],
}

pub mod role {
    pub const SERVER: u8 = 1;
    pub const CLIENT: u8 = 2;
}

/// Which settings an endpoint's requests are counted under.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// For requests that begin from now on.
    pub current: u32,
    /// For what was counted before the endpoint had a name, under settings 0.
    pub first: u32,
}

pub const THRESHOLDS: usize = 4;
pub const NAME_MAX: usize = 64;
/// Ids of settings are never reused while the pins live; 0 is "not named yet".
pub const SETTINGS_MAX: u32 = 4096;

/// Everything that counters of one id have in common: the service, its thresholds and timeout. A
/// change of any of them, or of the routes, is a new id, so that no counter ever changes meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The service, padded with zeros. Empty: this id is free.
    pub name: [u8; NAME_MAX],
    pub threshold_ns: [u64; THRESHOLDS],
    pub timeout_ns: u64,
    /// [`clock`] of each threshold; 0 ends the list.
    pub clock: [u8; THRESHOLDS],
    pub route_count: u16,
    /// [`asks`].
    pub asks: u8,
    pub pad: u8,
}

/// What a service wants that most do not.
pub mod asks {
    /// Answers are followed to their last byte.
    pub const LAST_BYTE: u8 = 1;
    /// Requests of every route are meant to wait, as those of [`LONG_POLL`](super::LONG_POLL).
    pub const LONG_POLL: u8 = 2;
}

pub mod clock {
    pub const TURNAROUND: u8 = 1;
    pub const FIRST_BYTE: u8 = 2;
    pub const LAST_BYTE: u8 = 3;
}

/// Bytes of a request line that routes are matched against: the method, a space, the path.
pub const ROUTE_TEXT: usize = 60;

/// The data part of a route's key in the prefix trie.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteText {
    pub settings: u32,
    pub text: [u8; ROUTE_TEXT],
}

/// The route of requests that no configured route takes.
pub const ROUTE_OTHER: u16 = 0;
/// Set in the number of a route whose requests are meant to wait: they count by their status alone.
pub const LONG_POLL: u16 = 0x4000;
/// For counters that know no request.
pub const ROUTE_NONE: u16 = 0xffff;
/// Under which [`Latency`] holds how long connections took to open.
pub const ROUTE_CONNECT: u16 = 0xfffe;
/// Under which [`Latency`] holds smoothed round trip times: of each connection once a second while
/// it moves bytes, and once as it ends.
pub const ROUTE_ROUND_TRIP: u16 = 0xfffd;
/// Under which [`Latency`] holds how long requests waited until the server read.
pub const ROUTE_QUEUE: u16 = 0xfffc;
/// Of endpoints that are gone: requests that were counted before these had settings, and so without thresholds.
pub const ROUTE_UNTIMED: u16 = 0xfffb;

/// Whether [`Latency`] holds requests under such a route, and not what else takes time.
#[must_use]
#[inline(always)]
pub const fn is_of_requests(route: u16) -> bool {
    route <= ROUTE_UNTIMED
}

/// Endpoints that are known to answer turns: so many, and those that hang least recently make room.
pub const ANSWERED_MAX: u32 = 4096;

/// Key of plain counters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountKey {
    pub endpoint: Endpoint,
    pub settings: u32,
    pub route: u16,
    /// A status code (100 to 999), or one of [`what`]. Of [`STATUSES`] only what [`Latency`] does not count.
    pub what: u16,
}

pub mod what {
    pub const RESET_BY_SERVER: u16 = 1001;
    pub const CLOSED_UNANSWERED: u16 = 1002;
    pub const TIMED_OUT: u16 = 1003;
    pub const CLIENT_GAVE_UP: u16 = 1004;
    pub const UNKNOWN: u16 = 1005;
    /// Answered, in a protocol whose status nobody reads.
    pub const ANSWERED: u16 = 1200;
    pub const RETRANSMITS: u16 = 2001;
    pub const SYN_RETRANSMITS: u16 = 2002;
    pub const CONNECT_FAILURES: u16 = 2003;
    pub const ACCEPTED: u16 = 2004;
    pub const CONNECTED: u16 = 2005;
    pub const RESETS_SENT: u16 = 2006;
    pub const RESETS_RECEIVED: u16 = 2007;
    /// Connections of [`ACCEPTED`] and [`CONNECTED`] that have ended.
    pub const CLOSED: u16 = 2008;
    pub const BYTES_RECEIVED: u16 = 2009;
    /// Acknowledged by the peer.
    pub const BYTES_SENT: u16 = 2010;
    /// Segments that said: no more room.
    pub const ZERO_WINDOWS_SENT: u16 = 2011;
    pub const ZERO_WINDOWS_RECEIVED: u16 = 2012;
    /// Connections that TCP gave up on, as the peer acknowledged nothing any more.
    pub const CONNECTION_TIMEOUTS: u16 = 2013;
    /// Segments with data, each when it first left: those of [`RETRANSMITS`] are not among them.
    pub const SEGMENTS_SENT: u16 = 2014;
    /// [`RESETS_SENT`] by the kernel's own reason: this and 39 more.
    pub const RESET_SENT_BECAUSE: u16 = 2020;
    pub const RESET_REASONS: u16 = 40;
    pub const RESET_REASONS_END: u16 = RESET_SENT_BECAUSE + RESET_REASONS;
    /// [`CONNECT_FAILURES`] by error.
    pub const CONNECT_REFUSED: u16 = 2060;
    pub const CONNECT_TIMED_OUT: u16 = 2061;
    pub const CONNECT_HOST_UNREACHABLE: u16 = 2062;
    pub const CONNECT_NETWORK_UNREACHABLE: u16 = 2063;
    pub const CONNECT_RESET: u16 = 2064;
    /// Closed by whoever opened it, before there was an answer.
    pub const CONNECT_CANCELED: u16 = 2065;
    pub const CONNECT_OTHER: u16 = 2066;
    /// A gRPC call that ended with status `n` is `GRPC + n`.
    pub const GRPC: u16 = 3000;
    pub const GRPC_END: u16 = 3016;

    /// Whether it counts how requests ended, and not what TCP went through.
    #[must_use]
    #[inline(always)]
    pub const fn is_of_requests(what: u16) -> bool {
        what < RETRANSMITS || what >= GRPC
    }
}

/// One CPU's share of a plain counter. Exactly one CPU holds `first_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Nanoseconds since boot when the key appeared, from the CPU that made it; else 0.
    pub first_ns: u64,
    pub value: u64,
}

/// Whether this is the number of a route with [`LONG_POLL`], and none of those below zero.
#[must_use]
#[inline(always)]
pub const fn is_long_poll(route: u16) -> bool {
    route & (LONG_POLL | 0x8000) == LONG_POLL
}

/// What was lost of one service, by [`loss`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Nanoseconds since boot when the first was.
    pub first_ns: u64,
    pub by_reason: [u64; loss::WORDS as usize],
}

/// Key of latencies.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LatencyKey {
    pub endpoint: Endpoint,
    pub settings: u32,
    pub route: u16,
    /// [`clock::LAST_BYTE`], or 0: the turnaround, or what `route` stands for.
    pub clock: u16,
}

/// Latencies below 1.024 us share the first bucket, those above 137 s the last.
pub const BUCKET_FIRST: u32 = 159;
pub const BUCKETS: usize = 434;

/// One CPU's share of a route's latencies, on one clock.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub first_ns: u64,
    /// Answered within each threshold, and not with 5xx.
    pub within: [u64; THRESHOLDS],
    /// Ended past each threshold however it ended, or still in flight past it.
    pub over: [u64; THRESHOLDS],
    pub sum_ns: u64,
    /// How many of each of [`STATUSES`] were answered. Every CPU that counts one holds a `first_ns` of its own.
    pub statuses: [Count; STATUSES.len()],
    /// Bucket `i` counts `(2^(j/16), 2^((j+1)/16)]` ns, with `j = i + BUCKET_FIRST`.
    pub buckets: [u64; BUCKETS],
}

/// Key of the request counter by remote address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceKey {
    /// IPv6, or IPv4 mapped into it, in network byte order.
    pub address: [u32; 4],
    pub settings: u32,
    pub pad: u32,
}

/// What is known of one socket, with at most one request in flight. This record is an ABI: it
/// stays in the kernel while programs are replaced, so fields are only ever added out of `spare`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    pub version: u8,
    /// [`birth`].
    pub birth: u8,
    /// [`role`] of the request in flight.
    pub role: u8,
    /// [`flag`].
    pub flags: u8,
    pub port: u16,
    pub route: u16,
    pub netns: u64,
    pub cgroup: u64,
    /// What the endpoint's settings were, and of which generation that answer is.
    pub settings: u32,
    pub generation: u32,
    /// What the request in flight is counted under.
    pub request_settings: u32,
    pub request_seq: u32,
    /// Monotonic time of the request's first byte.
    pub started_ns: u64,
    /// Monotonic time of the request's last byte so far.
    pub last_byte_ns: u64,
    /// [`flight`]: 0 is idle.
    pub flight: u64,
    /// Of connections that are counted by [`turn`]s: the end of what the client has said. Of those that
    /// speak HTTP/1, with [`flag::SENT_KNOWN`]: the end of what a server has said.
    pub client_end: u32,
    /// Of the response that was counted last.
    pub response_seq: u32,
    /// Of sockets older than the probe: retransmits already counted.
    pub retransmits: u32,
    /// [`protocol`].
    pub protocol: u8,
    /// [`request`], of the request in flight.
    pub request: u8,
    /// [`asking`]. Written by the side that asks alone.
    pub asking: u8,
    /// [`asks`], of `settings`.
    pub asks: u8,
    /// Where the request ends that came last, when [`asking::END_KNOWN`]. A count of bytes whose low
    /// half is a sequence number, so that an upload may be longer than those reach.
    pub request_end: u64,
    /// How far requests have been seen, in the same count.
    pub asked: u64,
    /// [`spare`].
    pub spare: [u64; 5],
}

/// What is known of one request.
pub mod request {
    /// All of it has arrived, as far as can be told.
    pub const COMPLETE: u8 = 1;
    /// Its answer has a header alone.
    pub const HEAD: u8 = 2;
    /// Once granted, the connection is no longer HTTP.
    pub const CONNECT: u8 = 4;
}

/// How far the requests of a connection have been understood.
pub mod asking {
    /// `request_end` holds.
    pub const END_KNOWN: u8 = 1;
    /// The header goes on: what was left unfinished is in [`Pipeline`](super::Pipeline).
    pub const OPEN: u8 = 2;
    /// The body is in chunks, and has not ended.
    pub const CHUNKED: u8 = 4;
    /// The route is not known yet, as the request line goes on.
    pub const ROUTE_OPEN: u8 = 8;
    /// The connection has a [`Pipeline`](super::Pipeline).
    pub const PIPELINE: u8 = 16;
}

/// What a connection speaks, by its first bytes.
pub mod protocol {
    pub const UNDECIDED: u8 = 0;
    pub const HTTP1: u8 = 1;
    pub const HTTP2: u8 = 2;
    pub const TLS: u8 = 3;
    pub const OTHER: u8 = 4;
    /// No longer HTTP, by an answer of 101 or to CONNECT: what passes is neither asked nor answered.
    pub const UPGRADED: u8 = 5;
    /// The answer was 101, and what follows it has not shown yet whether that is HTTP/2.
    pub const SWITCHED: u8 = 6;
}

/// Of connections that are counted by turns: bits of one word of [`Connection::spare`].
///
/// Such a connection has `client_end` at the end of what the client has said, and `response_seq` at the end of
/// what the server has.
pub mod turn {
    pub const WORD: usize = 2;
    /// `client_end` holds.
    pub const ASKED: u64 = 1;
    /// `response_seq` holds.
    pub const ANSWERED: u64 = 2;
    /// The turn in flight may ask for nothing: it counts only if it is answered.
    pub const DOUBTFUL: u64 = 4;
}

pub mod birth {
    /// The socket is older than the probe.
    pub const UNSEEN: u8 = 0;
    pub const ACCEPTED: u8 = 1;
    pub const OPENED: u8 = 2;
}

pub mod flag {
    /// The peer has sent FIN.
    pub const PEER_CLOSED: u8 = 1;
    /// The peer has sent RST.
    pub const PEER_RESET: u8 = 2;
    /// Bytes were sent in answer that no status line stood before.
    pub const UNREADABLE: u8 = 4;
    /// Of a server that speaks HTTP/1: `client_end` holds.
    pub const SENT_KNOWN: u8 = 8;
    /// `retransmits` holds a first value.
    pub const RETRANSMITS_KNOWN: u8 = 16;
    /// We have sent FIN.
    pub const LOCAL_CLOSED: u8 = 64;
}

/// Bits of [`Connection::flight`]. One word, because the iterator books what is overdue while
/// packets move on other CPUs: whoever swaps the word has ended or booked the request, once.
pub mod flight {
    /// Bits 0 to 3: booked as over this threshold.
    pub const OVER: u64 = 0x0f;
    /// The server has read since all of the request was there.
    pub const READ: u64 = 0x10;
    /// Being filled in from the queue.
    pub const STARTING: u64 = 0x20;
    /// Booked as timed out: nothing more is counted of it.
    pub const TIMED_OUT: u64 = 0x40;
    pub const IN_FLIGHT: u64 = 0x80;
    /// Bits 8 and up number the requests of a connection.
    pub const ORDINAL_SHIFT: u32 = 8;
}

/// A request that reached the listener before its connection existed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingKey {
    pub netns: u64,
    pub remote: [u32; 4],
    pub local: [u32; 4],
    pub remote_port: u16,
    pub local_port: u16,
    pub pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    pub started_ns: u64,
    pub last_byte_ns: u64,
    pub settings: u32,
    pub request_seq: u32,
    /// How much of it is here.
    pub payload: u32,
    pub route: u16,
    /// [`request`] and [`asking`].
    pub request: u8,
    pub asking: u8,
    /// Header and body, when [`asking::END_KNOWN`].
    pub length: u64,
}

/// What the packet that is completing a handshake on this CPU told of its listener: the cgroup
/// cannot be asked for where the connection is born.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Handshake {
    pub cgroup: u64,
    pub remote_port: u16,
    pub local_port: u16,
    /// Bytes of the packet that begin with a preface of HTTP/2, and are kept; else 0.
    pub opening: u32,
    /// What a hello of TLS tells, as a word of [`turn`]; 0 when the packet has none.
    pub hello: u64,
    /// Where the record behind it begins.
    pub hello_end: u32,
    pub pad: u32,
}

/// What the iterator tells of a request in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    pub endpoint: Endpoint,
    pub settings: u32,
    /// Past the smallest threshold.
    pub overdue: u8,
    pub pad: [u8; 3],
}

const _: () = {
    assert!(size_of::<Endpoint>() == 24);
    assert!(size_of::<Settings>() == 112);
    assert!(size_of::<RouteText>() == 64);
    assert!(size_of::<CountKey>() == 32);
    assert!(size_of::<LatencyKey>() == 32);
    assert!(size_of::<Latency>() == 8 * (10 + 2 * STATUSES.len() + BUCKETS));
    assert!(size_of::<SourceKey>() == 24);
    assert!(size_of::<Connection>() == 136);
    assert!(size_of::<PendingKey>() == 48);
    assert!(size_of::<Pending>() == 40);
    assert!(size_of::<Piece>() == 96);
    assert!(size_of::<Pipeline>() == 272 + 24 * QUEUE);
    assert!(size_of::<InFlight>() == 32);
};
