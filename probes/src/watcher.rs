//! Looks for listening sockets, on a thread of its own: walking `/proc` takes time that reading
//! counters must not wait for.
//!
//! Each read asks for the scan that the next read finds done. So whoever listens before one read has a
//! name by the next, however the two are timed: within 2 s where reads are a second apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::discovery::listener::{Scan, Scanner};

/// Between the beginnings of two scans, for who reads more often than once a second.
const APART: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Watcher {
    scanner: Arc<Mutex<Scanner>>,
    found: Arc<Mutex<Found>>,
    /// Asks for one more scan. Dropped to end the thread.
    wanted: Option<mpsc::SyncSender<()>>,
}

#[derive(Debug, Default)]
struct Found {
    scan: Scan,
    is_new: bool,
}

impl Watcher {
    pub fn start(cgroup_root: &Path, within: String) -> io::Result<Self> {
        let scanner = Arc::new(Mutex::new(Scanner::new(cgroup_root, within)?));
        let found = Arc::new(Mutex::new(Found::default()));
        let (wanted, asked) = mpsc::sync_channel(1);
        let watcher = Self {
            scanner: Arc::clone(&scanner),
            found: Arc::clone(&found),
            wanted: Some(wanted),
        };
        thread::Builder::new()
            .name("slowburn-find".to_owned())
            .spawn(move || {
                let mut began: Option<Instant> = None;
                while asked.recv().is_ok() {
                    if let Some(began) = began {
                        thread::park_timeout(APART.saturating_sub(began.elapsed()));
                    }
                    began = Some(Instant::now());
                    match lock(&scanner).scan() {
                        Ok(scan) => *lock(&found) = Found { scan, is_new: true },
                        Err(error) => tracing::warn!(%error, "cannot look for listening sockets"),
                    }
                }
            })?;
        Ok(watcher)
    }

    pub fn scan_now(&self) -> io::Result<Scan> {
        let scan = lock(&self.scanner).scan()?;
        *lock(&self.found) = Found {
            scan: scan.clone(),
            is_new: false,
        };
        Ok(scan)
    }

    /// The last scan, unless it has been handed out before; and asks for the next.
    pub fn latest(&self) -> Option<Scan> {
        let mut found = lock(&self.found);
        let latest = std::mem::take(&mut found.is_new).then(|| found.scan.clone());
        if let Some(wanted) = &self.wanted {
            // One that is asked for already will do: it has not begun.
            let _ = wanted.try_send(());
        }
        latest
    }

    /// Whether there is a scan that has not been handed out.
    pub fn has_latest(&self) -> bool {
        lock(&self.found).is_new
    }

    /// Files that lead into the network namespaces with a listener, and into those of `callers`: into all of them, where
    /// the kernel did not tell of a caller in which it is (0).
    pub fn namespaces(&self, callers: &BTreeSet<u64>) -> Vec<PathBuf> {
        let found = lock(&self.found);
        let calling = found
            .scan
            .others
            .iter()
            .filter(|(cookie, _)| callers.contains(cookie) || callers.contains(&0))
            .map(|(_, file)| file);
        found.scan.namespaces.values().chain(calling).cloned().collect()
    }

    /// Leaves out namespaces that are gone: none comes back under its cookie.
    pub fn retain_living(&self, callers: &mut BTreeSet<u64>) {
        let found = lock(&self.found);
        let others: BTreeSet<u64> = found.scan.others.iter().map(|(cookie, _)| *cookie).collect();
        let is_living = |cookie: &u64| others.contains(cookie) || found.scan.namespaces.contains_key(cookie);
        callers.retain(|cookie| *cookie == 0 || is_living(cookie));
    }

    /// Those with a listener, each under the cookie of its namespace.
    pub fn namespaces_by_cookie(&self) -> BTreeMap<u64, PathBuf> {
        lock(&self.found).scan.namespaces.clone()
    }

    /// Every cgroup of ours, with its id.
    pub fn cgroups(&self) -> Vec<(String, u64)> {
        lock(&self.scanner).cgroups()
    }

    pub fn stop(&mut self) {
        self.wanted = None;
    }
}

/// A scan that panicked has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
