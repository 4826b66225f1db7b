//! The host's build.

use probes_ebpf::{
    conversation::Exchange,
    http2::{
        begins_trailers,
        early::{self, Slots},
        walk::{Bytes, STEPS, Span},
    },
    http2_wire::{EARLY_SLOTS, Early},
    replay::http2::{self as replay, Case, Entry, OFFSET, Packet},
    wire::{protocol, role},
};

use super::{
    super::head::length,
    plan::{FIRST, PREFACE, Plan, Segment},
};

/// What is counted under, so that it is.
const SETTINGS: u32 = 7;

pub struct Walk {
    pub case: Box<Case>,
    pub slots: Kept,
    /// All that was done, with what was told.
    pub journal: Vec<(Entry, Vec<u8>)>,
    /// A server spoke before its client was followed.
    pub has_missed_answers: bool,
    received: Received,
}

impl Walk {
    pub fn new(plan: &Plan) -> Self {
        let mut case = Box::<Case>::default();
        case.connection.role = plan.role();
        case.connection.protocol = if plan.is_undecided() {
            protocol::UNDECIDED
        } else {
            protocol::HTTP2
        };
        case.connection.settings = SETTINGS;
        case.connection.port = 80;
        case.connection.asked = u64::from(FIRST);
        case.refused = plan.refused;
        case.tells_received = u32::from(plan.tells_received());
        Self {
            case,
            slots: Kept::default(),
            journal: Vec::new(),
            has_missed_answers: false,
            received: Received::default(),
        }
    }

    /// What is told of a segment but its bytes.
    pub fn prepare(&mut self, segment: &Segment) {
        let case = &mut *self.case;
        let is_server = case.connection.role == role::SERVER;
        case.asks = u32::from(segment.asks);
        case.is_ingress = u32::from(segment.asks == is_server);
        case.seq = segment.seq;
        if segment.asks && segment.is_seen && segment.seq == FIRST && segment.bytes.starts_with(PREFACE) {
            case.connection.protocol = protocol::HTTP2;
        }
        case.received = FIRST.wrapping_add(self.received.up_to);
        (case.journal.written, case.journal.filled) = (0, 0);
    }

    pub fn segment(&mut self, segment: &Segment) {
        self.prepare(segment);
        if segment.is_seen {
            self.has_missed_answers |= !segment.asks && self.case.http2.mode == 0;
            let packet = &mut Held {
                bytes: segment.bytes,
                slots: &mut self.slots,
            };
            let case = &mut *self.case;
            if replay::arrive(case, packet, length(segment.bytes)) {
                let steps = (0..STEPS).find(|_| !replay::step(case, packet));
                assert!(steps.is_some(), "a segment ends");
                replay::leave(case, packet);
            }
            self.read();
        }
        if self.case.is_ingress != 0 {
            self.received
                .take(segment.seq.wrapping_sub(FIRST), length(segment.bytes));
        }
    }

    fn read(&mut self) {
        let journal = &self.case.journal;
        let written = usize::try_from(journal.written).expect("few");
        assert!(written <= journal.entries.len(), "none was written over another");
        let mut from = 0;
        for entry in &journal.entries[..written] {
            let end = from + usize::from(entry.record.length);
            self.journal.push((*entry, journal.bytes[from..end].to_vec()));
            from = end;
        }
        assert_eq!(u64::try_from(from), Ok(journal.filled));
    }
}

/// How far TCP has come, from the beginning of the stream.
#[derive(Default)]
struct Received {
    up_to: u32,
    ahead: Vec<(u32, u32)>,
}

impl Received {
    fn take(&mut self, from: u32, length: u32) {
        self.ahead.push((from, from + length));
        while let Some((_, end)) =
            (self.ahead.iter()).find(|(from, end)| *from <= self.up_to && *end > self.up_to)
        {
            self.up_to = *end;
        }
    }
}

/// The slots of those that came early.
pub struct Kept(Box<[Early]>);

impl Default for Kept {
    fn default() -> Self {
        let free = Box::<[Early]>::new_zeroed_slice(EARLY_SLOTS as usize);
        // SAFETY: plain integers. Filling 4 MiB would take longer than all else.
        Self(unsafe { free.assume_init() })
    }
}

impl Kept {
    pub fn get(&self) -> &[Early] {
        &self.0
    }

    /// Those that someone has.
    pub fn taken(&self) -> Vec<usize> {
        (0..self.0.len())
            .filter(|slot| self.0[*slot].owner != 0)
            .collect()
    }
}

impl Slots for Kept {
    fn slot(&mut self, slot: u32) -> Option<&mut Early> {
        self.0.get_mut(slot as usize)
    }
}

/// Nobody else writes these words.
impl Exchange for Kept {
    fn swap(cell: &mut u64, new: u64) -> u64 {
        std::mem::replace(cell, new)
    }

    fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64 {
        let held = *cell;
        if held == old {
            *cell = new;
        }
        held
    }
}

/// A segment whose bytes are here.
struct Held<'a> {
    bytes: &'a [u8],
    slots: &'a mut Kept,
}

impl Held<'_> {
    /// What is there from `offset` of `source` on.
    fn from(&self, source: u8, offset: u32) -> &[u8] {
        let bytes = match source.checked_sub(1) {
            None => return &self.bytes[(offset - OFFSET) as usize..],
            Some(slot) => &self.slots.0[usize::from(slot)],
        };
        &bytes.bytes[offset as usize..bytes.length as usize]
    }
}

impl Bytes for Held<'_> {
    fn head(&mut self, offset: u32) -> Option<[u8; 12]> {
        self.from(0, offset).first_chunk().copied()
    }

    fn read<const N: usize>(&mut self, source: u8, offset: u32) -> [u8; N] {
        *self
            .from(source, offset)
            .first_chunk()
            .expect("none behind the end")
    }

    fn begins_trailers(&mut self, offset: u32) -> bool {
        let (first, rest) = self
            .from(0, offset)
            .split_first()
            .map_or((None, &[][..]), |(first, rest)| (Some(*first), rest));
        first.is_some_and(|first| begins_trailers(first, rest.first_chunk().copied()))
    }

    fn early_place(&mut self, owner: u64, seq: u32, length: u32, has: u8) -> u64 {
        early::place(self.slots, owner, seq, length, has)
    }

    fn early_fill(&mut self, slot: u32, from: u32, span: &Span) -> bool {
        let bytes = &self.bytes[..span.payload as usize];
        self.slots.0[slot as usize].bytes[from as usize..][..bytes.len()].copy_from_slice(bytes);
        true
    }

    fn early_next(&mut self, owner: u64, next: u32) -> u64 {
        early::next(self.slots, owner, next)
    }

    fn early_extent(&mut self, slot: u32) -> Option<(u32, u32)> {
        let early = self.slots.0.get(slot as usize)?;
        Some((early.seq, early.length))
    }

    fn early_forget(&mut self, owner: u64) -> u32 {
        early::forget(self.slots, owner)
    }
}

impl Packet for Held<'_> {
    fn first(&mut self) -> Option<[u8; 4]> {
        self.bytes.first_chunk().copied()
    }

    fn copy<const N: usize>(&mut self, source: u8, offset: u32, to: &mut [u8; N], length: u32) {
        to[..length as usize].copy_from_slice(&self.from(source, offset)[..length as usize]);
    }
}
