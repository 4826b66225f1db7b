//! The few bpf(2) commands that aya 0.14 does not expose, or does otherwise than we need.
//!
//! Links are updated by compare-and-swap, so that a second agent is never overwritten unseen, and
//! an XDP program is attached by a link only: aya falls back to netlink on `EINVAL`, and netlink
//! replaces what others attached.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya::Pod;

use crate::loading::uninterrupted;

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const MAP_LOOKUP_AND_DELETE_ELEM: libc::c_int = 21;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const ENABLE_STATS: libc::c_int = 32;
const ITER_CREATE: libc::c_int = 33;
const LINK_DETACH: libc::c_int = 34;

const SOCKET_FILTER: u32 = 1;
const CGROUP_SKB: u32 = 8;
const F_REPLACE: u32 = 4;
const ATTACH_XDP: u32 = 37;
const ATTACH_ITER: u32 = 28;

/// `union bpf_attr`, zeroed and long enough for every command used here.
#[repr(C, align(8))]
struct Attributes([u32; 32]);

/// The head of `struct bpf_link_info`, and the part that depends on the link's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// `enum bpf_link_type`: 3 is a cgroup, 6 is XDP.
    pub kind: u32,
    pub link_id: u32,
    pub program_id: u32,
    /// Words from byte 16 on. Cgroup: id (two words), attach type. XDP: interface index, 0 when
    /// the device is gone.
    pub target: [u32; 4],
}

pub const LINK_KIND_CGROUP: u32 = 3;
pub const LINK_KIND_XDP: u32 = 6;

/// Loads instructions as a socket filter, the kind that may do least. For trying what they may be.
pub fn program_load_socket_filter(instructions: &[u64]) -> io::Result<OwnedFd> {
    program_load(SOCKET_FILTER, 0, instructions)
}

/// Loads instructions that look at what enters or leaves a cgroup. For benches.
#[doc(hidden)]
pub fn program_load_cgroup_skb(instructions: &[u64], is_egress: bool) -> io::Result<OwnedFd> {
    program_load(CGROUP_SKB, u32::from(is_egress), instructions)
}

/// Attaches such a program.
#[doc(hidden)]
pub fn link_create_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    is_egress: bool,
) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(program);
    attributes.0[1] = word(cgroup);
    attributes.0[2] = u32::from(is_egress);
    bpf(LINK_CREATE, &mut attributes).map(own)
}

fn program_load(kind: u32, attach_type: u32, instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = kind;
    attributes.0[17] = attach_type;
    attributes.0[1] = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    set_address(&mut attributes, 2, instructions.as_ptr() as u64);
    set_address(&mut attributes, 4, c"GPL".as_ptr() as u64);
    let fd = uninterrupted(|| bpf(PROG_LOAD, &mut attributes))?;
    Ok(own(fd))
}

/// Has the kernel account runs and time of every program for as long as the descriptor lives: about
/// 65 ns a run more. The setting is the host's, so it costs other programs as much.
pub fn enable_statistics() -> io::Result<OwnedFd> {
    // BPF_STATS_RUN_TIME is 0.
    let mut attributes = Attributes([0; 32]);
    bpf(ENABLE_STATS, &mut attributes).map(own)
}

/// Opens what is pinned at `path`.
pub fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Attributes([0; 32]);
    set_address(&mut attributes, 0, path.as_ptr() as u64);
    let fd = bpf(OBJ_GET, &mut attributes)?;
    Ok(own(fd))
}

/// Pins a program, map or link at `path`, whose directory must exist.
pub fn object_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Attributes([0; 32]);
    set_address(&mut attributes, 0, path.as_ptr() as u64);
    attributes.0[2] = word(object);
    bpf(OBJ_PIN, &mut attributes).map(drop)
}

/// Puts `new` into a link. With `expected`, only if that program is the one in it: else `EPERM`.
/// `ENOLINK` says that what the link was attached to is gone. The kernel does not compare
/// directions: an egress program goes into an ingress link without a word.
pub fn link_update(
    link: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    expected: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(link);
    attributes.0[1] = word(new);
    if let Some(expected) = expected {
        attributes.0[2] = F_REPLACE;
        attributes.0[3] = word(expected);
    }
    bpf(LINK_UPDATE, &mut attributes).map(drop)
}

/// Attaches an XDP program to an interface of the calling thread's network namespace. Never
/// replaces anything: `EBUSY` (same mode) or `EEXIST` (other mode) when a program is there.
pub fn link_create_xdp(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(program);
    attributes.0[1] = interface;
    attributes.0[2] = ATTACH_XDP;
    attributes.0[3] = flags;
    let fd = bpf(LINK_CREATE, &mut attributes)?;
    Ok(own(fd))
}

/// Takes a link's program off at once, whoever still holds the link. Fine when it is off already.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(link);
    match bpf(LINK_DETACH, &mut attributes) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes a key out of a hash map, with all that the kernel added to its value before: `value` has
/// room for the shares of all CPUs where each has one. `false`: there is no such key. Linux before 5.14
/// refuses it for per-CPU hash maps.
pub fn map_take(map: BorrowedFd<'_>, key: &[u8], value: &mut [u64]) -> io::Result<bool> {
    element(MAP_LOOKUP_AND_DELETE_ELEM, map, key, value)
}

/// The same, and leaves it there.
pub fn map_look(map: BorrowedFd<'_>, key: &[u8], value: &mut [u64]) -> io::Result<bool> {
    element(MAP_LOOKUP_ELEM, map, key, value)
}

/// `false`: there is no such key.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    element(MAP_DELETE_ELEM, map, key, &mut [])
}

fn element(command: libc::c_int, map: BorrowedFd<'_>, key: &[u8], value: &mut [u64]) -> io::Result<bool> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(map);
    set_address(&mut attributes, 2, key.as_ptr() as u64);
    // The kernel insists on nothing where it expects nothing.
    if !value.is_empty() {
        set_address(&mut attributes, 4, value.as_mut_ptr() as u64);
    }
    match bpf(command, &mut attributes) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A link through which an iterator program can be run, any number of times.
pub fn link_create_iter(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(program);
    attributes.0[2] = ATTACH_ITER;
    let fd = bpf(LINK_CREATE, &mut attributes)?;
    Ok(own(fd))
}

/// One run of an iterator, in the calling thread's namespaces: reading the descriptor runs it.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(link);
    let fd = bpf(ITER_CREATE, &mut attributes)?;
    Ok(own(fd))
}

/// What one look into a hash map gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapBatch {
    pub count: usize,
    /// Where to go on; `None` at the end of the map.
    pub next: Option<u32>,
}

/// Copies entries of a hash map, as many whole buckets as there is room for: `ENOSPC` where there is
/// too little for one. Since Linux 5.6, and so wherever a cgroup's programs are held by links (5.7).
///
/// # Safety
///
/// `K` is the map's key. As many `V` as there are values for each key are one value of the map.
pub(crate) unsafe fn map_lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    from: Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<MapBatch> {
    let mut next = 0_u32;
    let mut attributes = Attributes([0; 32]);
    if let Some(from) = &from {
        set_address(&mut attributes, 0, &raw const *from as u64);
    }
    set_address(&mut attributes, 2, &raw mut next as u64);
    set_address(&mut attributes, 4, keys.as_mut_ptr() as u64);
    set_address(&mut attributes, 6, values.as_mut_ptr() as u64);
    attributes.0[8] = u32::try_from(keys.len()).map_err(io::Error::other)?;
    attributes.0[9] = word(map);
    let is_last = match bpf(MAP_LOOKUP_BATCH, &mut attributes) {
        Ok(_) => false,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    Ok(MapBatch {
        count: attributes.0[8] as usize,
        next: (!is_last).then_some(next),
    })
}

pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = id;
    let fd = bpf(PROG_GET_FD_BY_ID, &mut attributes)?;
    Ok(own(fd))
}

pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let info = object_info(link)?;
    Ok(LinkInfo {
        kind: info[0],
        link_id: info[1],
        program_id: info[2],
        target: [info[4], info[5], info[6], info[7]],
    })
}

/// The name a program was loaded under, at most 15 bytes.
pub fn program_name(program: BorrowedFd<'_>) -> io::Result<String> {
    // `name` stands at byte 64 of `struct bpf_prog_info`.
    let info = object_info(program)?;
    let bytes: Vec<u8> = info[16..20].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// The first 256 bytes of an object's information; the kernel fills what it knows.
fn object_info(object: BorrowedFd<'_>) -> io::Result<[u32; 64]> {
    #[repr(C, align(8))]
    struct Info([u32; 64]);
    let mut info = Info([0; 64]);
    let mut attributes = Attributes([0; 32]);
    attributes.0[0] = word(object);
    attributes.0[1] = 256;
    set_address(&mut attributes, 2, (&raw mut info) as u64);
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info.0)
}

fn set_address(attributes: &mut Attributes, word: usize, address: u64) {
    let bytes = address.to_ne_bytes();
    attributes.0[word] = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    attributes.0[word + 1] = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
}

fn word(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn bpf(command: libc::c_int, attributes: &mut Attributes) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are a live, zero-padded `union bpf_attr`, and every address in them
    // outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw mut *attributes,
            size_of::<Attributes>(),
        )
    };
    match libc::c_int::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

fn own(fd: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel just handed this descriptor to us and nothing else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
