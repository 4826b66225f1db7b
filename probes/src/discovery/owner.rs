//! Who serves a listening socket: of all processes that hold it, the one people mean.
//!
//! A socket may be held by several: whoever made it and keeps it (systemd, a parent), those it was
//! handed to (socket activation, `SCM_RIGHTS`), and the workers of a server. Processes of one cgroup are
//! one service, told by its oldest; of several cgroups, the one that holds it since last serves.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use super::{
    cgroup::Hierarchy,
    container::{self, Container},
};
use crate::mounts::cgroup_id;

/// The process that serves a socket, and where it lives.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub pid: u32,
    /// The descriptor it holds the socket by.
    descriptor: u32,
    pub home: Home,
    /// In how many scans it was the owner.
    age: u32,
}

/// Where a process lives, as far as it names a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Home {
    /// Under the root of the hierarchy, without a leading `/`.
    pub cgroup: String,
    pub cgroup_id: u64,
    pub executable: Option<PathBuf>,
    pub container: Option<Container>,
}

#[derive(Debug)]
pub(crate) struct Owners {
    /// By the socket's inode.
    held: HashMap<u64, Owner>,
    /// Sockets that no process holds, such as the kernel's own, and how often they were looked for.
    ownerless: HashMap<u64, u32>,
    /// Processes of the last scan.
    known: BTreeSet<u32>,
    scans: u32,
}

/// Every descriptor of every process is looked at for a socket without an owner: a few times, as
/// its process may be starting, then once in so many scans. So often all sockets are looked for anew,
/// because one may have been handed over while its old owner keeps it.
const LOOKS: u32 = 3;
const LOOK_AGAIN: u32 = 30;
/// An owner that has not changed its cgroup or executable by now seldom will.
const GROWN: u32 = 3;
const GROWN_AGAIN: u32 = 5;

impl Owners {
    pub fn new() -> Self {
        Self {
            held: HashMap::new(),
            ownerless: HashMap::new(),
            known: BTreeSet::new(),
            scans: 0,
        }
    }

    pub fn get(&self, socket: u64) -> Option<&Owner> {
        self.held.get(&socket)
    }

    /// Looks through the descriptors of new processes, and of all when a socket has no owner.
    pub fn find(&mut self, cgroups: &Hierarchy, processes: &BTreeSet<u32>, sockets: &BTreeSet<u64>) {
        self.scans = self.scans.wrapping_add(1);
        self.keep(cgroups, sockets);
        self.ownerless.retain(|socket, _| sockets.contains(socket));
        let mut is_missing = self.scans.is_multiple_of(LOOK_AGAIN);
        for socket in sockets {
            if !self.held.contains_key(socket) {
                let looks = self.ownerless.entry(*socket).or_default();
                *looks += 1;
                is_missing |= *looks <= LOOKS || looks.is_multiple_of(LOOK_AGAIN);
            }
        }
        let known = std::mem::replace(&mut self.known, processes.clone());
        let looked_at = processes.iter().filter(|pid| is_missing || !known.contains(pid));
        let mut holders: BTreeMap<u64, Vec<(u32, u32)>> = BTreeMap::new();
        for pid in looked_at {
            for (socket, descriptor) in sockets_of(*pid).filter(|(socket, _)| sockets.contains(socket)) {
                holders.entry(socket).or_default().push((*pid, descriptor));
            }
        }
        for (socket, mut found) in holders {
            if let Some(owner) = self.held.get(&socket) {
                found.push((owner.pid, owner.descriptor));
            }
            found.sort_unstable();
            found.dedup_by_key(|(pid, _)| *pid);
            let chosen = choose(cgroups, &found);
            if let Some(owner) = chosen {
                self.ownerless.remove(&socket);
                if self
                    .held
                    .get(&socket)
                    .is_none_or(|before| before.pid != owner.pid)
                {
                    self.held.insert(socket, owner);
                }
            }
        }
    }

    /// Keeps owners that still hold their socket, and looks where they live now.
    fn keep(&mut self, cgroups: &Hierarchy, sockets: &BTreeSet<u64>) {
        let scans = self.scans;
        self.held.retain(|socket, owner| {
            let link = fs::read_link(format!("/proc/{}/fd/{}", owner.pid, owner.descriptor));
            if !sockets.contains(socket) || link.ok().as_deref().and_then(parse_socket) != Some(*socket) {
                return false;
            }
            owner.age += 1;
            if owner.age <= GROWN || scans.is_multiple_of(GROWN_AGAIN) {
                match home(cgroups, owner.pid) {
                    Some(home) => owner.home = home,
                    None => return false,
                }
            }
            true
        });
    }
}

fn choose(cgroups: &Hierarchy, holders: &[(u32, u32)]) -> Option<Owner> {
    let mut by_cgroup: BTreeMap<String, (u64, Owner)> = BTreeMap::new();
    for (pid, descriptor) in holders {
        let (Some(home), Some(started)) = (home(cgroups, *pid), started(*pid)) else {
            continue;
        };
        let owner = Owner {
            pid: *pid,
            descriptor: *descriptor,
            age: 0,
            home,
        };
        let of_cgroup = by_cgroup.entry(owner.home.cgroup.clone());
        let oldest = of_cgroup.or_insert_with(|| (started, owner.clone()));
        if (started, *pid) < (oldest.0, oldest.1.pid) {
            *oldest = (started, owner);
        }
    }
    // What systemd listens on is for somebody else, who may not be there yet.
    let is_init = |owner: &Owner| owner.pid == 1;
    let serving = by_cgroup.into_values();
    serving
        .max_by_key(|(started, owner)| (!is_init(owner), *started, owner.pid))
        .map(|(_, owner)| owner)
}

/// Sockets a process holds, and by which descriptors. None once it has ended.
fn sockets_of(pid: u32) -> impl Iterator<Item = (u64, u32)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    entries.filter_map(|entry| {
        let socket = parse_socket(&fs::read_link(entry.path()).ok()?)?;
        Some((socket, entry.file_name().to_str()?.parse().ok()?))
    })
}

fn parse_socket(link: &Path) -> Option<u64> {
    link.to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn home(cgroups: &Hierarchy, pid: u32) -> Option<Home> {
    let place = cgroups.of_process(pid)?;
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let executable = fs::read_link(format!("/proc/{pid}/exe")).ok().map(|path| {
        let text = path.to_string_lossy();
        text.strip_suffix(" (deleted)")
            .map_or_else(|| path.clone(), PathBuf::from)
    });
    let container = place.everywhere().find_map(|path| container::of(path, &root));
    Some(Home {
        cgroup_id: cgroup_id(&cgroups.root().join(&place.path)).unwrap_or(0),
        container,
        cgroup: place.path,
        executable,
    })
}

/// When a process began, in ticks since boot.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may hold anything, brackets too.
    let after_name = text.rsplit_once(')')?.1;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::cgroup_root;

    #[test]
    fn a_socket_that_nobody_holds_is_not_looked_for_every_second() {
        let mut owners = Owners::new();
        let cgroups = Hierarchy::open(&cgroup_root().unwrap()).unwrap();
        let processes = BTreeSet::from([std::process::id()]);
        // Not an inode, but what the walk counts is how often it was wanted.
        for _ in 0..10 {
            owners.find(&cgroups, &processes, &BTreeSet::from([u64::MAX]));
        }
        assert_eq!(owners.ownerless.get(&u64::MAX), Some(&10));
        owners.find(&cgroups, &processes, &BTreeSet::new());
        assert!(owners.ownerless.is_empty());
    }

    #[test]
    fn a_process_tells_when_it_began() {
        let own = started(std::process::id()).unwrap();
        assert!(own > 0 && own >= started(1).unwrap());
    }
}
