//! Accept queues: their depth, and what they turn away, against the kernel's own counters.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use probes::agent::Agent;
use slo_engine::measurement::{Batch, Gauge, Signal};
use support::{Place, Server, eventually, gauge, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// A client whose handshake may never end.
fn knock(address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: a plain socket; the descriptor is ours.
    let socket = unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = libc::socket(family, kind, 0);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    };
    let target = nix::sys::socket::SockaddrStorage::from(address);
    let started = nix::sys::socket::connect(socket.as_raw_fd(), &target);
    assert!(matches!(started, Ok(()) | Err(nix::errno::Errno::EINPROGRESS)));
    socket.into()
}

/// What `/proc/net/netstat` says in the server's namespace.
fn netstat(server: &Server) -> HashMap<String, u64> {
    let text = fs::read_to_string(format!("/proc/{}/net/netstat", server.child.id())).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("TcpExt:"))
        .map(|line| line.split(' ').skip(1).collect())
        .collect();
    let values = rows[1].iter().map(|value| value.parse().unwrap());
    rows[0]
        .iter()
        .map(|name| (*name).to_owned())
        .zip(values)
        .collect()
}

/// Depth and limit as `ss` shows them.
fn ss(server: &Server, port: u16) -> (f64, f64) {
    let text = server.beside(move || {
        let filter = format!("sport = :{port}");
        let output = std::process::Command::new("ss")
            .args(["-Hltn", &filter])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let mut fields = text
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

fn settled(agent: &mut Agent, server: &Server, service: &str) -> Batch {
    eventually("the listener's drops are all booked", || {
        let before = netstat(server)["ListenDrops"];
        let batch = read(agent);
        let found = (
            value(&batch, service, Signal::ListenDrops),
            netstat(server)["ListenDrops"],
        );
        (found == (before, before)).then_some(batch)
    })
}

#[test]
fn a_full_accept_queue_shows_its_depth_and_what_it_turned_away() {
    for address in ["127.0.0.1:8101", "[::1]:8101"] {
        let place = Place::new("queue");
        let mut agent = place.agent();
        agent
            .watch(&[watched("full", 8101), watched("idle", 8102)])
            .unwrap();
        let server = place.server(&[&format!("backlog=4:{address}"), "127.0.0.1:8102"]);
        eventually("both listeners are found", || {
            let batch = read(&mut agent);
            let is_there = |service| gauge(&batch, service, Gauge::AcceptBacklog).is_some();
            (is_there("full") && is_there("idle")).then_some(())
        });
        let clients = server.beside(move || (0..12).map(|_| knock(address)).collect::<Vec<_>>());
        // A queue of 4 holds 5; the others' handshakes are turned away, again and again.
        let overflows = eventually("the queue overflows", || {
            let overflows = netstat(&server)["ListenOverflows"];
            (ss(&server, 8101).0 == 5.0 && overflows >= 3).then_some(overflows)
        });
        let batch = settled(&mut agent, &server, "full");
        let shown = |service, what| gauge(&batch, service, what).unwrap();
        assert_eq!(
            (
                shown("full", Gauge::AcceptQueue),
                shown("full", Gauge::AcceptBacklog)
            ),
            ss(&server, 8101)
        );
        assert_eq!(shown("full", Gauge::AcceptBacklog), 4.0);
        assert_eq!(
            (
                shown("idle", Gauge::AcceptQueue),
                value(&batch, "idle", Signal::ListenDrops)
            ),
            (0.0, 0)
        );
        assert!(value(&batch, "full", Signal::ListenDrops) >= overflows);

        // Another agent takes over, and doubles nothing.
        drop(agent);
        let mut agent = place.agent();
        agent
            .watch(&[watched("full", 8101), watched("idle", 8102)])
            .unwrap();
        let batch = settled(&mut agent, &server, "full");
        assert_eq!(gauge(&batch, "full", Gauge::AcceptQueue), Some(5.0));

        // What was dropped stays counted when the listener is gone.
        drop(clients);
        let before = netstat(&server)["ListenDrops"];
        drop(server);
        let batch = read(&mut agent);
        assert!(value(&batch, "full", Signal::ListenDrops) >= before);
    }
}

#[test]
fn a_listener_older_than_the_probe_counts_from_its_first_sight() {
    let place = Place::new("oldqueue");
    let server = place.server(&["backlog=1:127.0.0.1:8103"]);
    let clients = server.beside(|| (0..6).map(|_| knock("127.0.0.1:8103")).collect::<Vec<_>>());
    eventually("the queue overflows", || {
        (netstat(&server)["ListenDrops"] >= 3).then_some(())
    });
    drop(clients);
    let before = netstat(&server)["ListenDrops"];
    let mut agent = place.agent();
    agent.watch(&[watched("old", 8103)]).unwrap();
    let first = read(&mut agent);
    let seen = value(&first, "old", Signal::ListenDrops);
    let since = netstat(&server)["ListenDrops"] - before;
    assert!(seen <= since, "{seen} were dropped before anybody looked");
    let _clients = server.beside(|| (0..6).map(|_| knock("127.0.0.1:8103")).collect::<Vec<_>>());
    eventually("more are dropped", || {
        (value(&read(&mut agent), "old", Signal::ListenDrops) > seen).then_some(())
    });
}
