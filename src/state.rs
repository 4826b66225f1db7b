//! The state directory: where it is, and that only one slowburn uses it.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

/// A state directory that is ours until dropped, or until the process ends however it ends.
#[derive(Debug)]
pub struct State {
    _lock: Flock<File>,
}

impl State {
    pub fn open(directory: &Path) -> Result<State> {
        let hint = "hint: choose another with `--state-dir`";
        fs::create_dir_all(directory).with_context(|| {
            format!(
                "state directory `{}` is not writable\n{hint}",
                directory.display()
            )
        })?;
        let path = directory.join("lock");
        let file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .with_context(|| {
                format!(
                    "state directory `{}` is not writable\n{hint}",
                    directory.display()
                )
            })?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).context("read the lock")?;
                bail!(
                    "state directory `{}` is in use by another slowburn (process {})\n{hint}",
                    directory.display(),
                    pid.trim()
                );
            }
            Err((_, error)) => return Err(error).context("lock the state directory"),
        };
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(State { _lock: lock })
    }
}

/// `/var/lib/slowburn` for root, else `$XDG_STATE_HOME/slowburn`.
pub fn default_directory() -> PathBuf {
    if geteuid().is_root() {
        return PathBuf::from("/var/lib/slowburn");
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    base.unwrap_or_else(|| PathBuf::from(".")).join("slowburn")
}
