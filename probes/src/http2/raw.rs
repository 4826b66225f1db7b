//! A direction of which TCP brought a part too late.
//!
//! In: its bytes as they came, and where the kernel stood when a part was missing. Out: the records that
//! the kernel would have told had they come in order, dated by when the last byte before them was there.

use probes_ebpf::{
    http2::{Direction, FRAME_HEADER, frame_flag, kind},
    http2_wire::{HELD_MOST, Record, part},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Raw {
    /// The sequence number of the byte expected next.
    next: u32,
    /// What has come of a frame's header.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// What came before what it follows, by its sequence number.
    held: Vec<(u32, Vec<u8>)>,
}

/// The frame whose payload goes on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    left: u32,
    is_first: bool,
}

impl Raw {
    /// Goes on where the kernel stood; `None` when this says nothing of that.
    pub fn new(state: &[u8]) -> Option<Self> {
        if state.len() != size_of::<Direction>() {
            return None;
        }
        // SAFETY: every bit pattern is one, and the length was checked.
        let state = unsafe { state.as_ptr().cast::<Direction>().read_unaligned() };
        let frame = state.in_payload().then_some(Frame {
            kind: state.kind,
            flags: state.flags,
            stream: state.stream,
            left: state.left,
            is_first: state.is_first != 0,
        });
        let have = if frame.is_none() {
            usize::from(state.have)
        } else {
            0
        };
        Some(Self {
            next: state.next,
            header: state.header.get(..have)?.to_vec(),
            frame,
            held: Vec::new(),
        })
    }

    /// Whether all has come up to `seq`, and a frame begins there.
    pub fn is_whole(&self, seq: u32) -> bool {
        self.next == seq && self.header.is_empty() && self.frame.is_none()
    }

    /// How many pieces wait for others.
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Takes what came at `record.stream`, and hands on what is in order by it. `false`: too much waits
    /// for what is missing.
    pub fn take(&mut self, record: &Record, bytes: &[u8], each: &mut dyn FnMut(&Record, &[u8])) -> bool {
        self.held.push((record.stream, bytes.to_vec()));
        while let Some(index) = self.held.iter().position(|(seq, _)| !is_behind(self.next, *seq)) {
            let (seq, bytes) = self.held.swap_remove(index);
            let seen = usize::try_from(self.next.wrapping_sub(seq)).unwrap_or(usize::MAX);
            let Some(fresh) = bytes.get(seen..).filter(|fresh| !fresh.is_empty()) else {
                continue;
            };
            self.next = self
                .next
                .wrapping_add(u32::try_from(fresh.len()).unwrap_or(u32::MAX));
            self.walk(record, fresh, each);
        }
        self.held.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= HELD_MOST
    }

    fn walk(&mut self, record: &Record, mut bytes: &[u8], each: &mut dyn FnMut(&Record, &[u8])) {
        loop {
            let Some(frame) = &mut self.frame else {
                let missing = FRAME_HEADER as usize - self.header.len();
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.header.extend_from_slice(head);
                let Some(header) = self.header.first_chunk() else {
                    return;
                };
                self.frame = Some(Frame::new(header));
                self.header.clear();
                bytes = rest;
                continue;
            };
            let length = bytes.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
            let (piece, rest) = bytes.split_at(length);
            frame.left -= u32::try_from(length).unwrap_or(frame.left);
            let (is_first, is_last) = (frame.is_first, frame.left == 0);
            if piece.is_empty() && !is_last {
                return;
            }
            frame.is_first = false;
            let told = Record {
                stream: frame.stream,
                kind: frame.kind,
                flags: frame.flags,
                part: if is_first { part::FIRST } else { 0 } | if is_last { part::LAST } else { 0 },
                ..*record
            };
            match frame.kind {
                kind::HEADERS | kind::CONTINUATION | kind::RST_STREAM | kind::PUSH_PROMISE => {
                    each(&told, piece);
                }
                kind::DATA if is_last && frame.flags & frame_flag::END_STREAM != 0 => each(&told, &[]),
                kind::DATA if !piece.is_empty() => each(&told, &[]),
                _ => {}
            }
            if is_last {
                self.frame = None;
            }
            bytes = rest;
        }
    }
}

impl Frame {
    fn new(header: &[u8; FRAME_HEADER as usize]) -> Self {
        let mut direction = Direction::default();
        direction.begin(header);
        Self {
            kind: direction.kind,
            flags: direction.flags,
            stream: direction.stream,
            left: direction.left,
            is_first: true,
        }
    }
}

/// Whether `seq` lies behind `next`, so that something between them is missing.
fn is_behind(next: u32, seq: u32) -> bool {
    seq.wrapping_sub(next).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Kind, flags, stream, payload.
    type Frames = Vec<(u8, u8, u32, Vec<u8>)>;

    fn frames() -> impl Strategy<Value = Frames> {
        let payload = proptest::collection::vec(any::<u8>(), 0..60);
        let frame = (0..10_u8, any::<u8>(), 1..99_u32, payload);
        proptest::collection::vec(frame, 1..12)
    }

    fn bytes_of(frames: &Frames) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in frames {
            bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
            bytes.extend_from_slice(&[*kind, *flags]);
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    /// The frames that are told, put together again, and the streams that ended with DATA.
    fn told(raw: &mut Raw, segments: &[(u32, &[u8])]) -> (Frames, Vec<u32>) {
        let (mut whole, mut ended) = (Frames::new(), Vec::new());
        for (seq, bytes) in segments {
            let record = Record {
                stream: *seq,
                ..Record::default()
            };
            let is_held = raw.take(&record, bytes, &mut |record, piece| {
                if record.kind == kind::DATA {
                    if record.flags & frame_flag::END_STREAM != 0 && record.part & part::LAST != 0 {
                        ended.push(record.stream);
                    }
                } else if record.part & part::FIRST != 0 {
                    whole.push((record.kind, record.flags, record.stream, piece.to_vec()));
                } else {
                    whole.last_mut().unwrap().3.extend_from_slice(piece);
                }
            });
            assert!(is_held);
        }
        (whole, ended)
    }

    fn expected(frames: &Frames) -> (Frames, Vec<u32>) {
        let told = [
            kind::HEADERS,
            kind::CONTINUATION,
            kind::RST_STREAM,
            kind::PUSH_PROMISE,
        ];
        let ends =
            |frame: &&(u8, u8, u32, Vec<u8>)| frame.0 == kind::DATA && frame.1 & frame_flag::END_STREAM != 0;
        (
            frames
                .iter()
                .filter(|frame| told.contains(&frame.0))
                .cloned()
                .collect(),
            frames.iter().filter(ends).map(|frame| frame.2).collect(),
        )
    }

    proptest! {
        /// Split, swapped, sent twice, overlapping, and across the end of sequence numbers.
        #[test]
        fn what_comes_in_any_order_is_told_in_order(
            frames in frames(),
            cuts in proptest::collection::vec((1..40_usize, 0..20_usize, any::<u16>()), 1..60),
            start in any::<u32>(),
            before in 0..40_usize,
        ) {
            let bytes = bytes_of(&frames);
            // The kernel came this far, by itself.
            let mut state = Direction { next: start, ..Direction::default() };
            let before = before.min(FRAME_HEADER as usize - 1).min(bytes.len());
            for byte in &bytes[..before] {
                state.take_header_byte(*byte);
            }
            // SAFETY: as plain bytes.
            let state = unsafe { std::slice::from_raw_parts((&raw const state).cast::<u8>(), size_of::<Direction>()) };
            let mut raw = Raw::new(state).unwrap();
            let rest = &bytes[before..];
            let mut segments = Vec::new();
            let (mut at, mut index) = (0, 0);
            while at < rest.len() {
                let (length, overlap, place) = cuts[index % cuts.len()];
                let end = (at + length).min(rest.len());
                let from = at.saturating_sub(overlap);
                segments.push((place, from, end));
                if place % 5 == 0 {
                    segments.push((place.wrapping_mul(31), from, end));
                }
                at = end;
                index += 1;
            }
            segments.sort_by_key(|(place, ..)| *place);
            let segments: Vec<(u32, &[u8])> = segments
                .into_iter()
                .map(|(_, from, end)| (start.wrapping_add(u32::try_from(from).unwrap()), &rest[from..end]))
                .collect();
            prop_assert_eq!(told(&mut raw, &segments), expected(&frames));
            let end = start.wrapping_add(u32::try_from(rest.len()).unwrap());
            prop_assert!(raw.is_whole(end) && raw.held.is_empty());
        }
    }

    #[test]
    fn who_waits_for_too_much_gives_up() {
        let mut raw = Raw {
            next: 0,
            header: Vec::new(),
            frame: None,
            held: Vec::new(),
        };
        let piece = vec![0; 4096];
        let most = u32::try_from(HELD_MOST / 4096).unwrap();
        for number in 0..=most {
            let record = Record {
                stream: 1 + number * 4096,
                ..Record::default()
            };
            let is_held = raw.take(&record, &piece, &mut |_, _| unreachable!());
            assert_eq!(is_held, number < most, "{number}");
        }
    }
}
