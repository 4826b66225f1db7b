//! Conversations without sockets, for tests: the same state and the same segments in the kernel and on the host,
//! and a journal of what was done.
//!
//! In: a [`Case`], a segment at a time. Out: the case after it, which both builds must leave alike to the byte.
//! Never part of what measures.

#![expect(clippy::cast_possible_truncation, reason = "as the kernel's build does")]

pub mod http2;
pub mod turns;

use crate::{
    conversation::{
        Bytes, Edge, Exchange, Pipelines, Scratch, Standing, Visit, answer_part, body_goes_on, is_in_flight,
        is_of_a_size, leave_requests, lose_place, place_answers, place_requests, position, request_part,
        standing, take, whole,
    },
    http1::Window,
    wire::{Connection, Ending, Pipeline, QUEUE, asking, flight, loss, protocol, what},
};

/// Where a conversation stands. All zeros is one before its first segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Case {
    pub connection: Connection,
    pub pipeline: Pipeline,
    pub journal: Journal,
    /// Of the next segment.
    pub seq: u32,
    /// Whether that is one of requests.
    pub asks: u32,
    /// Of the segment before it: how much was taken apart.
    pub done: u64,
}

/// What was done, newest over oldest.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// A clock that is one further each time it is read.
    pub now: u64,
    pub written: u64,
    pub entries: [Entry; ENTRIES],
}

pub const ENTRIES: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// [`event`].
    pub event: u16,
    /// The status, or what was lost.
    pub what: u16,
    pub route: u16,
    /// As in [`Connection`].
    pub request: u16,
    pub settings: u32,
}

pub mod event {
    pub const ENDED: u16 = 1;
    pub const LOST: u16 = 2;
    /// An answer to nothing.
    pub const UNASKED: u16 = 3;
    /// An answer to its last byte.
    pub const OVER: u16 = 4;
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            now: 0,
            written: 0,
            entries: [Entry::default(); ENTRIES],
        }
    }
}

impl Journal {
    #[inline(always)]
    fn note(&mut self, entry: Entry) {
        let index = self.written as usize & (ENTRIES - 1);
        self.entries[index] = entry;
        self.written += 1;
    }
}

/// An edge that does nothing but write it down.
struct Noted<'a, B> {
    bytes: &'a mut B,
    journal: &'a mut Journal,
}

impl<B: Bytes> Bytes for Noted<'_, B> {
    #[inline(always)]
    fn load(&mut self, scratch: &mut Scratch, offset: u32) -> u32 {
        self.bytes.load(scratch, offset)
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        self.bytes.bytes(offset)
    }

    #[inline(always)]
    fn end_of_head(&mut self, scratch: &mut Scratch, to: u32) -> u32 {
        self.bytes.end_of_head(scratch, to)
    }

    #[inline(always)]
    fn read_head(&mut self, scratch: &mut Scratch, from: u32, to: u32) -> u32 {
        self.bytes.read_head(scratch, from, to)
    }

    #[inline(always)]
    fn read_chunks(&mut self, scratch: &mut Scratch, to: u32) -> u32 {
        self.bytes.read_chunks(scratch, to)
    }
}

/// Nobody else writes these words.
impl<B> Exchange for Noted<'_, B> {
    #[inline(always)]
    fn swap(cell: &mut u64, new: u64) -> u64 {
        core::mem::replace(cell, new)
    }

    #[inline(always)]
    fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64 {
        let held = *cell;
        if held == old {
            *cell = new;
        }
        held
    }
}

impl<B: Bytes> Edge for Noted<'_, B> {
    #[inline(always)]
    fn now(&mut self) -> u64 {
        self.journal.now += 1;
        self.journal.now
    }

    #[inline(always)]
    fn route(&mut self, scratch: &mut Scratch, from: u32, _: u32) -> u16 {
        route(&scratch.window, from)
    }

    #[inline(always)]
    fn charge(&mut self, _: &mut Connection, _: u64) {}

    #[inline(always)]
    fn lose(&mut self, settings: u32, reason: u32) {
        self.journal.note(Entry {
            event: event::LOST,
            what: reason as u16,
            settings,
            ..Entry::default()
        });
    }

    #[inline(always)]
    fn end(&mut self, connection: &mut Connection, status: u16) -> u64 {
        let before = connection.flight;
        if before & flight::IN_FLIGHT == 0 {
            return 0;
        }
        connection.flight = before & (!0 << flight::ORDINAL_SHIFT);
        self.journal.note(Entry {
            event: event::ENDED,
            what: status,
            route: connection.route,
            request: u16::from(connection.request),
            settings: connection.request_settings,
        });
        before
    }

    #[inline(always)]
    fn unasked(&mut self, connection: &Connection) {
        self.journal.note(Entry {
            event: event::UNASKED,
            settings: connection.settings,
            ..Entry::default()
        });
    }

    #[inline(always)]
    fn over(&mut self, _: &Connection, ending: &mut Ending) {
        ending.flight = 0;
        self.journal.note(Entry {
            event: event::OVER,
            what: ending.status,
            route: ending.route,
            request: 0,
            settings: ending.settings,
        });
    }

    #[inline(always)]
    fn abandon(&mut self, connection: &mut Connection, pipeline: &mut Pipeline) {
        let mut ended = 0;
        while ended <= QUEUE {
            self.end(connection, what::UNKNOWN);
            take::<Self>(connection, pipeline);
            if !is_in_flight(connection) {
                return;
            }
            ended += 1;
        }
    }
}

/// Bytes of a request line that tell its route here.
pub const ROUTE_BYTES: u32 = 24;

/// As that of a prefix trie, it does not depend on what stands behind the path.
#[inline(always)]
#[must_use]
pub fn route(window: &Window, from: u32) -> u16 {
    let (mut route, mut blanks, mut index) = (0u32, 0, 0);
    while index < ROUTE_BYTES {
        let byte = window.byte(from + index);
        blanks += BLANK[byte as usize] as usize;
        let (times, plus) = STEP[blanks & 31];
        route = route.wrapping_mul(times).wrapping_add(u32::from(byte) * plus);
        index += 1;
    }
    (route ^ route >> 16) as u16
}

/// Tables, because the verifier would follow each branch of each byte.
static BLANK: [u8; 256] = {
    let mut blank = [0; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        blank[byte] = 1;
        byte += 1;
    }
    blank
};
/// What is done with a byte behind so many blanks.
static STEP: [(u32, u32); 32] = {
    let mut step = [(1, 0); 32];
    step[0] = (31, 1);
    step[1] = (31, 1);
    step
};

/// The one pipeline of a case.
struct Kept<'a>(&'a mut Pipeline);

impl Pipelines for Kept<'_> {
    #[inline(always)]
    fn find(&mut self) -> Option<&mut Pipeline> {
        Some(self.0)
    }

    #[inline(always)]
    fn find_or_create(&mut self, connection: &mut Connection) -> Option<&mut Pipeline> {
        connection.asking |= asking::PIPELINE;
        Some(self.0)
    }
}

/// The next segment is here. Whether there is anything to take apart.
#[inline(always)]
pub fn arrive(case: &mut Case, bytes: &mut impl Bytes, scratch: &mut Scratch, payload: u32) -> bool {
    let Case {
        connection,
        pipeline,
        journal,
        seq,
        ..
    } = case;
    let mut edge = Noted { bytes, journal };
    let mut start = 0;
    // As the programs do: what was upgraded is no conversation of HTTP/1 any more.
    if connection.protocol != protocol::HTTP1 {
        return false;
    }
    let done = if case.asks != 0 {
        start = position(connection, *seq);
        match standing(connection, start, payload) {
            Standing::Again => return false,
            Standing::Body => {
                body_goes_on(&mut edge, &mut Kept(pipeline), connection, start, payload);
                return false;
            }
            Standing::Alone
                if is_of_a_size(payload) && whole(&mut edge, connection, scratch, start, payload) =>
            {
                return false;
            }
            _ => {}
        }
        let Some(done) = place_requests(&mut edge, &mut Kept(pipeline), connection, start, payload) else {
            return false;
        };
        done
    } else {
        connection.asking |= asking::PIPELINE;
        let Some(done) = place_answers(&mut edge, connection, pipeline, *seq, payload) else {
            return false;
        };
        done
    };
    scratch.visit = Visit {
        start,
        payload,
        seq: *seq,
        done,
        ..Visit::default()
    };
    true
}

/// Takes the next part of the segment; says whether there may be another.
#[inline(always)]
pub fn part(case: &mut Case, bytes: &mut impl Bytes, scratch: &mut Scratch) -> bool {
    let Case {
        connection,
        pipeline,
        journal,
        ..
    } = case;
    let mut edge = Noted { bytes, journal };
    if case.asks != 0 {
        request_part(&mut edge, &mut Kept(pipeline), connection, scratch)
    } else {
        answer_part(&mut edge, connection, pipeline, scratch)
    }
}

/// The segment has been taken apart, as far as so many calls of [`part`] could.
#[inline(always)]
pub fn leave(case: &mut Case, bytes: &mut impl Bytes, scratch: &Scratch, is_followed: bool) {
    let Case {
        connection,
        pipeline,
        journal,
        ..
    } = case;
    let mut edge = Noted { bytes, journal };
    case.done = u64::from(scratch.visit.done);
    if case.asks != 0 {
        if !is_followed {
            leave_requests(&mut edge, &mut Kept(pipeline), connection, scratch);
        }
        return;
    }
    if !is_followed {
        edge.lose(connection.settings, loss::UNFRAMED);
    }
    if !is_followed || scratch.visit.is_lost != 0 {
        lose_place(&mut edge, pipeline);
        edge.abandon(connection, pipeline);
    }
}
