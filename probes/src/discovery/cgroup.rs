//! Cgroups by the ids that the kernel counts under.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

/// One mounted cgroup v2 hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    root: PathBuf,
    mount: fs::File,
}

/// `struct file_handle` with the eight bytes that kernfs wants: a cgroup's id is its handle.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

const FILEID_KERNFS: i32 = 0xfe;

impl Hierarchy {
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            mount: fs::File::open(root)?,
        })
    }

    /// Whether the cgroup has been removed. Not when that cannot be told.
    pub fn is_gone(&self, id: u64) -> bool {
        id != 0 && matches!(self.directory(id), Err(error) if error.raw_os_error() == Some(libc::ESTALE))
    }

    /// The path under the root, without a leading `/`; `None` for one that is gone.
    pub fn path(&self, id: u64) -> Option<String> {
        let directory = self.directory(id).ok()?;
        let path = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
        Some(path.strip_prefix(&self.root).ok()?.to_str()?.to_owned())
    }

    fn directory(&self, id: u64) -> io::Result<OwnedFd> {
        let mut handle = Handle {
            bytes: 8,
            kind: FILEID_KERNFS,
            id,
        };
        // SAFETY: a handle of the size it states, and a descriptor that lives.
        let fd = unsafe {
            libc::open_by_handle_at(
                self.mount.as_raw_fd(),
                (&raw mut handle).cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::{cgroup_id, cgroup_root};

    #[test]
    fn a_cgroup_is_found_by_its_id_until_it_is_removed() {
        let root = cgroup_root().unwrap();
        let name = format!("t-id-{}", std::process::id());
        let directory = root.join(&name);
        fs::create_dir(&directory).unwrap();
        let id = cgroup_id(&directory).unwrap();
        let hierarchy = Hierarchy::open(&root).unwrap();
        assert_eq!(hierarchy.path(id), Some(name));
        assert!(!hierarchy.is_gone(id));
        fs::remove_dir(&directory).unwrap();
        assert_eq!(hierarchy.path(id), None);
        assert!(hierarchy.is_gone(id));
        assert!(!hierarchy.is_gone(0), "an unknown cgroup is not one that is gone");
    }
}
