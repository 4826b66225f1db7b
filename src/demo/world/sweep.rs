//! Removes what a killed demo left behind: only things that carry its name and whose process is gone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::{CGROUP_PREFIX, NAMESPACE_PREFIX, cgroup, namespace};

/// Returns the process ids of the dead demos whose leftovers were removed.
pub fn sweep() -> Result<Vec<u32>> {
    let mut dead = Vec::new();
    let root = probes::mounts::cgroup_root().context("find the cgroup v2 root")?;
    // Processes first: a namespace lives as long as one of them does.
    for name in names(&root)? {
        if let Some(pid) = owner(&name, CGROUP_PREFIX).filter(|&pid| is_dead(pid)) {
            cgroup::remove(&root.join(&name))?;
            dead.push(pid);
        }
    }
    for name in names(Path::new(namespace::DIRECTORY))? {
        if let Some(pid) = owner(&name, NAMESPACE_PREFIX).filter(|&pid| is_dead(pid)) {
            namespace::remove(&name)?;
            dead.push(pid);
        }
    }
    dead.sort_unstable();
    dead.dedup();
    Ok(dead)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("read `{}`", directory.display()))?,
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.collect())
}

/// The process a leftover's name names: digits right after the prefix, then the end or a dash.
fn owner(name: &str, prefix: &str) -> Option<u32> {
    let rest = name.strip_prefix(prefix)?;
    rest.split('-').next()?.parse().ok()
}

/// Whether no demo runs as `pid`. A recycled process id is somebody else's, so its command line is read;
/// our own is new, and what carries it is of an earlier one.
pub fn is_dead(pid: u32) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return true;
    };
    pid == std::process::id() || !line.split(|&byte| byte == 0).any(|argument| argument == b"demo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_process_id_have_an_owner() {
        assert_eq!(owner("sb-4711-web", NAMESPACE_PREFIX), Some(4711));
        assert_eq!(owner("slowburn-demo-12", CGROUP_PREFIX), Some(12));
        assert_eq!(owner("sb-mine", NAMESPACE_PREFIX), None);
        assert_eq!(owner("other-4711-web", NAMESPACE_PREFIX), None);
    }
}
