//! A chunked body, followed without looking at what is in the chunks.

use super::Window;

/// How far a chunked body has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Bytes of the chunk that are still to come, or its size so far.
    pub remaining: u64,
    /// [`phase`].
    pub phase: u32,
    /// Digits of a size, or bytes of a line of the trailer.
    pub count: u32,
}

pub mod phase {
    pub const SIZE: u32 = 0;
    /// What may stand behind a size, up to the end of its line.
    pub const EXTENSION: u32 = 1;
    pub const DATA: u32 = 2;
    /// The end of the line behind a chunk.
    pub const DATA_END: u32 = 3;
    pub const TRAILER: u32 = 4;
    pub const DONE: u32 = 5;
    /// These are no chunks.
    pub const BROKEN: u32 = 6;
}

/// Digits that a size may have: below 2^56.
const DIGITS_MAX: u32 = 14;

impl Chunks {
    /// Takes one byte that stands between chunks.
    #[inline(always)]
    pub fn take(&mut self, byte: u8) {
        if self.phase == phase::SIZE {
            let digit = hex(byte);
            if digit < 16 {
                self.remaining = self.remaining << 4 | u64::from(digit);
                self.count += 1;
                if self.count > DIGITS_MAX {
                    self.phase = phase::BROKEN;
                }
            } else if self.count == 0 {
                self.phase = phase::BROKEN;
            } else if byte == b'\n' {
                self.line_ends();
            } else {
                self.phase = phase::EXTENSION;
            }
        } else if self.phase == phase::EXTENSION {
            if byte == b'\n' {
                self.line_ends();
            }
        } else if self.phase == phase::DATA_END {
            if byte == b'\n' {
                *self = Self::default();
            } else if byte != b'\r' {
                self.phase = phase::BROKEN;
            }
        } else if self.phase == phase::TRAILER {
            if byte == b'\n' {
                if self.count == 0 {
                    self.phase = phase::DONE;
                }
                self.count = 0;
            } else if byte != b'\r' {
                self.count = 1;
            }
        }
    }

    #[inline(always)]
    fn line_ends(&mut self) {
        self.phase = if self.remaining == 0 {
            phase::TRAILER
        } else {
            phase::DATA
        };
        self.count = 0;
    }

    /// Passes over up to `available` bytes of a chunk; says how many.
    #[inline(always)]
    pub fn skip(&mut self, available: u64) -> u64 {
        if self.phase != phase::DATA {
            return 0;
        }
        let skipped = if available < self.remaining {
            available
        } else {
            self.remaining
        };
        self.remaining -= skipped;
        if self.remaining == 0 {
            self.phase = phase::DATA_END;
        }
        skipped
    }

    /// Takes what stands between two chunks out of a window, at most `STEPS` bytes; says how many.
    #[inline(always)]
    pub fn read<const STEPS: u32>(&mut self, window: &Window, from: u32, to: u32) -> u32 {
        let mut steps = 0;
        while steps < STEPS {
            let at = from + steps;
            if at >= to || self.phase == phase::DATA || self.phase >= phase::DONE {
                break;
            }
            self.take(window.byte(at));
            steps += 1;
        }
        steps
    }
}

#[inline(always)]
fn hex(byte: u8) -> u8 {
    let digit = byte.wrapping_sub(b'0');
    if digit < 10 {
        return digit;
    }
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if letter < 6 { letter + 10 } else { 16 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows a body given in pieces; says how many bytes of all were taken.
    fn follow(pieces: &[&[u8]]) -> (Chunks, usize) {
        let mut chunks = Chunks::default();
        let mut taken = 0;
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && chunks.phase < phase::DONE {
                let skipped = usize::try_from(chunks.skip(rest.len() as u64)).unwrap_or(0);
                rest = &rest[skipped..];
                taken += skipped;
                if let ([byte, ..], true) = (rest, chunks.phase != phase::DATA) {
                    chunks.take(*byte);
                    rest = &rest[1..];
                    taken += 1;
                }
            }
        }
        (chunks, taken)
    }

    #[test]
    fn sizes_extensions_and_trailers_are_understood() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A;name=value\r\n0123456789\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\n",
            "3\nabc\n0\n\n",
        ] {
            let more = format!("{body}HTTP/1.1 200");
            let (chunks, taken) = follow(&[more.as_bytes()]);
            assert_eq!((chunks.phase, taken), (phase::DONE, body.len()), "{body:?}");
        }
        for broken in ["\r\n", "x\r\n", "5\r\nhelloworld", "123456789012345\r\n"] {
            assert_eq!(follow(&[broken.as_bytes()]).0.phase, phase::BROKEN, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn a_body_ends_where_it_ends_however_it_is_cut(
            sizes in prop::collection::vec(1usize..300, 0..10),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut body = String::new();
            for size in &sizes {
                body.push_str(&format!("{size:x}\r\n{}\r\n", "0\r\n\r\n".repeat(60)[..*size].to_owned()));
            }
            body.push_str("0\r\n\r\n");
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for place in places.into_iter().chain([body.len()]) {
                pieces.push(&body.as_bytes()[from..place]);
                from = place;
            }
            let (chunks, taken) = follow(&pieces);
            prop_assert_eq!((chunks.phase, taken), (phase::DONE, body.len()));
        }
    }
}
