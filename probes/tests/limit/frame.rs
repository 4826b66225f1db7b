//! Frames, built from what a test wants to say and nothing else.

use std::net::IpAddr;

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
pub const PSH_ACK: u8 = 0x18;
pub const FIN_ACK: u8 = 0x11;
pub const RST: u8 = 0x04;

/// Ethernet, tags, network header with options or extensions, transport header, payload.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    pub destination_mac: [u8; 6],
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// IPv4: options, a multiple of four bytes. IPv6: extension headers, kind first.
    pub options: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4 fragment word: flags and offset.
    pub fragment: u16,
    pub transport: Transport,
    pub port: u16,
    pub payload: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Udp,
    Tcp(u8),
    Other(u8),
}

impl FrameBuilder {
    pub fn new(source: &str, destination: &str, port: u16, transport: Transport) -> Self {
        Self {
            destination_mac: [2, 0, 0, 0, 0, 2],
            tags: Vec::new(),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: 0,
            transport,
            port,
            payload: 0,
        }
    }

    pub fn payload(mut self, payload: usize) -> Self {
        self.payload = payload;
        self
    }

    pub fn tagged(mut self, ether_type: u16, id: u16) -> Self {
        self.tags.push((ether_type, id));
        self
    }

    pub fn extension(mut self, kind: u8, body: Vec<u8>) -> Self {
        self.extensions.push((kind, body));
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let (protocol, segment) = self.segment();
        let mut frame = self.destination_mac.to_vec();
        frame.extend([2, 0, 0, 0, 0, 1]);
        for (ether_type, id) in &self.tags {
            frame.extend(ether_type.to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        let (ether_type, header) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = 20 + self.options.len();
                let mut header = vec![0x40 | u8::try_from(length / 4).unwrap(), 0];
                header.extend(u16::try_from(length + segment.len()).unwrap().to_be_bytes());
                header.extend([0, 1]);
                header.extend(self.fragment.to_be_bytes());
                header.extend([64, protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.options);
                let sum = !sum(&header, 0);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                (0x0800_u16, header)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let kinds: Vec<u8> = self
                    .extensions
                    .iter()
                    .map(|(kind, _)| *kind)
                    .chain([protocol])
                    .collect();
                let mut extensions = Vec::new();
                for (index, (_, body)) in self.extensions.iter().enumerate() {
                    extensions.push(kinds[index + 1]);
                    extensions.extend(body);
                }
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(
                    u16::try_from(extensions.len() + segment.len())
                        .unwrap()
                        .to_be_bytes(),
                );
                header.extend([kinds[0], 64]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(extensions);
                (0x86dd, header)
            }
            _ => panic!("two families in one frame"),
        };
        frame.extend(ether_type.to_be_bytes());
        frame.extend(header);
        frame.extend(segment);
        // Ethernet pads short frames, so the frame's length says nothing about the packet's.
        frame.resize(frame.len().max(60), 0);
        frame
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let mut segment = 40_000_u16.to_be_bytes().to_vec();
        segment.extend(self.port.to_be_bytes());
        let (protocol, checksum_at) = match self.transport {
            Transport::Udp => {
                segment.extend(u16::try_from(8 + self.payload).unwrap().to_be_bytes());
                segment.extend([0, 0]);
                (17, Some(6))
            }
            Transport::Tcp(flags) => {
                segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
                (6, Some(16))
            }
            Transport::Other(protocol) => (protocol, None),
        };
        segment.extend(std::iter::repeat_n(b'x', self.payload));
        if let Some(at) = checksum_at {
            let length = u32::try_from(segment.len()).unwrap();
            let mut pseudo = Vec::new();
            match (self.source, self.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    pseudo.extend(source.octets());
                    pseudo.extend(destination.octets());
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    pseudo.extend(source.octets());
                    pseudo.extend(destination.octets());
                }
                _ => panic!("two families in one frame"),
            }
            pseudo.extend(length.to_be_bytes());
            pseudo.extend([0, 0, 0, protocol]);
            let checksum = match !sum(&segment, sum(&pseudo, 0)) {
                0 => 0xffff,
                checksum => checksum,
            };
            segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        (protocol, segment)
    }
}

/// The Internet checksum's sum, continued from `start`.
fn sum(bytes: &[u8], start: u16) -> u16 {
    let mut sum = u32::from(start);
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
