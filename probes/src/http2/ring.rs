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

/// Of the ring, mapped at once: every page of a mapping is resident memory.
const MAPPED_MOST: usize = 1 << 20;

/// Memory shared with the kernel.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    /// Bytes before these, on the page where they begin.
    lead: usize,
}

// SAFETY: plain memory, and every access goes through a reference to its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    pub fn new(map: BorrowedFd<'_>, offset: usize, length: usize, is_writable: bool) -> io::Result<Self> {
        let protection = libc::PROT_READ | if is_writable { libc::PROT_WRITE } else { 0 };
        let lead = offset % page()?;
        let offset = libc::off_t::try_from(offset - lead).map_err(io::Error::other)?;
        // SAFETY: a new mapping, wherever the kernel has room for it.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                lead + length,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            // SAFETY: inside of what was just mapped.
            start: unsafe { start.add(lead) },
            length,
            lead,
        })
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

fn page() -> io::Result<usize> {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: as it was mapped; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().sub(self.lead).cast(), self.lead + self.length) };
    }
}

pub(super) struct Ring {
    map: MapData,
    /// Begins with the position up to which everything was given back.
    consumer: Mapping,
    /// Begins with the position of the kernel. The records follow, twice, so that none is cut in two; they are
    /// mapped as they are read.
    producer: Mapping,
    page: usize,
    size: usize,
}

impl Ring {
    pub fn open(map: MapData, size: usize) -> io::Result<Self> {
        let page = page()?;
        Ok(Self {
            consumer: Mapping::new(map.fd().as_fd(), 0, page, true)?,
            producer: Mapping::new(map.fd().as_fd(), page, page, false)?,
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

    /// Hands over every record from `position` on, up to one that is still written, and moves it behind them.
    pub fn read(&self, position: &mut usize, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let end = self.producer.word(0).load(Ordering::Acquire);
            if *position >= end {
                return Ok(());
            }
            let begin = *position;
            let end = end.min(begin + MAPPED_MOST);
            let place = 2 * self.page + (begin & (self.size - 1));
            let records = Mapping::new(self.fd(), place, end - begin, false)?;
            while *position + HEADER <= end {
                let header = records.bytes(*position - begin, HEADER);
                // SAFETY: records begin at multiples of eight bytes; the kernel clears the bit last.
                let word = unsafe { &*header.as_ptr().cast::<AtomicU32>() }.load(Ordering::Acquire);
                if word & BUSY != 0 {
                    return Ok(());
                }
                let length = (word & !DISCARDED) as usize;
                let next = *position + (HEADER + length).next_multiple_of(8);
                if next > end {
                    break;
                }
                if word & DISCARDED == 0 {
                    take(records.bytes(*position - begin + HEADER, length));
                }
                *position = next;
            }
            if *position == begin {
                return Err(io::Error::other("a record is longer than any that is written"));
            }
        }
    }

    /// Gives back everything before `position`.
    pub fn give_back(&self, position: usize) {
        self.consumer.word(0).store(position, Ordering::Release);
    }
}
