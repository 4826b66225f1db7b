//! The file systems the probes need: found in the mount table, or mounted.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{CGROUP2_SUPER_MAGIC, TRACEFS_MAGIC, statfs},
};

mod cgroup;

/// Where a cgroup v2 hierarchy is mounted when the machine has none mounted.
const PRIVATE_CGROUP: &str = "/run/slowburn/cgroup2";
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

#[derive(Debug, thiserror::Error)]
#[error("cannot mount {kind} on `{}`", path.display())]
pub struct MountError {
    pub kind: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// The root of the cgroup v2 hierarchy, as far up as any mount shows it. Mounted privately when it is mounted nowhere: that changes
/// nothing for anybody else, since the hierarchy exists whether it is mounted or not.
pub fn cgroup_root() -> Result<PathBuf, MountError> {
    if let Some(found) = cgroup::highest() {
        return Ok(found);
    }
    let path = PathBuf::from(PRIVATE_CGROUP);
    mount_at("cgroup2", &path)?;
    tracing::info!(path = %path.display(), "mounted the cgroup v2 hierarchy");
    Ok(path)
}

/// The trace file system, which tells where tracepoints keep their fields.
pub fn tracefs() -> Result<PathBuf, MountError> {
    let is_tracefs = |path: &Path| statfs(path).is_ok_and(|found| found.filesystem_type() == TRACEFS_MAGIC);
    if let Some(found) = TRACEFS.iter().map(Path::new).find(|path| is_tracefs(path)) {
        return Ok(found.to_owned());
    }
    let path = PathBuf::from(TRACEFS[0]);
    mount_at("tracefs", &path)?;
    tracing::info!(path = %path.display(), "mounted the trace file system");
    Ok(path)
}

fn mount_at(kind: &'static str, path: &Path) -> Result<(), MountError> {
    let failed = |source: io::Error| MountError {
        kind,
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(failed)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), path, Some(kind), flags, None::<&str>).map_err(|errno| failed(errno.into()))
}

pub(crate) fn is_cgroup(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// The id of a cgroup, which is its directory's inode.
pub(crate) fn cgroup_id(directory: &Path) -> io::Result<u64> {
    Ok(fs::metadata(directory)?.ino())
}
