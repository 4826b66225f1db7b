//! A cgroup v2 subtree of the demo's own, found, made and removed.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long removal waits for killed processes to be gone.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Subtree {
    name: String,
    path: PathBuf,
}

impl Subtree {
    pub fn create(name: &str) -> Result<Self> {
        let path = probes::mounts::cgroup_root()
            .context("find the cgroup v2 root")?
            .join(name);
        fs::create_dir(&path).with_context(|| format!("make cgroup `{}`", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            path,
        })
    }

    pub fn add(&mut self, child: &str) -> Result<()> {
        let path = self.path.join(child);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.with_context(|| format!("make cgroup `{}`", path.display())),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file to which a process writes `0` to become a member.
    pub fn members(&self, child: &str) -> Result<File> {
        let path = self.path.join(child).join("cgroup.procs");
        File::options()
            .write(true)
            .open(&path)
            .with_context(|| format!("open `{}`", path.display()))
    }
}

impl Drop for Subtree {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(error = format!("{error:#}"), "a cgroup of the demo stays behind");
        }
    }
}

/// Ends every process below `path` and removes the subtree.
pub fn remove(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).with_context(|| format!("read cgroup `{}`", path.display()))? {
        let entry = entry.context("read cgroup entry")?;
        if entry.file_type().context("read cgroup entry's type")?.is_dir() {
            remove(&entry.path())?;
        }
    }
    let deadline = Instant::now() + REMOVAL_PATIENCE;
    loop {
        end_members(path)?;
        match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "polls with a deadline, in a drop that cannot await"
                )]
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => return other.with_context(|| format!("remove cgroup `{}`", path.display())),
        }
    }
}

fn end_members(path: &Path) -> Result<()> {
    let members = path.join("cgroup.procs");
    let text = fs::read_to_string(&members).with_context(|| format!("read `{}`", members.display()))?;
    for pid in text.lines().filter_map(|line| line.parse().ok()) {
        // One that ended by itself meanwhile is what was wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(())
}
