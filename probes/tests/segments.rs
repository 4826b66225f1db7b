//! Segments that no well-behaved client sends, or not in this order: who is to blame for what follows,
//! and since when a request has waited.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{fs, net::TcpStream, time::Duration};

use probes::agent::Agent;
use slo_engine::measurement::{Batch, Clock, Signal};
use slo_engine::service::WatchedService;
use support::by_hand::{ACK, NEAR, PSH, Peer, wire};
use support::{Inside, Place, Server, eventually, pause, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: near\r\n\r\n";

/// A server that goes on when it is told to, a line a step; and the wire to its clients.
struct Stage {
    program: Inside,
    agent: Agent,
    // Its network namespace is the server's.
    namespace: Server,
    _place: Place,
}

impl Stage {
    fn new(test: &str, service: &WatchedService, port: u16, program: &str) -> Self {
        let place = Place::new(test);
        let mut agent = place.agent();
        agent.watch(std::slice::from_ref(service)).unwrap();
        let namespace = place.server(&["127.0.0.1:8159"]);
        namespace.beside(wire);
        let program = format!("{PRELUDE}\nlistener = listen('{NEAR}', {port})\n{program}");
        let mut program = place.spawn(&namespace, "python3", &["-c", &program]);
        program.said("listening");
        Self {
            program,
            agent,
            namespace,
            _place: place,
        }
    }

    fn once(&mut self, what: &str, holds: impl Fn(&Batch) -> bool) -> Batch {
        eventually(what, || {
            let batch = read(&mut self.agent);
            holds(&batch).then_some(batch)
        })
    }

    fn netstat(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/net/netstat", self.namespace.child.id())).unwrap();
        let mut rows = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let column = names.split(' ').position(|found| found == name).unwrap();
        values.split(' ').nth(column).unwrap().parse().unwrap()
    }
}

const PRELUDE: &str = r#"
import os, signal, socket, sys
def listen(address, port):
    listener = socket.create_server((address, port), backlog=4)
    print("listening", flush=True)
    return listener
def told():
    sys.stdin.readline()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
"#;

const FULL: &str = r#"
told()
for _ in range(5):
    listener.accept()[0].close()
print("room", flush=True)
asked, _ = listener.accept()
asked.recv(1000)
asked.sendall(ANSWER)
told()
"#;

#[test]
fn a_request_waits_since_the_full_queue_turned_it_away() {
    let port = 8160;
    let mut service = watched("full", port);
    service.thresholds = vec![(Clock::Turnaround, Duration::from_millis(400))];
    let mut stage = Stage::new("turned", &service, port, FULL);
    let mut peer = stage.namespace.beside(move || Peer::half_open(50_160, port));
    let fillers: Vec<TcpStream> = stage.namespace.beside(move || {
        (0..5)
            .map(|_| TcpStream::connect((NEAR, port)).unwrap())
            .collect()
    });
    peer.send(0, ACK, b"");
    eventually("the queue is full", || {
        (stage.netstat("ListenOverflows") > 0).then_some(())
    });
    peer.send(0, PSH | ACK, GET);
    pause(Duration::from_millis(500));
    stage.program.go_on();
    stage.program.said("room");
    drop(fillers);
    // The server's SYN-ACK comes again, and is acknowledged; the request comes after it.
    peer.send(0, ACK, b"");
    peer.send(0, PSH | ACK, GET);
    assert!(peer.answer().payload.starts_with(b"HTTP/1.1 200"));
    let batch = stage.once("the request is counted", |batch| {
        value(batch, "full", Signal::Status(200)) == 1
    });
    let (clock, threshold) = service.thresholds[0];
    assert_eq!(value(&batch, "full", Signal::Over { clock, threshold }), 1);
    assert_eq!(value(&batch, "full", Signal::Within { clock, threshold }), 0);
    stage.program.go_on();
    stage.program.end();
}
