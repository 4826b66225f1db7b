//! Segments, as they pass into and out of sockets: which of them begin a request, go on with it,
//! answer it, or end the connection under it.
//!
//! Requests come in on a server's socket and go out of a client's; nothing else differs. A segment
//! that TCP has seen before is never looked at twice.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{
        bpf_ktime_get_ns, bpf_tcp_sock,
        generated::{bpf_get_netns_cookie, bpf_map_lookup_elem, bpf_sk_cgroup_id, bpf_skb_load_bytes},
    },
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use probes_ebpf::wire::{
    Connection, Handshake, Pending, PendingKey, ROUTE_OTHER, ROUTE_TEXT, Settings, SourceKey, birth, flag,
    loss, role, what,
};

use crate::{
    body::{self, End},
    connection::{count_tcp, find, find_or_create, identify, is_in_flight},
    count::{count, latency, lose, source},
    maps::{HANDSHAKE, PENDING, ROUTES, SETTINGS, skb_netns},
    request::{begin, closed, end},
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
struct Segment {
    skb: *mut __sk_buff,
    sk: *mut c_void,
    ingress: bool,
    /// Where the payload begins.
    offset: u32,
    payload: u32,
    seq: u32,
    flags: u8,
    local_port: u16,
    remote_port: u16,
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
    if payload == 0 && !has_end && !opens && !ingress {
        return PASS;
    }
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return PASS;
    }
    let is_listener = ingress && unsafe { (*sk).state } == LISTEN;
    if payload == 0 && !has_end && !opens && !is_listener {
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
        flags,
        local_port: if ingress { to } else { from },
        remote_port: if ingress { from } else { to },
    };
    if is_listener {
        before_birth(&segment, ip, version >> 4 == 4);
        return PASS;
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
fn address(ip: *const u8, is_v4: bool, v4: usize, v6: usize) -> [u32; 4] {
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
    if let Some(connection) = find(segment.sk) {
        // SAFETY: a live map value.
        let connection = unsafe { &mut *connection };
        if connection.flags & flag::FOREIGN != 0 {
            return;
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
    if !is_long {
        return;
    }
    let method = method(word);
    if method != Method::None {
        request_begins(segment, asks, method, remote);
    }
}

/// `HTTP/1.` in the first seven bytes of a word.
const HTTP_1: u64 = u64::from_be_bytes(*b"\0HTTP/1.");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    None,
    /// Without a body.
    Bare,
    WithBody,
    /// The preface of HTTP/2.
    Http2,
}

#[inline(always)]
fn method(word: u64) -> Method {
    const GET: u64 = u64::from_be_bytes(*b"\0\0\0\0GET ");
    const PUT: u64 = u64::from_be_bytes(*b"\0\0\0\0PUT ");
    const PRI: u64 = u64::from_be_bytes(*b"\0\0\0\0PRI ");
    const POST: u64 = u64::from_be_bytes(*b"\0\0\0POST ");
    const HEAD: u64 = u64::from_be_bytes(*b"\0\0\0HEAD ");
    const PATCH: u64 = u64::from_be_bytes(*b"\0\0PATCH ");
    const TRACE: u64 = u64::from_be_bytes(*b"\0\0TRACE ");
    const DELETE: u64 = u64::from_be_bytes(*b"\0DELETE ");
    const OPTIONS: u64 = u64::from_be_bytes(*b"OPTIONS ");
    const CONNECT: u64 = u64::from_be_bytes(*b"CONNECT ");
    if word >> 32 == GET {
        Method::Bare
    } else if word >> 24 == POST || word >> 32 == PUT || word >> 16 == PATCH {
        Method::WithBody
    } else if word >> 24 == HEAD
        || word >> 16 == TRACE
        || word >> 8 == DELETE
        || word == OPTIONS
        || word == CONNECT
    {
        Method::Bare
    } else if word >> 32 == PRI {
        Method::Http2
    } else {
        Method::None
    }
}

/// Whether TCP has had all of this segment before. Called while it is in the window's front:
/// `rcv_nxt` and `snd_nxt` move after the packet has passed here.
#[inline(always)]
fn is_repeated(segment: &Segment) -> bool {
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
fn request_begins(segment: &Segment, role: u8, method: Method, remote: &[u32; 4]) {
    if is_repeated(segment) {
        return;
    }
    let Some(connection) = find_or_create(segment.sk) else {
        return;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    // The body of an answer may begin like a request: only one side of a connection asks.
    let opposite = if role == role::SERVER {
        birth::OPENED
    } else {
        birth::ACCEPTED
    };
    if connection.birth == opposite {
        return;
    }
    if method == Method::Http2 {
        connection.flags |= flag::FOREIGN;
        return;
    }
    let port = if role == role::SERVER {
        segment.local_port
    } else {
        segment.remote_port
    };
    connection.role = role;
    identify(connection, segment.skb.cast(), segment.sk, port, role);
    if role == role::CLIENT && connection.settings == 0 {
        return;
    }
    let (request_end, ends) = bounds(segment, method);
    connection.route = route(segment, connection.settings);
    connection.request_seq = segment.seq;
    connection.request_end = request_end;
    connection.flags = (connection.flags & !(flag::END_KNOWN | flag::COMPLETE)) | ends;
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    begin(connection, role, now, now);
    if role == role::SERVER && connection.settings != 0 {
        source(&SourceKey {
            address: *remote,
            settings: connection.settings,
            pad: 0,
        });
    }
}

/// The sequence number after the request, and the flags that say what is known of it.
#[inline(always)]
fn bounds(segment: &Segment, method: Method) -> (u32, u8) {
    if method != Method::WithBody {
        return (0, flag::COMPLETE);
    }
    let last = segment.seq.wrapping_add(segment.payload);
    match body::find_end(segment.skb.cast(), segment.offset, segment.payload) {
        End::After(length) => {
            let request_end = segment.seq.wrapping_add(length);
            let complete = (last.wrapping_sub(request_end) as i32) >= 0;
            (
                request_end,
                flag::END_KNOWN | if complete { flag::COMPLETE } else { 0 },
            )
        }
        End::Chunked => {
            let complete = body::ends_chunked(segment.skb.cast(), segment.offset + segment.payload);
            (0, if complete { flag::COMPLETE } else { 0 })
        }
        End::Unknown => (0, flag::COMPLETE),
    }
}

#[inline(always)]
fn request_goes_on(segment: &Segment, connection: &mut Connection, word: u64) {
    if segment.seq == connection.request_seq || is_repeated(segment) {
        return;
    }
    let known = connection.flags & flag::END_KNOWN != 0;
    let is_next = if known {
        (segment.seq.wrapping_sub(connection.request_end) as i32) >= 0
    } else {
        connection.flags & flag::COMPLETE != 0 && method(word) != Method::None
    };
    if is_next {
        lose(loss::PIPELINED);
        return;
    }
    // SAFETY: takes nothing.
    connection.last_byte_ns = unsafe { bpf_ktime_get_ns() };
    let last = segment.seq.wrapping_add(segment.payload);
    if known {
        if (last.wrapping_sub(connection.request_end) as i32) >= 0 {
            connection.flags |= flag::COMPLETE;
        }
    } else if connection.flags & flag::COMPLETE == 0
        && segment.payload >= 5
        && body::ends_chunked(segment.skb.cast(), segment.offset + segment.payload)
    {
        connection.flags |= flag::COMPLETE;
    }
}

#[inline(always)]
fn answer(
    segment: &Segment,
    connection: &mut Connection,
    is_status_line: bool,
    head: &MaybeUninit<[u8; 12]>,
) {
    if is_repeated(segment) {
        return;
    }
    let mut status = 0;
    if is_status_line {
        // SAFETY: a status line is only found in a filled head.
        let first = unsafe { head.assume_init_ref() };
        status = status_of(first);
        if status >= 100 && status < 200 && status != 101 {
            // `HTTP/1.1 100 Continue` is 25 bytes with its empty line; the answer may share the segment.
            if segment.payload <= 25 + 12 {
                return;
            }
            let mut second = MaybeUninit::<[u8; 12]>::uninit();
            // SAFETY: twelve bytes into twelve bytes.
            let rc = unsafe {
                bpf_skb_load_bytes(
                    segment.skb.cast(),
                    segment.offset + 25,
                    second.as_mut_ptr().cast(),
                    12,
                )
            };
            if rc != 0 {
                return;
            }
            // SAFETY: just filled.
            let second = unsafe { second.assume_init_ref() };
            if second[0] != b'H' || second[1] != b'T' || second[2] != b'T' || second[3] != b'P' {
                return;
            }
            status = status_of(second);
        }
    }
    connection.response_seq = segment.seq;
    if status == 0 {
        lose(loss::UNPARSABLE);
        end(connection, what::UNKNOWN);
        return;
    }
    end(connection, status);
    weather(segment, connection);
}

/// An answer to a request that began before the probe did, or behind another one.
#[inline(always)]
fn unexpected_answer(segment: &Segment, connection: &mut Connection, head: &MaybeUninit<[u8; 12]>) {
    // SAFETY: only called with a filled head.
    let status = status_of(unsafe { head.assume_init_ref() });
    if connection.birth == birth::OPENED || status < 101 || segment.seq == connection.response_seq {
        return;
    }
    if is_repeated(segment) || status < 200 && status != 101 {
        return;
    }
    connection.response_seq = segment.seq;
    connection.role = role::SERVER;
    identify(
        connection,
        segment.skb.cast(),
        segment.sk,
        segment.local_port,
        role::SERVER,
    );
    let endpoint = crate::connection::endpoint(connection, role::SERVER);
    count(&endpoint, connection.settings, ROUTE_OTHER, what::UNKNOWN, 1);
}

/// 0 when there is none.
#[inline(always)]
fn status_of(head: &[u8; 12]) -> u16 {
    let (a, b, c) = (
        head[9].wrapping_sub(b'0'),
        head[10].wrapping_sub(b'0'),
        head[11].wrapping_sub(b'0'),
    );
    if head[8] != b' ' || a < 1 || a > 9 || b > 9 || c > 9 {
        return 0;
    }
    u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c)
}

/// Round trip time as an answer leaves, and retransmits of sockets whose birth nobody saw.
#[inline(always)]
fn weather(segment: &Segment, connection: &mut Connection) {
    // SAFETY: the verifier knows `sk` is a socket.
    let tcp = unsafe { bpf_tcp_sock(segment.sk.cast()) };
    if tcp.is_null() {
        return;
    }
    let (rtt, total) = unsafe { ((*tcp).srtt_us >> 3, (*tcp).total_retrans) };
    if connection.birth == birth::UNSEEN {
        if connection.flags & flag::RETRANSMITS_KNOWN != 0 {
            let fresh = total.wrapping_sub(connection.retransmits);
            if fresh != 0 {
                count_tcp(connection, what::RETRANSMITS, u64::from(fresh));
            }
        }
        connection.flags |= flag::RETRANSMITS_KNOWN;
        connection.retransmits = total;
    }
    if rtt != 0 {
        let endpoint = crate::connection::endpoint(connection, connection.role);
        if let Some(cells) = latency(&endpoint, connection.request_settings, connection.route) {
            // SAFETY: a live map value.
            unsafe {
                crate::count::add(&raw mut (*cells).rtt_sum_us, u64::from(rtt));
                crate::count::add(&raw mut (*cells).rtt_count, 1);
            }
        }
    }
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
            // A client may close its half and still wait for the answer; a server that closes is gone.
            if connection.role == role::SERVER {
                return;
            }
        }
        if is_in_flight(connection) {
            end(connection, closed(connection.role, true, resets));
        }
        return;
    }
    if resets {
        count_tcp(connection, what::RESETS_SENT, 1);
    } else {
        connection.flags |= flag::LOCAL_CLOSED;
    }
    if is_in_flight(connection) {
        end(connection, closed(connection.role, peer_ended, resets));
    }
}

/// The segment reaches the listener, because it is the one that completes the handshake: with
/// TCP_DEFER_ACCEPT, or when the third ACK was lost. It will not be filtered again for the child.
#[inline(always)]
fn before_birth(segment: &Segment, ip: *const u8, is_v4: bool) {
    // SAFETY: the verifier knows `sk` is a socket.
    let cgroup = unsafe { bpf_sk_cgroup_id(segment.sk) };
    let remote = address(ip, is_v4, 12, 8);
    let local = address(ip, is_v4, 16, 24);
    if let Some(handshake) = HANDSHAKE.get_ptr_mut(0) {
        // SAFETY: this CPU's only element.
        unsafe {
            *handshake = Handshake {
                cgroup,
                remote_port: segment.remote_port,
                local_port: segment.local_port,
                pad: 0,
            };
        }
    }
    if segment.payload <= 12 {
        return;
    }
    let mut head = MaybeUninit::<u64>::uninit();
    // SAFETY: eight bytes into eight bytes.
    if unsafe { bpf_skb_load_bytes(segment.skb.cast(), segment.offset, head.as_mut_ptr().cast(), 8) } != 0 {
        return;
    }
    // SAFETY: just filled.
    let method = method(u64::from_be(unsafe { head.assume_init() }));
    if method == Method::None || method == Method::Http2 {
        return;
    }
    let mut connection = Connection {
        cgroup,
        port: segment.local_port,
        ..Connection::default()
    };
    if skb_netns() {
        // SAFETY: the program's own context.
        connection.netns = unsafe { bpf_get_netns_cookie(segment.skb.cast()) };
    }
    let key = PendingKey {
        netns: connection.netns,
        remote,
        local,
        remote_port: segment.remote_port,
        local_port: segment.local_port,
        pad: 0,
    };
    if let Some(earlier) = PENDING.get_ptr(&key) {
        // Sent again because the queue was full: it has waited since its first arrival.
        // SAFETY: a live map value.
        if unsafe { (*earlier).request_seq } == segment.seq {
            return;
        }
    }
    crate::connection::refresh(&mut connection, role::SERVER);
    let (request_end, flags) = bounds(segment, method);
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let pending = Pending {
        started_ns: now,
        last_byte_ns: now,
        settings: connection.settings,
        request_seq: segment.seq,
        request_end,
        route: route(segment, connection.settings),
        flags,
        pad: 0,
    };
    if PENDING.insert(&key, &pending, 0).is_err() {
        lose(loss::PENDING_FULL);
    }
    if connection.settings != 0 {
        source(&SourceKey {
            address: remote,
            settings: connection.settings,
            pad: 0,
        });
    }
}

/// A key of the prefix trie; its data is `RouteText`.
#[repr(C, align(8))]
struct RouteKey {
    prefix: u32,
    settings: u32,
    text: [u64; ROUTE_TEXT.div_ceil(8)],
}

/// The route of the request that this segment begins.
#[inline(always)]
fn route(segment: &Segment, settings: u32) -> u16 {
    if settings == 0 {
        return ROUTE_OTHER;
    }
    let Some(entry) = SETTINGS.get_ptr(settings) else {
        return ROUTE_OTHER;
    };
    // SAFETY: a live map value.
    let entry: &Settings = unsafe { &*entry };
    if entry.route_count == 0 {
        return ROUTE_OTHER;
    }
    let mut key = RouteKey {
        prefix: (4 + ROUTE_TEXT as u32) * 8,
        settings,
        text: [0; ROUTE_TEXT.div_ceil(8)],
    };
    let mut length = segment.payload;
    if length > ROUTE_TEXT as u32 {
        length = ROUTE_TEXT as u32;
    }
    // Keeps the lower bound of 1 visible to the verifier; 60 fits into the mask.
    let length = ((length.wrapping_sub(1)) & 63) + 1;
    // SAFETY: at most 64 bytes into 64.
    let found = unsafe {
        if bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset,
            (&raw mut key.text).cast(),
            length,
        ) != 0
        {
            return ROUTE_OTHER;
        }
        bpf_map_lookup_elem((&raw const ROUTES).cast_mut().cast(), (&raw const key).cast())
    };
    if found.is_null() {
        return ROUTE_OTHER;
    }
    // SAFETY: a live map value.
    unsafe { *found.cast::<u32>() as u16 }
}
