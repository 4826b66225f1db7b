//! Segments that end so early that what they begin cannot be told yet.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::process::Command;

use probes::agent::Agent;
use program::{Scratch, certificate};
use slo_engine::measurement::{LossReason, Signal};
use support::by_hand::{ACK, PSH, Peer};
use support::stage::{GET, Stage};
use support::{Place, Server, eventually, lost, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// Answers each request; in two segments where its path says so.
const SERVES: &str = r#"
import re, threading
def serve(asked):
    asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held = b""
    while True:
        got = asked.recv(1000)
        if not got:
            return
        held += got
        while b"\r\n\r\n" in held:
            head, held = held.split(b"\r\n\r\n", 1)
            found = re.search(rb"/cut/(\d+)", head)
            cut = int(found[1]) if found else 0
            for piece in ANSWER[:cut], ANSWER[cut:]:
                asked.sendall(piece)
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
listener.listen(64)
threading.Thread(target=accept, daemon=True).start()
told()
"#;

/// Sends `request` from `at` on in two segments, and hears the answer. Where the next begins.
fn ask(peer: &mut Peer, at: u32, request: &[u8], cut: usize) -> u32 {
    let (first, rest) = request.split_at(cut);
    let behind = at + u32::try_from(cut).unwrap();
    let end = behind + u32::try_from(rest.len()).unwrap();
    if !first.is_empty() {
        peer.send(at, PSH | ACK, first);
    }
    peer.send(behind, PSH | ACK, rest);
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.extend(peer.answer().payload);
        peer.send(end, ACK, b"");
    }
    end
}

#[test]
fn a_request_or_its_answer_may_be_cut_anywhere() {
    let port = 8600;
    let mut stage = Stage::new("cuts", &watched("cuts", port), port, SERVES);
    let (mut local, mut requests) = (40_000, 0);
    // No byte of it, or some; with an empty line before it and without.
    for cut in 0..15 {
        for line in ["", "\r\n"] {
            let get = [line.as_bytes(), GET].concat();
            let mut peer = stage.namespace.beside(move || Peer::open(local, port));
            let end = ask(&mut peer, 0, &get, cut);
            ask(&mut peer, end, &get, cut);
            local += 1;
            requests += 2;
        }
        let get = format!("GET /cut/{cut} HTTP/1.1\r\n\r\n");
        let mut peer = stage.namespace.beside(move || Peer::open(local, port));
        ask(&mut peer, 0, get.as_bytes(), 0);
        local += 1;
        requests += 1;
    }
    let batch = stage.once("all are counted", |batch| {
        value(batch, "cuts", Signal::Status(200)) >= requests
    });
    assert_eq!(value(&batch, "cuts", Signal::Status(200)), requests);
    assert_eq!(value(&batch, "cuts", Signal::Answered), 0);
    assert_eq!(value(&batch, "cuts", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    stage.program.go_on();
    stage.program.end();
}

/// What a listener took is read once. Where that shows no method yet, requests are turns.
#[test]
fn a_request_of_which_a_listener_took_a_part_is_counted() {
    let port = 8601;
    let mut stage = Stage::new("cut-early", &watched("cuts", port), port, SERVES);
    let (mut local, mut requests) = (40_000, 0);
    for cut in 0..15 {
        for line in ["", "\r\n"] {
            let get = [line.as_bytes(), GET].concat();
            let mut peer = stage.namespace.beside(move || Peer::half_open(local, port));
            let end = ask(&mut peer, 0, &get, cut);
            ask(&mut peer, end, &get, cut);
            local += 1;
            requests += 2;
        }
    }
    let counted = |batch: &_| {
        [Signal::Status(200), Signal::Answered, Signal::Unknown].map(|signal| value(batch, "cuts", signal))
    };
    let batch = stage.once("all are counted", |batch| {
        counted(batch).iter().sum::<u64>() >= requests
    });
    let [statuses, turns, unknown] = counted(&batch);
    assert_eq!((statuses + turns, unknown), (requests, 0));
    // Of a method in one piece all is known.
    assert!(statuses >= 2 * 8, "{statuses} of {requests}");
    stage.program.go_on();
    stage.program.end();
}

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls_cuts.py");
const TURNS: u64 = 3;

/// What one connection adds to the turns of `service` whose client cuts `what`.
fn turns(agent: &mut Agent, server: &Server, (service, port): (&str, u16), what: &str, cut: usize) -> u64 {
    let before = value(&read(agent), service, Signal::Answered);
    let arguments = [
        port.to_string(),
        cut.to_string(),
        TURNS.to_string(),
        what.to_owned(),
    ];
    let mut command = Command::new("python3");
    command.arg(CLIENT).args(arguments);
    let output = server.beside(move || command.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    eventually("its turns are counted", || {
        let found = value(&read(agent), service, Signal::Answered) - before;
        (found >= TURNS).then_some(found)
    })
}

#[test]
fn a_record_of_tls_may_be_cut_anywhere() {
    let place = Place::new("tls-cuts");
    let scratch = Scratch::new();
    let both = certificate(&scratch);
    let mut agent = place.agent();
    let cases = [("old", 8602, "1.2"), ("new", 8603, "1.3")];
    agent
        .watch(&cases.map(|(name, port, _)| watched(name, port)))
        .unwrap();
    for (name, port, version) in cases {
        let server = place.peer(port, &["--certificate", &both, "--version", version]);
        for (what, cuts) in [
            ("line", &[1, 2, 3, 4, 5, 6, 20][..]),
            ("hello", &[2, 3, 4, 5, 6, 12, 50]),
            ("finished", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20]),
        ] {
            for cut in cuts {
                let found = turns(&mut agent, &server, (name, port), what, *cut);
                assert_eq!(found, TURNS, "{name}: {what} cut at {cut}");
            }
        }
    }
}

/// Switches, and says what it says of HTTP/2 in two segments, when it is told to; then answers what was asked before and behind it.
const SWITCHES: &str = r#"
asked, _ = listener.accept()
asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
asked.recv(1000)
asked.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
told()
# Settings that are as they always are: nine bytes.
asked.sendall(b"\0\0\0\x04\0\0\0\0\0")
told()
for stream in 1, 3:
    asked.sendall(b"\0\0\x01\x01\x05\0\0\0" + bytes([stream]) + b"\x88")
told()
"#;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: near\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// GET http://near/one
const REQUEST: &[u8] = b"\0\0\x0e\x01\x05\0\0\0\x03\x82\x86\x04\x04/one\x41\x04near";

/// What a client says of HTTP/2, cut there, before or behind what the server does.
fn upgrade(test: &str, port: u16, cuts: &[usize], client_first: bool) {
    let mut stage = Stage::new(test, &watched("shop", port), port, SWITCHES);
    let mut peer = stage.namespace.beside(move || Peer::open(50_640, port));
    peer.send(0, PSH | ACK, UPGRADE);
    assert!(peer.answer().payload.starts_with(b"HTTP/1.1 101"));
    let settings = |stage: &mut Stage, peer: &mut Peer| {
        stage.program.go_on();
        assert_eq!(peer.answer().payload.len(), 9);
    };
    if !client_first {
        settings(&mut stage, &mut peer);
    }
    let says = [PREFACE, REQUEST].concat();
    let place = |index: usize| u32::try_from(UPGRADE.len() + index).unwrap();
    let edges: Vec<usize> = [&[0], cuts, &[says.len()]].concat();
    for edge in edges.windows(2) {
        peer.send(place(edge[0]), PSH | ACK, &says[edge[0]..edge[1]]);
    }
    if client_first {
        settings(&mut stage, &mut peer);
    }
    stage.program.go_on();
    let mut heard = Vec::new();
    while heard.len() < 20 {
        heard.extend(peer.answer().payload);
        peer.send(place(says.len()), ACK, b"");
    }
    let batch = stage.once("all are counted", |batch| {
        value(batch, "shop", Signal::Status(200)) == 2
    });
    assert_eq!(value(&batch, "shop", Signal::Status(101)), 1);
    assert_eq!(value(&batch, "shop", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
    stage.program.go_on();
    stage.program.end();
}

#[test]
fn an_upgrade_whose_server_begins_with_nine_bytes_is_followed() {
    upgrade("h2-nine", 8610, &[], false);
}

#[test]
fn an_upgrade_whose_client_begins_with_less_than_a_preface_is_followed() {
    for (number, cuts) in [&[1][..], &[1, 2, 3], &[3], &[8], &[11]].iter().enumerate() {
        upgrade("h2-few", 8611 + u16::try_from(number).unwrap(), cuts, true);
    }
}
