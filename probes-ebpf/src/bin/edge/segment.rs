//! Segments, as they pass into and out of sockets: which of them begin a request, go on with it,
//! answer it, or end the connection under it.
//!
//! Requests come in on a server's socket and go out of a client's; nothing else differs. A segment
//! that TCP has seen before is never looked at twice.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::{bpf_tcp_sock, generated::bpf_skb_load_bytes},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use probes_ebpf::{
    http1::{Method, STATUS_LINE, begins_behind_line, begins_method, method, status},
    http2::begins_request,
    wire::{Connection, asks, birth, flag, protocol, role, what},
};

use crate::{
    answering::{answer, unexpected_answer},
    asking::{ask, first_request},
    connection::{count_tcp, find, find_or_create, identify, is_in_flight},
    exchange::raise,
    framing,
    handshake::before_birth,
    http2, last_byte, pieces,
    pipeline::abandon,
    request::closed,
    tcp::{closed_window, has_last_word, peer_reset},
    turns::{self, Taken},
};

pub const PASS: i32 = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// `TCP_LISTEN`.
const LISTEN: u32 = 10;
/// `TCP_CLOSE_WAIT`, `TCP_LAST_ACK`: the peer has closed.
pub const CLOSE_WAIT: u32 = 8;
pub const LAST_ACK: u32 = 9;

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
    /// Of its first byte.
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub local_port: u16,
    pub remote_port: u16,
    /// As IPv6; zeros on segments that pass out.
    pub remote: [u32; 4],
}

#[inline(always)]
fn segment(context: &SkBuffContext, ingress: bool) -> i32 {
    let Some(headers) = parse(context, ingress) else {
        return PASS;
    };
    let segment = &headers.segment;
    if headers.is_listener {
        before_birth(segment, headers.ip, headers.is_v4);
        return PASS;
    }
    if headers.has_no_window {
        closed_window(segment.sk, ingress);
    }
    if segment.payload != 0 {
        let rest = data_segment(segment);
        match rest & !rest::SLOT {
            rest::HTTP2 => http2::walk(segment),
            rest::REQUESTS => pieces::take(segment.skb, rest & rest::SLOT),
            rest::ANSWERS => framing::follow(segment, rest & rest::SLOT),
            _ => {}
        }
    }
    if headers.has_end || headers.opens {
        control_segment(segment, headers.opens);
    }
    PASS
}

/// What is left to do of a segment with data. It is done from the program's own small frame: what
/// follows needs most of the 512 bytes that the verifier allows all frames of a chain of calls.
pub mod rest {
    pub const NOTHING: u32 = 0;
    /// To be followed by the program that can.
    pub const HTTP2: u32 = 0x100;
    /// To be taken apart, in the slot that has been claimed for it.
    pub const REQUESTS: u32 = 0x200;
    pub const ANSWERS: u32 = 0x300;
    /// The bits that hold the slot.
    pub const SLOT: u32 = 0xff;
}

/// A segment that something hangs on.
pub struct Headers {
    pub segment: Segment,
    ip: *const u8,
    is_v4: bool,
    is_listener: bool,
    has_no_window: bool,
    pub has_end: bool,
    opens: bool,
}

/// `None` for what is no TCP, has no socket, or neither carries data nor begins or ends anything.
#[inline(always)]
pub fn parse(context: &SkBuffContext, ingress: bool) -> Option<Headers> {
    let skb = context.skb.skb;
    // SAFETY: the context's own fields; every access below is inside `data..data_end`.
    let (data, data_end, length) = unsafe { ((*skb).data as usize, (*skb).data_end as usize, (*skb).len) };
    if data + 40 > data_end {
        return None;
    }
    let ip = data as *const u8;
    let version = unsafe { *ip };
    let tcp_offset = if version >> 4 == 4 {
        if unsafe { *ip.add(9) } != 6 {
            return None;
        }
        usize::from(version & 0xf) << 2
    } else {
        // Extension headers in front of TCP are not followed.
        if unsafe { *ip.add(6) } != 6 {
            return None;
        }
        40
    };
    if tcp_offset < 20 || data + tcp_offset + 20 > data_end {
        return None;
    }
    let tcp = (data + tcp_offset) as *const u8;
    let header = unsafe { u32::from(*tcp.add(12) >> 4) << 2 };
    let flags = unsafe { *tcp.add(13) };
    let offset = tcp_offset as u32 + header;
    // What a reset brings along, words for people, TCP reads to nobody.
    let payload = if flags & RST != 0 {
        0
    } else {
        length.saturating_sub(offset)
    };
    let has_end = flags & (FIN | RST) != 0;
    let opens = !ingress && flags & (SYN | ACK) == SYN;
    // The peer is told to stop sending.
    let has_no_window = unsafe { *tcp.add(14).cast::<u16>() } == 0 && flags & (SYN | RST) == 0;
    if payload == 0 && !has_end && !opens && !ingress && !has_no_window {
        return None;
    }
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return None;
    }
    let is_listener = ingress && unsafe { (*sk).state } == LISTEN;
    if payload == 0 && !has_end && !opens && !is_listener && !has_no_window {
        return None;
    }
    let (from, to) = unsafe {
        (
            u16::from_be(*tcp.cast::<u16>()),
            u16::from_be(*tcp.add(2).cast::<u16>()),
        )
    };
    Some(Headers {
        segment: Segment {
            skb,
            sk: sk.cast(),
            ingress,
            offset,
            payload,
            // A SYN takes one for itself.
            seq: unsafe { u32::from_be(*tcp.add(4).cast::<u32>()) }.wrapping_add(u32::from(flags & SYN) >> 1),
            ack: unsafe { u32::from_be(*tcp.add(8).cast::<u32>()) },
            flags,
            local_port: if ingress { to } else { from },
            remote_port: if ingress { from } else { to },
            remote: if payload != 0 && ingress {
                address(ip, version >> 4 == 4, 12, 8)
            } else {
                [0; 4]
            },
        },
        ip,
        is_v4: version >> 4 == 4,
        is_listener,
        has_no_window,
        has_end,
        opens,
    })
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

/// One of [`rest`].
#[inline(never)]
fn data_segment(segment: &Segment) -> u32 {
    let (asks, answers) = if segment.ingress {
        (role::SERVER, role::CLIENT)
    } else {
        (role::CLIENT, role::SERVER)
    };
    let known = find(segment.sk);
    if let Some(connection) = known {
        // SAFETY: a live map value.
        let connection = unsafe { &mut *connection };
        // Who asks is only sure of sockets seen from birth, and while something is asked.
        if connection.protocol == protocol::HTTP1
            && connection.role != 0
            && (connection.birth != birth::UNSEEN || is_in_flight(connection))
        {
            return if connection.role == asks {
                ask(segment, connection)
            } else {
                answer(segment, connection)
            };
        }
        match turns::takes(segment, connection) {
            Taken::Turn => return rest::NOTHING,
            Taken::Early => return rest::HTTP2,
            Taken::Not => {}
        }
        match connection.protocol {
            protocol::HTTP2 | protocol::SWITCHED => return rest::HTTP2,
            protocol::UPGRADED => return rest::NOTHING,
            _ => {}
        }
    }
    let Some(connection) = undecided(segment, known, asks, answers) else {
        return rest::NOTHING;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    if connection.protocol == protocol::HTTP2 {
        return rest::HTTP2;
    }
    ask(segment, connection)
}

/// Whether what the connection said first is not known.
#[inline(always)]
fn is_late(connection: *mut Connection) -> bool {
    // SAFETY: a live map value.
    let connection = unsafe { &*connection };
    let is_open = connection.protocol == protocol::UNDECIDED || connection.protocol == protocol::OTHER;
    // Where a request waited for its connection (TCP_DEFER_ACCEPT), its preface passed the listener.
    let is_deferred = connection.birth == birth::ACCEPTED && connection.protocol == protocol::UNDECIDED;
    connection.birth == birth::UNSEEN && is_open || is_deferred
}

/// Decides what a connection speaks by the first bytes that say so. The connection, if these are requests
/// that can be read.
#[inline(always)]
fn undecided(
    segment: &Segment,
    known: Option<*mut Connection>,
    asks: u8,
    answers: u8,
) -> Option<*mut Connection> {
    let mut words = [0u64; 2];
    let length = if segment.payload < STATUS_LINE {
        segment.payload
    } else {
        STATUS_LINE
    };
    // Keeps the lower bound of 1 visible to the verifier.
    let length = ((length.wrapping_sub(1)) & 15) + 1;
    // SAFETY: at most sixteen bytes into sixteen.
    let rc = unsafe {
        bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset,
            words.as_mut_ptr().cast(),
            length,
        )
    };
    if rc != 0 {
        return None;
    }
    // SAFETY: twelve of sixteen bytes.
    let head = unsafe { &*words.as_ptr().cast::<[u8; 12]>() };
    if segment.payload > STATUS_LINE && known.is_none_or(is_late) && begins_request(head) {
        return http2::begins(segment, known, asks);
    }
    let word = u64::from_be(words[0]);
    let status = status(word, (u64::from_be(words[1]) >> 32) as u32);
    if let Some(connection) = known {
        // SAFETY: a live map value.
        let connection = unsafe { &mut *connection };
        if turns::is_opaque(connection) {
            if status != 0 && answers == role::SERVER {
                turns::is_http_after_all(segment, connection);
            } else if is_in_flight(connection) {
                turns::take(segment, connection);
                return None;
            }
        }
    }
    if answers == role::SERVER {
        if status != 0 {
            if let Some(connection) = known.or_else(|| find_or_create(segment.sk)) {
                // SAFETY: a live map value.
                unexpected_answer(segment, unsafe { &mut *connection }, status);
            }
            return None;
        }
    }
    let method = method(word);
    if method != Method::None
        || begins_method(word, segment.payload)
        || edge_begins_behind_line(word, segment.payload) != 0
    {
        return first_request(segment, known, asks, method);
    }
    turns::join(segment, known);
    None
}

/// Global, so that the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_begins_behind_line(word: u64, length: u32) -> u32 {
    u32::from(begins_behind_line(word, length))
}

#[inline(never)]
pub fn control_segment(segment: &Segment, opens: bool) {
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
    if segment.ingress {
        let is_next = is_next(segment);
        if resets {
            if !is_next && has_last_word(connection) {
                return;
            }
            peer_reset(connection);
            // Sockets seen from birth tell of their end themselves, once the kernel has judged it.
            if connection.birth != birth::UNSEEN {
                return;
            }
        } else {
            raise(connection, flag::PEER_CLOSED);
            turns::closes(segment, connection, role::SERVER);
            // A client may close its half and still wait for the answer; a server that closes is gone, once
            // all that it said before is here.
            if connection.role == role::SERVER || !is_next {
                return;
            }
        }
        if connection.asks & asks::LAST_BYTE != 0 {
            last_byte::closes(segment.sk, connection, !resets && connection.role == role::CLIENT);
        }
        if is_in_flight(connection) {
            abandon(segment.skb, closed(connection, true, resets));
        } else if connection.protocol == protocol::HTTP2 {
            http2::closed(segment.sk, connection, closed(connection, true, resets));
        }
        return;
    }
    if resets {
        count_tcp(connection, what::RESETS_SENT, 1);
    } else {
        raise(connection, flag::LOCAL_CLOSED);
        turns::closes(segment, connection, role::CLIENT);
    }
    if connection.asks & asks::LAST_BYTE != 0 && connection.role == role::SERVER {
        last_byte::closes(segment.sk, connection, !resets);
    }
    let peer_ended = connection.flags & flag::PEER_RESET != 0 || peer_has_closed(segment);
    if is_in_flight(connection) {
        abandon(segment.skb, closed(connection, peer_ended, resets));
    } else if connection.protocol == protocol::HTTP2 {
        http2::closed(segment.sk, connection, closed(connection, peer_ended, resets));
    }
}

/// Whether the segment goes on where TCP has received everything up to.
#[inline(always)]
fn is_next(segment: &Segment) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return false;
    }
    // SAFETY: not null.
    let next = unsafe { (&raw const (*tcp).rcv_nxt).read_volatile() };
    next.wrapping_sub(segment.seq) <= segment.payload
}

/// Whether TCP has taken the peer's FIN. One that came before data which is still missing has ended
/// nothing yet. Of sockets that close in turn, this is asked as their own FIN leaves.
#[inline(always)]
fn peer_has_closed(segment: &Segment) -> bool {
    // SAFETY: the verifier knows `sk` is a socket.
    let state = unsafe { (*segment.sk.cast::<bpf_sock>()).state };
    state == CLOSE_WAIT || state == LAST_ACK
}
