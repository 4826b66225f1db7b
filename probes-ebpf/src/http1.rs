//! HTTP/1 as far as counting needs it: methods, status lines, where a header ends and what it says of
//! the body, chunks.
//!
//! In: bytes in a [`Window`], as the kernel copied them. Out: lengths. Nothing here knows a socket, so
//! the same code runs in the kernel, in properties on the host, and under a fuzzer. Every loop has a
//! bound that the verifier sees.

mod chunks;
mod head;

pub use chunks::{Chunks, phase};
pub use head::{BODY, Head, Lines, end_of_head, found, line_feed, read_field, read_head};

/// Bytes that are looked at in one go.
pub const WINDOW: usize = 2048;
/// In front of them stands the beginning of a line that an earlier segment left unfinished.
pub const CARRY: usize = 64;
const ROOM: usize = 4096;

/// What was copied out of a segment, behind [`CARRY`] bytes for what came before it. Words, because
/// eight bytes are looked at together; the room behind them keeps every masked index inside.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Window(pub [u64; ROOM / 8]);

impl Window {
    #[inline(always)]
    #[must_use]
    pub fn byte(&self, index: u32) -> u8 {
        let word = self.0[(index as usize >> 3) & (ROOM / 8 - 1)];
        // As it lies in memory, whichever end comes first.
        (word.to_le() >> ((index & 7) * 8)).to_le_bytes()[0]
    }

    /// Eight bytes from `index` on, the first of them highest.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, index: u32) -> u64 {
        let (first, shift) = (index as usize >> 3, (index & 7) * 8);
        let low = u64::from_be(self.0[first & (ROOM / 8 - 1)]);
        let high = u64::from_be(self.0[(first + 1) & (ROOM / 8 - 1)]);
        if shift == 0 {
            low
        } else {
            low << shift | high >> (64 - shift)
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self([0; ROOM / 8])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    None,
    /// Usually without a body.
    Bare,
    WithBody,
    /// Its answer has a header alone.
    Head,
    /// Once granted, the connection is no longer HTTP.
    Connect,
    /// The preface of HTTP/2.
    Http2,
}

/// The method that these eight bytes begin with.
#[inline(always)]
#[must_use]
pub fn method(word: u64) -> Method {
    const GET: u64 = u64::from_be_bytes(*b"\0\0\0\0GET ");
    const PUT: u64 = u64::from_be_bytes(*b"\0\0\0\0PUT ");
    const PRI: u64 = u64::from_be_bytes(*b"\0\0\0\0PRI ");
    const POST: u64 = u64::from_be_bytes(*b"\0\0\0POST ");
    const HEAD: u64 = u64::from_be_bytes(*b"\0\0\0HEAD ");
    const PATCH: u64 = u64::from_be_bytes(*b"\0\0PATCH ");
    const TRACE: u64 = u64::from_be_bytes(*b"\0\0TRACE ");
    const DELETE: u64 = u64::from_be_bytes(*b"\0DELETE ");
    const OPTIONS: u64 = u64::from_be_bytes(*b"OPTIONS ");
    const CONNECT: u64 = u64::from_be_bytes(*b"CONNECT ");
    if word >> 32 == GET {
        Method::Bare
    } else if word >> 24 == POST || word >> 32 == PUT || word >> 16 == PATCH {
        Method::WithBody
    } else if word >> 24 == HEAD {
        Method::Head
    } else if word >> 16 == TRACE || word >> 8 == DELETE || word == OPTIONS {
        Method::Bare
    } else if word == CONNECT {
        Method::Connect
    } else if word >> 32 == PRI {
        Method::Http2
    } else {
        Method::None
    }
}

/// How long the empty line is that these bytes begin with: some clients send one before a request.
#[inline(always)]
#[must_use]
pub const fn empty_line(word: u64) -> u32 {
    if word >> 48 == 0x0d0a {
        2
    } else if word >> 56 == 0x0a {
        1
    } else {
        0
    }
}

/// Whether behind such a line there is a method, or as much of one as `length` bytes show.
#[inline(always)]
#[must_use]
pub fn begins_behind_line(word: u64, length: u32) -> bool {
    let line = empty_line(word);
    if line == 0 || length <= line {
        return false;
    }
    let rest = length - line;
    // So many of the eight bytes are left.
    let rest = if rest < 6 { rest } else { 6 };
    let word = word << (8 * line);
    // The preface of HTTP/2 has no line before it.
    !matches!(method(word), Method::None | Method::Http2) || begins_method(word, rest)
}

/// Whether these `length` bytes, fewer than eight, are how a method begins.
#[inline(always)]
#[must_use]
pub fn begins_method(word: u64, length: u32) -> bool {
    const METHODS: [u64; 9] = [
        u64::from_be_bytes(*b"GET \0\0\0\0"),
        u64::from_be_bytes(*b"POST \0\0\0"),
        u64::from_be_bytes(*b"PUT \0\0\0\0"),
        u64::from_be_bytes(*b"HEAD \0\0\0"),
        u64::from_be_bytes(*b"PATCH \0\0"),
        u64::from_be_bytes(*b"TRACE \0\0"),
        u64::from_be_bytes(*b"DELETE \0"),
        u64::from_be_bytes(*b"OPTIONS "),
        u64::from_be_bytes(*b"CONNECT "),
    ];
    if length == 0 || length > 7 {
        return false;
    }
    let shift = 64 - length * 8;
    let mut index = 0;
    while index < METHODS.len() {
        if METHODS[index] >> shift == word >> shift {
            return true;
        }
        index += 1;
    }
    false
}

/// `HTTP/1.` in the first seven bytes of a word.
pub const HTTP_1: u64 = u64::from_be_bytes(*b"\0HTTP/1.");
/// How much of a status line holds the status.
pub const STATUS_LINE: u32 = 12;

/// The status in the first twelve bytes of a line, given as eight and four; 0 when there is none.
#[inline(always)]
#[must_use]
pub fn status(first: u64, then: u32) -> u16 {
    let [space, a, b, c] = then.to_be_bytes().map(|byte| byte.wrapping_sub(b'0'));
    let is_blank = space == b' '.wrapping_sub(b'0');
    if first >> 8 != HTTP_1 || !is_blank || a == 0 || a > 9 || b > 9 || c > 9 {
        return 0;
    }
    u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c)
}

#[cfg(test)]
pub(crate) fn window_of(bytes: &[u8], at: usize) -> Window {
    let mut room = [0u8; ROOM];
    room[at..at + bytes.len()].copy_from_slice(bytes);
    let mut window = Window::default();
    for (word, bytes) in window.0.iter_mut().zip(room.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[u8; 12]) -> (u64, u32) {
        let window = window_of(text, 3);
        (window.word(3), (window.word(11) >> 32) as u32)
    }

    #[test]
    fn a_status_line_is_known_by_its_first_twelve_bytes() {
        for (line, code) in [
            (b"HTTP/1.1 200", 200),
            (b"HTTP/1.0 999", 999),
            (b"HTTP/1.1 099", 0),
            (b"HTTP/1.1 2x0", 0),
            (b"HTTP/2.0 200", 0),
            (b"HTTP/1.1\t200", 0),
            (b"http/1.1 200", 0),
        ] {
            let (first, then) = words(line);
            assert_eq!(status(first, then), code, "{line:?}");
        }
    }

    #[test]
    fn a_method_is_a_whole_word() {
        let method_of = |text: &[u8; 8]| method(u64::from_be_bytes(*text));
        assert_eq!(method_of(b"GET / HT"), Method::Bare);
        assert_eq!(method_of(b"GETS / H"), Method::None);
        assert_eq!(method_of(b"POST /a "), Method::WithBody);
        assert_eq!(method_of(b"HEAD / H"), Method::Head);
        assert_eq!(method_of(b"OPTIONS "), Method::Bare);
        assert_eq!(method_of(b"CONNECT "), Method::Connect);
        assert_eq!(method_of(b"PRI * HT"), Method::Http2);
        assert_eq!(method_of(b"get / HT"), Method::None);
        let begins =
            |text: &[u8]| begins_method(window_of(text, 0).word(0), u32::try_from(text.len()).unwrap());
        assert!(begins(b"G") && begins(b"OPTIO") && begins(b"PU") && begins(b"GET "));
        assert!(!begins(b"") && !begins(b"X") && !begins(b"GETS") && !begins(b"\r\n"));
    }
}
