//! The ring buffer, read so that a record is given back only when what it says has been kept.
//!
//! aya gives each record back as soon as it is looked at; an agent that is killed would lose it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use aya::maps::MapData;

/// `BPF_RINGBUF_BUSY_BIT`, `BPF_RINGBUF_DISCARD_BIT`, `BPF_RINGBUF_HDR_SZ`.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

/// Memory shared with the kernel.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: plain memory, and every access goes through a reference to its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    pub fn new(map: BorrowedFd<'_>, offset: usize, length: usize, is_writable: bool) -> io::Result<Self> {
        let protection = libc::PROT_READ | if is_writable { libc::PROT_WRITE } else { 0 };
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping, wherever the kernel has room for it.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, length })
    }

    pub fn word(&self, at: usize) -> &AtomicUsize {
        assert!(
            at.is_multiple_of(8) && at + 8 <= self.length,
            "inside of the mapping"
        );
        // SAFETY: aligned, and inside.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    pub fn bytes(&self, from: usize, length: usize) -> &[u8] {
        assert!(from + length <= self.length, "inside of the mapping");
        // SAFETY: inside, and nobody writes where the caller may read.
        unsafe { std::slice::from_raw_parts(self.start.add(from).as_ptr(), length) }
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length, "inside of the mapping");
        // SAFETY: inside, and the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at).as_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: as it was mapped; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

pub(super) struct Ring {
    map: MapData,
    /// Begins with the position up to which everything was given back.
    consumer: Mapping,
    /// Begins with the position of the kernel; then the records, twice, so that none is cut in two.
    producer: Mapping,
    page: usize,
    size: usize,
}

impl Ring {
    pub fn open(map: MapData, size: usize) -> io::Result<Self> {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        Ok(Self {
            consumer: Mapping::new(map.fd().as_fd(), 0, page, true)?,
            producer: Mapping::new(map.fd().as_fd(), page, page + 2 * size, false)?,
            map,
            page,
            size,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Up to where records were given back.
    pub fn position(&self) -> usize {
        self.consumer.word(0).load(Ordering::Acquire)
    }

    /// The record at `position` and the position of the next; `None` when there is none yet.
    pub fn at(&self, position: usize) -> Option<(&[u8], usize)> {
        let mut position = position;
        loop {
            if position >= self.producer.word(0).load(Ordering::Acquire) {
                return None;
            }
            let place = self.page + (position & (self.size - 1));
            let header = self.producer.bytes(place, HEADER);
            // SAFETY: records begin at multiples of eight bytes; the kernel clears the bit last.
            let word = unsafe { &*header.as_ptr().cast::<AtomicU32>() }.load(Ordering::Acquire);
            if word & BUSY != 0 {
                return None;
            }
            let length = (word & !DISCARDED) as usize;
            let next = position + (HEADER + length).next_multiple_of(8);
            if word & DISCARDED == 0 {
                return Some((self.producer.bytes(place + HEADER, length), next));
            }
            position = next;
        }
    }

    /// Gives back everything before `position`.
    pub fn give_back(&self, position: usize) {
        self.consumer.word(0).store(position, Ordering::Release);
    }
}
