//! Puts the program on interfaces, in any network namespace, and keeps it there by pinned links.
//!
//! A link's pin is named `link-<namespace inode>-<interface index>-<mode>`, so that a later process
//! finds it without a file of its own. What somebody else attached is never replaced.

use std::{
    fmt, fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    net::if_::{if_indextoname, if_nametoindex},
    sched::{CloneFlags, setns},
};

use super::{LimitError, netlink};
use crate::{
    bpf_syscall::{self, LINK_KIND_XDP},
    bpffs::BpffsError,
};

/// An interface, by name or index, in this network namespace or in the one at a path such as
/// `/run/netns/shop` or `/proc/42/ns/net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: InterfaceName,
    pub network_namespace: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceName {
    Name(String),
    Index(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel allocates anything.
    Native,
    /// In the stack, where the driver cannot: correct, and several times dearer.
    Generic,
}

/// Where the program runs. Named by what the kernel knows, as the namespace may have no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where the namespace is this process's own, or was named when attaching.
    pub interface: Option<String>,
    pub index: u32,
    /// Inode of the network namespace.
    pub namespace: u64,
    pub mode: Mode,
}

const FLAGS_NATIVE: u32 = 1 << 2;
const FLAGS_GENERIC: u32 = 1 << 1;

impl Interface {
    /// A name or an index in this network namespace.
    pub fn here(name: impl Into<String>) -> Self {
        Self {
            name: InterfaceName::Name(name.into()),
            network_namespace: None,
        }
    }

    pub fn within(name: impl Into<String>, network_namespace: impl Into<PathBuf>) -> Self {
        Self {
            name: InterfaceName::Name(name.into()),
            network_namespace: Some(network_namespace.into()),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            InterfaceName::Name(name) => write!(formatter, "`{name}`")?,
            InterfaceName::Index(index) => write!(formatter, "number {index}")?,
        }
        match &self.network_namespace {
            Some(path) => write!(formatter, " in `{}`", path.display()),
            None => Ok(()),
        }
    }
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Attachment {
    pub(super) fn pin_name(&self) -> String {
        format!("link-{}-{}-{}", self.namespace, self.index, self.mode)
    }

    fn from_pin_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("link-")?.split('-');
        let namespace = parts.next()?.parse().ok()?;
        let index = parts.next()?.parse().ok()?;
        let mode = match parts.next()? {
            "native" => Mode::Native,
            "generic" => Mode::Generic,
            _ => return None,
        };
        Some(Self {
            interface: None,
            index,
            namespace,
            mode,
        })
    }
}

/// Attaches the program in native mode, else in generic mode, and pins the link in the first of
/// `directories`. A link of ours that is pinned in any of them gets the program in place.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    interface: &Interface,
    directories: &[PathBuf],
) -> Result<Attachment, LimitError> {
    let namespace = interface.network_namespace.as_deref();
    in_namespace(namespace, || {
        let (index, name) = resolve(interface)?;
        let inode = namespace_inode().map_err(|source| LimitError::Link {
            operation: "find the namespace of",
            interface: interface.clone(),
            source,
        })?;
        let there = |mode| Attachment {
            interface: Some(name.clone()),
            index,
            namespace: inode,
            mode,
        };
        for directory in directories {
            for mode in [Mode::Native, Mode::Generic] {
                let attachment = there(mode);
                let pin = directory.join(attachment.pin_name());
                if pin.exists() && replace(program, interface, index, &pin, &directories[0])? {
                    return Ok(attachment);
                }
            }
        }
        let mode = create(program, interface, index, &directories[0], there)?;
        Ok(there(mode))
    })?
}

/// Links pinned in a directory.
pub(super) fn pinned(directory: &Path) -> Result<Vec<(PathBuf, Attachment)>, LimitError> {
    let failed = |source| BpffsError::Directory {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error).into()),
    };
    let here = namespace_inode().unwrap_or_default();
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Some(mut attachment) = Attachment::from_pin_name(&entry.file_name().to_string_lossy()) {
            if attachment.namespace == here {
                attachment.interface = name_of(attachment.index);
            }
            found.push((entry.path(), attachment));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// The program goes into a pinned link, if the link still holds a device. Compare-and-swap: a
/// program that another process put there meanwhile stays, and is an error.
fn replace(
    program: BorrowedFd<'_>,
    interface: &Interface,
    index: u32,
    pin: &Path,
    directory: &Path,
) -> Result<bool, LimitError> {
    let failed = |operation| {
        let interface = interface.clone();
        move |source| LimitError::Link {
            operation,
            interface,
            source,
        }
    };
    let link = bpf_syscall::object_get(pin).map_err(failed("open"))?;
    let info = bpf_syscall::link_info(link.as_fd()).map_err(failed("read"))?;
    // Index 0: the device is gone, and its name may stand for another one now.
    if info.kind != LINK_KIND_XDP || info.target[0] != index {
        fs::remove_file(pin).map_err(failed("unpin"))?;
        return Ok(false);
    }
    let old = bpf_syscall::program_by_id(info.program_id).map_err(failed("read the program of"))?;
    match bpf_syscall::link_update(link.as_fd(), program, Some(old.as_fd())) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {
            fs::remove_file(pin).map_err(failed("unpin"))?;
            return Ok(false);
        }
        Err(error) => return Err(failed("update")(error)),
    }
    if pin.parent() != Some(directory)
        && let Some(name) = pin.file_name()
    {
        bpf_syscall::object_pin(link.as_fd(), &directory.join(name)).map_err(failed("pin"))?;
    }
    Ok(true)
}

fn create(
    program: BorrowedFd<'_>,
    interface: &Interface,
    index: u32,
    directory: &Path,
    there: impl Fn(Mode) -> Attachment,
) -> Result<Mode, LimitError> {
    let (link, mode) = match bpf_syscall::link_create_xdp(program, index, FLAGS_NATIVE) {
        Ok(link) => (link, Mode::Native),
        Err(native) if is_occupied(&native) => return Err(foreign(interface, index)),
        Err(native) => match bpf_syscall::link_create_xdp(program, index, FLAGS_GENERIC) {
            Ok(link) => (link, Mode::Generic),
            Err(generic) if is_occupied(&generic) => return Err(foreign(interface, index)),
            Err(generic) => {
                return Err(LimitError::Attach {
                    interface: interface.clone(),
                    native,
                    generic,
                });
            }
        },
    };
    bpf_syscall::object_pin(link.as_fd(), &directory.join(there(mode).pin_name())).map_err(|source| {
        LimitError::Link {
            operation: "pin",
            interface: interface.clone(),
            source,
        }
    })?;
    Ok(mode)
}

fn is_occupied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

fn foreign(interface: &Interface, index: u32) -> LimitError {
    let named = |id: u32| {
        let name = bpf_syscall::program_by_id(id).and_then(|fd| bpf_syscall::program_name(fd.as_fd()));
        name.map_or_else(|_| format!("{id}"), |name| format!("`{name}` (id {id})"))
    };
    let ids = netlink::xdp_program_ids(index).unwrap_or_default();
    let program = match ids.as_slice() {
        [] => "of another process".to_owned(),
        ids => ids.iter().copied().map(named).collect::<Vec<_>>().join(", "),
    };
    LimitError::Foreign {
        interface: interface.clone(),
        program,
    }
}

fn resolve(interface: &Interface) -> Result<(u32, String), LimitError> {
    let found = match &interface.name {
        InterfaceName::Name(name) => if_nametoindex(name.as_str())
            .ok()
            .map(|index| (index, name.clone())),
        InterfaceName::Index(index) => name_of(*index).map(|name| (*index, name)),
    };
    found.ok_or_else(|| LimitError::UnknownInterface {
        interface: interface.clone(),
    })
}

/// nix answers an unknown index with an empty name.
fn name_of(index: u32) -> Option<String> {
    let name = if_indextoname(index).ok()?.into_string().ok()?;
    (!name.is_empty()).then_some(name)
}

fn namespace_inode() -> io::Result<u64> {
    fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino())
}

/// Runs `action` inside a network namespace, on a thread that ends with it.
fn in_namespace<T: Send>(
    namespace: Option<&Path>,
    action: impl FnOnce() -> T + Send,
) -> Result<T, LimitError> {
    let Some(path) = namespace else {
        return Ok(action());
    };
    let failed = |source| LimitError::Namespace {
        path: path.to_owned(),
        source,
    };
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            let file = fs::File::open(path).map_err(failed)?;
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
            Ok(action())
        });
        entered
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_name_tells_where_the_program_runs() {
        let attachment = Attachment {
            interface: None,
            index: 7,
            namespace: 4_026_531_840,
            mode: Mode::Native,
        };
        assert_eq!(attachment.pin_name(), "link-4026531840-7-native");
        assert_eq!(
            Attachment::from_pin_name(&attachment.pin_name()),
            Some(attachment)
        );
        for name in [
            "CONTROL",
            "link-",
            "link-1-2",
            "link-1-2-offload",
            "link-a-2-native",
        ] {
            assert_eq!(Attachment::from_pin_name(name), None, "{name}");
        }
    }
}
