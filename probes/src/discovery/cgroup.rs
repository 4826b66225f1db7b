//! Cgroups by the ids that the kernel counts under.

use std::{
    fs, io, iter,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

/// The cgroup v2 hierarchy, as far as one mount shows it.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    root: PathBuf,
    mount: fs::File,
    /// The cgroup that `/proc/PID/cgroup` takes for `/`, under the root: that of our cgroup namespace.
    origin: String,
}

/// Where a process lives.
#[derive(Debug)]
pub(crate) struct Place {
    /// Under the root, without a leading `/`.
    pub path: String,
    /// A line a hierarchy.
    told: String,
}

impl Place {
    /// The paths in all hierarchies, that of version 2 first. Where version 1 has the controllers (a hybrid host), runtimes put containers there,
    /// and may leave them with the runtime in version 2.
    pub fn everywhere(&self) -> impl Iterator<Item = &str> {
        let others = self.told.lines().filter(|line| !line.starts_with("0::"));
        let others = others.filter_map(|line| line.splitn(3, ':').nth(2));
        iter::once(self.path.as_str()).chain(others)
    }
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
        let mut hierarchy = Self {
            root: root.to_owned(),
            mount: fs::File::open(root)?,
            origin: String::new(),
        };
        match namespace_root().and_then(|namespace| namespace.metadata()) {
            Ok(namespace) => hierarchy.origin = hierarchy.path(namespace.ino()).unwrap_or_default(),
            Err(error) => tracing::warn!(
                %error,
                "cannot tell where our cgroup namespace begins, so it is taken to be at `{}`",
                root.display()
            ),
        }
        Ok(hierarchy)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a process lives, under the root; `None` outside of it, and once the process has ended.
    pub fn of_process(&self, pid: u32) -> Option<Place> {
        let told = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let own = told.lines().find_map(|line| line.strip_prefix("0::"))?;
        Some(Place {
            path: resolve(&self.origin, own)?,
            told,
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

/// What `/proc/PID/cgroup` tells, under the root: it climbs from our namespace's cgroup by `/..`.
fn resolve(origin: &str, told: &str) -> Option<String> {
    let steps = |path: &'_ str| {
        let steps = path.split('/').filter(|step| !step.is_empty());
        steps.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut found = steps(origin);
    for step in steps(told) {
        if step == ".." {
            found.pop()?;
        } else {
            found.push(step);
        }
    }
    Some(found.join("/"))
}

/// The root of our cgroup namespace, by a mount that is put nowhere and ends with its descriptor.
fn namespace_root() -> io::Result<fs::File> {
    let own = |fd: libc::c_long| {
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
        // SAFETY: a descriptor that the kernel has just given to us alone.
        fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
            .ok_or_else(io::Error::last_os_error)
    };
    // SAFETY: a name that ends with a zero.
    let context = own(unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), FSOPEN_CLOEXEC) })?;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: this command takes no arguments.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            CREATE,
            nothing,
            nothing,
            0,
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that lives, and no pointers.
    let mount = own(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })?;
    Ok(fs::File::from(mount))
}

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
/// `FSCONFIG_CMD_CREATE`.
const CREATE: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::{cgroup_id, cgroup_root};

    #[test]
    fn a_process_is_told_from_where_our_namespace_begins() {
        assert_eq!(resolve("", "/a/b.slice"), Some("a/b.slice".to_owned()));
        assert_eq!(resolve("", "/"), Some(String::new()));
        assert_eq!(resolve("pods/own", "/"), Some("pods/own".to_owned()));
        assert_eq!(resolve("pods/own", "/sub"), Some("pods/own/sub".to_owned()));
        assert_eq!(resolve("pods/own", "/../other"), Some("pods/other".to_owned()));
        assert_eq!(resolve("pods/own", "/../../a"), Some("a".to_owned()));
        assert_eq!(resolve("pods/own", "/../../../a"), None, "it cannot be seen");
    }

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
