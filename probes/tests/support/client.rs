//! Clients that do exactly what they are told.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::fd::AsRawFd as _,
};

pub(super) fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
}

fn connect_from(source: &str, target: &str) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let source: SockaddrIn = source.parse::<std::net::SocketAddrV4>().unwrap().into();
    let target: SockaddrIn = target.parse::<std::net::SocketAddrV4>().unwrap().into();
    bind(fd.as_raw_fd(), &source).unwrap();
    connect(fd.as_raw_fd(), &target).unwrap();
    fd.into()
}

/// A keep-alive client.
pub struct Client(TcpStream);

impl Client {
    /// To `address:port`, or `bind:source:address:port` from another IPv4 address of the host.
    pub fn connect(address: &str) -> Self {
        let stream = match address.strip_prefix("bind:") {
            None => TcpStream::connect(address).unwrap(),
            Some(rest) => {
                let (source, target) = rest.split_once(':').unwrap();
                connect_from(&format!("{source}:0"), target)
            }
        };
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// From this very address and port.
    pub fn connect_from(source: &str, target: &str) -> Self {
        Self(connect_from(source, target))
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    pub fn get(&mut self, path: &str) -> u16 {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer().unwrap()
    }

    pub fn post(&mut self, path: &str, body: &str) -> u16 {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.answer().unwrap()
    }

    /// Goes away without a word.
    pub fn reset(self) {
        reset_on_close(&self.0);
    }

    /// The status of the next answer; `None` when the connection ends first.
    pub fn answer(&mut self) -> Option<u16> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(rest) = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n") {
                bytes = rest.as_bytes().to_vec();
            } else if text.ends_with("\r\n\r\nok") {
                return text.split(' ').nth(1)?.parse().ok();
            }
            match self.0.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return None,
            }
        }
    }
}

/// [`forge`] sends from this port.
pub const FORGED_PORT: u16 = 40_000;

/// Sends one TCP segment with data from an address that has no connection, to 127.0.0.1.
pub fn forge(source: [u8; 4], port: u16, payload: &[u8]) {
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&FORGED_PORT.to_be_bytes());
    tcp.extend_from_slice(&port.to_be_bytes());
    tcp.extend_from_slice(&1_u32.to_be_bytes());
    tcp.extend_from_slice(&1_u32.to_be_bytes());
    // Five words of header, PSH and ACK, a window, no checksum yet, nothing urgent.
    tcp.extend_from_slice(&[0x50, 0x18, 0x10, 0, 0, 0, 0, 0]);
    tcp.extend_from_slice(payload);
    let length = u16::try_from(tcp.len()).unwrap();
    let mut pseudo = [&source[..], &[127, 0, 0, 1, 0, 6]].concat();
    pseudo.extend_from_slice(&length.to_be_bytes());
    pseudo.extend_from_slice(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(length + 20).to_be_bytes());
    // The kernel fills the rest of what is zero.
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend_from_slice(&source);
    packet.extend_from_slice(&[127, 0, 0, 1]);
    packet.extend_from_slice(&tcp);
    // SAFETY: a plain socket, and a buffer and an address that outlive the call.
    unsafe {
        let raw = libc::socket(
            libc::AF_INET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_RAW,
        );
        assert!(raw >= 0);
        let mut target: libc::sockaddr_in = std::mem::zeroed();
        target.sin_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap();
        target.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let sent = libc::sendto(
            raw,
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const target).cast(),
            libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap(),
        );
        libc::close(raw);
        assert_eq!(usize::try_from(sent).unwrap(), packet.len());
    }
}

/// The Internet's, of bytes in which its own place holds zero.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
