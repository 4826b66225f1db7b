//! Walks along connections of HTTP/2 without sockets, for tests: the same state and the same segments in the kernel
//! and on the host, and a journal of what was told and counted.
//!
//! In: a [`Case`], a segment at a time. Out: the case after it, and what is kept of segments that came early, both
//! of which the builds must leave alike to the byte. Never part of what measures.

use core::mem;

use crate::{
    http2::{
        Direction,
        walk::{self, Bytes, CHUNK, Edge, Span, begin, direction, joins},
    },
    http2_wire::{Http2, Record},
    wire::{Connection, Endpoint, loss, protocol},
};

/// Where the payload begins in a packet: behind what a packet needs to be one.
pub const OFFSET: u32 = 14;
/// Whose slots are whose.
pub const COOKIE: u64 = 77;

/// Where a connection stands. All zeros is one that nothing is known of.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub connection: Connection,
    pub http2: Http2,
    pub journal: Journal,
    /// The last byte so far of requests that go on, by stream.
    pub uploads: [Upload; UPLOADS],
    /// Bits, of which the lowest says whether the next record finds no room.
    pub refused: u64,
    /// Of the next segment.
    pub seq: u32,
    pub asks: u32,
    pub is_ingress: u32,
    /// Up to where TCP has received, if it tells.
    pub received: u32,
    pub tells_received: u32,
    pub pad: u32,
}

pub const UPLOADS: usize = 16;
const STANDING: usize = size_of::<Direction>();

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Upload {
    pub at_ns: u64,
    pub stream: u32,
    pub pad: u32,
}

/// What was done, newest over oldest.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    /// A clock that is one further for each segment.
    pub now: u64,
    /// Of `entries`, and of `bytes`.
    pub written: u64,
    pub filled: u64,
    pub entries: [Entry; ENTRIES],
    /// What was told with records, one behind the other.
    pub bytes: [u8; BYTES + CHUNK as usize],
}

pub const ENTRIES: usize = 512;
pub const BYTES: usize = 64 << 10;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// [`event`].
    pub event: u32,
    /// The stream, or what was lost.
    pub what: u32,
    pub record: Record,
}

pub mod event {
    pub const TOLD: u32 = 1;
    pub const LOST: u32 = 2;
    /// A request has begun.
    pub const CHARGED: u32 = 3;
    /// A request is counted that is not told.
    pub const UNKNOWN: u32 = 4;
}

impl Default for Case {
    fn default() -> Self {
        Self {
            connection: Connection::default(),
            http2: Http2::default(),
            journal: Journal {
                now: 0,
                written: 0,
                filled: 0,
                entries: [Entry::default(); ENTRIES],
                bytes: [0; BYTES + CHUNK as usize],
            },
            uploads: [Upload::default(); UPLOADS],
            refused: 0,
            seq: 0,
            asks: 0,
            is_ingress: 0,
            received: 0,
            tells_received: 0,
            pad: 0,
        }
    }
}

impl Case {
    #[inline(always)]
    fn note(&mut self, event: u32, what: u32) {
        self.journal.note(&Entry {
            event,
            what,
            record: Record::default(),
        });
    }

    /// Whether there is room for the next record.
    #[inline(always)]
    fn has_room(&mut self) -> bool {
        let has_room = self.refused & 1 == 0;
        self.refused >>= 1;
        has_room
    }

    #[inline(always)]
    fn upload(&mut self, stream: u32) -> &mut Upload {
        &mut self.uploads[(stream >> 1) as usize & (UPLOADS - 1)]
    }
}

impl Journal {
    #[inline(always)]
    fn note(&mut self, entry: &Entry) {
        let index = usize::try_from(self.written & (ENTRIES as u64 - 1)).unwrap_or(0);
        self.entries[index] = *entry;
        self.written += 1;
    }

    #[inline(always)]
    fn told(&mut self, record: &Record) {
        self.note(&Entry {
            event: event::TOLD,
            what: record.stream,
            record: *record,
        });
    }

    /// Room for `N` more bytes, of which `length` are taken.
    #[inline(always)]
    fn room<const N: usize>(&mut self, length: u32) -> Option<&mut [u8; N]> {
        let from = usize::try_from(self.filled & (BYTES as u64 - 1)).unwrap_or(0);
        self.filled += u64::from(length);
        self.bytes[from..].first_chunk_mut()
    }
}

/// A segment at hand, and the slots of those that came early.
pub trait Packet: Bytes {
    /// The first bytes of the payload.
    fn first(&mut self) -> Option<[u8; 4]>;
    /// Copies between 1 and `N` bytes, a power of two, which are there.
    fn copy<const N: usize>(&mut self, source: u8, offset: u32, to: &mut [u8; N], length: u32);
}

/// An edge that does nothing but write it down.
struct Noted<'a, P> {
    packet: &'a mut P,
    case: &'a mut Case,
}

impl<P: Packet> Bytes for Noted<'_, P> {
    #[inline(always)]
    fn head(&mut self, offset: u32) -> Option<[u8; 12]> {
        self.packet.head(offset)
    }

    #[inline(always)]
    fn read<const N: usize>(&mut self, source: u8, offset: u32) -> [u8; N] {
        self.packet.read(source, offset)
    }

    #[inline(always)]
    fn begins_trailers(&mut self, offset: u32) -> bool {
        self.packet.begins_trailers(offset)
    }

    #[inline(always)]
    fn early_place(&mut self, owner: u64, seq: u32, length: u32, has: u8) -> u64 {
        self.packet.early_place(owner, seq, length, has)
    }

    #[inline(always)]
    fn early_fill(&mut self, slot: u32, from: u32, span: &Span) -> bool {
        self.packet.early_fill(slot, from, span)
    }

    #[inline(always)]
    fn early_next(&mut self, owner: u64, next: u32) -> u64 {
        self.packet.early_next(owner, next)
    }

    #[inline(always)]
    fn early_extent(&mut self, slot: u32) -> Option<(u32, u32)> {
        self.packet.early_extent(slot)
    }

    #[inline(always)]
    fn early_forget(&mut self, owner: u64) -> u32 {
        self.packet.early_forget(owner)
    }
}

impl<P: Packet> Edge for Noted<'_, P> {
    #[inline(always)]
    fn http2(&mut self) -> &mut Http2 {
        &mut self.case.http2
    }

    #[inline(always)]
    fn connection(&mut self) -> &mut Connection {
        &mut self.case.connection
    }

    #[inline(always)]
    fn endpoint(&mut self) -> Endpoint {
        Endpoint {
            netns: 0,
            cgroup: self.case.connection.cgroup,
            port: self.case.connection.port,
            role: self.case.connection.role,
            pad: [0; 5],
        }
    }

    #[inline(always)]
    fn asks(&self) -> bool {
        self.case.asks != 0
    }

    #[inline(always)]
    fn is_ingress(&self) -> bool {
        self.case.is_ingress != 0
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        self.case.journal.now
    }

    #[inline(always)]
    fn received(&mut self) -> Option<u32> {
        let case = &self.case;
        if case.tells_received != 0 {
            Some(case.received)
        } else {
            None
        }
    }

    #[inline(always)]
    fn refresh(&mut self) {}

    #[inline(always)]
    fn charge(&mut self) {
        self.case.note(event::CHARGED, self.case.http2.last_stream);
    }

    #[inline(always)]
    fn unknown(&mut self) {
        self.case.note(event::UNKNOWN, self.case.http2.last_stream);
    }

    #[inline(always)]
    fn lose(&mut self, _: u32, reason: u32) {
        self.case.note(event::LOST, reason);
    }

    #[inline(always)]
    fn uploads(&mut self, stream: u32) {
        let at_ns = self.now();
        *self.case.upload(stream) = Upload {
            at_ns,
            stream,
            pad: 0,
        };
    }

    #[inline(always)]
    fn uploaded(&mut self, stream: u32) -> u64 {
        let upload = self.case.upload(stream);
        if upload.stream == stream { upload.at_ns } else { 0 }
    }

    #[inline(always)]
    fn tell(&mut self, record: &Record) -> bool {
        let has_room = self.case.has_room();
        if has_room {
            self.case.journal.told(record);
        } else {
            self.case.note(event::LOST, loss::HTTP2_RING_FULL);
        }
        has_room
    }

    #[inline(always)]
    fn tell_direction(&mut self, record: &Record) -> bool {
        let is_told = self.tell(record);
        let standing = *direction(self);
        if is_told && let Some(room) = self.case.journal.room(STANDING as u32) {
            // SAFETY: as many bytes, of a record without padding.
            *room = unsafe { mem::transmute::<Direction, [u8; STANDING]>(standing) };
        }
        is_told
    }

    #[inline(always)]
    fn tell_bytes<const N: usize>(&mut self, length: u32, record: impl FnOnce(&mut Self) -> Record) -> bool {
        if !self.case.has_room() {
            return false;
        }
        let record = record(self);
        self.case.journal.told(&record);
        if N != 0 {
            let (source, offset) = (self.case.http2.source, direction(self).offset);
            if let Some(room) = self.case.journal.room::<N>(length) {
                self.packet.copy(source, offset, room, length);
            }
        }
        true
    }
}

/// The next segment is here. Whether there is anything to step along.
#[inline(always)]
pub fn arrive(case: &mut Case, packet: &mut impl Packet, payload: u32) -> bool {
    case.journal.now += 1;
    // As the programs do: a connection is joined with what its client says.
    if case.http2.mode == 0 {
        if case.asks == 0 {
            return false;
        }
        let Some(is_late) = joins(case.connection.protocol, packet.first(), packet.head(OFFSET)) else {
            return false;
        };
        let first = if case.connection.protocol == protocol::UNDECIDED {
            u32::try_from(case.connection.asked & u64::from(u32::MAX)).unwrap_or(0)
        } else {
            case.seq
        };
        begin(&mut case.http2, COOKIE, first, is_late);
        if is_late {
            case.note(event::LOST, loss::HTTP2_JOINED_LATE);
        }
    }
    let span = Span {
        offset: OFFSET,
        payload,
        seq: case.seq,
    };
    walk::arrive(&mut Noted { packet, case }, &span)
}

/// Takes the next step; says whether there may be another.
#[inline(always)]
pub fn step(case: &mut Case, packet: &mut impl Packet) -> bool {
    walk::step(&mut Noted { packet, case })
}

/// No more steps are taken.
#[inline(always)]
pub fn leave(case: &mut Case, packet: &mut impl Packet) {
    walk::leave(&mut Noted { packet, case });
}
