//! Where pins live, and when they may be reused.
//!
//! Owns the directories `<bpffs>/slowburn/<instance>/…`: finding or mounting a bpffs, the lock
//! that keeps one writer an instance, and the comparison of pinned maps with what an object
//! declares. aya reuses a pinned map without looking at it, and a map of other numbers can be
//! misread or corrupt user memory: so the layout is part of the directory's name, and every pin
//! is compared before a loader sees its path.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aya::maps::{MapError, MapInfo};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{FsType, statfs},
};

/// Where systemd and bpftool mount it.
pub const DEFAULT_ROOT: &str = "/sys/fs/bpf";

const BPF_FS: FsType = FsType(0xcafe_4a11);

#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    #[error("cannot mount a BPF file system on `{}`", path.display())]
    Mount { path: PathBuf, source: io::Error },
    #[error("cannot use `{}`", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("instance name `{name}` is not 1 to 63 lower-case letters, digits and dashes")]
    InstanceName { name: String },
    #[error("`{}` is in use by another slowburn", path.display())]
    InUse { path: PathBuf },
    #[error("cannot read the pinned map `{}`", path.display())]
    Pin {
        path: PathBuf,
        #[source]
        source: Box<MapError>,
    },
    #[error("the pinned map `{}` has {property} {found}, this build declares {declared}", path.display())]
    Layout {
        path: PathBuf,
        property: &'static str,
        found: u32,
        declared: u32,
    },
}

/// The numbers of a map that the kernel can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapLayout {
    pub name: &'static str,
    /// `enum bpf_map_type`.
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
}

impl MapLayout {
    /// Memory that the kernel sets aside for the map, or will have when it is full.
    pub fn bytes(&self, cpus: usize) -> u64 {
        const HASH: u32 = 1;
        const PER_CPU_HASH: u32 = 5;
        const PER_CPU_ARRAY: u32 = 6;
        const LRU_HASH: u32 = 9;
        const LRU_PER_CPU_HASH: u32 = 10;
        const LPM_TRIE: u32 = 11;
        const RING: u32 = 27;
        let value = u64::from(self.value_size).next_multiple_of(8);
        let value = match self.kind {
            PER_CPU_HASH | PER_CPU_ARRAY | LRU_PER_CPU_HASH => value * cpus as u64,
            _ => value,
        };
        let entries = u64::from(self.max_entries);
        if self.kind == RING {
            return entries;
        }
        // The element's own fields, and its share of the table that finds it.
        let (key, head) = match self.kind {
            HASH | PER_CPU_HASH | LRU_HASH | LRU_PER_CPU_HASH => {
                let buckets = entries.next_power_of_two() * 16;
                return entries * (u64::from(self.key_size).next_multiple_of(8) + value + 48) + buckets;
            }
            LPM_TRIE => (u64::from(self.key_size), 48),
            _ => (0, 0),
        };
        entries * (key + value + head)
    }
}

/// Held by the one process that may change an instance; freed by the kernel when it dies.
#[derive(Debug)]
pub struct DirectoryLock {
    _lock: Flock<fs::File>,
}

/// Makes sure that `root` is a bpffs, and mounts one where it is not. A bpffs mounted inside a
/// private mount namespace dies with it, pins and all.
pub fn ensure(root: &Path) -> Result<(), BpffsError> {
    let is_bpffs = |path: &Path| statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS);
    if is_bpffs(root) {
        return Ok(());
    }
    let failed = |source: io::Error| BpffsError::Mount {
        path: root.to_owned(),
        source,
    };
    fs::create_dir_all(root).map_err(failed)?;
    mount(
        Some("bpf"),
        root,
        Some("bpf"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=0700"),
    )
    .map_err(|errno| failed(errno.into()))?;
    tracing::info!(path = %root.display(), "mounted a BPF file system");
    Ok(())
}

/// `<root>/slowburn/<instance>`, which need not exist. bpffs refuses names with a dot.
pub fn instance_path(root: &Path, instance: &str) -> Result<PathBuf, BpffsError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=63).contains(&instance.len()) || !instance.bytes().all(allowed) {
        return Err(BpffsError::InstanceName {
            name: instance.to_owned(),
        });
    }
    Ok(root.join("slowburn").join(instance))
}

/// Creates `path` and its parents, readable by root alone.
pub fn create(path: &Path) -> Result<(), BpffsError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| BpffsError::Directory {
            path: path.to_owned(),
            source,
        })
}

/// Locks a directory for as long as the value lives. Never waits.
pub fn lock(path: &Path) -> Result<DirectoryLock, BpffsError> {
    let directory = |source| BpffsError::Directory {
        path: path.to_owned(),
        source,
    };
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(path)
        .map_err(directory)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(DirectoryLock { _lock: lock }),
        Err((_, Errno::EWOULDBLOCK)) => Err(BpffsError::InUse {
            path: path.to_owned(),
        }),
        Err((_, errno)) => Err(directory(errno.into())),
    }
}

/// Removes a directory of pins. Whatever only a pin kept alive is gone when this returns.
/// Absent already is fine.
pub fn remove(path: &Path) -> Result<(), BpffsError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(BpffsError::Directory {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Sixteen hex digits that differ whenever a layout does. `version` stands for what sizes cannot
/// tell: the order and the meaning of a record's fields.
pub fn fingerprint(version: u32, maps: &[MapLayout]) -> String {
    // FNV-1a: stable between builds and compilers, which `std`'s hashers do not promise.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(&version.to_le_bytes());
    for map in maps {
        eat(map.name.as_bytes());
        for number in [map.kind, map.key_size, map.value_size, map.max_entries, map.flags] {
            eat(&number.to_le_bytes());
        }
    }
    format!("{hash:016x}")
}

/// Compares the maps pinned in `directory` with their declarations. A map that is not pinned yet
/// is fine: the loader creates it.
pub fn check(directory: &Path, maps: &[MapLayout]) -> Result<(), BpffsError> {
    for map in maps {
        let path = directory.join(map.name);
        if !path.exists() {
            continue;
        }
        let info = MapInfo::from_pin(&path).map_err(|source| BpffsError::Pin {
            path: path.clone(),
            source: Box::new(source),
        })?;
        compare(&path, &info, map)?;
    }
    Ok(())
}

/// Compares one map of the kernel's with its declaration.
pub fn compare(path: &Path, found: &MapInfo, declared: &MapLayout) -> Result<(), BpffsError> {
    let kind = found.map_type().map_err(|source| BpffsError::Pin {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    for (property, found, declared) in [
        ("map type", kind as u32, declared.kind),
        ("key size", found.key_size(), declared.key_size),
        ("value size", found.value_size(), declared.value_size),
        ("capacity", found.max_entries(), declared.max_entries),
        ("flags", found.map_flags(), declared.flags),
    ] {
        if found != declared {
            return Err(BpffsError::Layout {
                path: path.to_owned(),
                property,
                found,
                declared,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: MapLayout = MapLayout {
        name: "COUNTS",
        kind: 2,
        key_size: 4,
        value_size: 8,
        max_entries: 16,
        flags: 0,
    };

    #[test]
    fn another_layout_is_another_directory() {
        let base = fingerprint(1, &[MAP]);
        assert_eq!(base.len(), 16);
        assert_eq!(base, fingerprint(1, &[MAP]));
        assert_ne!(base, fingerprint(2, &[MAP]));
        assert_ne!(
            base,
            fingerprint(
                1,
                &[MapLayout {
                    value_size: 16,
                    ..MAP
                }]
            )
        );
        assert_ne!(
            base,
            fingerprint(
                1,
                &[MapLayout {
                    max_entries: 32,
                    ..MAP
                }]
            )
        );
    }

    #[test]
    fn an_instance_cannot_name_a_place_outside_its_directory() {
        let root = Path::new(DEFAULT_ROOT);
        assert_eq!(
            instance_path(root, "demo-1").unwrap(),
            Path::new("/sys/fs/bpf/slowburn/demo-1")
        );
        for name in ["", ".", "..", "a/b", "v1.2", "A", &"x".repeat(64)] {
            assert!(
                matches!(instance_path(root, name), Err(BpffsError::InstanceName { .. })),
                "{name}"
            );
        }
    }
}
