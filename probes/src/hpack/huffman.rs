//! The Huffman code of HPACK (RFC 7541, appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their bytes, and
//! longer ones follow shorter ones. So the lengths are all there is to know.

use std::sync::LazyLock;

use super::HpackError;

const LONGEST: usize = 30;

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
struct Codes {
    first: [u32; LONGEST + 1],
    bytes: [Vec<u8>; LONGEST + 1],
}

static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut codes = Codes {
        first: [0; LONGEST + 1],
        bytes: [const { Vec::new() }; LONGEST + 1],
    };
    for (byte, length) in (0..=u8::MAX).zip(LENGTHS) {
        codes.bytes[usize::from(length)].push(byte);
    }
    let mut code = 0;
    for length in 1..=LONGEST {
        code <<= 1;
        codes.first[length] = code;
        code += u32::try_from(codes.bytes[length].len()).unwrap_or(u32::MAX);
    }
    codes
});

/// Appends what `coded` says to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let codes = &*CODES;
    let (mut code, mut length) = (0_u32, 0_usize);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        code = code << 1 | u32::from(bit);
        length += 1;
        // The code of 30 ones is the end of a string, which must not be said.
        if length > LONGEST {
            return Err(HpackError::Huffman);
        }
        let found = code
            .checked_sub(codes.first[length])
            .and_then(|place| codes.bytes[length].get(usize::try_from(place).ok()?));
        if let Some(byte) = found {
            out.push(*byte);
            (code, length) = (0, 0);
        }
    }
    // What is left fills the last byte: fewer than eight ones.
    let is_padding = length < 8 && code == (1 << length) - 1;
    if is_padding {
        Ok(())
    } else {
        Err(HpackError::Huffman)
    }
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
    fn padding_that_is_too_long_or_no_ones_is_refused() {
        // A whole byte of padding; zeros; the end of a string said.
        for coded in [&b"\xa8\xeb\x10\x64\x9c\xbf\xff"[..], b"\x00", b"\xff\xff\xff\xff"] {
            assert!(decoded(coded).is_err(), "{coded:x?}");
        }
    }
}
