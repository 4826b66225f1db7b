//! Attaching: each program goes into its pinned link by compare-and-swap, or gets a link of its own
//! that is pinned before anything else happens. Never beside an older one of the same instance.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
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

/// A program's link as an earlier agent pinned it, with all that replacing the program takes.
struct Pinned<'a> {
    link: OwnedFd,
    new: BorrowedFd<'a>,
    old: OwnedFd,
}

/// Attaches the cgroup programs. Killed anywhere, the next start does the rest.
pub(crate) fn cgroup(ebpf: &mut Ebpf, links: &Path, cgroup: &fs::File) -> anyhow::Result<()> {
    let id = cgroup.metadata().context("read the cgroup's id")?.ino();
    let programs = [(IN, INGRESS), (OUT, EGRESS), (SOCKET, SOCK_OPS)];
    for name in replace(ebpf, links, id, &programs)? {
        let link = create(ebpf, name, cgroup).with_context(|| format!("attach `{name}` to the cgroup"))?;
        link.pin(links.join(name))
            .with_context(|| format!("pin the link of `{name}`"))?;
    }
    Ok(())
}

/// Puts the programs into the links that an earlier agent pinned; tells which have none of use.
///
/// What comes in under one agent's program and is answered under another's is unknown where their
/// records differ: so everything that can be looked up is looked up before the first is replaced.
fn replace(
    ebpf: &Ebpf,
    links: &Path,
    cgroup: u64,
    programs: &[(&'static str, u32)],
) -> anyhow::Result<Vec<&'static str>> {
    let look = |&(name, attach_type)| {
        let pinned = pinned(ebpf, name, &links.join(name), cgroup, attach_type);
        Ok((name, pinned.with_context(|| format!("replace `{name}`"))?))
    };
    let found = programs.iter().map(look).collect::<anyhow::Result<Vec<_>>>()?;
    let swap = |pinned: &Pinned<'_>| {
        bpf_syscall::link_update(pinned.link.as_fd(), pinned.new, Some(pinned.old.as_fd()))
    };
    let swapped: Vec<_> = found
        .iter()
        .map(|(_, pinned)| pinned.as_ref().map(swap))
        .collect();
    let mut without = Vec::new();
    for ((name, pinned), swapped) in found.iter().zip(swapped) {
        let gone = |error: &io::Error| error.raw_os_error() == Some(libc::ENOLINK);
        match swapped {
            Some(Ok(())) => continue,
            Some(Err(error)) if gone(&error) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(anyhow!("another slowburn replaced `{name}` meanwhile").context(error));
            }
            Some(Err(error)) => return Err(error).with_context(|| format!("replace `{name}`")),
            None => {}
        }
        if let Some(pinned) = pinned {
            remove(pinned.link.as_fd(), &links.join(name))?;
        }
        without.push(*name);
    }
    Ok(without)
}

/// What is pinned for this program, if it is attached to this cgroup. What is attached to another is taken off.
fn pinned<'a>(
    ebpf: &'a Ebpf,
    name: &str,
    pin: &Path,
    cgroup: u64,
    attach_type: u32,
) -> anyhow::Result<Option<Pinned<'a>>> {
    if !pin.exists() {
        return Ok(None);
    }
    let link = bpf_syscall::object_get(pin)?;
    let info = bpf_syscall::link_info(link.as_fd())?;
    let linked = u64::from(info.target[0]) | (u64::from(info.target[1]) << 32);
    if info.kind != LINK_KIND_CGROUP || info.target[2] != attach_type {
        // The kernel would let an egress program into an ingress link without a word.
        bail!("what is pinned at `{}` is not this program's link", pin.display());
    }
    if linked != cgroup {
        tracing::warn!(
            program = name,
            "was attached to another cgroup, moves to this one"
        );
        remove(link.as_fd(), pin)?;
        return Ok(None);
    }
    Ok(Some(Pinned {
        link,
        new: program_fd(ebpf, name)?,
        old: bpf_syscall::program_by_id(info.program_id)?,
    }))
}

fn remove(link: BorrowedFd<'_>, pin: &Path) -> anyhow::Result<()> {
    bpf_syscall::link_detach(link)?;
    fs::remove_file(pin)?;
    Ok(())
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
