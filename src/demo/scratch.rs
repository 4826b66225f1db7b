//! The demo's directory of its own: definitions, logs, and slowburn's state with its Postgres.
//!
//! Removing it ends a Postgres that still runs in it: one that outlived a start that failed half-way, or a
//! demo that was killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::database::serves;

/// Directories are called `slowburn-demo-<pid>-<random>`.
const PREFIX: &str = "slowburn-demo-";
const POSTGRES_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    pub fn create() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            // Postgres, which does not run as root, must find its way through.
            .permissions(Permissions::from_mode(0o711))
            .tempdir()
            .context("make a directory for the demo's state")?;
        Ok(Self {
            directory: directory.keep(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory) {
            tracing::warn!(error = format!("{error:#}"), "the demo's directory stays behind");
        }
    }
}

/// Removes the directories of demos that `is_dead` says are, and returns those demos' process ids.
pub fn sweep(is_dead: impl Fn(u32) -> bool) -> Result<Vec<u32>> {
    let parent = std::env::temp_dir();
    let mut dead = Vec::new();
    for entry in fs::read_dir(&parent)
        .with_context(|| format!("read `{}`", parent.display()))?
        .flatten()
    {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = rest
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(pid, _)| pid.parse().ok());
        if let Some(pid) = owner.filter(|&pid| is_dead(pid)) {
            remove(&entry.path())?;
            dead.push(pid);
        }
    }
    Ok(dead)
}

fn remove(directory: &Path) -> Result<()> {
    end_postgres(&directory.join("state/postgres/data"))?;
    fs::remove_dir_all(directory).with_context(|| format!("remove `{}`", directory.display()))
}

/// Ends the server whose data is in `data`, if there is one: the process that the lock file names, if it
/// was started on this very directory.
fn end_postgres(data: &Path) -> Result<()> {
    let Ok(lock) = fs::read_to_string(data.join("postmaster.pid")) else {
        return Ok(());
    };
    let Some(pid) = lock.lines().next().and_then(|line| line.trim().parse().ok()) else {
        return Ok(());
    };
    let pid = Pid::from_raw(pid);
    let deadline = Instant::now() + POSTGRES_PATIENCE;
    // Its data is of no more use: it need not write it out.
    let mut ask = Some(Signal::SIGQUIT);
    while serves(pid, data) {
        if let Some(signal) = ask.take() {
            kill(pid, signal).context("end a leftover Postgres")?;
        }
        if Instant::now() > deadline {
            bail!("the Postgres of `{}` (process {pid}) did not end", data.display());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "polls with a deadline, in a drop that cannot await"
        )]
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
