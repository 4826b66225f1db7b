//! Segments, as they pass into and out of sockets: which of them begin a request, go on with it,
//! answer it, or end the connection under it.
//!
//! Requests come in on a server's socket and go out of a client's; nothing else differs. A segment
//! that TCP has seen before is never looked at twice.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_tcp_sock, generated::bpf_skb_load_bytes},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use probes_ebpf::wire::{birth, flag, protocol, role, what};

use crate::{
    answering::{answer, unexpected_answer},
    asking::{request_begins, request_goes_on},
    connection::{count_tcp, find, find_or_create, identify, is_in_flight},
    handshake::before_birth,
    http::{HTTP_1, Method, method},
    request::{closed, end},
    tcp::closed_window,
    turns,
};

const PASS: i32 = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// `TCP_LISTEN`.
const LISTEN: u32 = 10;

#[cgroup_skb(ingress)]
pub fn edge_in(context: SkBuffContext) -> i32 {
    segment(&context, true)
}

#[cgroup_skb(egress)]
pub fn edge_out(context: SkBuffContext) -> i32 {
    segment(&context, false)
}

/// What is needed of the headers.
pub struct Segment {
    pub skb: *mut __sk_buff,
    pub sk: *mut c_void,
    pub ingress: bool,
    /// Where the payload begins.
    pub offset: u32,
    pub payload: u32,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub local_port: u16,
    pub remote_port: u16,
}

#[inline(always)]
fn segment(context: &SkBuffContext, ingress: bool) -> i32 {
    let skb = context.skb.skb;
    // SAFETY: the context's own fields; every access below is inside `data..data_end`.
    let (data, data_end, length) = unsafe { ((*skb).data as usize, (*skb).data_end as usize, (*skb).len) };
    if data + 40 > data_end {
        return PASS;
    }
    let ip = data as *const u8;
    let version = unsafe { *ip };
    let tcp_offset = if version >> 4 == 4 {
        if unsafe { *ip.add(9) } != 6 {
            return PASS;
        }
        usize::from(version & 0xf) << 2
    } else {
        // Extension headers in front of TCP are not followed.
        if unsafe { *ip.add(6) } != 6 {
            return PASS;
        }
        40
    };
    if tcp_offset < 20 || data + tcp_offset + 20 > data_end {
        return PASS;
    }
    let tcp = (data + tcp_offset) as *const u8;
    let header = unsafe { u32::from(*tcp.add(12) >> 4) << 2 };
    let flags = unsafe { *tcp.add(13) };
    let offset = tcp_offset as u32 + header;
    let payload = length.saturating_sub(offset);
    let has_end = flags & (FIN | RST) != 0;
    let opens = !ingress && flags & (SYN | ACK) == SYN;
    // The peer is told to stop sending.
    let has_no_window = unsafe { *tcp.add(14).cast::<u16>() } == 0 && flags & (SYN | RST) == 0;
    if payload == 0 && !has_end && !opens && !ingress && !has_no_window {
        return PASS;
    }
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return PASS;
    }
    let is_listener = ingress && unsafe { (*sk).state } == LISTEN;
    if payload == 0 && !has_end && !opens && !is_listener && !has_no_window {
        return PASS;
    }
    let (from, to) = unsafe {
        (
            u16::from_be(*tcp.cast::<u16>()),
            u16::from_be(*tcp.add(2).cast::<u16>()),
        )
    };
    let segment = Segment {
        skb,
        sk: sk.cast(),
        ingress,
        offset,
        payload,
        seq: unsafe { u32::from_be(*tcp.add(4).cast::<u32>()) },
        ack: unsafe { u32::from_be(*tcp.add(8).cast::<u32>()) },
        flags,
        local_port: if ingress { to } else { from },
        remote_port: if ingress { from } else { to },
    };
    if is_listener {
        before_birth(&segment, ip, version >> 4 == 4);
        return PASS;
    }
    if has_no_window {
        closed_window(sk.cast(), ingress);
    }
    let remote = if payload != 0 && ingress {
        address(ip, version >> 4 == 4, 12, 8)
    } else {
        [0; 4]
    };
    if payload != 0 {
        data_segment(&segment, &remote);
    }
    if has_end || opens {
        control_segment(&segment, opens);
    }
    PASS
}

/// The address at `v4` or `v6` of the IP header, as IPv6.
#[inline(always)]
pub fn address(ip: *const u8, is_v4: bool, v4: usize, v6: usize) -> [u32; 4] {
    // SAFETY: the caller has checked 40 bytes.
    unsafe {
        if is_v4 {
            [0, 0, 0xffff_u32.to_be(), *ip.add(v4).cast::<u32>()]
        } else {
            let words = ip.add(v6).cast::<u32>();
            [*words, *words.add(1), *words.add(2), *words.add(3)]
        }
    }
}

#[inline(always)]
fn data_segment(segment: &Segment, remote: &[u32; 4]) {
    let known = find(segment.sk);
    if let Some(connection) = known {
        // SAFETY: a live map value.
        if turns::takes(segment, unsafe { &mut *connection }, remote) {
            return;
        }
    }
    let mut head = MaybeUninit::<[u8; 12]>::uninit();
    let mut word = 0u64;
    let is_long = segment.payload > 12;
    if is_long {
        // SAFETY: twelve bytes into twelve bytes.
        let rc =
            unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, head.as_mut_ptr().cast(), 12) };
        if rc != 0 {
            return;
        }
        // SAFETY: just filled.
        let head = unsafe { head.assume_init_ref() };
        word = u64::from_be_bytes([
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7],
        ]);
    }
    let (asks, answers) = if segment.ingress {
        (role::SERVER, role::CLIENT)
    } else {
        (role::CLIENT, role::SERVER)
    };
    let is_status_line = is_long && word >> 8 == HTTP_1;
    if let Some(connection) = known {
        // SAFETY: a live map value.
        let connection = unsafe { &mut *connection };
        if connection.protocol == protocol::HTTP2 {
            return;
        }
        if turns::is_opaque(connection) {
            if is_status_line && answers == role::SERVER {
                turns::is_http_after_all(segment, connection);
            } else if is_in_flight(connection) {
                turns::take(segment, connection, remote);
                return;
            }
        }
        if is_in_flight(connection) {
            if connection.role == asks {
                request_goes_on(segment, connection, word);
            } else {
                answer(segment, connection, is_status_line, &head);
            }
            return;
        }
        if is_status_line && answers == role::SERVER {
            unexpected_answer(segment, connection, &head);
            return;
        }
    } else if is_status_line && answers == role::SERVER {
        if let Some(connection) = find_or_create(segment.sk) {
            // SAFETY: a live map value.
            unexpected_answer(segment, unsafe { &mut *connection }, &head);
        }
        return;
    }
    let method = if is_long { method(word) } else { Method::None };
    if method != Method::None {
        request_begins(segment, known, asks, method, remote);
    } else {
        turns::join(segment, known, remote);
    }
}

/// Whether TCP has had all of this segment before. Called while it is in the window's front:
/// `rcv_nxt` and `snd_nxt` move after the packet has passed here.
#[inline(always)]
pub fn is_repeated(segment: &Segment) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return false;
    }
    let next = unsafe {
        if segment.ingress {
            (*tcp).rcv_nxt
        } else {
            (*tcp).snd_nxt
        }
    };
    let last = segment.seq.wrapping_add(segment.payload);
    (last.wrapping_sub(next) as i32) <= 0
}

#[inline(always)]
fn control_segment(segment: &Segment, opens: bool) {
    let Some(connection) = find(segment.sk) else {
        return;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    if opens {
        // The helper that tells a socket's cgroup is refused in sock_ops, so a client's is noted here.
        identify(
            connection,
            segment.skb.cast(),
            segment.sk,
            segment.remote_port,
            role::CLIENT,
        );
        return;
    }
    let resets = segment.flags & RST != 0;
    let peer_ended = connection.flags & (flag::PEER_CLOSED | flag::PEER_RESET) != 0;
    if segment.ingress {
        if resets {
            count_tcp(connection, what::RESETS_RECEIVED, 1);
            connection.flags |= flag::PEER_RESET;
            // Sockets seen from birth tell of their end themselves, once the kernel has judged it.
            if connection.birth != birth::UNSEEN {
                return;
            }
        } else {
            connection.flags |= flag::PEER_CLOSED;
            turns::closes(segment, connection, role::SERVER);
            // A client may close its half and still wait for the answer; a server that closes is gone.
            if connection.role == role::SERVER {
                return;
            }
        }
        if is_in_flight(connection) {
            end(connection, closed(connection.role, true, resets), 0);
        }
        return;
    }
    if resets {
        count_tcp(connection, what::RESETS_SENT, 1);
    } else {
        connection.flags |= flag::LOCAL_CLOSED;
        turns::closes(segment, connection, role::CLIENT);
    }
    if is_in_flight(connection) {
        end(connection, closed(connection.role, peer_ended, resets), 0);
    }
}
