//! HTTP/2, as far as the kernel cannot tell it: header blocks are decoded here, and requests counted.
//!
//! In: records of the ring buffer, in order per connection. Out: a tally of the same keys as the
//! kernel's maps; totals are the sum of both. The ring is read once a second, and by a thread of its
//! own whenever a quarter of it is full. A record is given back once what it says is kept (see
//! [`checkpoint`]), so an agent that is killed loses no request.

use std::{
    fs, io, iter,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use aya::maps::MapData;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::ClockId,
};
use probes_ebpf::{
    http2_wire::RING_BYTES,
    wire::{InFlight, loss},
};

use self::{book::Book, checkpoint::Checkpoint, meaning::Meanings, ring::Ring, tally::Tally};
use crate::{
    agent::AgentError,
    edge::{
        generation::boot_ns,
        layout::{BOOK, COUNTERS, Directories, HTTP2, RECORDS},
        table::{Losses, open},
    },
};

mod book;
mod checkpoint;
mod connection;
mod meaning;
mod raw;
mod record;
mod ring;
pub(crate) mod tally;

/// How long a record may take from its clock into the ring, on a host that stands still now and then.
const ON_THEIR_WAY_NS: u64 = 50_000_000;

/// Reads the ring for as long as it lives.
pub(crate) struct Reader {
    state: Arc<Mutex<State>>,
    /// What was counted in other layouts.
    earlier: Vec<Tally>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<thread::JoinHandle<()>>,
}

struct State {
    ring: Ring,
    /// Up to where records were counted.
    position: usize,
    book: Book,
    checkpoint: Checkpoint,
    meanings: Meanings,
    /// Of every layout of counters: programs of another build may run on a while.
    losses: Vec<Losses>,
    /// What is kept is not what is known.
    is_dirty: bool,
}

impl Reader {
    /// Takes up where the last agent was, once ours are the programs that are attached.
    pub fn start(directories: &Directories) -> Result<Self, AgentError> {
        let counters = &directories.counters;
        let earlier = beginning(directories, HTTP2)?
            .iter()
            .filter(|path| **path != directories.http2)
            .map(|path| settled(path))
            .collect::<Result<_, _>>()?;
        let losses = beginning(directories, COUNTERS)?
            .iter()
            .map(|path| open!(path, "LOSSES", PerCpuArray))
            .collect::<Result<_, _>>()?;
        let ring = MapData::from_pin(directories.http2.join(RECORDS))
            .map_err(AgentError::map("open", RECORDS))
            .and_then(|map| Ring::open(map, RING_BYTES as usize).map_err(AgentError::map("open", RECORDS)))?;
        let checkpoint = Checkpoint::open(&directories.http2)?;
        let (mut book, position) = checkpoint.read()?.unwrap_or_default();
        book.take_up(monotonic_ns());
        let position = position.max(ring.position());
        ring.give_back(position);
        let ring_fd = ring.fd().try_clone_to_owned();
        let failed = AgentError::map("wait for", RECORDS);
        let state = Arc::new(Mutex::new(State {
            ring,
            position,
            book,
            checkpoint,
            meanings: Meanings::new(
                open!(counters, "SETTINGS", Array)?,
                open!(counters, "ROUTES", LpmTrie)?,
            ),
            losses,
            is_dirty: false,
        }));
        let shared = Arc::clone(&state);
        let started = ring_fd.and_then(|ring| {
            let (stop, stopped) = UnixStream::pair()?;
            let thread = thread::Builder::new()
                .name("slowburn-http2".to_owned())
                .spawn(move || {
                    if let Err(error) = drain_when_due(&ring, &stopped, &shared) {
                        tracing::warn!(%error, "HTTP/2 is read once a second only");
                    }
                })?;
            Ok((stop, thread))
        });
        let (stop, thread) = started.map_err(failed)?;
        Ok(Self {
            state,
            earlier,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Counts what has come, books what is overdue, and tells what is in flight.
    pub fn look(&self) -> Vec<InFlight> {
        let mut in_flight = Vec::new();
        let state = &mut *self.state();
        // As of a moment whose records are all here: what was answered by then is not overdue now.
        let as_of = monotonic_ns().saturating_sub(ON_THEIR_WAY_NS);
        state.drain();
        let State { book, meanings, .. } = state;
        if book.walk(meanings, as_of, boot_ns(), &mut in_flight) {
            state.is_dirty = true;
            state.keep();
        }
        in_flight
    }

    /// What was counted, in this agent and those before it.
    pub fn with_tallies<T>(&self, work: impl FnOnce(&[&Tally]) -> T) -> T {
        let state = self.state();
        let tallies: Vec<&Tally> = iter::once(&state.book.tally).chain(&self.earlier).collect();
        work(&tallies)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads HTTP/2 has panicked");
        }
    }
}

/// Directories of whatever layout whose names begin so.
fn beginning(directories: &Directories, with: &str) -> Result<Vec<PathBuf>, AgentError> {
    let listed = |source| AgentError::Cgroup {
        path: directories.instance.clone(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(&directories.instance).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        if entry.file_name().to_string_lossy().starts_with(with) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What an agent of another layout left.
struct Frozen {
    ring: Ring,
    checkpoint: Checkpoint,
    book: Book,
    position: usize,
}

impl Frozen {
    /// `None` where it never had any of HTTP/2.
    fn open(directory: &Path) -> Result<Option<Self>, AgentError> {
        if !directory.join(RECORDS).exists() {
            return Ok(None);
        }
        let names = fs::read_dir(directory).map_err(AgentError::map("open", BOOK))?;
        let mut names = names
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        if names.any(|name| is_book(&name) && name != BOOK) {
            let cause = io::Error::other("another build wrote it, in its own way");
            return Err(AgentError::map("read", BOOK)(cause));
        }
        let map = MapData::from_pin(directory.join(RECORDS)).map_err(AgentError::map("open", RECORDS))?;
        let size = map
            .info()
            .map_err(AgentError::map("read", RECORDS))?
            .max_entries();
        let ring = Ring::open(map, size as usize).map_err(AgentError::map("open", RECORDS))?;
        let checkpoint = Checkpoint::open(directory)?;
        let (book, position) = checkpoint.read()?.unwrap_or_default();
        let position = position.max(ring.position());
        Ok(Some(Self {
            ring,
            checkpoint,
            book,
            position,
        }))
    }

    /// Tells how many records come behind those that were counted. Changes nothing but where this one stands.
    fn pass(&mut self) -> Result<u64, AgentError> {
        let mut records = 0;
        self.ring
            .read(&mut self.position, |_| records += 1)
            .map_err(AgentError::map("read", RECORDS))?;
        Ok(records)
    }
}

/// Whether what an agent of another layout left can be read. It is left as it is: its programs go on until ours are
/// attached, and it comes back should they not be.
pub(crate) fn can_be_read(directory: &Path) -> Result<(), AgentError> {
    if let Some(mut frozen) = Frozen::open(directory)? {
        frozen.pass()?;
    }
    Ok(())
}

/// Takes what an agent of another layout counted and kept, once nothing is told to it any more. Records that it had not
/// read may have a layout that nobody knows any more: they are lost, once. How its requests in flight end is told to nobody.
fn settled(directory: &Path) -> Result<Tally, AgentError> {
    let Some(mut frozen) = Frozen::open(directory)? else {
        return Ok(Tally::default());
    };
    let boot_ns = boot_ns();
    let unread = frozen.pass()?;
    let Frozen {
        ring,
        mut checkpoint,
        mut book,
        position,
    } = frozen;
    let mut is_changed = book.settle(boot_ns);
    for _ in 0..unread {
        book.tally.lose(0, boot_ns);
        is_changed = true;
    }
    let is_kept = is_changed
        && checkpoint
            .keep(&book, position)
            .map_err(AgentError::map("write", BOOK))?;
    if is_kept {
        ring.give_back(position);
    }
    Ok(book.tally)
}

/// Whether it is what user space kept of HTTP/2, in whatever version.
pub(crate) fn is_book(name: &str) -> bool {
    name.starts_with("HTTP2_BOOK_")
}

/// The kernel wakes once a quarter of the ring is full. Edge-triggered: a ring that is not empty counts
/// as readable all the time.
fn drain_when_due(ring: &OwnedFd, stopped: &UnixStream, state: &Mutex<State>) -> io::Result<()> {
    const RING: u64 = 1;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(
        ring,
        EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, RING),
    )?;
    epoll.add(stopped, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    loop {
        let mut events = [EpollEvent::empty(); 2];
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        if events[..count].iter().any(|event| event.data() != RING) {
            return Ok(());
        }
        state.lock().unwrap_or_else(PoisonError::into_inner).drain();
    }
}

impl State {
    fn drain(&mut self) {
        let boot_ns = boot_ns();
        let before = self.position;
        let (book, meanings) = (&mut self.book, &mut self.meanings);
        let read = self
            .ring
            .read(&mut self.position, |bytes| match record::read(bytes) {
                Some((record, piece)) => book.take(&record, piece, meanings, boot_ns),
                None => tracing::error!(length = bytes.len(), "a record of HTTP/2 is none"),
            });
        if let Err(error) = read {
            // They stay where they are, and once there is no room the kernel counts what finds none.
            tracing::error!(%error, "records of HTTP/2 cannot be read now");
        }
        // An earlier layout may be too short to count it.
        let full = self.losses.iter();
        let full = full.filter_map(|losses| losses.get(&loss::HTTP2_RING_DOUBT, 0).ok());
        let full = full.map(|full| full.iter().sum::<u64>()).sum();
        self.is_dirty |= self.book.doubt(full, monotonic_ns());
        self.is_dirty |= self.position != before;
        self.keep();
    }

    fn keep(&mut self) {
        if !self.is_dirty {
            return;
        }
        loop {
            match self.checkpoint.keep(&self.book, self.position) {
                Ok(true) => break,
                Ok(false) if self.book.shed(&mut self.meanings, boot_ns()) => {}
                Ok(false) => {
                    tracing::error!(
                        "what was counted of HTTP/2 has no room to be kept, and is lost with this agent"
                    );
                    break;
                }
                Err(error) => {
                    // What was not given back can be counted again.
                    tracing::error!(%error, "what was counted of HTTP/2 cannot be kept now");
                    return;
                }
            }
        }
        self.ring.give_back(self.position);
        self.is_dirty = false;
    }
}

fn monotonic_ns() -> u64 {
    let now = ClockId::CLOCK_MONOTONIC.now();
    now.map_or(0, |now| {
        u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX)
    })
}
