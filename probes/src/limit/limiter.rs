//! The limiter of a running daemon: loads the object, keeps it attached, owns the rules.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aya::Ebpf;

use super::{
    AllowList, Attachment, Counts, Interface, LimitError, LiveRule, PortCounters, Rule, RuleTable, attach,
    layout, object,
};
use crate::{
    bpf_syscall,
    bpffs::{self, DirectoryLock},
};

#[derive(Clone, Debug)]
pub struct Config {
    /// Root of the BPF file system; mounted when it is not one.
    pub bpffs: PathBuf,
    pub instance: String,
    /// All of them, or none: an interface that takes no program is an error.
    pub interfaces: Vec<Interface>,
    pub allowed: AllowList,
    pub existing: Existing,
}

/// What to do with rules that an earlier process left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep those of the same layout. They are enforced again once the lease is renewed, so list
    /// them and release what is no longer wanted before that.
    Adopt,
    Drop,
}

/// Dropping it leaves pins and rules; the kernel stops enforcing them when the lease ends.
#[derive(Debug)]
pub struct Limiter {
    directory: PathBuf,
    allowed: AllowList,
    object: Ebpf,
    table: Mutex<RuleTable>,
    attachments: Vec<Attachment>,
    _lock: DirectoryLock,
}

impl Limiter {
    /// Loads the program, takes over or makes the pins, and attaches. Enforces nothing before the
    /// first [`Limiter::renew_lease`], except what a predecessor's lease still covers.
    pub fn load(config: Config) -> Result<Self, LimitError> {
        bpffs::ensure(&config.bpffs)?;
        let lock_directory = bpffs::instance_path(&config.bpffs, &config.instance)?.join(layout::LOCK);
        bpffs::create(&lock_directory)?;
        let lock = bpffs::lock(&lock_directory)?;
        let directory = layout::directory(&config.bpffs, &config.instance)?;
        bpffs::create(&directory)?;
        bpffs::check(&directory, &layout::MAPS)?;
        let object = object::load(Some(&directory))?;
        let mut table = RuleTable::in_directory(&directory)?;
        table.take_over(random())?;
        match config.existing {
            Existing::Adopt => table.reconcile()?,
            Existing::Drop => drop(table.clear()?),
        }
        table.set_allowed(&config.allowed)?;
        let mut limiter = Self {
            directory,
            allowed: config.allowed,
            object,
            table: Mutex::new(table),
            attachments: Vec::new(),
            _lock: lock,
        };
        let others: Vec<PathBuf> = layout::every_directory(&config.bpffs, &config.instance)?
            .into_iter()
            .filter(|other| *other != limiter.directory)
            .collect();
        limiter.attach_all(&config.interfaces, &others)?;
        Ok(limiter)
    }

    /// Puts a rule in place, or changes the one of the same id. Applying a rule again is harmless.
    pub fn apply(&self, rule: &Rule) -> Result<(), LimitError> {
        self.table().apply(rule, &self.allowed)
    }

    /// Takes a rule away and tells what it did. `None`: it was not there.
    pub fn release(&self, id: u32) -> Result<Option<LiveRule>, LimitError> {
        self.table().release(id)
    }

    /// The rules that stand, by id.
    pub fn list(&self) -> Result<Vec<LiveRule>, LimitError> {
        self.table().list()
    }

    /// Enforces the rules for this long, ten seconds at most; call it every second. Takes away
    /// what has expired, and returns it. Zero ends enforcement at once.
    pub fn renew_lease(&self, lease: Duration) -> Result<Vec<LiveRule>, LimitError> {
        let mut table = self.table();
        table.renew_lease(lease)?;
        table.sweep()
    }

    /// Takes every rule away; new ones may follow.
    pub fn clear(&self) -> Result<Vec<LiveRule>, LimitError> {
        self.table().clear()
    }

    /// Passes everything by one write, takes every rule away, and refuses new ones until
    /// [`Limiter::resume`], across restarts.
    pub fn panic_clear(&self) -> Result<Vec<LiveRule>, LimitError> {
        self.table().panic_clear()
    }

    pub fn resume(&self) -> Result<(), LimitError> {
        self.table().resume()
    }

    pub fn is_panicked(&self) -> Result<bool, LimitError> {
        self.table().is_panicked()
    }

    pub fn counts(&self) -> Result<Counts, LimitError> {
        self.table().counts()
    }

    pub fn port_counters(&self) -> Result<Vec<PortCounters>, LimitError> {
        self.table().port_counters()
    }

    /// Where the program runs, and in which mode.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// One more interface.
    pub fn attach(&mut self, interface: &Interface) -> Result<&Attachment, LimitError> {
        let attachment = attach::attach(
            program(&self.object)?,
            interface,
            std::slice::from_ref(&self.directory),
        )?;
        self.attachments
            .retain(|other| other.pin_name() != attachment.pin_name());
        self.attachments.push(attachment);
        Ok(&self.attachments[self.attachments.len() - 1])
    }

    fn attach_all(&mut self, interfaces: &[Interface], others: &[PathBuf]) -> Result<(), LimitError> {
        let before = attach::pinned(&self.directory)?;
        let mut directories = vec![self.directory.clone()];
        directories.extend_from_slice(others);
        for interface in interfaces {
            match attach::attach(program(&self.object)?, interface, &directories) {
                Ok(attachment) => self.attachments.push(attachment),
                Err(error) => {
                    // What this call attached goes; what stood before it stays as it was.
                    for attachment in &self.attachments {
                        let pin = self.directory.join(attachment.pin_name());
                        if !before.iter().any(|(path, _)| *path == pin) {
                            unpin(&pin)?;
                        }
                    }
                    return Err(error);
                }
            }
        }
        for (pin, attachment) in before {
            if !self
                .attachments
                .iter()
                .any(|ours| ours.pin_name() == attachment.pin_name())
            {
                unpin(&pin)?;
            }
        }
        for other in others {
            bpffs::remove(other)?;
        }
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, RuleTable> {
        // The table keeps nothing that a panic in between could have left half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the program runs by the pins of an instance, whose daemon may be gone.
pub fn attachments(bpffs: &Path, instance: &str) -> Result<Vec<Attachment>, LimitError> {
    let directory = layout::directory(bpffs, instance)?;
    Ok(attach::pinned(&directory)?
        .into_iter()
        .map(|(_, attachment)| attachment)
        .collect())
}

/// The panic key for every version of the limiter this instance ever loaded: everything passes,
/// the rules go, and none is accepted until [`RuleTable::resume`]. `false`: there was nothing.
pub fn panic_clear(bpffs: &Path, instance: &str) -> Result<bool, LimitError> {
    use aya::maps::{Array, Map, MapData};
    use probes_ebpf::limit_wire::control;

    let ours = layout::directory(bpffs, instance)?;
    let directories = layout::every_directory(bpffs, instance)?;
    let set = |directory: &Path| -> Result<(), LimitError> {
        let pin = directory.join("CONTROL");
        if !pin.exists() {
            // A removal that was cut short: without its word, the program itself has to go.
            return attach::pinned(directory)?
                .iter()
                .try_for_each(|(link, _)| unpin(link));
        }
        // The control words keep their places in every version.
        let failed = |source| LimitError::map("open", "CONTROL")(source);
        let data = MapData::from_pin(pin).map_err(failed)?;
        let mut words: Array<MapData, u64> = Map::Array(data).try_into().map_err(failed)?;
        words.set(control::PANIC, 1, 0).map_err(failed)
    };
    // Everywhere first: what is wrong with one directory must not keep another one dropping.
    let all: Vec<Result<(), LimitError>> = directories.iter().map(|directory| set(directory)).collect();
    all.into_iter().collect::<Result<(), _>>()?;
    if directories.contains(&ours) && ours.join("CONTROL").exists() {
        RuleTable::open(bpffs, instance)?.panic_clear()?;
    }
    Ok(!directories.is_empty())
}

/// Removes every link, map and rule of an instance, of every version. The program is off its
/// interfaces when this returns. `false`: there was nothing.
pub fn unload(bpffs: &Path, instance: &str) -> Result<bool, LimitError> {
    let directories = layout::every_directory(bpffs, instance)?;
    for directory in &directories {
        // Links first: what is attached must not outlive the pins by which it can be found.
        for (pin, _) in attach::pinned(directory)? {
            unpin(&pin)?;
        }
        bpffs::remove(directory)?;
    }
    bpffs::remove(&bpffs::instance_path(bpffs, instance)?.join(layout::LOCK))?;
    Ok(!directories.is_empty())
}

/// A link is detached first: another process may still hold it open.
fn unpin(pin: &Path) -> Result<(), LimitError> {
    let failed = |source| bpffs::BpffsError::Directory {
        path: pin.to_owned(),
        source,
    };
    let link = bpf_syscall::object_get(pin).map_err(failed)?;
    bpf_syscall::link_detach(link.as_fd()).map_err(failed)?;
    std::fs::remove_file(pin).map_err(failed)?;
    Ok(())
}

fn program(object: &Ebpf) -> Result<BorrowedFd<'_>, LimitError> {
    let failed = |reason: String| LimitError::Load { reason };
    let fd = object::loaded(object)?
        .fd()
        .map_err(|error| failed(error.to_string()))?
        .as_fd()
        .as_raw_fd();
    // SAFETY: the descriptor belongs to the program, which lives as long as the object.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// The seed of the per-source hash, from the random keys of std's hasher.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) | 1
}
