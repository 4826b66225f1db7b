//! What a connection speaks, by the first bytes of the side that connected.

use crate::{http1, wire::protocol};

/// As many bytes as are looked at. Fewer decide only what they cannot become.
pub const OPENING: usize = 12;

/// The protocol that `bytes` begin, of which `length` are there. [`protocol::UNDECIDED`] while they
/// are too few to tell.
#[inline(always)]
#[must_use]
pub fn protocol_of(bytes: &[u8; OPENING], length: u32) -> u8 {
    let word = u64::from_be_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ]);
    // Whoever reads requests passes over an empty line before the first.
    let line = http1::empty_line(word);
    if line != 0 && (length == line || http1::begins_behind_line(word, length)) {
        return protocol::UNDECIDED;
    }
    if begins(word, length, u64::from_be_bytes(*b"\x16\x03\0\0\0\0\0\0"), 2) {
        return if length < 2 {
            protocol::UNDECIDED
        } else {
            protocol::TLS
        };
    }
    if begins(word, length, u64::from_be_bytes(*b"PRI * HT"), 8) {
        return decided(length, protocol::HTTP2);
    }
    if begins(word, length, u64::from_be_bytes(*b"GET \0\0\0\0"), 4)
        || begins(word, length, u64::from_be_bytes(*b"PUT \0\0\0\0"), 4)
    {
        return asks_for(bytes, length, 4);
    }
    if begins(word, length, u64::from_be_bytes(*b"POST \0\0\0"), 5)
        || begins(word, length, u64::from_be_bytes(*b"HEAD \0\0\0"), 5)
    {
        return asks_for(bytes, length, 5);
    }
    if begins(word, length, u64::from_be_bytes(*b"PATCH \0\0"), 6)
        || begins(word, length, u64::from_be_bytes(*b"TRACE \0\0"), 6)
    {
        return asks_for(bytes, length, 6);
    }
    if begins(word, length, u64::from_be_bytes(*b"DELETE \0"), 7) {
        return asks_for(bytes, length, 7);
    }
    if begins(word, length, u64::from_be_bytes(*b"OPTIONS "), 8) {
        return asks_for(bytes, length, 8);
    }
    if begins(word, length, u64::from_be_bytes(*b"CONNECT "), 8) {
        return decided(length, protocol::HTTP1);
    }
    // That line, cut in two.
    if length == 1 && bytes[0] == b'\r' {
        return protocol::UNDECIDED;
    }
    protocol::OTHER
}

/// Whether the first bytes are the token, or as much of it as is there.
#[inline(always)]
fn begins(word: u64, length: u32, token: u64, token_length: u32) -> bool {
    let compared = if length < token_length {
        length
    } else {
        token_length
    };
    compared != 0 && (word ^ token) >> ((64 - 8 * compared) & 63) == 0
}

/// After a method comes a path, a URL or `*`: other protocols have words like `GET`, too.
#[inline(always)]
fn asks_for(bytes: &[u8; OPENING], length: u32, method: usize) -> u8 {
    let first = bytes[method];
    if length as usize > method && first != b'/' && first != b'*' && first | 32 != b'h' {
        return protocol::OTHER;
    }
    decided(length, protocol::HTTP1)
}

#[inline(always)]
fn decided(length: u32, found: u8) -> u8 {
    if (length as usize) < OPENING {
        protocol::UNDECIDED
    } else {
        found
    }
}

/// How long a goodbye is.
pub const GOODBYE: u32 = 5;

/// Whether five bytes, as the high ones of a word, are the whole of a segment that no server answers: the last
/// words of a session of Postgres (`X`, and its length of 4) and of MySQL (`COM_QUIT`, of length 1).
#[inline(always)]
#[must_use]
pub const fn is_goodbye(word: u64) -> bool {
    let five = word >> 24;
    five == 0x58_0000_0004 || five == 0x01_0000_0001
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn of(text: &[u8]) -> u8 {
        let mut bytes = [0; OPENING];
        let length = text.len().min(OPENING);
        bytes[..length].copy_from_slice(&text[..length]);
        protocol_of(&bytes, u32::try_from(length).unwrap())
    }

    const HTTP: [&[u8]; 11] = [
        b"GET / HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1",
        b"PUT /a HTTP/1.1",
        b"POST /a HTTP/1.1",
        b"HEAD /a HTTP/1.1",
        b"PATCH /a HTTP/1.1",
        b"TRACE /a HTTP/1.1",
        b"DELETE /a HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"OPTIONS /a HTTP/1.1",
        b"CONNECT a:443 HTTP/1.1",
    ];

    #[test]
    fn only_last_words_are_goodbyes() {
        let word = |bytes: [u8; 8]| is_goodbye(u64::from_be_bytes(bytes));
        // Whatever stands behind them in the word.
        assert!(word(*b"X\0\0\0\x04abc") && word(*b"\x01\0\0\0\x01\0\0\0"));
        assert!(!word(*b"X\0\0\0\x05abc") && !word(*b"Q\0\0\0\x04abc") && !word(*b"\x01\0\0\0\x02\0\0\0"));
    }

    #[test]
    fn a_method_and_a_target_are_http() {
        for text in HTTP {
            assert_eq!(of(text), protocol::HTTP1, "{text:?}");
        }
        assert_eq!(of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), protocol::HTTP2);
        assert_eq!(of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), protocol::TLS);
    }

    #[test]
    fn whatever_may_still_become_http_is_undecided() {
        for text in HTTP {
            for length in 1..OPENING {
                assert_eq!(of(&text[..length]), protocol::UNDECIDED, "{:?}", &text[..length]);
            }
        }
        assert_eq!(of(b"\x16"), protocol::UNDECIDED);
    }

    #[test]
    fn an_empty_line_before_a_method_decides_nothing() {
        for text in HTTP {
            for line in [&b"\r\n"[..], b"\n"] {
                let text = [line, text].concat();
                for length in 1..=text.len() {
                    assert_eq!(of(&text[..length]), protocol::UNDECIDED, "{:?}", &text[..length]);
                }
            }
        }
        for text in [&b"\r\nHELO x"[..], b"\nx", b"\r\n\x16\x03\x01", b"\rGET / HTTP"] {
            assert_eq!(of(text), protocol::OTHER, "{text:?}");
        }
    }

    #[test]
    fn words_that_only_look_like_it_are_something_else() {
        let others: [&[u8]; 10] = [
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b"GET key\r\n",
            b"get key\r\n",
            b"GETX / HTTP/1.1",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"HELO there",
            b"\x17\x03\x03\0\x40",
            b"PRINT a line of text",
            b"\0",
        ];
        for text in others {
            assert_eq!(of(text), protocol::OTHER, "{text:?}");
        }
    }

    /// More bytes may decide what was open; they never overturn what was decided.
    #[test]
    fn a_decision_stands_whatever_follows() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..200_000 {
            let mut text: Vec<u8> = random()
                .to_be_bytes()
                .into_iter()
                .chain(random().to_be_bytes())
                .collect();
            // Half of them begin as HTTP does, so that every branch is taken.
            if random() % 2 == 0 {
                let start = HTTP[usize::try_from(random() % 11).unwrap()];
                let kept = usize::try_from(random() % 13).unwrap();
                text[..kept].copy_from_slice(&start[..kept]);
            }
            let mut before = protocol::UNDECIDED;
            for length in 1..=OPENING {
                let now = of(&text[..length]);
                assert!(
                    before == protocol::UNDECIDED || before == now,
                    "{:?}",
                    &text[..length]
                );
                before = now;
            }
            assert_ne!(before, protocol::UNDECIDED);
        }
    }
}
