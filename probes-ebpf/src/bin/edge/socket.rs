//! Connections: how they begin and end, and what TCP had to send again.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB,
        BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
        BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, bpf_sock_ops,
    },
    helpers::{bpf_ktime_get_ns, generated::bpf_get_netns_cookie},
    macros::sock_ops,
    programs::SockOpsContext,
};
use probes_ebpf::{
    conversation::unfollow,
    wire::{
        Connection, PendingKey, QUEUE, ROUTE_OTHER, asking, asks, birth, flag, protocol, role,
        spare::{BYTES_KNOWN, BYTES_RECEIVED},
        what,
    },
};

use crate::{
    connection::{count_tcp, find, find_or_create, forget, is_in_flight, refresh},
    count::{last_of, source},
    http2, http2_birth, last_byte,
    maps::{HANDSHAKE, HTTP2, LISTENED, PENDING, skb_netns, socket_netns},
    pipeline::{self, edge_end_next_of},
    request::{begin, closed},
    segment::{CLOSE_WAIT, LAST_ACK},
    tcp::{not_opened, opened, opening, over, sent_again},
    tls, turns,
};

/// `TCP_SYN_SENT`, `TCP_CLOSE`.
const SYN_SENT: u32 = 2;
const CLOSE: u32 = 7;

const FAMILY_V4: u32 = 2;

#[sock_ops]
pub fn edge_socket(context: SockOpsContext) -> u32 {
    let ops = context.ops;
    // SAFETY: the context's own field.
    let sk = unsafe { (*ops).__bindgen_anon_2.sk };
    if sk.is_null() {
        return 1;
    }
    let op = context.op();
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB || op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        let Some(connection) = find_or_create(sk.cast()) else {
            return 1;
        };
        // SAFETY: a live map value.
        let connection = unsafe { &mut *connection };
        let flags = BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;
        if context.set_cb_flags(flags as i32).is_err() {
            // Not a full socket: its end will be seen as that of a socket older than the probe.
            return 1;
        }
        if socket_netns() {
            // SAFETY: the program's own context.
            connection.netns = unsafe { bpf_get_netns_cookie(ops.cast()) };
        }
        if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
            connection.port = u32::from_be(context.remote_port()) as u16;
            if connection.protocol != protocol::UNDECIDED {
                forget(&raw const HTTP2, sk.cast());
                pipeline::forget(sk.cast());
            }
            opening(connection);
        } else {
            accepted(&context, connection);
        }
        return 1;
    }
    if op == BPF_SOCK_OPS_TCP_LISTEN_CB {
        if let Some(cell) = LISTENED.get_ptr_mut(0) {
            // SAFETY: a live map value; takes nothing.
            unsafe { ptr::write_volatile(cell, bpf_ktime_get_ns()) };
        }
        return 1;
    }
    let Some(connection) = find(sk.cast()) else {
        return 1;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        opened(connection);
    } else if op == BPF_SOCK_OPS_RETRANS_CB {
        let segments = context.arg(1);
        // SAFETY: the context's own field.
        if unsafe { (*ops).state } == SYN_SENT {
            count_tcp(connection, what::SYN_RETRANSMITS, u64::from(segments));
        } else if connection.birth != birth::UNSEEN {
            // Not of one that only programs before these have seen begin: it says so still, and is counted by differences.
            sent_again(connection, ops, context.arg(0), segments);
        }
    } else if op == BPF_SOCK_OPS_STATE_CB && context.arg(1) == CLOSE {
        ended(sk.cast(), connection, ops, context.arg(0));
    }
    1
}

#[inline(always)]
fn accepted(context: &SockOpsContext, connection: &mut Connection) {
    let local_port = context.local_port() as u16;
    let remote_port = u32::from_be(context.remote_port()) as u16;
    connection.birth = birth::ACCEPTED;
    connection.port = local_port;
    let mut opening = 0;
    if let Some(handshake) = HANDSHAKE.get_ptr(0) {
        // SAFETY: this CPU's only element.
        let handshake = unsafe { &*handshake };
        if handshake.remote_port == remote_port && handshake.local_port == local_port {
            connection.cgroup = handshake.cgroup;
            opening = handshake.opening;
            if handshake.hello != 0 {
                tls::born(connection, handshake);
            }
        }
    }
    connection.generation = 0;
    connection.spare[BYTES_RECEIVED] = BYTES_KNOWN;
    refresh(connection, role::SERVER);
    count_tcp(connection, what::ACCEPTED, 1);

    // Where the client begins. Its first segment may have passed on another CPU since the socket is there, and been read.
    // SAFETY: the context's own field.
    let next = unsafe { (*context.ops).rcv_nxt };
    if connection.asked == 0 {
        connection.asked = u64::from(next);
    }
    if opening != 0 {
        http2_birth::born(context.ops, connection, opening);
        if turns::is_opaque(connection) && connection.settings != 0 {
            let (remote, _) = addresses(context.ops, context.family() == FAMILY_V4);
            source(&remote, connection.settings, 1);
        }
        return;
    }

    let (remote, local) = addresses(context.ops, context.family() == FAMILY_V4);
    let key = PendingKey {
        // As the packet's side could tell it.
        netns: if skb_netns() { connection.netns } else { 0 },
        remote,
        local,
        remote_port,
        local_port,
        pad: 0,
    };
    let Some(pending) = PENDING.get_ptr(&key) else {
        return;
    };
    // SAFETY: a live map value, copied before it is removed.
    let pending = unsafe { *pending };
    let _ = PENDING.remove(&key);
    // Of an earlier connection that was never born, or of a bare segment: nobody asked that here.
    if next != pending.request_seq {
        return;
    }
    // Where packets do not tell their namespace, the listener's own name was not to be found.
    if connection.settings == pending.settings || connection.settings == 0 {
        connection.settings = pending.settings;
        connection.route = pending.route;
    } else {
        connection.route = ROUTE_OTHER;
    }
    connection.request_seq = pending.request_seq;
    connection.protocol = protocol::HTTP1;
    connection.request = pending.request;
    connection.asking = pending.asking;
    let start = u64::from(pending.request_seq);
    connection.asked = start + u64::from(pending.payload);
    connection.request_end = start + pending.length;
    if pending.asking & asking::CHUNKED != 0 {
        if connection.request_end == connection.asked {
            connection.request_end = 0;
        } else {
            // Some of the body has passed.
            unfollow(connection);
        }
    }
    begin(connection, role::SERVER, pending.started_ns, pending.last_byte_ns);
    if connection.asks & asks::LAST_BYTE != 0 {
        // SAFETY: the context's own field.
        let sk = unsafe { (*context.ops).__bindgen_anon_2.sk };
        if !sk.is_null() {
            let _ = pipeline::find_or_create(sk.cast(), connection);
        }
    }
    // Not before: whoever sends a bare segment may write any address on it.
    if connection.settings != 0 {
        source(&remote, connection.settings, 1);
    }
}

/// Remote and local address, as IPv6. Word by word: the verifier allows nothing else here.
#[inline(always)]
fn addresses(ops: *mut bpf_sock_ops, is_v4: bool) -> ([u32; 4], [u32; 4]) {
    // SAFETY: the context's own fields.
    unsafe {
        if is_v4 {
            let mapped = 0xffff_u32.to_be();
            (
                [0, 0, mapped, (*ops).remote_ip4],
                [0, 0, mapped, (*ops).local_ip4],
            )
        } else {
            let word = |from: *const u32| ptr::read_volatile(from);
            let (remote, local) = (&raw const (*ops).remote_ip6, &raw const (*ops).local_ip6);
            let (remote, local) = (remote.cast::<u32>(), local.cast::<u32>());
            (
                [
                    word(remote),
                    word(remote.add(1)),
                    word(remote.add(2)),
                    word(remote.add(3)),
                ],
                [
                    word(local),
                    word(local.add(1)),
                    word(local.add(2)),
                    word(local.add(3)),
                ],
            )
        }
    }
}

/// Apart, for its frame.
#[inline(never)]
fn last_of_source(connection: &mut Connection, ops: *mut bpf_sock_ops) {
    // SAFETY: the context's own field.
    let is_v4 = unsafe { (*ops).family } == FAMILY_V4;
    let (remote, _) = addresses(ops, is_v4);
    last_of(connection, &remote);
}

#[inline(always)]
fn ended(sk: *mut c_void, connection: &mut Connection, ops: *mut bpf_sock_ops, old: u32) {
    if old == SYN_SENT {
        not_opened(connection, ops);
        return;
    }
    if connection.birth == birth::UNSEEN {
        return;
    }
    over(connection, ops, old);
    last_of_source(connection, ops);
    if connection.asks & asks::LAST_BYTE != 0 {
        last_byte::cut(sk, connection);
    }
    if is_in_flight(connection) || connection.protocol == protocol::HTTP2 {
        let peer_reset = connection.flags & flag::PEER_RESET != 0;
        // Only then has TCP taken the peer's FIN, whatever has passed.
        let peer_closed = old == CLOSE_WAIT || old == LAST_ACK;
        let outcome = closed(connection, peer_reset || peer_closed, peer_reset || !peer_closed);
        if connection.protocol == protocol::HTTP2 {
            http2::closed(sk, connection, outcome);
            return;
        }
        let mut ended = 0;
        while ended <= QUEUE && edge_end_next_of(ops, u32::from(outcome)) != 0 {
            ended += 1;
        }
    }
}
