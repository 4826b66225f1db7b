//! The Huffman code of HPACK (RFC 7541, appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their bytes, and
//! longer ones follow shorter ones. So the lengths are all there is to know.

use std::array;
use std::sync::LazyLock;

use super::HpackError;

const LONGEST: u32 = 30;

/// Bits of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The codes of each length: the first of them, and the bytes they stand for in order.
struct Codes(Vec<(usize, Vec<u8>)>);

impl Codes {
    /// What such a code of so many bits says; `None` where it is none, or the beginning of one.
    fn find(&self, code: usize, length: u32) -> Option<u8> {
        let (first, bytes) = self.0.get(usize::try_from(length).ok()?)?;
        bytes.get(code.checked_sub(*first)?).copied()
    }
}

static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut next = 0;
    let of = |length| {
        let bytes: Vec<u8> = (0..=u8::MAX)
            .filter(|byte| u32::from(LENGTHS[usize::from(*byte)]) == length)
            .collect();
        next <<= 1;
        let first = next;
        next += bytes.len();
        (first, bytes)
    };
    Codes((0..=LONGEST).map(of).collect())
});

/// What eight bits begin with, and how many of them it takes; `None` where a longer code begins.
static BEGINNINGS: LazyLock<[Option<(u8, u32)>; 256]> = LazyLock::new(|| {
    array::from_fn(|bits| {
        (1..=u8::BITS).find_map(|length| Some((CODES.find(bits >> (u8::BITS - length), length)?, length)))
    })
});

/// Appends what `coded` says to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let beginnings = &*BEGINNINGS;
    let mut coded = coded.iter();
    // The next bits stand highest; behind the last of them are ones.
    let (mut bits, mut left) = (u64::MAX, 0);
    loop {
        while left <= u64::BITS - u8::BITS
            && let Some(byte) = coded.next()
        {
            bits ^= u64::from(!byte) << (u64::BITS - u8::BITS - left);
            left += u8::BITS;
        }
        let next = beginnings[usize::from(bits.to_be_bytes()[0])];
        match next.or_else(|| longer(bits)) {
            Some((byte, length)) if length <= left => {
                out.push(byte);
                bits = bits << length | ((1 << length) - 1);
                left -= length;
            }
            // What is left fills the last byte: fewer than eight ones. More would be the end of a string, which must not be said.
            _ if left < u8::BITS && bits == u64::MAX => return Ok(()),
            _ => return Err(HpackError::Huffman),
        }
    }
}

/// A code of more than eight bits.
fn longer(bits: u64) -> Option<(u8, u32)> {
    (u8::BITS + 1..=LONGEST).find_map(|length| {
        let code = usize::try_from(bits >> (u64::BITS - length)).ok()?;
        Some((CODES.find(code, length)?, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn strings_of_the_specification_are_read() {
        assert_eq!(
            decoded(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff").unwrap(),
            b"www.example.com"
        );
        assert_eq!(decoded(b"\xa8\xeb\x10\x64\x9c\xbf").unwrap(), b"no-cache");
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn every_byte_is_read_beside_every_other() {
        for first in 0..=u8::MAX {
            let said: Vec<u8> = (0..=u8::MAX).flat_map(|second| [first, second]).collect();
            let (mut coded, mut place) = (vec![0xff; 2 * said.len() * 4], 0);
            for byte in &said {
                let length = u32::from(LENGTHS[usize::from(*byte)]);
                let (first, bytes) = &CODES.0[usize::from(LENGTHS[usize::from(*byte)])];
                let code = first + bytes.iter().position(|found| found == byte).unwrap();
                for at in (0..length).rev() {
                    if code >> at & 1 == 0 {
                        coded[place / 8] &= !(0x80 >> (place % 8));
                    }
                    place += 1;
                }
            }
            coded.truncate(place.div_ceil(8));
            assert_eq!(decoded(&coded).unwrap(), said, "{first}");
        }
    }

    #[test]
    fn padding_that_is_too_long_or_no_ones_is_refused() {
        // A whole byte of padding; zeros; the end of a string said.
        for coded in [&b"\xa8\xeb\x10\x64\x9c\xbf\xff"[..], b"\x00", b"\xff\xff\xff\xff"] {
            assert!(decoded(coded).is_err(), "{coded:x?}");
        }
    }
}
