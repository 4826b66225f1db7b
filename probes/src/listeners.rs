//! Accept queues: how full each service's are, and what they turned away.
//!
//! In: the network namespaces that have a listener, and which service a listener is. Out: gauges of
//! the moment, and the dropped as a running total that survives restarts: the kernel forgets its
//! count with the socket, so what was seen of each socket is remembered in a pinned map.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use aya::Pod;
use nix::sched::{CloneFlags, setns};
use probes_ebpf::wire::NAME_MAX;
use slo_engine::measurement::ServiceName;

use crate::{
    agent::{AgentError, chain},
    discovery::listener::cookie_here,
    edge::{
        starts::hash,
        table::{Raw, open},
    },
    sock_diag::{self, ListenSocket},
};

/// What one look saw: listeners by the cookie of their network namespace.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub sockets: Vec<(u64, ListenSocket)>,
    /// Namespaces that could not be looked into, and why.
    pub failed: Vec<String>,
}

type Question = (BTreeMap<u64, PathBuf>, mpsc::Sender<Look>);

/// A thread that goes from one network namespace to the next: one that has entered a namespace stays there.
#[derive(Debug)]
pub(crate) struct Looker {
    requests: mpsc::Sender<Question>,
}

impl Looker {
    /// Starts the thread. It ends with this value.
    pub fn start() -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Question>();
        thread::Builder::new()
            .name("slowburn-queues".to_owned())
            .spawn(move || {
                for (namespaces, reply) in inbox {
                    // Nobody waits any more when the agent is gone.
                    let _ = reply.send(look(&namespaces));
                }
            })?;
        Ok(Self { requests })
    }

    /// Each namespace is given as a file such as `/proc/1/ns/net`, under its cookie.
    pub fn look(&self, namespaces: BTreeMap<u64, PathBuf>) -> Look {
        let (reply, answer) = mpsc::channel();
        if self.requests.send((namespaces, reply)).is_ok()
            && let Ok(look) = answer.recv()
        {
            return look;
        }
        Look {
            sockets: Vec::new(),
            failed: vec!["the thread that looks at accept queues has ended".to_owned()],
        }
    }
}

fn look(namespaces: &BTreeMap<u64, PathBuf>) -> Look {
    let mut look = Look::default();
    for (cookie, path) in namespaces {
        match within(path, *cookie) {
            Ok(sockets) => look
                .sockets
                .extend(sockets.into_iter().map(|socket| (*cookie, socket))),
            // The process that held the namespace open ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => look.failed.push(format!("{}: {error}", path.display())),
        }
    }
    look
}

/// Another process may have taken the number of the one that led there, and leads elsewhere.
fn within(path: &Path, cookie: u64) -> io::Result<Vec<ListenSocket>> {
    setns(fs::File::open(path)?, CloneFlags::CLONE_NEWNET)?;
    if cookie_here()? != cookie {
        return Err(io::ErrorKind::NotFound.into());
    }
    sock_diag::listeners()
}

/// One socket as it was counted for one service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BookKey {
    cookie: u64,
    service: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct BookEntry {
    /// Padded with zeros; empty for a socket that belongs to no service.
    name: [u8; NAME_MAX],
    first_ns: u64,
    /// Of the socket, already counted.
    drops: u64,
    /// Of the service, once those were counted: the largest of its entries is its total. So every
    /// step is one write, and a process that is killed between two neither loses nor doubles any.
    total: u64,
}

// SAFETY: `repr(C)` without implicit padding, and every bit pattern is a value.
unsafe impl Pod for Raw<BookKey> {}
// SAFETY: as above.
unsafe impl Pod for Raw<BookEntry> {}

type Map = aya::maps::HashMap<aya::maps::MapData, Raw<BookKey>, Raw<BookEntry>>;

/// Where it is pinned. A change of [`BookEntry`] must change this name, too: it outlives upgrades.
pub(crate) const LISTENERS: &str = "LISTENERS";
pub(crate) const LISTENERS_MAX: u32 = 8192;
/// A socket that is not seen for so long is gone, and not only hidden for a moment.
const GONE_NS: u64 = 600_000_000_000;

/// What listeners have dropped, by service.
pub(crate) struct DropBook {
    map: Map,
    entries: HashMap<BookKey, BookEntry>,
    /// By socket: how many of its drops are in some entry.
    counted: HashMap<u64, u64>,
    seen_ns: HashMap<u64, u64>,
    /// Until the first look: sockets older than the pins are taken as they are.
    is_new: bool,
}

impl DropBook {
    pub fn open(directory: &Path) -> Result<Self, AgentError> {
        let path = directory.join(LISTENERS);
        let is_new = !path.exists();
        if is_new {
            let map = Map::create(LISTENERS_MAX, 0).map_err(AgentError::map("create", LISTENERS))?;
            map.pin(&path).map_err(|error| AgentError::Attach {
                reason: format!("cannot pin the map {LISTENERS}: {}", chain(&error)),
            })?;
        }
        let map: Map = open!(directory, LISTENERS, HashMap)?;
        let mut entries = HashMap::new();
        let mut counted: HashMap<u64, u64> = HashMap::new();
        for entry in map.iter() {
            let (Raw(key), Raw(entry)): (Raw<BookKey>, Raw<BookEntry>) =
                entry.map_err(AgentError::map("read", LISTENERS))?;
            let drops = counted.entry(key.cookie).or_default();
            *drops = entry.drops.max(*drops);
            entries.insert(key, entry);
        }
        Ok(Self {
            map,
            entries,
            counted,
            seen_ns: HashMap::new(),
            is_new,
        })
    }

    /// Counts what is new. Returns how many sockets found no room; their drops are not told.
    pub fn book(&mut self, sockets: &[(ListenSocket, Option<&ServiceName>)], now_ns: u64) -> usize {
        let mut lost = 0;
        for (socket, service) in sockets {
            self.seen_ns.insert(socket.cookie, now_ns);
            lost += usize::from(!self.book_one(socket, *service, now_ns));
        }
        self.is_new = false;
        self.forget(now_ns);
        lost
    }

    /// Whether there was room.
    fn book_one(&mut self, socket: &ListenSocket, service: Option<&ServiceName>, now_ns: u64) -> bool {
        let drops = u64::from(socket.drops);
        let counted = self.counted.get(&socket.cookie).copied();
        if service.is_none() && !self.is_new {
            // Waits for a name, under which all of it will count.
            return true;
        }
        let name = service.map_or("", ServiceName::as_str);
        let key = BookKey {
            cookie: socket.cookie,
            service: hash(name),
        };
        if counted == Some(drops) && self.entries.contains_key(&key) {
            return true;
        }
        let before = counted.unwrap_or(if self.is_new { drops } else { 0 });
        let of_service = self.entries.values().filter(|entry| entry.name() == name);
        let (first_ns, total) = of_service.fold((now_ns, 0), |(first_ns, total), entry| {
            (entry.first_ns.min(first_ns), entry.total.max(total))
        });
        let mut entry = BookEntry {
            name: [0; NAME_MAX],
            first_ns,
            drops,
            total: total + drops.saturating_sub(before),
        };
        entry.name[..name.len()].copy_from_slice(name.as_bytes());
        if self.map.insert(Raw(key), Raw(entry), 0).is_err() {
            return false;
        }
        self.entries.insert(key, entry);
        self.counted.insert(socket.cookie, drops);
        true
    }

    /// Entries of sockets that are gone are given up, but for the one that holds a service's total.
    fn forget(&mut self, now_ns: u64) {
        let mut holders: HashMap<[u8; NAME_MAX], (u64, BookKey)> = HashMap::new();
        for (key, entry) in &self.entries {
            let holder = holders.entry(entry.name).or_insert((entry.total, *key));
            *holder = (*holder).max((entry.total, *key));
        }
        let holders: HashSet<BookKey> = holders
            .into_iter()
            .filter(|(name, _)| name[0] != 0)
            .map(|(_, (_, key))| key)
            .collect();
        let seen_ns = &mut self.seen_ns;
        let mut is_gone = |key: &BookKey| {
            let last_ns = *seen_ns.entry(key.cookie).or_insert(now_ns);
            now_ns.saturating_sub(last_ns) > GONE_NS && !holders.contains(key)
        };
        let gone: Vec<BookKey> = self.entries.keys().copied().filter(|key| is_gone(key)).collect();
        for key in gone {
            if self.map.remove(&Raw(key)).is_ok() {
                self.entries.remove(&key);
                self.counted.remove(&key.cookie);
            }
        }
        self.seen_ns
            .retain(|_, last_ns| now_ns.saturating_sub(*last_ns) <= 2 * GONE_NS);
    }

    /// Service, since when, how many.
    pub fn totals(&self) -> BTreeMap<ServiceName, (u64, u64)> {
        let mut totals: BTreeMap<ServiceName, (u64, u64)> = BTreeMap::new();
        for entry in self.entries.values() {
            let Ok(service) = entry.name().parse() else {
                continue;
            };
            let total = totals.entry(service).or_insert((entry.first_ns, 0));
            *total = (total.0.min(entry.first_ns), total.1.max(entry.total));
        }
        totals
    }
}

impl BookEntry {
    fn name(&self) -> &str {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        std::str::from_utf8(&self.name[..end]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::listener::tests::Elsewhere;

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_not_looked_along() {
        let (gone, other) = (Elsewhere::start(), Elsewhere::start());
        for (cookie, found) in [(gone.cookie(), 0), (other.cookie(), 1)] {
            let namespaces = BTreeMap::from([(cookie, other.namespace())]);
            let look = thread::spawn(move || look(&namespaces)).join().unwrap();
            let of = look.sockets.iter().filter(|(of, _)| *of == cookie);
            assert_eq!((of.count(), look.failed), (found, Vec::<String>::new()));
        }
    }
}
