//! Header blocks of HTTP/2, decoded (HPACK, RFC 7541).
//!
//! In: the blocks of one direction of one connection, every one and in order, for each may put
//! entries into the table that later ones refer to. Out: their fields. The table can be kept and
//! taken up again, which is why this is no library: an agent that is killed must not lose it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

mod fixed;
mod huffman;

/// Until the encoder says otherwise.
const DEFAULT_LIMIT: usize = 4096;
/// What a peer may let the other raise its table to. Who allows more is not followed.
const MOST: usize = 64 << 10;
/// What the specification adds to an entry's length.
const OVERHEAD: usize = 32;

/// Why a block cannot be read. The table is of no use after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    #[error("a header block ends in the middle of a field")]
    Truncated,
    #[error("a number in a header block is out of range")]
    Number,
    #[error("a header block refers to an entry that its table does not have")]
    Index,
    #[error("a header block has an invalid Huffman code")]
    Huffman,
    #[error("a header table is to grow beyond what is kept of it")]
    Limit,
}

/// The decoder's half of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    /// The newest first.
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            limit: DEFAULT_LIMIT,
        }
    }
}

impl Decoder {
    /// Decodes one whole header block and hands each field to `each`.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), HpackError> {
        let mut rest = Rest(block);
        while let Some(first) = rest.0.first().copied() {
            if first & 0x80 != 0 {
                let (name, value) = self.entry(rest.number(7)?)?;
                each(name, value);
            } else if first & 0x40 != 0 {
                let (name, value) = self.field(&mut rest, 6)?;
                each(&name, &value);
                self.insert(name, value);
            } else if first & 0x20 != 0 {
                let limit = rest.number(5)?;
                if limit > MOST {
                    return Err(HpackError::Limit);
                }
                self.limit = limit;
                self.evict(0);
            } else {
                let (name, value) = self.field(&mut rest, 4)?;
                each(&name, &value);
            }
        }
        Ok(())
    }

    fn field(&self, rest: &mut Rest<'_>, bits: u32) -> Result<(Vec<u8>, Vec<u8>), HpackError> {
        let name = match rest.number(bits)? {
            0 => rest.string()?,
            index => self.entry(index)?.0.to_vec(),
        };
        Ok((name, rest.string()?))
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        let place = index.checked_sub(1).ok_or(HpackError::Index)?;
        if let Some((name, value)) = fixed::ENTRIES.get(place) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self
            .entries
            .get(place - fixed::ENTRIES.len())
            .ok_or(HpackError::Index)?;
        Ok((name, value))
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(size);
        // One that is larger than the table empties it, and is not kept.
        if size <= self.limit {
            self.size += size;
            self.entries.push_front((name, value));
        }
    }

    /// Makes room for `more` bytes.
    fn evict(&mut self, more: usize) {
        while self.size + more > self.limit {
            let Some((name, value)) = self.entries.pop_back() else {
                return;
            };
            self.size -= name.len() + value.len() + OVERHEAD;
        }
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, HpackError> {
        let (first, rest) = self.0.split_first().ok_or(HpackError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number whose beginning is in the last `bits` of the next byte.
    fn number(&mut self, bits: u32) -> Result<usize, HpackError> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        // Four more bytes say more than any length there is.
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(HpackError::Number)
    }

    fn string(&mut self) -> Result<Vec<u8>, HpackError> {
        let is_coded = self.0.first().ok_or(HpackError::Truncated)? & 0x80 != 0;
        let length = self.number(7)?;
        let (bytes, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.0 = rest;
        if !is_coded {
            return Ok(bytes.to_vec());
        }
        let mut out = Vec::with_capacity(length * 8 / 5);
        huffman::decode(bytes, &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
