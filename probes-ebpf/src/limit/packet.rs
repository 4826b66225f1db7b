//! Reads as much of a packet as a rate limit needs.
//!
//! In: a frame. Out: who sent a segment to which port and whether it is charged, or why that
//! cannot be said; whatever cannot be said is passed. Ports are read from the first fragment only.
//! Tunnels are not looked into: the outer header counts.

/// Bytes behind bounds checks. The kernel's is a pair of packet pointers, the host's a slice.
pub trait Frame {
    type View: View;

    /// `length` bytes from `offset`, or `None` when the frame ends before.
    fn view(&self, offset: usize, length: usize) -> Option<Self::View>;
}

/// Bytes that are known to be there. Reading past the length asked for is a bug.
pub trait View: Copy {
    fn u8(self, at: usize) -> u8;
    /// Two bytes in network order.
    fn be16(self, at: usize) -> u16;
    /// Four bytes as they stand in memory.
    fn raw32(self, at: usize) -> u32;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: Source,
    /// Destination port: the service's.
    pub port: u16,
    /// TCP: opens a connection or carries payload. UDP: always. What is not charged passes: pure
    /// acknowledgements, FIN and RST, so that answers under way to an honest client still arrive.
    pub charged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// 4 or 6.
    pub family: u8,
    /// As in memory; an IPv4 address stands in the first word.
    pub address: [u32; 4],
}

/// Why a frame is passed unjudged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unread {
    /// Neither TCP nor UDP over IP: ARP, neighbour discovery, ICMP, tunnels, a third VLAN tag.
    Other = 0,
    Truncated = 1,
    Malformed = 2,
    TooManyExtensions = 3,
    LaterFragment = 4,
}

/// More than any honest sender uses; RFC 8200 asks for each header once, destination options twice.
pub const EXTENSIONS_MAX: usize = 6;

const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;

/// A packet of more than 64 KiB (BIG TCP, jumbogram) says 0: it carries payload for certain.
const LENGTH_UNSTATED: u32 = 1 << 20;

#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Result<Segment, Unread> {
    let Some(ethernet) = frame.view(0, ETHERNET) else {
        return Err(Unread::Truncated);
    };
    let mut ether_type = ethernet.be16(12);
    let mut offset = ETHERNET;
    if is_vlan(ether_type) {
        let Some(tag) = frame.view(offset, VLAN_TAG) else {
            return Err(Unread::Truncated);
        };
        ether_type = tag.be16(2);
        offset += VLAN_TAG;
        if is_vlan(ether_type) {
            let Some(tag) = frame.view(offset, VLAN_TAG) else {
                return Err(Unread::Truncated);
            };
            ether_type = tag.be16(2);
            offset += VLAN_TAG;
        }
    }
    match ether_type {
        0x0800 => ipv4(frame, offset),
        0x86dd => ipv6(frame, offset),
        _ => Err(Unread::Other),
    }
}

/// 802.1Q, 802.1ad, and the number switches used before it.
#[inline(always)]
fn is_vlan(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100)
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, offset: usize) -> Result<Segment, Unread> {
    let Some(header) = frame.view(offset, 20) else {
        return Err(Unread::Truncated);
    };
    let first = header.u8(0);
    let header_length = u32::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_length < 20 {
        return Err(Unread::Malformed);
    }
    let protocol = header.u8(9);
    if protocol != TCP && protocol != UDP {
        return Err(Unread::Other);
    }
    if header.be16(6) & 0x1fff != 0 {
        return Err(Unread::LaterFragment);
    }
    let total = match header.be16(2) {
        0 => LENGTH_UNSTATED,
        stated => u32::from(stated),
    };
    if total < header_length {
        return Err(Unread::Malformed);
    }
    let source = Source {
        family: 4,
        address: [header.raw32(12), 0, 0, 0],
    };
    transport(
        frame,
        offset + header_length as usize,
        total - header_length,
        protocol,
        source,
    )
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, offset: usize) -> Result<Segment, Unread> {
    let Some(header) = frame.view(offset, 40) else {
        return Err(Unread::Truncated);
    };
    if header.u8(0) >> 4 != 6 {
        return Err(Unread::Malformed);
    }
    let source = Source {
        family: 6,
        address: [
            header.raw32(8),
            header.raw32(12),
            header.raw32(16),
            header.raw32(20),
        ],
    };
    let mut length = match header.be16(4) {
        0 => LENGTH_UNSTATED,
        stated => u32::from(stated),
    };
    let mut next = header.u8(6);
    let mut offset = offset + 40;
    let mut extensions = 0;
    while next != TCP && next != UDP {
        // Hop-by-hop, routing, fragment, authentication, destination options.
        if !matches!(next, 0 | 43 | 44 | 51 | 60) {
            return Err(Unread::Other);
        }
        if extensions == EXTENSIONS_MAX {
            return Err(Unread::TooManyExtensions);
        }
        extensions += 1;
        let Some(extension) = frame.view(offset, 8) else {
            return Err(Unread::Truncated);
        };
        let stated = u32::from(extension.u8(1));
        let size = match next {
            44 if extension.be16(2) & 0xfff8 != 0 => return Err(Unread::LaterFragment),
            44 => 8,
            51 => (stated + 2) * 4,
            _ => (stated + 1) * 8,
        };
        if size > length {
            return Err(Unread::Malformed);
        }
        next = extension.u8(0);
        length -= size;
        offset += size as usize;
    }
    transport(frame, offset, length, next, source)
}

/// `length`: of the transport header and its payload, by the network header. The frame itself may
/// be padded, so its length says nothing.
#[inline(always)]
fn transport<F: Frame>(
    frame: &F,
    offset: usize,
    length: u32,
    protocol: u8,
    source: Source,
) -> Result<Segment, Unread> {
    if protocol == UDP {
        let Some(header) = frame.view(offset, 8) else {
            return Err(Unread::Truncated);
        };
        return Ok(Segment {
            source,
            port: header.be16(2),
            charged: true,
        });
    }
    let Some(header) = frame.view(offset, 20) else {
        return Err(Unread::Truncated);
    };
    let header_length = u32::from(header.u8(12) >> 4) * 4;
    if header_length < 20 || header_length > length {
        return Err(Unread::Malformed);
    }
    let charged = header.u8(13) & SYN != 0 || length > header_length;
    Ok(Segment {
        source,
        port: header.be16(2),
        charged,
    })
}

#[cfg(not(target_arch = "bpf"))]
impl Frame for &[u8] {
    type View = Self;

    fn view(&self, offset: usize, length: usize) -> Option<Self> {
        self.get(offset..offset + length)
    }
}

#[cfg(not(target_arch = "bpf"))]
impl View for &[u8] {
    fn u8(self, at: usize) -> u8 {
        self[at]
    }

    fn be16(self, at: usize) -> u16 {
        u16::from_be_bytes([self[at], self[at + 1]])
    }

    fn raw32(self, at: usize) -> u32 {
        u32::from_ne_bytes([self[at], self[at + 1], self[at + 2], self[at + 3]])
    }
}
