//! What an agent knows of HTTP/2, kept in a pinned map: whoever is killed has lost nothing.
//!
//! Two halves, of which one is valid. A new state is written into the other, with the position in the
//! ring buffer up to which it counted; then one word says which half holds. Killed before that word,
//! the records since are still in the ring and are counted again, from the old state; killed after it,
//! they are known to be counted. Nothing is lost and nothing doubled.

use std::{io, os::fd::AsFd as _, path::Path, sync::atomic::Ordering};

use aya::maps::{Array, MapData};

use super::{book::Book, ring::Mapping};
use crate::{
    agent::{AgentError, chain},
    edge::{
        layout::{BOOK, BOOK_BLOCK, BOOK_BLOCKS, MMAPABLE},
        table::Raw,
    },
};

/// The word of the first block that says which half holds, and how often that changed.
const SELECTOR: usize = 0;
const HALF: usize = (BOOK_BLOCKS as usize - 1) / 2 * BOOK_BLOCK;
/// Position and length, before the state.
const HEAD: usize = 16;

type Blocks = Array<MapData, Raw<[u8; BOOK_BLOCK]>>;

pub(crate) struct Checkpoint {
    memory: Mapping,
    /// 0: nothing was kept yet. Its last bit is the half that holds.
    serial: u64,
}

impl Checkpoint {
    /// Opens the map, or makes it.
    pub fn open(directory: &Path) -> Result<Self, AgentError> {
        let path = directory.join(BOOK);
        // As `layout::own_maps` states it.
        if !path.exists() {
            let map = Blocks::create(BOOK_BLOCKS, MMAPABLE).map_err(AgentError::map("create", BOOK))?;
            map.pin(&path).map_err(|error| AgentError::Attach {
                reason: format!("cannot pin the map {BOOK}: {}", chain(&error)),
            })?;
        }
        let memory = map(&path).map_err(AgentError::map("open", BOOK))?;
        let serial = memory.word(SELECTOR).load(Ordering::Acquire) as u64;
        Ok(Self { memory, serial })
    }

    /// What was kept last, and the position in the ring it stands for.
    pub fn read(&self) -> Result<Option<(Book, usize)>, AgentError> {
        if self.serial == 0 {
            return Ok(None);
        }
        let half = half(self.serial);
        let position = number(&self.memory, half);
        let length = usize::try_from(number(&self.memory, half + 8)).unwrap_or(usize::MAX);
        let failed = |reason: String| AgentError::map("read", BOOK)(io::Error::other(reason));
        if length > HALF - HEAD {
            return Err(failed("it says that it is longer than it is".to_owned()));
        }
        let bytes = self.memory.bytes(half + HEAD, length);
        let book = postcard::from_bytes(bytes).map_err(|error| failed(error.to_string()))?;
        Ok(Some((book, usize::try_from(position).unwrap_or(usize::MAX))))
    }

    /// Keeps `book`, which counted everything up to `position`. `false`: there is no room for it.
    pub fn keep(&mut self, book: &Book, position: usize) -> bool {
        let Ok(bytes) = postcard::to_stdvec(book) else {
            return false;
        };
        if bytes.len() > HALF - HEAD {
            return false;
        }
        let serial = self.serial + 1;
        let half = half(serial);
        self.memory.write(half, &(position as u64).to_le_bytes());
        self.memory.write(half + 8, &(bytes.len() as u64).to_le_bytes());
        self.memory.write(half + HEAD, &bytes);
        let selector = self.memory.word(SELECTOR);
        selector.store(usize::try_from(serial).unwrap_or(1), Ordering::Release);
        self.serial = serial;
        true
    }
}

fn half(serial: u64) -> usize {
    BOOK_BLOCK + if serial & 1 == 0 { 0 } else { HALF }
}

fn number(memory: &Mapping, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(memory.bytes(at, 8));
    u64::from_le_bytes(bytes)
}

fn map(path: &Path) -> Result<Mapping, io::Error> {
    let map = MapData::from_pin(path).map_err(io::Error::other)?;
    Mapping::new(map.fd().as_fd(), 0, BOOK_BLOCK * BOOK_BLOCKS as usize, true)
}
