//! Asks the kernel for the listening TCP sockets of this thread's network namespace (`sock_diag`,
//! as `ss -ltm` does): how many connections wait to be accepted, how many may, how many were dropped.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// A listening socket, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenSocket {
    pub port: u16,
    /// Unique until the machine restarts.
    pub cookie: u64,
    pub inode: u64,
    /// The cgroup it was created in; 0 before Linux 5.9.
    pub cgroup: u64,
    /// Established connections that nobody has accepted yet.
    pub waiting: u32,
    /// How many may wait.
    pub backlog: u32,
    /// SYNs and finished handshakes turned away since the socket exists, for whatever reason: the
    /// kernel's `ListenDrops`, of this socket alone.
    pub drops: u32,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const DUMP_REQUEST: u16 = 0x301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// `TCP_LISTEN` as a bit.
const LISTEN: u32 = 1 << 10;
/// Attributes of the answer.
const SKMEMINFO: u16 = 7;
const CGROUP_ID: u16 = 21;
/// `SK_MEMINFO_DROPS`, in words.
const DROPS: usize = 8;

const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// `struct inet_diag_msg`.
const SOCKET: usize = 72;

/// All of them, over both families.
pub(crate) fn listeners() -> io::Result<Vec<ListenSocket>> {
    // SAFETY: no pointers are passed; the descriptor is ours from here on.
    let socket = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        dump(&socket, u8::try_from(family).unwrap_or(0), &mut found)?;
    }
    Ok(found)
}

fn dump(socket: &OwnedFd, family: u8, found: &mut Vec<ListenSocket>) -> io::Result<()> {
    let mut request = Vec::with_capacity(REQUEST);
    request.extend_from_slice(&72_u32.to_ne_bytes()); // length
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&DUMP_REQUEST.to_ne_bytes());
    request.extend_from_slice(&[0; 8]); // sequence, port
    request.extend_from_slice(&[family, 6, 1 << (SKMEMINFO - 1), 0]); // TCP, what else to tell
    request.extend_from_slice(&LISTEN.to_ne_bytes());
    request.resize(REQUEST, 0); // every address
    // SAFETY: the buffer lives through the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0_u8; 65_536];
    loop {
        // SAFETY: as above.
        let received = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        if read(&answer[..received], found)? {
            return Ok(());
        }
    }
}

/// Reads the messages of one answer; says whether it was the last.
fn read(mut bytes: &[u8], found: &mut Vec<ListenSocket>) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (word(bytes, 0), half(bytes, 4)) {
        let length = usize::try_from(length).unwrap_or(0);
        let Some(body) = bytes.get(HEADER..length) else {
            return Err(io::Error::other("the kernel's answer is cut"));
        };
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = word(body, 0).map_or(0, u32::cast_signed);
                return Err(io::Error::from_raw_os_error(-errno));
            }
            SOCK_DIAG_BY_FAMILY => found.extend(parse(body)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn parse(body: &[u8]) -> Option<ListenSocket> {
    let mut socket = ListenSocket {
        port: u16::from_be_bytes(*body.get(4..)?.first_chunk()?),
        cookie: u64::from(word(body, 44)?) | u64::from(word(body, 48)?) << 32,
        inode: u64::from(word(body, 68)?),
        cgroup: 0,
        waiting: word(body, 56)?,
        backlog: word(body, 60)?,
        drops: 0,
    };
    let mut rest = body.get(SOCKET..)?;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        match kind {
            SKMEMINFO => socket.drops = word(value, 4 * DROPS)?,
            CGROUP_ID => socket.cgroup = u64::from_ne_bytes(*value.first_chunk()?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_tells_who_waits_and_how_many_may() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let find = || {
                let all = listeners().unwrap();
                *all.iter().find(|socket| socket.port == port).unwrap()
            };
            let before = find();
            assert_eq!((before.waiting, before.drops), (0, 0));
            assert!(before.backlog > 0 && before.cookie != 0 && before.cgroup != 0);
            let _waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(find(), ListenSocket { waiting: 1, ..before });
        }
    }

    #[test]
    fn a_cut_answer_is_an_error_and_no_panic() {
        let mut message = Vec::new();
        message.extend_from_slice(&112_u32.to_ne_bytes());
        message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.resize(HEADER + SOCKET, 0);
        message.extend_from_slice(&[12, 0, 21, 0, 7, 0, 0, 0, 0, 0, 0, 0]); // a cgroup
        message.extend_from_slice(&[12, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // too few words
        let mut found = Vec::new();
        for end in HEADER..message.len() {
            assert!(read(&message[..end], &mut found).is_err(), "{end}");
        }
        assert!(!read(&message, &mut found).unwrap());
        assert!(found.is_empty());
    }
}
