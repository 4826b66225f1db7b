//! What a walk along an HTTP/2 connection asks for, at a socket in the kernel: bytes, counters, and room in the
//! ring buffer.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_ktime_get_ns, bpf_tcp_sock, generated::bpf_skb_load_bytes},
    maps::ring_buf::RingBufEntry,
};
use probes_ebpf::{
    http2::{
        Direction,
        walk::{Bytes, Edge, Span, direction},
    },
    http2_wire::{Http2, RING_BYTES, Record, StreamKey},
    wire::{Connection, Endpoint, ROUTE_OTHER, loss, what},
};

use crate::{
    connection::{endpoint, refresh},
    count::{ask_of, count, lose_of},
    http2_slots::{bounded, copy, edge_early_forget, edge_early_next, edge_early_place, extent, fill},
    http2_trailers::edge_begins_trailers,
    maps::{HTTP2_RECORDS, HTTP2_UPLOADS},
};

/// The reader sleeps until a quarter of the ring is full; until then it comes by itself each second.
const WAKE_AT: u64 = RING_BYTES as u64 / 4;
/// From there on it is woken again for each so many bytes, as waking it costs several times what all else of
/// a record does. Where two CPUs tell at once one step may be missed; the next is near.
const WAKE_EACH: u64 = 64 << 10;
/// What the ring itself puts in front of a record.
const HEADER: u64 = 8;
const AVAILABLE: u64 = 0;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// What a walk along one segment carries from step to step.
#[repr(C)]
pub struct Walk {
    pub skb: *mut __sk_buff,
    pub sk: *mut c_void,
    pub connection: *mut Connection,
    pub http2: *mut Http2,
    pub now: u64,
    pub remote: *const [u32; 4],
    pub asks: u16,
    pub is_ingress: u16,
}

impl Bytes for Walk {
    #[inline(always)]
    fn head(&mut self, offset: u32) -> Option<[u8; 12]> {
        head(self.skb, offset)
    }

    #[inline(always)]
    fn read<const N: usize>(&mut self, source: u8, offset: u32) -> [u8; N] {
        let mut bytes = [0u8; N];
        // SAFETY: N bytes into N bytes.
        unsafe { copy(self.skb, source, offset, bytes.as_mut_ptr().cast(), N as u32) };
        bytes
    }

    #[inline(always)]
    fn begins_trailers(&mut self, offset: u32) -> bool {
        edge_begins_trailers(self.skb, offset) != 0
    }

    #[inline(always)]
    fn early_place(&mut self, owner: u64, seq: u32, length: u32, has: u8) -> u64 {
        edge_early_place(owner, seq, length, u32::from(has))
    }

    #[inline(always)]
    fn early_fill(&mut self, slot: u32, from: u32, span: &Span) -> bool {
        fill(self.skb, slot, from, span)
    }

    #[inline(always)]
    fn early_next(&mut self, owner: u64, next: u32) -> u64 {
        edge_early_next(owner, next)
    }

    #[inline(always)]
    fn early_extent(&mut self, slot: u32) -> Option<(u32, u32)> {
        extent(slot)
    }

    #[inline(always)]
    fn early_forget(&mut self, owner: u64) -> u32 {
        edge_early_forget(owner)
    }
}

impl Edge for Walk {
    #[inline(always)]
    fn http2(&mut self) -> &mut Http2 {
        // SAFETY: a live map value.
        unsafe { &mut *self.http2 }
    }

    #[inline(always)]
    fn connection(&mut self) -> &mut Connection {
        // SAFETY: a live map value.
        unsafe { &mut *self.connection }
    }

    #[inline(always)]
    fn endpoint(&mut self) -> Endpoint {
        let connection = self.connection();
        endpoint(connection, connection.role)
    }

    #[inline(always)]
    fn asks(&self) -> bool {
        self.asks != 0
    }

    #[inline(always)]
    fn is_ingress(&self) -> bool {
        self.is_ingress != 0
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        self.now
    }

    #[inline(always)]
    fn received(&mut self) -> Option<u32> {
        // SAFETY: the verifier knows `sk` is a socket.
        let tcp = unsafe { bpf_tcp_sock(self.sk.cast()) };
        if tcp.is_null() {
            return None;
        }
        // SAFETY: the helper's answer, which is not null.
        Some(unsafe { (*tcp).rcv_nxt })
    }

    #[inline(always)]
    fn refresh(&mut self) {
        let connection = self.connection();
        refresh(connection, connection.role);
    }

    #[inline(always)]
    fn charge(&mut self) {
        // SAFETY: the segment's own, which outlives the walk.
        let remote = unsafe { &*self.remote };
        let now = self.now;
        ask_of(self.connection(), remote, now);
    }

    #[inline(always)]
    fn unknown(&mut self) {
        let endpoint = self.endpoint();
        count(
            &endpoint,
            self.connection().settings,
            ROUTE_OTHER,
            what::UNKNOWN,
            1,
        );
    }

    #[inline(always)]
    fn lose(&mut self, settings: u32, reason: u32) {
        lose_of(settings, reason);
    }

    #[inline(always)]
    fn uploads(&mut self, stream: u32) {
        let key = StreamKey {
            cookie: self.http2().cookie,
            stream,
            pad: 0,
        };
        // The least recently used goes when there is no room; it takes with it some precision, no count.
        let _ = HTTP2_UPLOADS.insert(&key, &self.now, 0);
    }

    #[inline(always)]
    fn uploaded(&mut self, stream: u32) -> u64 {
        let key = StreamKey {
            cookie: self.http2().cookie,
            stream,
            pad: 0,
        };
        match HTTP2_UPLOADS.get_ptr(&key) {
            // SAFETY: a live map value.
            Some(last) => unsafe { *last },
            None => 0,
        }
    }

    #[inline(always)]
    fn tell(&mut self, record: &Record) -> bool {
        tell(self.connection, record)
    }

    #[inline(always)]
    fn tell_direction(&mut self, record: &Record) -> bool {
        let Some(mut entry) = reserve::<Standing>(self.connection) else {
            return false;
        };
        let standing = entry.as_mut_ptr();
        // SAFETY: a reserved record.
        unsafe {
            ptr::write(&raw mut (*standing).record, *record);
            ptr::write(&raw mut (*standing).direction, *direction(self));
        }
        submit(entry);
        true
    }

    #[inline(always)]
    fn tell_bytes<const N: usize>(&mut self, length: u32, record: impl FnOnce(&mut Self) -> Record) -> bool {
        let Some(mut entry) = HTTP2_RECORDS.reserve::<Sized<N>>(0) else {
            return false;
        };
        let sized = entry.as_mut_ptr();
        // SAFETY: a reserved record, and `length` is between 1 and `N`.
        unsafe {
            ptr::write(&raw mut (*sized).record, record(self));
            if N != 0 {
                let (source, offset) = (self.http2().source, direction(self).offset);
                let to = (&raw mut (*sized).bytes).cast();
                copy(self.skb, source, offset, to, bounded::<N>(length));
            }
        }
        submit(entry);
        true
    }
}

/// A record with room for `N` bytes of a payload.
#[repr(C)]
struct Sized<const N: usize> {
    record: Record,
    bytes: [u8; N],
}

/// Where a direction stands.
#[repr(C)]
struct Standing {
    record: Record,
    direction: Direction,
}

/// The first bytes from `offset` of a packet on.
#[inline(always)]
pub fn head(skb: *mut __sk_buff, offset: u32) -> Option<[u8; 12]> {
    let mut head = [0u8; 12];
    // SAFETY: twelve bytes into twelve bytes.
    let rc = unsafe { bpf_skb_load_bytes(skb.cast(), offset, head.as_mut_ptr().cast(), 12) };
    (rc == 0).then_some(head)
}

/// Room for what is told of a connection beside its frames; that there is none is a loss of its service.
#[inline(always)]
fn reserve<T: 'static>(connection: *const Connection) -> Option<RingBufEntry<T>> {
    let entry = HTTP2_RECORDS.reserve::<T>(0);
    if entry.is_none() {
        // SAFETY: a live map value.
        lose_of(unsafe { (*connection).settings }, loss::HTTP2_RING_FULL);
    }
    entry
}

#[inline(always)]
fn submit<T>(entry: RingBufEntry<T>) {
    let filled = HTTP2_RECORDS.query(AVAILABLE);
    let before = filled.saturating_sub(HEADER + size_of::<T>() as u64);
    let is_due = filled >= WAKE_AT && filled / WAKE_EACH != before / WAKE_EACH;
    entry.submit(if is_due { FORCE_WAKEUP } else { NO_WAKEUP });
}

/// Tells of a connection as such; whether there was room for it.
#[inline(always)]
pub fn tell_event(http2: &Http2, connection: &Connection, kind: u8, outcome: u16) -> bool {
    let record = Record {
        cookie: http2.cookie,
        // SAFETY: takes nothing.
        at_ns: unsafe { bpf_ktime_get_ns() },
        endpoint: endpoint(connection, connection.role),
        settings: connection.settings,
        outcome,
        kind,
        ..Record::default()
    };
    tell(connection, &record)
}

/// Whether there was room for a record that stands alone.
#[inline(always)]
pub fn tell(connection: *const Connection, record: &Record) -> bool {
    let Some(mut entry) = reserve::<Record>(connection) else {
        return false;
    };
    // SAFETY: a reserved record.
    unsafe { ptr::write(entry.as_mut_ptr(), *record) };
    submit(entry);
    true
}
