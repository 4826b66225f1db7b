//! Which segments an input stands for.

use std::ops::Range;

use probes_ebpf::wire::role;

/// Between what the client says and what the server does.
pub const DIVIDER: &[u8] = b"\n--\n";
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Where both streams begin: soon, sequence numbers begin anew.
pub const FIRST: u32 = u32::MAX - 700;

/// Bits of an input's first byte.
pub mod flag {
    /// The probe is of the client.
    pub const CLIENT: u8 = 1;
    /// What the connection speaks is not known before its first segment here.
    pub const UNDECIDED: u8 = 2;
    /// Its beginning was not seen.
    pub const LATE: u8 = 4;
    /// Client and server take turns.
    pub const IN_TURNS: u8 = 8;
    /// TCP does not tell how far it has received.
    pub const SILENT: u8 = 16;
}

/// What becomes of a segment, by the lowest bits of a byte; the others say how much.
pub mod fate {
    pub const MASK: u8 = 7;
    pub const COMES_LATER: u8 = 3;
    /// TCP has it, and it did not pass here.
    pub const UNSEEN: u8 = 4;
    pub const COMES_TWICE: u8 = 5;
    /// It brings bytes of the one before again.
    pub const OVERLAPS: u8 = 6;
    pub const MISSING: u8 = 7;
}

#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub asks: bool,
    pub seq: u32,
    pub bytes: &'a [u8],
    pub is_seen: bool,
}

pub struct Plan {
    flags: u8,
    /// Which records find no room, see `Case`.
    pub refused: u64,
    /// How long segments are, over and over, and what becomes of each.
    cuts: Vec<(usize, u8)>,
    pub asks: Vec<u8>,
    pub answers: Vec<u8>,
}

impl Plan {
    pub fn read(input: &[u8]) -> Option<Self> {
        let (&[flags, refused, place, count], rest) = input.split_first_chunk()?;
        let (cuts, text) = rest.split_at((2 * usize::from(count % 32)).min(rest.len()));
        let cuts = cuts.chunks_exact(2).map(|cut| (1 + usize::from(cut[0]), cut[1]));
        let at = text.windows(DIVIDER.len()).position(|place| place == DIVIDER);
        let (asks, answers) = match at {
            Some(at) => (&text[..at], &text[at + DIVIDER.len()..]),
            None => (text, &[][..]),
        };
        let opening = if flags & flag::LATE == 0 { PREFACE } else { &[] };
        Some(Self {
            flags,
            refused: u64::from(refused) << (place % 56),
            cuts: cuts.collect(),
            asks: [opening, asks].concat(),
            answers: answers.to_vec(),
        })
    }

    pub fn role(&self) -> u8 {
        if self.flags & flag::CLIENT == 0 {
            role::SERVER
        } else {
            role::CLIENT
        }
    }

    pub fn is_late(&self) -> bool {
        self.flags & flag::LATE != 0
    }

    pub fn is_undecided(&self) -> bool {
        self.flags & flag::UNDECIDED != 0
    }

    pub fn tells_received(&self) -> bool {
        self.flags & flag::SILENT == 0
    }

    /// Whether every byte passes.
    pub fn is_whole(&self) -> bool {
        let is_gone = |fate| fate == fate::UNSEEN || fate == fate::MISSING;
        self.cuts.iter().all(|(_, byte)| !is_gone(byte & fate::MASK))
    }

    /// In the order in which they pass.
    pub fn segments(&self) -> Vec<Segment<'_>> {
        let (asks, answers) = (self.sent(true, &self.asks), self.sent(false, &self.answers));
        if self.flags & flag::IN_TURNS == 0 {
            return [asks, answers].concat();
        }
        let turns = asks.len().max(answers.len());
        let turn = |turn: usize| [asks.get(turn).copied(), answers.get(turn).copied()];
        (0..turns).flat_map(turn).flatten().collect()
    }

    fn sent<'a>(&self, asks: bool, text: &'a [u8]) -> Vec<Segment<'a>> {
        let mut sent: Vec<(usize, Segment<'a>)> = Vec::new();
        let whole = [(text.len(), 0)];
        let cuts = if self.cuts.is_empty() {
            &whole[..]
        } else {
            &self.cuts
        };
        let mut at = 0;
        for (index, (length, byte)) in cuts.iter().cycle().enumerate() {
            if at == text.len() {
                break;
            }
            let mut end = (at + length).min(text.len());
            let (mut fate, much) = (byte & fate::MASK, usize::from(byte >> 3));
            // What a connection is known by comes first, and whole; and nothing tells where answers begin but they do.
            if at == 0 && !(asks && (self.is_undecided() || self.is_late())) {
                end = end.max(PREFACE.len().min(text.len()));
                fate = 0;
            }
            let overlap = if fate == fate::OVERLAPS { much } else { 0 };
            let mut segment = Segment::at(asks, text, at.saturating_sub(overlap)..end);
            segment.is_seen = fate != fate::UNSEEN;
            // Behind one other, and twice as many.
            let (now, later) = (2 * index, 2 * (index + 2 * much + 1) + 1);
            match fate {
                fate::COMES_LATER => sent.push((later, segment)),
                fate::MISSING => {}
                fate::COMES_TWICE => sent.extend([(now, segment), (later, segment)]),
                _ => sent.push((now, segment)),
            }
            at = end;
        }
        sent.sort_by_key(|(place, _)| *place);
        sent.into_iter().map(|(_, segment)| segment).collect()
    }
}

impl<'a> Segment<'a> {
    fn at(asks: bool, text: &'a [u8], place: Range<usize>) -> Self {
        let from = u32::try_from(place.start).expect("a short text");
        Self {
            asks,
            seq: FIRST.wrapping_add(from),
            bytes: &text[place],
            is_seen: true,
        }
    }
}
