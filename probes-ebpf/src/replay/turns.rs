//! Turns without sockets, for tests: the same state and the same segments in the kernel and on the host, and a
//! journal of what was done.
//!
//! In: a [`Case`], a segment or an end at a time. Out: the case after it, which both builds must leave alike to the
//! byte. Never part of what measures.

use crate::{
    conversation::Exchange,
    opening::OPENING,
    tls::Payload,
    turns::{self, Edge, Taken, closes, join, judge, takes},
    wire::{Connection, birth, flight, role},
};

/// Where the payload begins in a packet: behind what a packet needs to be one.
pub const OFFSET: u32 = 14;

/// Where a connection stands. All zeros is one that nothing is known of.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub connection: Connection,
    pub journal: Journal,
    /// Of the next segment.
    pub seq: u32,
    pub ack: u32,
    pub is_ingress: u32,
    /// Whether it brings what TCP has not had.
    pub is_new: u32,
    /// Up to where TCP has received, if it tells anything.
    pub received: u32,
    pub tells: u32,
    /// [`step`].
    pub step: u32,
    /// Of [`step::ENDS`].
    pub outcome: u32,
    /// Of the last segment: 1 more than its [`Taken`].
    pub taken: u32,
    /// Whether a turn of the endpoint was ever answered.
    pub has_answered: u32,
}

/// What happens next.
pub mod step {
    pub const SEGMENT: u32 = 0;
    /// The peer has sent FIN, or the socket its own.
    pub const PEER_CLOSES: u32 = 1;
    pub const CLOSES: u32 = 2;
    /// The connection is gone.
    pub const ENDS: u32 = 3;
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    /// Of each step; a step is long.
    pub now: u64,
    pub written: u64,
    pub entries: [Entry; ENTRIES],
}

pub const ENTRIES: usize = 256;
const STEP_NS: u64 = 600_000;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// [`event`].
    pub event: u32,
    /// The outcome.
    pub what: u32,
    /// When it began to wait, and when it had an end.
    pub from_ns: u64,
    pub to_ns: u64,
}

pub mod event {
    pub const BEGUN: u32 = 1;
    /// As nothing, when the outcome is 0.
    pub const ENDED: u32 = 2;
}

impl Default for Case {
    fn default() -> Self {
        Self {
            connection: Connection::default(),
            journal: Journal {
                now: 0,
                written: 0,
                entries: [Entry::default(); ENTRIES],
            },
            seq: 0,
            ack: 0,
            is_ingress: 0,
            is_new: 0,
            received: 0,
            tells: 0,
            step: 0,
            outcome: 0,
            taken: 0,
            has_answered: 0,
        }
    }
}

impl Case {
    #[inline(always)]
    fn note(journal: &mut Journal, event: u32, what: u32, from_ns: u64, to_ns: u64) {
        let index = usize::try_from(journal.written & (ENTRIES as u64 - 1)).unwrap_or(0);
        journal.entries[index] = Entry {
            event,
            what,
            from_ns,
            to_ns,
        };
        journal.written += 1;
    }
}

/// The bytes of a segment, and what reads them.
pub trait Packet: Payload {
    /// The first bytes, of which `length` are there.
    fn opening(&mut self, length: u32) -> Option<[u8; OPENING]>;
    fn read_hello(&mut self) -> u64;
    fn read_client(&mut self, at: u32, state: u64) -> u64;
    fn read_server(&mut self, state: u64) -> u64;
}

/// An edge that does nothing but write it down.
struct Noted<'a, P> {
    packet: &'a mut P,
    journal: &'a mut Journal,
    has_answered: &'a mut u32,
    seq: u32,
    ack: u32,
    is_ingress: bool,
    is_new: bool,
    received: Option<u32>,
}

impl<P: Packet> Payload for Noted<'_, P> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.packet.length()
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.packet.load(at)
    }
}

/// Nobody else writes these words.
impl<P> Exchange for Noted<'_, P> {
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

impl<P: Packet> Edge for Noted<'_, P> {
    #[inline(always)]
    fn is_ingress(&self) -> bool {
        self.is_ingress
    }

    #[inline(always)]
    fn seq(&self) -> u32 {
        self.seq
    }

    #[inline(always)]
    fn ack(&self) -> u32 {
        self.ack
    }

    #[inline(always)]
    fn opening(&mut self, length: u32) -> Option<[u8; OPENING]> {
        self.packet.opening(length)
    }

    #[inline(always)]
    fn now(&mut self) -> u64 {
        self.journal.now
    }

    #[inline(always)]
    fn received(&mut self) -> Option<u32> {
        self.received
    }

    #[inline(always)]
    fn is_new(&mut self) -> bool {
        self.is_new
    }

    #[inline(always)]
    fn round_trip_ns(&mut self) -> Option<u64> {
        self.received.map(|_| STEP_NS)
    }

    #[inline(always)]
    fn identify(&mut self, _: &mut Connection, _: u8) {}

    #[inline(always)]
    fn listens(&mut self, _: &Connection) -> bool {
        true
    }

    #[inline(always)]
    fn charge(&mut self, _: &mut Connection, now: u64) {
        Case::note(self.journal, event::BEGUN, 0, now, now);
    }

    #[inline(always)]
    fn weather(&mut self, _: &mut Connection) {}

    #[inline(always)]
    fn end(&mut self, connection: &mut Connection, outcome: u16) {
        if connection.flight & flight::IN_FLIGHT == 0 {
            return;
        }
        let has_answered = *self.has_answered != 0;
        let from_ns = connection.last_byte_ns;
        let judged = judge(connection, outcome, self.journal.now, |_| has_answered);
        let (what, to_ns) = judged.unwrap_or((0, self.journal.now));
        connection.flight &= !0 << flight::ORDINAL_SHIFT;
        if what == crate::wire::what::ANSWERED {
            *self.has_answered = 1;
        }
        Case::note(self.journal, event::ENDED, u32::from(what), from_ns, to_ns);
    }

    #[inline(always)]
    fn read_hello(&mut self) -> u64 {
        self.packet.read_hello()
    }

    #[inline(always)]
    fn read_client(&mut self, at: u32, state: u64) -> u64 {
        self.packet.read_client(at, state)
    }

    #[inline(always)]
    fn read_server(&mut self, state: u64) -> u64 {
        self.packet.read_server(state)
    }
}

/// The next step, as the programs take it.
#[inline(always)]
pub fn step(case: &mut Case, packet: &mut impl Packet) {
    case.journal.now += STEP_NS;
    let Case {
        connection,
        journal,
        has_answered,
        ..
    } = case;
    let mut edge = Noted {
        packet,
        journal,
        has_answered,
        seq: case.seq,
        ack: case.ack,
        is_ingress: case.is_ingress != 0,
        is_new: case.is_new != 0,
        received: if case.tells != 0 {
            Some(case.received)
        } else {
            None
        },
    };
    match case.step {
        step::SEGMENT => {
            let taken = takes(&mut edge, connection);
            case.taken = 1 + taken as u32;
            if taken == Taken::Not && connection.birth == birth::UNSEEN {
                join(&mut edge, connection);
            }
        }
        step::PEER_CLOSES => closes(&mut edge, connection, role::SERVER),
        step::CLOSES => closes(&mut edge, connection, role::CLIENT),
        _ => edge.end(connection, u16::try_from(case.outcome & 0xffff).unwrap_or(0)),
    }
}

/// Whether the turn in flight may wait for nothing, as the iterator asks.
#[must_use]
pub fn is_doubtful(case: &Case) -> bool {
    turns::is_doubtful(&case.connection, |_| case.has_answered != 0)
}
