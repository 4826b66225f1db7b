//! Removing everything of an instance from the kernel. Works without the agent.

use std::{fs, io, os::fd::AsFd as _, path::Path};

use crate::{
    bpf_syscall,
    bpffs::{self, BpffsError},
    edge::layout::LINKS,
    limit::{self, LimitError},
};

#[derive(Debug, thiserror::Error)]
pub enum UnloadError {
    #[error(transparent)]
    Pins(#[from] BpffsError),
    #[error("cannot remove the limiter")]
    Limiter(#[from] LimitError),
}

/// Detaches every program of the instance and removes its pins: nothing of it runs or counts when
/// this returns. Says how many pins there were; none is fine.
pub fn unload(instance: &str) -> Result<usize, UnloadError> {
    let root = Path::new(bpffs::DEFAULT_ROOT);
    let directory = bpffs::instance_path(root, instance)?;
    if !directory.exists() {
        return Ok(0);
    }
    let pins = count(&directory);
    limit::unload(root, instance)?;
    detach(&directory.join(LINKS))?;
    bpffs::remove(&directory)?;
    Ok(pins)
}

/// Whether a slowburn that lives measures with the pins of this instance.
pub fn in_use(instance: &str) -> Result<bool, BpffsError> {
    let directory = bpffs::instance_path(Path::new(bpffs::DEFAULT_ROOT), instance)?;
    if !directory.exists() {
        return Ok(false);
    }
    match bpffs::lock(&directory) {
        Ok(_free) => Ok(false),
        Err(BpffsError::InUse { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Instances that have pins on this host.
pub fn instances() -> io::Result<Vec<String>> {
    match fs::read_dir(Path::new(bpffs::DEFAULT_ROOT).join("slowburn")) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A link that a process still holds open outlives its pin: so it is detached first.
fn detach(links: &Path) -> Result<(), BpffsError> {
    let failed = |source| BpffsError::Directory {
        path: links.to_owned(),
        source,
    };
    let entries = match fs::read_dir(links) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let link = bpf_syscall::object_get(&entry.map_err(failed)?.path()).map_err(failed)?;
        match bpf_syscall::link_detach(link.as_fd()) {
            // A tracepoint's link cannot be detached, only dropped.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => other.map_err(failed)?,
        }
    }
    Ok(())
}

fn count(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count(&entry.path()),
            _ => 1,
        })
        .sum()
}
