//! Looks for listening sockets, on a thread of its own: walking `/proc` takes time that reading
//! counters must not wait for.
//!
//! Each read asks for a scan, and so does the kernel when somebody of ours begins to listen; a bell rings as soon as it is done.
//! So whoever listens has a name a few tenths of a second later, and where the kernel does not tell, soon after the next read.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::discovery::listener::{Scan, Scanner};

/// Between two looks whether somebody began to listen, each a call that takes a microsecond.
const GLANCE: Duration = Duration::from_millis(100);
/// After a scan its thread rests for so many times what that took, but no longer than [`REST`]: who listens anew all the time
/// costs no more than a twentieth of a processor, or two scans a second.
const SHARE: u32 = 20;
const REST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Watcher {
    scanner: Arc<Mutex<Scanner>>,
    found: Arc<Mutex<Found>>,
    /// Rung after a scan.
    scanned: Arc<Notify>,
    /// Asks for one more scan. Dropped to end the thread.
    wanted: Option<mpsc::SyncSender<()>>,
}

#[derive(Debug, Default)]
struct Found {
    scan: Scan,
    is_new: bool,
}

impl Watcher {
    /// `listened` tells when somebody began to listen last, in any unit.
    pub fn start(
        cgroup_root: &Path,
        within: String,
        listened: impl Fn() -> u64 + Send + 'static,
    ) -> io::Result<Self> {
        let scanner = Arc::new(Mutex::new(Scanner::new(cgroup_root, within)?));
        let found = Arc::new(Mutex::new(Found::default()));
        let scanned = Arc::new(Notify::new());
        let (wanted, asked) = mpsc::sync_channel(1);
        let watcher = Self {
            scanner: Arc::clone(&scanner),
            found: Arc::clone(&found),
            scanned: Arc::clone(&scanned),
            wanted: Some(wanted),
        };
        thread::Builder::new()
            .name("slowburn-find".to_owned())
            .spawn(move || {
                let mut seen = 0;
                loop {
                    match asked.recv_timeout(GLANCE) {
                        Err(RecvTimeoutError::Timeout) if listened() == seen => continue,
                        Err(RecvTimeoutError::Disconnected) => return,
                        _ => {}
                    }
                    seen = listened();
                    let began = Instant::now();
                    match lock(&scanner).scan() {
                        Ok(scan) => {
                            *lock(&found) = Found { scan, is_new: true };
                            scanned.notify_one();
                        }
                        Err(error) => tracing::warn!(%error, "cannot look for listening sockets"),
                    }
                    thread::park_timeout(REST.min(began.elapsed() * SHARE));
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

    /// Asks for a scan. One that is asked for already will do: it has not begun.
    pub fn ask(&self) {
        if let Some(wanted) = &self.wanted {
            let _ = wanted.try_send(());
        }
    }

    /// Rung when a scan is done, whoever asked for it.
    pub fn scanned(&self) -> Arc<Notify> {
        Arc::clone(&self.scanned)
    }

    /// The last scan, unless it has been handed out before.
    pub fn latest(&self) -> Option<Scan> {
        let mut found = lock(&self.found);
        std::mem::take(&mut found.is_new).then(|| found.scan.clone())
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
