//! A peer whose TCP is the test's own, segment by segment, on a wire that nothing else uses.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
};

use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};

use super::client::checksum;

/// The server's end of the wire.
pub const NEAR: &str = "10.78.0.1";
/// The peer's.
pub const FAR: &str = "10.78.0.2";
const NEAR_IP: [u8; 4] = [10, 78, 0, 1];
const FAR_IP: [u8; 4] = [10, 78, 0, 2];
const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// Makes the wire in the network namespace of the calling thread.
pub fn wire() {
    let made = Command::new("sh").args(["-ec", WIRE]).status().unwrap();
    assert!(made.success());
}

/// The far address is of nobody: the kernel leaves alone what is sent there.
const WIRE: &str = "
    ip link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02
    ip addr add 10.78.0.1/24 dev near
    ip link set near up
    ip link set far up
    ip neigh add 10.78.0.2 lladdr 02:00:00:00:00:03 nud permanent dev near
";

const FIRST: u32 = 1_000_000;

/// One connection of this peer.
pub struct Peer {
    wire: OwnedFd,
    link: libc::c_int,
    local: u16,
    remote: u16,
    /// Of the SYN.
    first: u32,
    /// What the other side said last, and is now acknowledged.
    heard: u32,
}

/// What the other side said.
pub struct Heard {
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Peer {
    /// Sends a SYN to [`NEAR`] and waits for its answer; the handshake is left open.
    pub fn half_open(local: u16, remote: u16) -> Self {
        Self::at(local, remote).connect()
    }

    fn connect(mut self) -> Self {
        self.send_at(0, SYN, b"");
        self.hear();
        self
    }

    pub fn open(local: u16, remote: u16) -> Self {
        Self::open_from(FIRST, local, remote)
    }

    /// The sequence number of its SYN is `first`.
    pub fn open_from(first: u32, local: u16, remote: u16) -> Self {
        let peer = Self {
            first,
            ..Self::at(local, remote)
        }
        .connect();
        peer.send(0, ACK, b"");
        peer
    }

    /// Listens at [`FAR`].
    pub fn listen(local: u16) -> Self {
        Self::at(local, 0)
    }

    /// Accepts the next connection, and becomes it.
    pub fn accept(&mut self) {
        self.accept_after(|| ());
    }

    /// The same, once `work` is done.
    pub fn accept_after(&mut self, work: impl FnOnce()) {
        self.hear_syn();
        work();
        self.send_at(0, SYN | ACK, b"");
    }

    /// Of the next connection.
    fn hear_syn(&mut self) {
        loop {
            (self.remote, self.heard) = (0, 0);
            if self.hear().flags & (SYN | ACK) == SYN {
                break;
            }
        }
    }

    fn at(local: u16, remote: u16) -> Self {
        // SAFETY: plain system calls; the descriptor is ours, the address outlives the call.
        let (wire, link) = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            let link = libc::c_int::try_from(libc::if_nametoindex(c"far".as_ptr())).unwrap();
            assert!(link > 0);
            let at = address(link);
            assert_eq!(libc::bind(fd, (&raw const at).cast(), size_of_address()), 0);
            (OwnedFd::from_raw_fd(fd), link)
        };
        let patience = nix::sys::time::TimeVal::new(60, 0);
        setsockopt(&wire, ReceiveTimeout, &patience).unwrap();
        Self {
            wire,
            link,
            local,
            remote,
            first: FIRST,
            heard: 0,
        }
    }

    /// Where the other side goes on.
    pub fn heard(&self) -> u32 {
        self.heard
    }

    /// `place` counts from the first byte of data.
    pub fn send(&self, place: u32, flags: u8, payload: &[u8]) {
        self.send_at(place.wrapping_add(1), flags, payload);
    }

    fn send_at(&self, place: u32, flags: u8, payload: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend_from_slice(&self.local.to_be_bytes());
        tcp.extend_from_slice(&self.remote.to_be_bytes());
        tcp.extend_from_slice(&self.first.wrapping_add(place).to_be_bytes());
        tcp.extend_from_slice(&self.heard.to_be_bytes());
        tcp.extend_from_slice(&[0x50, flags, 0x40, 0, 0, 0, 0, 0]);
        tcp.extend_from_slice(payload);
        let length = u16::try_from(tcp.len()).unwrap();
        let mut pseudo = [&FAR_IP[..], &NEAR_IP, &[0, 6], &length.to_be_bytes()].concat();
        pseudo.extend_from_slice(&tcp);
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        let mut ip = vec![0x45, 0];
        ip.extend_from_slice(&(length + 20).to_be_bytes());
        ip.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0]);
        ip.extend_from_slice(&FAR_IP);
        ip.extend_from_slice(&NEAR_IP);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend_from_slice(&tcp);
        let at = address(self.link);
        // SAFETY: a buffer and an address that outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.wire.as_raw_fd(),
                ip.as_ptr().cast(),
                ip.len(),
                0,
                (&raw const at).cast(),
                size_of_address(),
            )
        };
        assert_eq!(usize::try_from(sent).unwrap(), ip.len());
    }

    /// The next segment of this connection from the other side. What it said is acknowledged from then on.
    pub fn hear(&mut self) -> Heard {
        loop {
            let mut packet = vec![0; 65_536];
            // SAFETY: a buffer of that size.
            let got =
                unsafe { libc::recv(self.wire.as_raw_fd(), packet.as_mut_ptr().cast(), packet.len(), 0) };
            packet.truncate(usize::try_from(got).expect("the other side said nothing"));
            let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let tcp = &packet[20..total];
            let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
            if port(2) != self.local || self.remote != 0 && port(0) != self.remote {
                continue;
            }
            self.remote = port(0);
            let mut payload = tcp[usize::from(tcp[12] >> 4) * 4..].to_vec();
            let flags = tcp[13];
            let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
            let ends = u32::from(flags & (SYN | FIN) != 0);
            let end = seq.wrapping_add(u32::try_from(payload.len()).unwrap() + ends);
            if self.heard != 0 {
                // On a busy machine it says things again.
                let again = usize::try_from(self.heard.wrapping_sub(seq).cast_signed()).unwrap_or(0);
                payload.drain(..again.min(payload.len()));
                if end.wrapping_sub(self.heard).cast_signed() < 0 {
                    continue;
                }
            }
            self.heard = end;
            return Heard { flags, payload };
        }
    }

    /// What the other side says next that is more than an acknowledgement.
    pub fn answer(&mut self) -> Heard {
        loop {
            let heard = self.hear();
            if !heard.payload.is_empty() || heard.flags & (FIN | RST) != 0 {
                return heard;
            }
        }
    }
}

fn size_of_address() -> libc::socklen_t {
    size_of::<libc::sockaddr_ll>().try_into().unwrap()
}

fn address(link: libc::c_int) -> libc::sockaddr_ll {
    // SAFETY: any bytes are one.
    let mut at: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    at.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    at.sll_protocol = u16::try_from(libc::ETH_P_IP).unwrap().to_be();
    at.sll_ifindex = link;
    at.sll_halen = 6;
    at.sll_addr[..6].copy_from_slice(&NEAR_MAC);
    at
}
