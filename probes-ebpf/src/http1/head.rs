//! Where a header ends, and what it says of the body behind it.

use super::{CARRY, WINDOW, Window};

/// What is known of a message's header, kept while it comes in pieces.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub content_length: u64,
    /// Where the header ends in the window; 0 while it goes on.
    pub end: u32,
    /// Where the line begins that the window leaves unfinished.
    pub line: u32,
    /// [`found`].
    pub found: u32,
    pub pad: u32,
}

pub mod found {
    pub const CONTENT_LENGTH: u32 = 1;
    /// `Transfer-Encoding`, the last coding being `chunked`.
    pub const CHUNKED: u32 = 2;
    /// A length or coding that says nothing one could rely on.
    pub const UNREADABLE: u32 = 4;
}

const WORDS: usize = (CARRY + WINDOW) / 8;
/// [`CARRY`], as places in a window are counted.
const FIRST: u32 = 64;
const _: () = assert!(FIRST as usize == CARRY);
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether any byte is `wanted`.
#[inline(always)]
fn has(wanted: u8, word: u64) -> bool {
    let x = word ^ (LOW * wanted as u64);
    x.wrapping_sub(LOW) & !x & HIGH != 0
}

/// Bit 7 of every byte that is `wanted`; the first byte is lowest.
#[inline(always)]
fn places_of(wanted: u8, word: u64) -> u64 {
    let x = word.to_le() ^ (LOW * wanted as u64);
    // Exact: no borrow runs into the next byte.
    !(((x & !HIGH) + !HIGH) | x | !HIGH)
}

/// Which byte the lowest of these bits is in.
#[inline(always)]
fn first_of(places: u64) -> u32 {
    let lowest = (places & places.wrapping_neg()) >> 7;
    (lowest.wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

/// Set in [`end_of_head`] where a line may say that there is a body, or how it ends.
pub const BODY: u32 = 1 << 31;

/// Where the first header ends that begins at [`CARRY`], of `to` bytes; 0 when it does not. Eight
/// bytes a step and next to nothing for each line: what a request costs that has no body.
#[inline(always)]
#[must_use]
pub fn end_of_head(window: &Window, to: u32) -> u32 {
    let mut before = 0;
    let mut body = 0;
    let mut index = CARRY / 8;
    let mut base = FIRST;
    while index < WORDS {
        if base >= to {
            return 0;
        }
        let word = window.0[index];
        if !has(b'\n', word) {
            // Most words are inside of a line.
            before = 0;
            index += 1;
            base += 8;
            continue;
        }
        let feeds = places_of(b'\n', word);
        let one_back = feeds << 8 | before >> 56;
        let two_back = feeds << 16 | before >> 48;
        if feeds & (one_back | two_back) != 0 {
            let returns = places_of(b'\r', word) << 8 | places_of(b'\r', window.0[index - 1]) >> 56;
            let empty = feeds & (one_back | two_back & returns);
            if empty != 0 {
                let end = base + first_of(empty) + 1;
                return if end <= to { end | body } else { 0 };
            }
        }
        if feeds & feeds.wrapping_sub(1) != 0 || names_body(window, base + first_of(feeds) + 1) {
            // Where lines are so short, they are read another way.
            body = BODY;
        }
        before = feeds;
        index += 1;
        base += 8;
    }
    0
}

/// Whether the line has a name that [`read_field`] reads.
#[inline(always)]
fn names_body(window: &Window, line: u32) -> bool {
    let first = window.byte(line) | 0x20;
    if first != b'c' && first != b't' {
        return false;
    }
    let name = window.word(line) | SMALL;
    name == TRANSFER || name == CONTENT && (window.word(line + 8) | SMALL) >> 16 == LENGTH >> 16
}

/// Lines that are read of one window: more would be shorter than any header is.
pub const LINES: usize = 128;

/// How the two loops of a header are run: in place, or in functions that the verifier sees by themselves.
pub trait Lines {
    /// [`line_feed`].
    fn line_feed(&mut self, line: u32) -> u32;
    /// [`read_field`].
    fn read_field(&mut self, line: u32, end: u32, head: &mut Head);
    fn byte(&self, index: u32) -> u8;
}

/// Reads a header, or goes on with it, from the line at `from`, which is below [`CARRY`] when it was
/// left unfinished. Lines may end with a bare line feed, as servers allow.
#[inline(always)]
pub fn read_head(lines: &mut impl Lines, from: u32, head: &mut Head) {
    head.end = 0;
    head.line = from;
    let mut count = 0;
    while count < LINES {
        let line = head.line;
        let end = lines.line_feed(line);
        if end == 0 {
            return;
        }
        let length = end.wrapping_sub(line);
        let first = lines.byte(line);
        if length == 0 || length == 1 && first == b'\r' {
            head.end = end + 1;
            return;
        }
        if first | 0x20 == b'c' || first | 0x20 == b't' {
            lines.read_field(line, end, head);
        }
        head.line = end + 1;
        count += 1;
    }
    head.found |= found::UNREADABLE;
}

/// Where the line feed stands that ends the line at `line`; 0 when there is none before `to`.
#[inline(always)]
#[must_use]
pub fn line_feed(window: &Window, line: u32, to: u32) -> u32 {
    let mut seen = HIGH << ((line & 7) * 8);
    let mut base = line & !7;
    let mut steps = 0;
    while steps < WORDS {
        if base >= to {
            return 0;
        }
        let feeds = places_of(b'\n', window.0[(base as usize >> 3) & (window.0.len() - 1)]) & seen;
        if feeds != 0 {
            let at = base + first_of(feeds);
            return if at < to { at } else { 0 };
        }
        seen = HIGH;
        base += 8;
        steps += 1;
    }
    0
}

const CONTENT: u64 = u64::from_be_bytes(*b"content-");
const LENGTH: u64 = u64::from_be_bytes(*b"length\0\0");
const TRANSFER: u64 = u64::from_be_bytes(*b"transfer");
const ENCODING: u64 = u64::from_be_bytes(*b"-encodin");
const CHUNKED: u64 = u64::from_be_bytes(*b"\0chunked");
/// Makes letters small, and leaves `-` as it is.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// What a line says of the body, if anything.
#[inline(always)]
pub fn read_field(window: &Window, line: u32, end: u32, head: &mut Head) {
    let name = window.word(line) | SMALL;
    if name == CONTENT {
        let rest = (window.word(line + 8) | SMALL) >> 16;
        if rest == LENGTH >> 16 && window.byte(line + 14) == b':' {
            read_length(window, line + 15, end, head);
        }
    } else if name == TRANSFER {
        let rest = window.word(line + 8) | SMALL;
        let last = window.byte(line + 16) | 0x20;
        if rest == ENCODING && last == b'g' && window.byte(line + 17) == b':' {
            read_coding(window, end, head);
        }
    }
}

/// White space that may stand on either side of a value.
const WHITE_MAX: u32 = 4;
/// Eighteen digits never overflow.
const DIGITS_MAX: u32 = 18;

#[inline(always)]
fn is_white(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || byte == b'\r'
}

#[inline(always)]
fn skip_white(window: &Window, from: u32) -> u32 {
    let mut skipped = 0;
    while skipped < WHITE_MAX && is_white(window.byte(from + skipped)) {
        skipped += 1;
    }
    from + skipped
}

#[inline(always)]
fn read_length(window: &Window, from: u32, end: u32, head: &mut Head) {
    let first = skip_white(window, from);
    let mut length = 0u64;
    let mut digits = 0;
    while digits < DIGITS_MAX {
        let digit = window.byte(first + digits).wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        length = length.wrapping_mul(10).wrapping_add(u64::from(digit));
        digits += 1;
    }
    // A line feed is neither white nor a digit, so nothing above runs past the line.
    let is_read = digits != 0 && skip_white(window, first + digits) == end;
    // Said twice and differently, it says nothing.
    let differs = head.found & found::CONTENT_LENGTH != 0 && head.content_length != length;
    if !is_read || differs {
        head.found |= found::UNREADABLE;
        return;
    }
    head.content_length = length;
    head.found |= found::CONTENT_LENGTH;
}

/// The last coding decides, and it is `chunked` in all messages that one can find the end of.
#[inline(always)]
fn read_coding(window: &Window, end: u32, head: &mut Head) {
    let mut trimmed = 0;
    while trimmed < WHITE_MAX && is_white(window.byte(end.wrapping_sub(1 + trimmed))) {
        trimmed += 1;
    }
    let last = end.wrapping_sub(trimmed);
    if (window.word(last.wrapping_sub(7)) | SMALL) >> 8 == CHUNKED {
        head.found |= found::CHUNKED;
    } else {
        head.found |= found::UNREADABLE;
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "places in a small window")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::window_of;

    const START: u32 = CARRY as u32;

    struct Here<'a>(&'a Window, u32);

    impl Lines for Here<'_> {
        fn line_feed(&mut self, line: u32) -> u32 {
            line_feed(self.0, line, self.1)
        }
        fn read_field(&mut self, line: u32, end: u32, head: &mut Head) {
            read_field(self.0, line, end, head);
        }
        fn byte(&self, index: u32) -> u8 {
            self.0.byte(index)
        }
    }

    fn read_window(window: &Window, from: u32, to: u32, head: &mut Head) {
        read_head(&mut Here(window, to), from, head);
    }

    fn read(text: &str) -> Head {
        let mut head = Head::default();
        let window = window_of(text.as_bytes(), CARRY);
        read_window(&window, START, START + text.len() as u32, &mut head);
        head
    }

    /// As the kernel does with a header that comes in two segments.
    fn read_split(text: &str, at: usize) -> Head {
        let (first, second) = text.split_at(at);
        let mut head = read(first);
        if head.end != 0 {
            return head;
        }
        let line = &first.as_bytes()[(head.line - START) as usize..];
        let kept = &line[..line.len().min(CARRY)];
        let bytes = [kept, second.as_bytes()].concat();
        let from = CARRY - kept.len();
        let window = window_of(&bytes, from);
        read_window(&window, from as u32, START + second.len() as u32, &mut head);
        head
    }

    #[test]
    fn names_are_whole_and_in_any_case() {
        let header = |line: &str| read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        for line in [
            "Content-Length: 12",
            "content-length:12",
            "CONTENT-LENGTH: \t 12  ",
        ] {
            assert_eq!(header(line).content_length, 12, "{line}");
            assert_eq!(header(line).found, found::CONTENT_LENGTH, "{line}");
        }
        for line in [
            "Transfer-Encoding: chunked",
            "transfer-encoding:gzip, Chunked ",
            "TRANSFER-ENCODING: chunked",
        ] {
            assert_eq!(header(line).found, found::CHUNKED, "{line}");
        }
        for line in [
            "Content-Transfer-Encoding: chunked",
            "X-Content-Length: 4",
            "Content-Length2: 4",
            "Content-Lengthy",
        ] {
            assert_eq!(header(line).found, 0, "{line}");
        }
        for line in [
            "Content-Length: 1 2",
            "Content-Length:",
            "Content-Length: x",
            "Content-Length: 9999999999999999999",
            "Transfer-Encoding: gzip",
        ] {
            assert_eq!(header(line).found, found::UNREADABLE, "{line}");
        }
        assert_eq!(
            header("Content-Length: 1\r\nContent-Length: 2").found & found::UNREADABLE,
            found::UNREADABLE
        );
        assert_eq!(header("Content-Length: 5000000000").content_length, 5_000_000_000);
    }

    #[test]
    fn the_quick_look_knows_most_requests_without_a_body() {
        let header =
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\nContent-Type: a\r\n\r\n";
        let window = window_of(header.as_bytes(), CARRY);
        let to = START + header.len() as u32;
        assert_eq!(end_of_head(&window, to), to);
    }

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nA: b\r\n\r\n",
        ] {
            let more = format!("{text}GET /next HTTP/1.1\r\n\r\n");
            for text_ in [text, &more] {
                let window = window_of(text_.as_bytes(), CARRY);
                let end = START + text.len() as u32;
                let found = end_of_head(&window, START + text_.len() as u32);
                assert_eq!(found & !BODY, end, "{text_:?}");
                assert_eq!(read(text_).end, end, "{text_:?}");
            }
            let cut = &text[..text.len() - 1];
            assert_eq!(
                end_of_head(&window_of(text.as_bytes(), CARRY), START + cut.len() as u32),
                0
            );
            assert_eq!(read(cut).end, 0);
        }
    }

    fn header() -> impl Strategy<Value = String> {
        let value = "[ -~]{0,90}";
        let name = "[A-Za-z-]{1,20}";
        let plain = (name, value).prop_map(|(name, value)| format!("{name}x: {value}"));
        let length = (0u64..1 << 40).prop_map(|n| format!("Content-Length: {n}"));
        let chunked = Just("Transfer-Encoding: chunked".to_owned());
        let line = prop_oneof![6 => plain, 1 => length, 1 => chunked];
        prop::collection::vec(line, 0..8)
            .prop_map(|lines| {
                let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                format!("POST /a/b HTTP/1.1\r\n{lines}\r\n")
            })
            .prop_filter("fits", |text| text.len() < WINDOW)
    }

    proptest! {
        #[test]
        fn both_ways_to_look_find_the_same_end(text in "[\r\na]{0,40}") {
            let window = window_of(text.as_bytes(), CARRY);
            let to = START + text.len() as u32;
            let by_line = read(&text).end;
            // The quick look knows no line before the first.
            if by_line == 0 || by_line > START + 2 || text.as_bytes()[0] == b'a' {
                prop_assert_eq!(end_of_head(&window, to) & !BODY, by_line);
            }
        }

        #[test]
        fn the_quick_look_sees_that_there_is_a_body(text in header()) {
            let window = window_of(text.as_bytes(), CARRY);
            let to = START + text.len() as u32;
            let found = end_of_head(&window, to);
            prop_assert_eq!(found & !BODY, to);
            prop_assert!(found & BODY != 0 || read(&text).found == 0);
        }

        #[test]
        fn a_header_says_the_same_wherever_it_is_split(text in header(), at in 0.0..1.0f64) {
            let whole = read(&text);
            prop_assert_eq!(whole.end, START + text.len() as u32);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let at = (text.len() as f64 * at) as usize;
            let split = read_split(&text, at);
            prop_assert_eq!(split.found, whole.found);
            prop_assert_eq!(split.content_length, whole.content_length);
            prop_assert_eq!(split.end - START, (text.len() - at) as u32);
        }

        #[test]
        fn no_bytes_lead_outside(bytes in prop::collection::vec(any::<u8>(), 0..WINDOW), from in 0u32..=64) {
            let window = window_of(&bytes, CARRY);
            let to = START + bytes.len() as u32;
            let mut head = Head::default();
            read_window(&window, from, to, &mut head);
            prop_assert!(head.end <= to && end_of_head(&window, to) & !BODY <= to);
        }
    }
}
