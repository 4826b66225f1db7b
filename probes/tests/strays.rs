//! Segments that say nothing: what keeps a silent connection alive, and what a reset brings along.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use slo_engine::measurement::{Batch, Gauge, Signal};
use support::{
    by_hand::{ACK, FAR, PSH, Peer, RST},
    client_value, eventually, gauge,
    stage::{GET, Stage},
    value, watched,
};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// In front of what is said next, on a connection that has said nothing yet.
const BEFORE: u32 = u32::MAX;

/// Some systems send one byte that was, to see whether somebody is there; before the first there is none.
fn keep_alive(stage: &Stage, peer: &mut Peer) {
    let before = stage.netstat("DelayedACKLost");
    peer.send(BEFORE, ACK, b"\0");
    // TCP has looked at it.
    eventually("it is acknowledged again", || {
        (stage.netstat("DelayedACKLost") > before).then_some(())
    });
}

const END: u32 = 30;
const _: () = assert!(GET.len() == END as usize);

fn all_closed(batch: &Batch, service: &str) -> bool {
    gauge(batch, service, Gauge::OpenConnections) == Some(0.0)
}

/// Accepts, and says when it may go on; answers two requests.
const ANSWERS: &str = r#"
asked, _ = listener.accept()
print("accepted", flush=True)
for _ in range(2):
    asked.recv(1000)
    asked.sendall(ANSWER)
told()
asked.close()
told()
"#;

fn ask_twice(peer: &mut Peer) {
    for number in 0..2 {
        peer.send(END * number, PSH | ACK, GET);
        assert!(peer.answer().payload.starts_with(b"HTTP/1.1 200"));
        peer.send(END * (number + 1), ACK, b"");
    }
}

#[test]
fn what_keeps_a_silent_connection_alive_is_no_word_of_it() {
    let port = 8630;
    let mut stage = Stage::new("alive", &watched("alive", port), port, ANSWERS);
    let mut peer = stage.namespace.beside(move || Peer::open(50_630, port));
    stage.program.said("accepted");
    keep_alive(&stage, &mut peer);
    ask_twice(&mut peer);
    counts_two(&mut stage);
}

#[test]
fn nor_is_it_on_one_that_is_older_than_the_probes() {
    let port = 8631;
    let service = watched("alive", port);
    let open = |namespace: &support::Server| namespace.beside(move || Peer::open(50_631, port));
    let (mut stage, mut peer) = Stage::with_late_agent("alive-late", &service, port, ANSWERS, open);
    stage.program.said("accepted");
    stage.once("who listens is known", |batch| {
        gauge(batch, "alive", Gauge::AcceptBacklog).is_some()
    });
    keep_alive(&stage, &mut peer);
    ask_twice(&mut peer);
    counts_two(&mut stage);
}

fn counts_two(stage: &mut Stage) {
    stage.program.go_on();
    let batch = stage.once("both are counted", |batch| {
        value(batch, "alive", Signal::Status(200)) + value(batch, "alive", Signal::Answered) >= 2
    });
    assert_eq!(value(&batch, "alive", Signal::Status(200)), 2);
    assert_eq!(value(&batch, "alive", Signal::Answered), 0);
    assert_eq!(value(&batch, "alive", Signal::Unknown), 0);
    stage.program.go_on();
}

/// Speaks first, answers each line, until nobody is there any more; twice.
const GREETS: &str = r#"
for _ in range(2):
    asked, _ = listener.accept()
    asked.sendall(b"220 ready\n")
    try:
        while asked.recv(1000):
            asked.sendall(b"250 fine\n")
    except ConnectionResetError:
        pass
    asked.close()
told()
"#;

#[test]
fn nor_is_it_where_the_server_speaks_first() {
    let port = 8632;
    let mut stage = Stage::new("alive-greets", &watched("greets", port), port, GREETS);
    // Whoever has answered once would have been meant to answer.
    let mut peer = stage.namespace.beside(move || Peer::open(50_632, port));
    assert_eq!(peer.answer().payload, b"220 ready\n");
    let line = b"HELO near, and all of you\n";
    peer.send(0, PSH | ACK, line);
    assert_eq!(peer.answer().payload, b"250 fine\n");
    peer.send(u32::try_from(line.len()).unwrap(), RST, b"");

    let mut peer = stage.namespace.beside(move || Peer::open(50_633, port));
    assert_eq!(peer.answer().payload, b"220 ready\n");
    keep_alive(&stage, &mut peer);
    peer.send(0, RST, b"");
    let batch = stage.once("both have ended", |batch| all_closed(batch, "greets"));
    assert_eq!(value(&batch, "greets", Signal::Answered), 1);
    assert_eq!(value(&batch, "greets", Signal::ClientGaveUp), 0);
    stage.program.go_on();
    stage.program.end();
}

/// Waits until nobody is there any more.
const WAITS: &str = r#"
asked, _ = listener.accept()
try:
    asked.recv(1000)
except ConnectionResetError:
    pass
told()
"#;

#[test]
fn what_a_client_says_in_a_reset_asks_for_nothing() {
    for (port, says) in [(8634, GET), (8635, &b"words for people: go away"[..])] {
        let mut stage = Stage::new("last-words", &watched("waits", port), port, WAITS);
        let peer = stage.namespace.beside(move || Peer::open(50_634, port));
        peer.send(0, RST | ACK, says);
        let batch = stage.once("it has ended", |batch| {
            value(batch, "waits", Signal::ResetsReceived) == 1 && all_closed(batch, "waits")
        });
        assert_eq!(value(&batch, "waits", Signal::ClientGaveUp), 0);
        assert_eq!(value(&batch, "waits", Signal::Answered), 0);
        stage.program.go_on();
        stage.program.end();
    }
}

/// Asks the peer, and says how that went.
const CALLS: &str = r#"
told()
calls = socket.create_connection(("FAR", PEER))
calls.sendall(b"ASKS")
try:
    print("answered", calls.recv(1000), flush=True)
except ConnectionResetError:
    print("reset", flush=True)
told()
"#;

#[test]
fn what_a_server_says_in_a_reset_answers_nothing() {
    for (port, asks, says) in [
        (
            8636,
            r"GET / HTTP/1.1\r\n\r\n",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
        ),
        (8638, r"say something-longer\n", b"words for people: go away"),
    ] {
        let mut service = watched("caller", port);
        // All that listens here is one service, so its cgroup is known when it calls.
        service.matches.extend(watched("caller", 8159).matches);
        let program = CALLS
            .replace("FAR", FAR)
            .replace("PEER", &(port + 1).to_string())
            .replace("ASKS", asks);
        let mut stage = Stage::new("reset-words", &service, port, &program);
        stage.once("its listeners are known", |batch| {
            gauge(batch, "caller", Gauge::AcceptBacklog).is_some_and(|backlog| backlog > 128.0)
        });
        let mut peer = stage.namespace.beside(move || Peer::listen(port + 1));
        stage.program.go_on();
        peer.accept();
        peer.answer();
        peer.send(0, RST | ACK, says);
        stage.program.said("reset");
        let batch = stage.once("the call has ended", |batch| {
            [Signal::Status(200), Signal::Answered, Signal::ResetByServer]
                .iter()
                .any(|signal| client_value(batch, "caller", *signal) > 0)
        });
        assert_eq!(client_value(&batch, "caller", Signal::ResetByServer), 1);
        stage.program.go_on();
        stage.program.end();
    }
}
