//! A header, read a line at a time with what a standard library offers.

use probes_ebpf::http1::{CARRY, Head, Lines, WINDOW, Window, found, line_feed, read_field, read_head};

const START: u32 = 64;
const _: () = assert!(START as usize == CARRY);
/// White space on either side of a value that is passed over, and digits that count.
const WHITE_MOST: usize = 4;
const DIGITS_MOST: usize = 18;
/// Lines that are read of one segment.
const LINES: usize = 128;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// Where it ends; 0: not yet.
    pub end: u32,
    /// The flags of [`found`].
    pub found: u32,
    pub content_length: u64,
}

pub fn read(text: &[u8]) -> Says {
    let mut says = Says::default();
    let mut at = 0;
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line_text) = line.strip_suffix(b"\n") else {
            break;
        };
        if number == LINES {
            break;
        }
        at += line.len();
        if line_text.is_empty() || line_text == b"\r" {
            says.end = length(&text[..at]);
            return says;
        }
        field(line_text, &mut says);
        if number + 1 == LINES {
            says.found |= found::UNREADABLE;
        }
    }
    says
}

fn field(line: &[u8], says: &mut Says) {
    // Letters are compared as the kernel does: bit 5 set, which also takes `\r` for `-`.
    let small: Vec<u8> = line.iter().map(|byte| byte | 0x20).collect();
    let value = |name: &[u8]| {
        let colon = line.get(name.len()) == Some(&b':');
        (small.starts_with(name) && colon).then(|| &line[name.len() + 1..])
    };
    if let Some(value) = value(b"content-length") {
        match number(value) {
            Some(number) if says.found & found::CONTENT_LENGTH == 0 || number == says.content_length => {
                says.found |= found::CONTENT_LENGTH;
                says.content_length = number;
            }
            _ => says.found |= found::UNREADABLE,
        }
    } else if value(b"transfer-encoding").is_some() {
        let white = line
            .iter()
            .rev()
            .take_while(|byte| is_white(**byte))
            .count()
            .min(WHITE_MOST);
        let is_chunked = small[..small.len() - white].ends_with(b"chunked");
        says.found |= if is_chunked {
            found::CHUNKED
        } else {
            found::UNREADABLE
        };
    }
}

fn is_white(byte: u8) -> bool {
    b" \t\r".contains(&byte)
}

fn number(value: &[u8]) -> Option<u64> {
    let before = value.iter().take_while(|byte| is_white(**byte)).count();
    let value = &value[before..];
    let after = value.iter().rev().take_while(|byte| is_white(**byte)).count();
    let digits = &value[..value.len() - after];
    let is_read = before <= WHITE_MOST && after <= WHITE_MOST && (1..=DIGITS_MOST).contains(&digits.len());
    if !is_read || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The window that holds `bytes` from `at` on.
pub fn window(bytes: &[u8], at: usize) -> Window {
    let mut window = Window::default();
    let mut room = vec![0; window.0.len() * 8];
    room[at..at + bytes.len()].copy_from_slice(bytes);
    for (word, bytes) in window.0.iter_mut().zip(room.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    window
}

/// As places in a window are counted.
pub fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// More than are read of one segment.
pub fn has_too_many_lines(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'\n').count() >= LINES
}

struct Here {
    window: Window,
    to: u32,
}

impl Lines for Here {
    fn line_feed(&mut self, line: u32) -> u32 {
        line_feed(&self.window, line, self.to)
    }
    fn read_field(&mut self, line: u32, end: u32, head: &mut Head) {
        read_field(&self.window, line, end, head);
    }
    fn byte(&self, index: u32) -> u8 {
        self.window.byte(index)
    }
}

/// Reads pieces one after the other, carrying an unfinished line over as the kernel does. `None` when a
/// line is longer than what is carried, or there are more lines than are read of one piece.
pub fn read_pieces(pieces: &[&[u8]]) -> Option<Says> {
    if pieces.len() > 1 && has_too_many_lines(&pieces.concat()) {
        return None;
    }
    let mut head = Head::default();
    let (mut carried, mut passed) = (Vec::new(), 0);
    for piece in pieces {
        if carried.len() >= CARRY || piece.len() > WINDOW {
            return None;
        }
        let from = CARRY - carried.len();
        let bytes = [&carried, *piece].concat();
        let window = window(&bytes, from);
        let mut here = Here {
            window,
            to: START + length(piece),
        };
        read_head(&mut here, START - length(&carried), &mut head);
        if head.end != 0 {
            return Some(says(&head, passed + head.end - START));
        }
        passed += length(piece);
        carried = bytes[head.line as usize - from..].to_vec();
    }
    Some(says(&head, 0))
}

fn says(head: &Head, end: u32) -> Says {
    Says {
        end,
        found: head.found,
        content_length: head.content_length,
    }
}
