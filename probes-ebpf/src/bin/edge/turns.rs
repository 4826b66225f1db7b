//! What turns ask for, at a socket in the kernel.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_tcp_sock};
pub use probes_ebpf::turns::{Taken, born, is_opaque};
use probes_ebpf::{
    opening::OPENING,
    tls::Payload,
    turns::{self, Edge},
    wire::{Connection, CountKey, ROUTE_OTHER, role, what},
};

use crate::{
    answering,
    connection::{self, endpoint, find_or_create},
    conversation::Kernel,
    count::ask_of,
    maps::{ANSWERED, COUNTS},
    reading::{bytes, opening},
    request,
    segment::Segment,
    tls_records::{edge_tls_client, edge_tls_hello, edge_tls_server},
};

#[inline(always)]
fn of(segment: &Segment) -> Kernel<'_> {
    Kernel { segment, slot: 0 }
}

/// [`turns::takes`].
#[inline(always)]
pub fn takes(segment: &Segment, connection: &mut Connection) -> Taken {
    turns::takes(&mut of(segment), connection)
}

/// [`turns::take`].
#[inline(always)]
pub fn take(segment: &Segment, connection: &mut Connection) {
    turns::take(&mut of(segment), connection);
}

/// [`turns::join`].
#[inline(always)]
pub fn join(segment: &Segment, known: Option<*mut Connection>) {
    if let Some(connection) = known.or_else(|| find_or_create(segment.sk)) {
        // SAFETY: a live map value.
        turns::join(&mut of(segment), unsafe { &mut *connection });
    }
}

/// [`turns::is_http_after_all`].
#[inline(always)]
pub fn is_http_after_all(segment: &Segment, connection: &mut Connection) {
    turns::is_http_after_all(&mut of(segment), connection);
}

/// [`turns::closes`].
#[inline(always)]
pub fn closes(segment: &Segment, connection: &mut Connection, role: u8) {
    turns::closes(&mut of(segment), connection, role);
}

/// [`turns::judge`].
#[inline(always)]
pub fn judge(connection: &mut Connection, outcome: u16, now: u64) -> Option<(u16, u64)> {
    turns::judge(connection, outcome, now, has_answered)
}

/// [`turns::is_doubtful`].
#[inline(always)]
pub fn is_doubtful(connection: &Connection) -> bool {
    turns::is_doubtful(connection, has_answered)
}

/// Whether the endpoint has ever answered a turn.
#[inline(always)]
fn has_answered(connection: &Connection) -> bool {
    let key = CountKey {
        endpoint: endpoint(connection, connection.role),
        settings: connection.request_settings,
        route: ROUTE_OTHER,
        what: what::ANSWERED,
    };
    ANSWERED.get_ptr(&key.endpoint).is_some() || COUNTS.get_ptr(&key).is_some()
}

impl Payload for Kernel<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.segment.payload
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        bytes(self.segment.skb, self.segment.offset + at)
    }
}

impl Edge for Kernel<'_> {
    #[inline(always)]
    fn is_ingress(&self) -> bool {
        self.segment.ingress
    }

    #[inline(always)]
    fn seq(&self) -> u32 {
        self.segment.seq
    }

    #[inline(always)]
    fn ack(&self) -> u32 {
        self.segment.ack
    }

    #[inline(always)]
    fn opening(&mut self, length: u32) -> Option<[u8; OPENING]> {
        opening(self.segment.skb, self.segment.offset, length)
    }

    #[inline(always)]
    fn now(&mut self) -> u64 {
        // SAFETY: takes nothing.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn received(&mut self) -> Option<u32> {
        // SAFETY: the verifier knows `sk` is a socket.
        let tcp = unsafe { bpf_tcp_sock(self.segment.sk.cast()) };
        if tcp.is_null() {
            return None;
        }
        // SAFETY: not null.
        Some(unsafe { (&raw const (*tcp).rcv_nxt).read_volatile() })
    }

    #[inline(always)]
    fn is_new(&mut self) -> bool {
        answering::is_new(self.segment)
    }

    #[inline(always)]
    fn round_trip_ns(&mut self) -> Option<u64> {
        // SAFETY: the verifier knows `sk` is a socket.
        let tcp = unsafe { bpf_tcp_sock(self.segment.sk.cast()) };
        if tcp.is_null() {
            return None;
        }
        // SAFETY: not null.
        Some(u64::from(unsafe { (*tcp).srtt_us } >> 3) * 1000)
    }

    #[inline(always)]
    fn identify(&mut self, connection: &mut Connection, role: u8) {
        let segment = self.segment;
        let port = if role == role::SERVER {
            segment.local_port
        } else {
            segment.remote_port
        };
        connection::identify(connection, segment.skb.cast(), segment.sk, port, role);
    }

    #[inline(always)]
    fn listens(&mut self, connection: &Connection) -> bool {
        connection::listens(endpoint(connection, role::SERVER))
    }

    #[inline(always)]
    fn charge(&mut self, connection: &mut Connection, now: u64) {
        ask_of(connection, &self.segment.remote, now);
    }

    #[inline(always)]
    fn weather(&mut self, connection: &mut Connection) {
        answering::weather(self.segment, connection);
    }

    #[inline(always)]
    fn end(&mut self, connection: &mut Connection, outcome: u16) {
        request::end(connection, outcome);
    }

    #[inline(always)]
    fn read_hello(&mut self) -> u64 {
        edge_tls_hello(self.segment.skb, self.segment.offset)
    }

    #[inline(always)]
    fn read_client(&mut self, at: u32, state: u64) -> u64 {
        let segment = self.segment;
        edge_tls_client(segment.skb, segment.offset, segment.payload, at, state)
    }

    #[inline(always)]
    fn read_server(&mut self, state: u64) -> u64 {
        let segment = self.segment;
        edge_tls_server(segment.skb, segment.offset, segment.payload, state)
    }
}
