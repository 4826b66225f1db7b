//! Attaching: each program goes into its pinned link by compare-and-swap, or gets a link of its own
//! that is pinned before anything else happens. Never beside an older one of the same instance.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};
use aya::{
    Ebpf,
    programs::{
        CgroupSkb, CgroupSkbAttachType, Program, SockOps,
        links::{CgroupAttachMode, FdLink, LinkError},
    },
};

use super::object::{self, IN, OUT, SOCKET, TRACEPOINTS, Tracepoint};
use crate::bpf_syscall::{self, LINK_KIND_CGROUP};

/// `enum bpf_attach_type`.
const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
const SOCK_OPS: u32 = 3;

/// Attaches the cgroup programs. Killed anywhere, the next start does the rest.
pub(crate) fn cgroup(ebpf: &mut Ebpf, links: &Path, cgroup: &fs::File) -> anyhow::Result<()> {
    let id = cgroup.metadata().context("read the cgroup's id")?.ino();
    for (name, attach_type) in [(IN, INGRESS), (OUT, EGRESS), (SOCKET, SOCK_OPS)] {
        let pin = links.join(name);
        if replaced(ebpf, name, &pin, id, attach_type).with_context(|| format!("replace `{name}`"))? {
            continue;
        }
        let link = create(ebpf, name, cgroup).with_context(|| format!("attach `{name}` to the cgroup"))?;
        link.pin(&pin)
            .with_context(|| format!("pin the link of `{name}`"))?;
    }
    Ok(())
}

/// Whether the program now runs in the link that an earlier agent pinned.
fn replaced(ebpf: &Ebpf, name: &str, pin: &Path, cgroup: u64, attach_type: u32) -> anyhow::Result<bool> {
    if !pin.exists() {
        return Ok(false);
    }
    let link = bpf_syscall::object_get(pin)?;
    let info = bpf_syscall::link_info(link.as_fd())?;
    let linked = u64::from(info.target[0]) | (u64::from(info.target[1]) << 32);
    if info.kind != LINK_KIND_CGROUP || info.target[2] != attach_type {
        // The kernel would let an egress program into an ingress link without a word.
        bail!("what is pinned at `{}` is not this program's link", pin.display());
    }
    if linked == cgroup {
        let new = program_fd(ebpf, name)?;
        let old = bpf_syscall::program_by_id(info.program_id)?;
        match bpf_syscall::link_update(link.as_fd(), new, Some(old.as_fd())) {
            Ok(()) => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(anyhow!("another slowburn replaced the program meanwhile").context(error));
            }
            Err(error) => return Err(error.into()),
        }
    } else {
        tracing::warn!(
            program = name,
            "was attached to another cgroup, moves to this one"
        );
    }
    bpf_syscall::link_detach(link.as_fd())?;
    fs::remove_file(pin)?;
    Ok(false)
}

fn create(ebpf: &mut Ebpf, name: &str, cgroup: &fs::File) -> anyhow::Result<FdLink> {
    // `Single` is what aya calls a link without flags; cgroup links always stand beside others.
    let mode = CgroupAttachMode::Single;
    Ok(match object::program(ebpf, name)? {
        Program::CgroupSkb(program) => {
            let direction = if name == IN {
                CgroupSkbAttachType::Ingress
            } else {
                CgroupSkbAttachType::Egress
            };
            let program: &mut CgroupSkb = program;
            let id = program.attach(cgroup, direction, mode)?;
            program.take_link(id)?.try_into()?
        }
        Program::SockOps(program) => {
            let program: &mut SockOps = program;
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()?
        }
        _ => bail!("`{name}` is no cgroup program"),
    })
}

/// Attaches the tracepoints; says which could not be. A tracepoint's link cannot be updated, so an
/// old one goes first: what falls in between is not counted, and no objective stands on these.
pub(crate) fn tracepoints(ebpf: &mut Ebpf, links: &Path) -> Vec<String> {
    let mut absent = Vec::new();
    for tracepoint in TRACEPOINTS {
        let name = tracepoint.name;
        match trace(ebpf, links, &tracepoint) {
            Ok(true) => {}
            Ok(false) => absent.push(format!(
                "tracepoint {name} counts only while slowburn runs: this kernel cannot pin it"
            )),
            Err(error) => absent.push(format!(
                "tracepoint {name} is not attached ({})",
                object::brief(&error)
            )),
        }
    }
    absent
}

/// Whether it could be pinned, too.
fn trace(ebpf: &mut Ebpf, links: &Path, tracepoint: &Tracepoint) -> anyhow::Result<bool> {
    let programs = || tracepoint.typed.into_iter().chain(tracepoint.plain);
    for name in programs() {
        match fs::remove_file(links.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let loaded = programs().find(|name| ebpf.program(name).is_some_and(|program| program.fd().is_ok()));
    let name = loaded.context("no program for it is loaded")?;
    let link = match object::program(ebpf, name)? {
        Program::BtfTracePoint(program) => {
            let id = program.attach()?;
            program.take_link(id)?.into()
        }
        Program::TracePoint(program) => {
            let id = program.attach("tcp", tracepoint.name)?;
            match FdLink::try_from(program.take_link(id)?) {
                Ok(link) => link,
                // Linux before 5.15 has no link to pin here: attached again, and left to the object.
                Err(LinkError::InvalidLink) => {
                    program.attach("tcp", tracepoint.name)?;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        _ => bail!("`{name}` is no tracepoint program"),
    };
    link.pin(links.join(name))?;
    Ok(true)
}

pub(crate) fn program_fd<'a>(ebpf: &'a Ebpf, name: &str) -> anyhow::Result<BorrowedFd<'a>> {
    let program = ebpf
        .program(name)
        .ok_or_else(|| anyhow!("the object has no program `{name}`"))?;
    let fd = program.fd()?.as_fd().as_raw_fd();
    // SAFETY: the descriptor belongs to the program, which lives as long as the object.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
