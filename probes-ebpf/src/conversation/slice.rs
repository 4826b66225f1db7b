//! A segment whose bytes are here, as the host has them.

use super::{BETWEEN, Bytes, START, Scratch};
use crate::http1::{CARRY, Head, Lines, WINDOW, Window, end_of_head, line_feed, read_field, read_head};

#[derive(Debug)]
pub struct Slice<'a>(pub &'a [u8]);

impl Slice<'_> {
    fn from(&self, offset: u32) -> &[u8] {
        self.0.get(offset as usize..).unwrap_or_default()
    }
}

impl Bytes for Slice<'_> {
    fn load(&mut self, scratch: &mut Scratch, offset: u32) -> u32 {
        let rest = self.from(offset);
        let taken = rest.get(..WINDOW).unwrap_or(rest);
        let words = scratch.window.0.iter_mut().skip(CARRY / 8);
        for (word, bytes) in words.zip(taken.chunks(8)) {
            let mut held = word.to_ne_bytes();
            held[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(held);
        }
        taken.len() as u32
    }

    fn bytes<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        self.from(offset).first_chunk().copied()
    }

    fn end_of_head(&mut self, scratch: &mut Scratch, to: u32) -> u32 {
        end_of_head(&scratch.window, to)
    }

    fn read_head(&mut self, scratch: &mut Scratch, from: u32, to: u32) -> u32 {
        let mut head = scratch.head;
        read_head(&mut Here(&scratch.window, to), from, &mut head);
        scratch.head = head;
        head.end
    }

    fn read_chunks(&mut self, scratch: &mut Scratch, to: u32) -> u32 {
        scratch.chunks.read::<BETWEEN>(&scratch.window, START, to)
    }
}

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
