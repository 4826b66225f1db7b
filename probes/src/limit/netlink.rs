//! Asks the kernel which XDP program an interface runs, links and older attachments alike.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const LINK_MESSAGE: usize = 16;

/// Ids of the XDP programs on an interface of this thread's network namespace.
pub(super) fn xdp_program_ids(interface: u32) -> io::Result<Vec<u32>> {
    // SAFETY: no pointers are passed; the descriptor is ours from here on.
    let socket = unsafe {
        let fd = libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let mut request = Vec::with_capacity(HEADER + LINK_MESSAGE);
    request.extend_from_slice(&32_u32.to_ne_bytes()); // length
    request.extend_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    request.extend_from_slice(&1_u16.to_ne_bytes()); // NLM_F_REQUEST
    request.extend_from_slice(&[0; 8]); // sequence, port
    request.extend_from_slice(&[0; 4]); // family, kind of device
    request.extend_from_slice(&interface.to_ne_bytes());
    request.extend_from_slice(&[0; 8]); // flags, change
    // SAFETY: the buffer lives through the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0_u8; 65_536];
    // SAFETY: as above; the kernel answers a request for one interface with one message.
    let received = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok(program_ids(&answer[..received]))
}

fn program_ids(message: &[u8]) -> Vec<u32> {
    let body = message.get(HEADER + LINK_MESSAGE..).unwrap_or_default();
    let mut ids: Vec<u32> = attributes(body)
        .filter(|(kind, _)| kind & !NESTED == IFLA_XDP)
        .flat_map(|(_, value)| attributes(value))
        .filter(|(kind, _)| {
            matches!(
                kind & !NESTED,
                IFLA_XDP_PROG_ID | IFLA_XDP_DRV_PROG_ID | IFLA_XDP_SKB_PROG_ID
            )
        })
        .filter_map(|(_, value)| value.first_chunk().map(|id| u32::from_ne_bytes(*id)))
        .filter(|id| *id != 0)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Kind and value of each attribute; stops at the first that does not fit.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_answer_is_read_as_far_as_it_goes() {
        let mut message = vec![0; 32];
        let nested: Vec<u8> = [8_u16, 4]
            .iter()
            .flat_map(|half| half.to_ne_bytes())
            .chain([7, 0, 0, 0])
            .collect();
        message.extend_from_slice(&12_u16.to_ne_bytes());
        message.extend_from_slice(&(IFLA_XDP | NESTED).to_ne_bytes());
        message.extend_from_slice(&nested);
        assert_eq!(program_ids(&message), [7]);
        for end in 0..message.len() {
            assert!(program_ids(&message[..end]).is_empty(), "{end}");
        }
    }
}
