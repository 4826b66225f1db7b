//! Listening TCP sockets of every network namespace that a process lives in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead as _, BufReader},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    cgroup::Hierarchy,
    owner::{Home, Owners},
};
use crate::{mounts::cgroup_id, sock_diag};

/// One port that somebody listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listener {
    pub netns: u64,
    pub port: u16,
    /// Which the kernel counts under: of the socket, fixed when it was created.
    pub cgroup_id: u64,
    /// Where whoever serves it lives now.
    pub home: Home,
    pub pid: u32,
}

/// Finds listeners again and again; remembers what does not change.
#[derive(Debug)]
pub(crate) struct Scanner {
    hierarchy: Hierarchy,
    /// Listeners outside of this cgroup are somebody else's.
    within: String,
    owners: Owners,
    refused: BTreeSet<String>,
}

/// What one scan found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub listeners: Vec<Listener>,
    /// A file that leads into each network namespace with a listener, by cookie.
    pub namespaces: BTreeMap<u64, PathBuf>,
    /// The same of those in which nobody of ours listens.
    pub others: Vec<(u64, PathBuf)>,
}

impl Scanner {
    pub fn new(cgroup_root: &Path, within: String) -> io::Result<Self> {
        Ok(Self {
            hierarchy: Hierarchy::open(cgroup_root)?,
            owners: Owners::new(),
            within,
            refused: BTreeSet::new(),
        })
    }

    pub fn scan(&mut self) -> io::Result<Scan> {
        let processes = processes()?;
        // One process leads into each namespace.
        let mut namespaces: BTreeMap<u64, u32> = BTreeMap::new();
        for pid in &processes {
            if let Ok(found) = fs::metadata(format!("/proc/{pid}/ns/net")) {
                namespaces.entry(found.ino()).or_insert(*pid);
            }
        }
        let namespaces = look_into(&namespaces)?;
        let open = namespaces.iter().flat_map(|namespace| &namespace.open);
        let sockets = open.map(|open| open.socket).collect();
        self.owners.find(&self.hierarchy, &processes, &sockets);

        let mut scan = Scan::default();
        for Namespace {
            inode,
            pid,
            cookie,
            open,
        } in namespaces
        {
            let file = PathBuf::from(format!("/proc/{pid}/ns/net"));
            let listeners = scan.listeners.len();
            for Open { port, socket, birth } in open {
                let Some(owner) = self.owners.get(socket).cloned() else {
                    continue;
                };
                let cgroup_id = if birth == 0 { owner.home.cgroup_id } else { birth };
                if !self.is_ours(&owner.home.cgroup, cgroup_id) {
                    continue;
                }
                let netns = match &cookie {
                    Ok(cookie) => *cookie,
                    Err(error) => {
                        self.refuse(format!("network namespace {inode}: {error}"));
                        continue;
                    }
                };
                scan.namespaces.entry(netns).or_insert_with(|| file.clone());
                scan.listeners.push(Listener {
                    netns,
                    port,
                    cgroup_id,
                    home: owner.home,
                    pid: owner.pid,
                });
            }
            if let (Ok(cookie), true) = (cookie, scan.listeners.len() == listeners) {
                scan.others.push((cookie, file));
            }
        }
        scan.listeners.sort();
        scan.listeners
            .dedup_by(|a, b| (a.netns, a.port, a.cgroup_id) == (b.netns, b.port, b.cgroup_id));
        Ok(scan)
    }

    /// Whether its packets pass our programs, or its owner is ours.
    fn is_ours(&self, home: &str, born_in: u64) -> bool {
        is_within(home, &self.within)
            || self
                .hierarchy
                .path(born_in)
                .is_some_and(|path| is_within(&path, &self.within))
    }

    fn refuse(&mut self, text: String) {
        if self.refused.insert(text.clone()) {
            tracing::warn!("cannot enter {text}");
        }
    }

    /// Every cgroup below the attached one, with its id.
    pub fn cgroups(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut waiting = vec![self.hierarchy.root().join(&self.within)];
        while let Some(directory) = waiting.pop() {
            if let (Ok(id), Ok(path)) = (
                cgroup_id(&directory),
                directory.strip_prefix(self.hierarchy.root()),
            ) {
                found.push((path.to_string_lossy().into_owned(), id));
            }
            // A cgroup may go away while it is walked.
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(entry.path());
                }
            }
        }
        found
    }
}

fn is_within(cgroup: &str, within: &str) -> bool {
    within.is_empty()
        || cgroup == within
        || cgroup
            .strip_prefix(within)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn processes() -> io::Result<BTreeSet<u32>> {
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// A network namespace as it was when it was entered: its number may be another's by the next scan.
struct Namespace {
    inode: u64,
    /// The process that leads to it.
    pid: u32,
    /// The kernel's own name for it.
    cookie: io::Result<u64>,
    open: Vec<Open>,
}

/// A listening socket.
struct Open {
    port: u16,
    /// Its inode.
    socket: u64,
    /// The cgroup it was created in; 0 where the kernel does not tell.
    birth: u64,
}

/// Every listening socket of these namespaces, by a thread that goes from one to the next: what has entered
/// one stays there.
fn look_into(namespaces: &BTreeMap<u64, u32>) -> io::Result<Vec<Namespace>> {
    let all = || {
        namespaces
            .iter()
            .map(|(inode, pid)| look_into_one(*inode, *pid))
            .collect()
    };
    thread::scope(|scope| {
        let found = scope.spawn(all).join();
        found.map_err(|_| io::Error::other("the thread that looks for listening sockets ended"))
    })
}

/// `/proc` tells the same as `sock_diag`, but goes through the connections of all namespaces for each, which
/// takes milliseconds: it is asked where the kernel does not answer.
fn look_into_one(inode: u64, pid: u32) -> Namespace {
    let cookie = fs::File::open(format!("/proc/{pid}/ns/net")).and_then(|file| {
        setns(&file, CloneFlags::CLONE_NEWNET)?;
        cookie_here()
    });
    let open = |port, socket, birth| Open { port, socket, birth };
    let told = cookie.is_ok().then(sock_diag::listeners);
    let open = match told {
        Some(Ok(found)) => found
            .iter()
            .map(|found| open(found.port, found.inode, found.cgroup))
            .collect(),
        _ => listed(pid).map(|(port, socket)| open(port, socket, 0)).collect(),
    };
    Namespace {
        inode,
        pid,
        cookie,
        open,
    }
}

/// Ports and inodes from a process's tables, which list listeners first. It may have ended since.
fn listed(pid: u32) -> impl Iterator<Item = (u16, u64)> {
    let tables = ["tcp", "tcp6"].into_iter();
    let tables = tables.filter_map(move |table| fs::File::open(format!("/proc/{pid}/net/{table}")).ok());
    tables.flat_map(|file| {
        let lines = BufReader::new(file).lines().skip(1);
        lines.map_while(|line| parse_listener(&line.ok()?))
    })
}

/// Port and inode of a line of `/proc/net/tcp` in state LISTEN.
fn parse_listener(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    if state != "0A" {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some((port, inode))
}

/// The kernel's own name for this thread's network namespace. 0 where the kernel has none.
pub(crate) fn cookie_here() -> io::Result<u64> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: eight bytes for an eight byte option.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if rc == 0 {
        return Ok(cookie);
    }
    match io::Error::last_os_error() {
        // Linux before 5.14: all namespaces are one to the counters, and the agent says so.
        error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(0),
        error => Err(error),
    }
}

const SO_NETNS_COOKIE: libc::c_int = 71;

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        os::unix::process::CommandExt as _,
        process::{Child, Command, Stdio},
        time::{Duration, Instant},
    };

    use nix::{
        sched::unshare,
        sys::socket::{Backlog, listen},
    };

    use super::*;
    use crate::mounts::cgroup_root;

    /// A process that listens in a network namespace of its own, on a port that the kernel picks.
    pub(crate) struct Elsewhere(Child);

    impl Elsewhere {
        pub(crate) fn start() -> Self {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped());
            // SAFETY: only system calls between fork and exec.
            unsafe {
                command.pre_exec(|| {
                    unshare(CloneFlags::CLONE_NEWNET)?;
                    let listener = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
                    listen(&listener, Backlog::new(1)?)?;
                    std::mem::forget(listener);
                    Ok(())
                });
            }
            Self(command.spawn().unwrap())
        }

        pub(crate) fn namespace(&self) -> PathBuf {
            PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
        }

        fn inode(&self) -> u64 {
            fs::metadata(self.namespace()).unwrap().ino()
        }

        /// As a socket inside tells it.
        pub(crate) fn cookie(&self) -> u64 {
            let namespace = fs::File::open(self.namespace()).unwrap();
            let inside = thread::spawn(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
                cookie_here().unwrap()
            });
            inside.join().unwrap()
        }
    }

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// One in the namespace of this number, if it is given to us: the next gets the lowest that is free, and the
    /// kernel frees one some time after its last process has ended.
    fn numbered(number: u64) -> Option<Elsewhere> {
        let mut others = Vec::new();
        for _ in 0..50 {
            let next = Elsewhere::start();
            if next.inode() == number {
                return Some(next);
            }
            others.push(next);
            thread::park_timeout(Duration::from_millis(10));
        }
        None
    }

    #[test]
    fn a_namespace_with_the_number_of_one_that_is_gone_has_a_name_of_its_own() {
        let mut scanner = Scanner::new(&cgroup_root().unwrap(), String::new()).unwrap();
        let mut netns = |of: &Elsewhere| {
            let scan = scanner.scan().unwrap();
            let found = scan.listeners.iter().find(|found| found.pid == of.0.id());
            found.unwrap().netns
        };
        let give_up = Instant::now() + Duration::from_secs(60);
        let (name, second) = loop {
            assert!(Instant::now() < give_up, "no number was given twice");
            let first = Elsewhere::start();
            let (number, name) = (first.inode(), first.cookie());
            assert_eq!(netns(&first), name);
            drop(first);
            if let Some(second) = numbered(number) {
                break (name, second);
            }
        };
        assert_ne!(second.cookie(), name);
        assert_eq!(netns(&second), second.cookie());
    }

    #[test]
    fn a_listening_line_gives_its_port_and_inode() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28541 1 0000000000000000 100 0 0 10 0";
        assert_eq!(parse_listener(line), Some((8080, 28541)));
        assert_eq!(parse_listener(&line.replace(" 0A ", " 01 ")), None);
    }

    #[test]
    fn a_cgroup_beside_another_is_not_within_it() {
        assert!(is_within("a/b", ""));
        assert!(is_within("a/b", "a"));
        assert!(is_within("a", "a"));
        assert!(!is_within("ab", "a"));
    }
}
