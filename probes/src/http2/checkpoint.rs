//! What an agent knows of HTTP/2, kept in a pinned map: whoever is killed has lost nothing.
//!
//! Two halves, of which one is valid. A new state is written into the other, with the position in the
//! ring buffer up to which it counted; then one word says which half holds. Killed before that word,
//! the records since are still in the ring and are counted again, from the old state; killed after it,
//! they are known to be counted. Nothing is lost and nothing doubled.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
};

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
    map: OwnedFd,
    /// The first block. Of the halves only what is in use is mapped, and while it is: every page of a
    /// mapping is resident memory.
    first: Mapping,
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
        let (map, first) = open(&path).map_err(AgentError::map("open", BOOK))?;
        let serial = first.word(SELECTOR).load(Ordering::Acquire) as u64;
        Ok(Self { map, first, serial })
    }

    /// What was kept last, and the position in the ring it stands for.
    pub fn read(&self) -> Result<Option<(Book, usize)>, AgentError> {
        if self.serial == 0 {
            return Ok(None);
        }
        let failed = |reason: String| AgentError::map("read", BOOK)(io::Error::other(reason));
        let head = self
            .half(self.serial, HEAD)
            .map_err(AgentError::map("read", BOOK))?;
        let position = number(&head, 0);
        let length = usize::try_from(number(&head, 8)).unwrap_or(usize::MAX);
        if length > HALF - HEAD {
            return Err(failed("it says that it is longer than it is".to_owned()));
        }
        let memory = self
            .half(self.serial, HEAD + length)
            .map_err(AgentError::map("read", BOOK))?;
        let bytes = memory.bytes(HEAD, length);
        let book = postcard::from_bytes(bytes).map_err(|error| failed(error.to_string()))?;
        Ok(Some((book, usize::try_from(position).unwrap_or(usize::MAX))))
    }

    /// Keeps `book`, which counted everything up to `position`. `false`: there is no room for it.
    pub fn keep(&mut self, book: &Book, position: usize) -> io::Result<bool> {
        let bytes = postcard::to_stdvec(book).map_err(io::Error::other)?;
        if bytes.len() > HALF - HEAD {
            return Ok(false);
        }
        let serial = self.serial + 1;
        let mut memory = self.half(serial, HEAD + bytes.len())?;
        memory.write(0, &(position as u64).to_le_bytes());
        memory.write(8, &(bytes.len() as u64).to_le_bytes());
        memory.write(HEAD, &bytes);
        let selector = self.first.word(SELECTOR);
        selector.store(usize::try_from(serial).unwrap_or(1), Ordering::Release);
        self.serial = serial;
        Ok(true)
    }

    /// The first bytes of the half of `serial`.
    fn half(&self, serial: u64, length: usize) -> io::Result<Mapping> {
        let from = BOOK_BLOCK + if serial & 1 == 0 { 0 } else { HALF };
        Mapping::new(self.map.as_fd(), from, length, true)
    }
}

fn number(memory: &Mapping, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(memory.bytes(at, 8));
    u64::from_le_bytes(bytes)
}

fn open(path: &Path) -> io::Result<(OwnedFd, Mapping)> {
    let map = MapData::from_pin(path).map_err(io::Error::other)?;
    let map = map.fd().as_fd().try_clone_to_owned()?;
    let first = Mapping::new(map.as_fd(), 0, BOOK_BLOCK, true)?;
    Ok((map, first))
}
