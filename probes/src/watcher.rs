//! Looks for listening sockets once a second, on a thread of its own: walking `/proc` takes time
//! that reading counters must not wait for.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use crate::discovery::listener::{Scan, Scanner};

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Watcher {
    scanner: Arc<Mutex<Scanner>>,
    found: Arc<Mutex<Found>>,
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
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
        let (stop, stopped) = mpsc::channel();
        let watcher = Self {
            scanner: Arc::clone(&scanner),
            found: Arc::clone(&found),
            stop: Some(stop),
        };
        thread::Builder::new()
            .name("slowburn-find".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
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

    /// The last scan, unless it has been handed out before.
    pub fn latest(&self) -> Option<Scan> {
        let mut found = lock(&self.found);
        std::mem::take(&mut found.is_new).then(|| found.scan.clone())
    }

    /// Files that lead into the network namespaces with a listener.
    pub fn namespaces(&self) -> Vec<PathBuf> {
        lock(&self.found).scan.namespaces.values().cloned().collect()
    }

    /// The same, each under the cookie of its namespace.
    pub fn namespaces_by_cookie(&self) -> BTreeMap<u64, PathBuf> {
        lock(&self.found).scan.namespaces.clone()
    }

    /// Every cgroup of ours, with its id.
    pub fn cgroups(&self) -> Vec<(String, u64)> {
        lock(&self.scanner).cgroups()
    }

    pub fn stop(&mut self) {
        self.stop = None;
    }
}

/// A scan that panicked has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
