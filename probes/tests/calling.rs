//! How a service's own calls go, with a peer whose TCP is the test's: what connecting takes, what is sent, what is open.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use slo_engine::measurement::{Batch, Clock, Gauge, Role, Signal};
use support::{
    by_hand::{ACK, FAR, FIN, PSH, Peer},
    client_value, gauge, pause,
    stage::Stage,
    watched,
};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// Calls where it is told to, over and over: says how that went and how many microseconds it took, sends what it is told
/// and says how much came back by the end of the connection.
const CALLS: &str = r#"
import time
while port := sys.stdin.readline().strip():
    calls = socket.socket()
    began = time.monotonic()
    error = calls.connect_ex((FAR, int(port)))
    print("called", error, int((time.monotonic() - began) * 1e6), flush=True)
    if error == 0:
        calls.sendall(b"x" * int(sys.stdin.readline()))
        came = 0
        while more := calls.recv(65536):
            came += len(more)
        print("came", came, flush=True)
    calls.close()
"#;

fn caller(test: &str, port: u16) -> Stage {
    let mut service = watched("caller", port);
    // All that listens here is one service, so its cgroup is known when it calls.
    service.matches.extend(watched("caller", 8159).matches);
    let program = CALLS.replace("FAR", &format!("'{FAR}'"));
    let mut stage = Stage::new(test, &service, port, &program);
    stage.once("its listeners are known", |batch| {
        gauge(batch, "caller", Gauge::AcceptBacklog).is_some_and(|backlog| backlog > 128.0)
    });
    stage
}

/// The error's number, and how long it took.
fn called(stage: &mut Stage) -> (u32, Duration) {
    let said = stage.program.said("called ");
    let (error, took) = said.split_once(' ').unwrap();
    let took = Duration::from_micros(took.parse().unwrap());
    (error.parse().unwrap(), took)
}

fn open(batch: &Batch) -> Option<f64> {
    let found = batch.gauges.iter().find(|reading| {
        reading.service.as_str() == "caller"
            && reading.role == Role::Client
            && reading.gauge == Gauge::OpenConnections
    });
    found.map(|reading| reading.value)
}

/// How many connects were timed, and their sum.
fn connects(batch: &Batch) -> (u64, Duration) {
    let found = batch.histograms.iter().filter(|histogram| {
        histogram.service.as_str() == "caller"
            && histogram.role == Role::Client
            && histogram.clock == Clock::Connect
    });
    found.fold((0, Duration::ZERO), |(count, sum), histogram| {
        let more: u64 = histogram.buckets.iter().map(|(_, n)| n).sum();
        (count + more, sum + histogram.sum)
    })
}

#[test]
fn connecting_takes_until_the_answer_to_the_syn_is_here() {
    // Before the SYN would be sent again.
    const LATE: Duration = Duration::from_millis(300);
    let port = 8241;
    let mut stage = caller("late", port);
    let mut peer = stage.namespace.beside(|| Peer::listen(8242));
    stage.program.say("8242");
    peer.accept_after(|| pause(LATE));
    let (error, took) = called(&mut stage);
    assert_eq!(error, 0);
    let batch = stage.once("the connect is timed", |batch| connects(batch).0 > 0);
    let (count, sum) = connects(&batch);
    assert_eq!(count, 1);
    assert!(LATE <= sum && sum <= took, "{LATE:?} {sum:?} {took:?}");
}

#[test]
fn what_a_caller_sends_gets_and_keeps_open_is_counted() {
    const SENT: u32 = 1000;
    const ANSWER: &[u8] = &[b'y'; 700];
    let mut stage = caller("volume", 8243);
    let mut peer = stage.namespace.beside(|| Peer::listen(8244));
    stage.program.say("8244");
    peer.accept();
    assert_eq!(called(&mut stage).0, 0);
    stage.once("it is open", |batch| open(batch) == Some(1.0));
    stage.program.say(&SENT.to_string());
    let heard = u32::try_from(peer.answer().payload.len()).unwrap();
    assert_eq!(heard, SENT);
    peer.send(0, PSH | ACK, ANSWER);
    let bytes = |batch: &Batch| {
        [Signal::BytesSent, Signal::BytesReceived].map(|signal| client_value(batch, "caller", signal))
    };
    let expected = [u64::from(SENT), ANSWER.len() as u64];
    // By the walk over sockets, while the connection is open.
    stage.once("the bytes of an open connection", |batch| {
        bytes(batch) == expected
    });
    let end = u32::try_from(ANSWER.len()).unwrap();
    peer.send(end, FIN | ACK, b"");
    assert_eq!(stage.program.said("came "), ANSWER.len().to_string());
    while peer.answer().flags & FIN == 0 {}
    peer.send(end + 1, ACK, b"");
    let batch = stage.once("it is closed", |batch| open(batch) == Some(0.0));
    assert_eq!(bytes(&batch), expected, "a FIN is no byte");
    assert_eq!(client_value(&batch, "caller", Signal::Connected), 1);
}
