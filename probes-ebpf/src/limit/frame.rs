//! A frame in the kernel: two packet pointers, compared before every read.

use super::packet::{Frame, View};

#[derive(Debug)]
pub struct Packet {
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Bytes(*const u8);

impl Frame for Packet {
    type View = Bytes;

    #[inline(always)]
    fn view(&self, offset: usize, length: usize) -> Option<Bytes> {
        let start = self.start + offset;
        if start + length > self.end {
            None
        } else {
            Some(Bytes(start as *const u8))
        }
    }
}

impl View for Bytes {
    #[inline(always)]
    fn u8(self, at: usize) -> u8 {
        // SAFETY: checked by `view`, and again by the verifier.
        unsafe { *self.0.add(at) }
    }

    #[inline(always)]
    fn be16(self, at: usize) -> u16 {
        // SAFETY: as above; BPF loads from packets need no alignment.
        u16::from_be(unsafe { *self.0.add(at).cast::<u16>() })
    }

    #[inline(always)]
    fn raw32(self, at: usize) -> u32 {
        // SAFETY: as above.
        unsafe { *self.0.add(at).cast::<u32>() }
    }
}
