//! A server by whose side a test speaks TCP by hand.

use std::fs;

use probes::agent::Agent;
use slo_engine::{measurement::Batch, service::WatchedService};

use super::{
    Inside, Place, Server,
    by_hand::{ACK, NEAR, PSH, Peer, wire},
    eventually, read,
};

pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: near\r\n\r\n";

/// A server that goes on when it is told to, a line a step; and the wire to its clients.
pub struct Stage {
    pub program: Inside,
    pub agent: Agent,
    // Its network namespace is the server's.
    pub namespace: Server,
    _place: Place,
}

impl Stage {
    pub fn new(test: &str, service: &WatchedService, port: u16, program: &str) -> Self {
        let place = Place::new(test);
        let agent = agent(&place, service);
        let (namespace, program) = play(&place, port, program);
        Self {
            program,
            agent,
            namespace,
            _place: place,
        }
    }

    /// The agent comes after what is done `before`.
    pub fn with_late_agent<T>(
        test: &str,
        service: &WatchedService,
        port: u16,
        program: &str,
        before: impl FnOnce(&Server) -> T,
    ) -> (Self, T) {
        let place = Place::new(test);
        let (namespace, program) = play(&place, port, program);
        let done = before(&namespace);
        let agent = agent(&place, service);
        let stage = Self {
            program,
            agent,
            namespace,
            _place: place,
        };
        (stage, done)
    }

    /// A connection of which the server has read a request, and has not answered it.
    pub fn asked(&mut self, port: u16) -> Peer {
        let peer = self.namespace.beside(move || Peer::open(50_000, port));
        peer.send(0, PSH | ACK, GET);
        self.program.said("asked");
        peer
    }

    pub fn once(&mut self, what: &str, holds: impl Fn(&Batch) -> bool) -> Batch {
        eventually(what, || {
            let batch = read(&mut self.agent);
            holds(&batch).then_some(batch)
        })
    }

    pub fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.namespace.child.id())).unwrap()
    }

    pub fn netstat(&self, name: &str) -> u64 {
        let text = self.proc("net/netstat");
        let mut rows = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let column = names.split(' ').position(|found| found == name).unwrap();
        values.split(' ').nth(column).unwrap().parse().unwrap()
    }
}

fn agent(place: &Place, service: &WatchedService) -> Agent {
    let mut agent = place.agent();
    agent.watch(std::slice::from_ref(service)).unwrap();
    agent
}

fn play(place: &Place, port: u16, program: &str) -> (Server, Inside) {
    let namespace = place.server(&["127.0.0.1:8159"]);
    namespace.beside(wire);
    let program = format!("{PRELUDE}\nlistener = listen('{NEAR}', {port})\n{program}");
    let mut program = place.spawn(&namespace, "python3", &["-c", &program]);
    program.said("listening");
    (namespace, program)
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
