//! Which mount of cgroup v2 shows most of it.
//!
//! There is one hierarchy, whatever is mounted how often: every mount begins at some cgroup of it. One
//! made inside of a cgroup namespace begins at the namespace's root, a bind mount at any other. The
//! table tells where, as seen from this process's namespace: `/` its root, `/..` the cgroup above.
//! Programs attached to a cgroup see all beneath it, so the mount that begins highest is the one.

use std::{
    ffi::CString,
    fs, io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::is_cgroup;

const TABLE: &str = "/proc/self/mountinfo";

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    id: u64,
    /// How many cgroups its root stands above the namespace's.
    above: usize,
    point: PathBuf,
}

/// The mount point of the one that begins highest; `None` when there is none but of parts.
pub(super) fn highest() -> Option<PathBuf> {
    let table = fs::read_to_string(TABLE).ok()?;
    choose(&table, is_uppermost)
}

fn choose(table: &str, is_seen: impl Fn(&Mount) -> bool) -> Option<PathBuf> {
    let mut mounts: Vec<_> = table.lines().filter_map(parse).collect();
    // The first of its height: that is where everybody else looks.
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.above));
    mounts.into_iter().find(is_seen).map(|mount| mount.point)
}

/// Whether its mount point still leads to it, and not to what was mounted over it.
fn is_uppermost(mount: &Mount) -> bool {
    is_cgroup(&mount.point) && mount_id(&mount.point).is_ok_and(|id| id.is_none_or(|id| id == mount.id))
}

/// The id that the table gives the mount a path is on; `None` before Linux 5.8.
fn mount_id(path: &Path) -> io::Result<Option<u64>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: a path that ends with a zero, and room for the answer.
    let rc = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            0,
            libc::STATX_MNT_ID,
            found.as_mut_ptr(),
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled by the kernel, and zeros are valid too.
    let found = unsafe { found.assume_init() };
    Ok((found.stx_mask & libc::STATX_MNT_ID != 0).then_some(found.stx_mnt_id))
}

/// `None` for another kind of file system, and for a mount that begins beneath the namespace's root or beside it.
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    if right.split(' ').next()? != "cgroup2" {
        return None;
    }
    let mut fields = left.split(' ');
    let id = fields.next()?.parse().ok()?;
    let root = fields.nth(2)?;
    let point = fields.next()?;
    let mut steps = root.split('/').filter(|step| !step.is_empty());
    steps.clone().all(|step| step == "..").then(|| Mount {
        id,
        above: steps.by_ref().count(),
        point: PathBuf::from(unescape(point)),
    })
}

/// The table writes blanks, tabs, line ends and backslashes in octal.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, meaning) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, meaning);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "35 24 0:30 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";

    #[test]
    fn only_the_whole_hierarchy_is_taken() {
        let found = Mount {
            id: 35,
            above: 0,
            point: PathBuf::from("/sys/fs/cgroup/unified"),
        };
        assert_eq!(parse(HOST), Some(found));
        assert_eq!(parse(&HOST.replace(" / ", " /sub ")), None);
        assert_eq!(parse(&HOST.replace(" / ", " /../beside ")), None);
        assert_eq!(parse(&HOST.replace("- cgroup2", "- bpf")), None);
    }

    #[test]
    fn of_several_the_one_that_begins_highest_is_taken() {
        let of_host = "40 24 0:30 /../.. /host/a\\040b rw - cgroup2 cgroup2 rw";
        let parent = "41 24 0:30 /.. /parent rw - cgroup2 cgroup2 rw";
        let table = [HOST, parent, of_host].join("\n");
        assert_eq!(choose(&table, |_| true), Some(PathBuf::from("/host/a b")));
        let covered = |mount: &Mount| mount.id != 40;
        assert_eq!(choose(&table, covered), Some(PathBuf::from("/parent")));
        let twice = [HOST, &HOST.replace("35", "36").replace("/sys", "/again/sys")].join("\n");
        assert_eq!(
            choose(&twice, |_| true),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(choose("", |_| true), None);
    }
}
