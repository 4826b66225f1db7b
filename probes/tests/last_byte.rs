//! When the last byte of an answer leaves, by each rule that ends one; and requests that are meant to wait.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use probes::agent::Agent;
use slo_engine::measurement::{Batch, Clock, Gauge, LossReason, Signal};
use slo_engine::service::{LongPoll, WatchedService};
use support::by_hand::{ACK, FAR, PSH, Peer};
use support::stage::Stage;
use support::{
    Inside, Place, Server, client_value, eventually, gauge, lost, pause, read, route_value, value, watched,
};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// Answers in two parts, the second after the time in the path; how the end is told is in the path, too.
const SERVER: &str = r#"
import socket, sys, threading, time
def part(kind, n):
    if kind == "chunked":
        return [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"lo\r\n0\r\n\r\n"][n]
    if kind == "close":
        return [b"HTTP/1.0 200 OK\r\n\r\nhel", b"lo"][n]
    status = b"500 No" if kind == "error" else b"200 OK"
    return [b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhel", b"lo"][n]
def crumbs():
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 300 + b"0\r\n\r\n"
def converse(connection):
    reader = connection.makefile("rb")
    while line := reader.readline():
        method, path, _ = line.decode().split()
        while reader.readline() != b"\r\n":
            pass
        _, kind, ms = path.split("/")
        if kind == "crumbs":
            connection.sendall(crumbs())
            continue
        if kind == "wait":
            time.sleep(int(ms) / 1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            continue
        if method == "HEAD" or kind == "empty":
            status = b"204 No" if kind == "empty" else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            continue
        connection.sendall(part(kind, 0))
        time.sleep(int(ms) / 1000)
        if kind == "cut":
            break
        connection.sendall(part(kind, 1))
        if kind == "close":
            break
    connection.shutdown(socket.SHUT_RDWR)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=converse, args=(connection,), daemon=True).start()
"#;

/// Sends each line of its own input as one connection's requests, and says how each connection ended.
const CLIENT: &str = r#"
import socket, sys, threading
def ask(orders):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for order in orders.split(","):
        connection.sendall(order.encode() + b" HTTP/1.1\r\nHost: t\r\n\r\n")
        got = b""
        while not got.endswith((b"lo", b"0\r\n\r\n")):
            more = connection.recv(1000)
            if not more:
                break
            got += more
threads = [threading.Thread(target=ask, args=(orders,)) for orders in sys.argv[2:]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"#;

const LATE: Duration = Duration::from_millis(1500);

fn stage(test: &str, service: &WatchedService, port: u16) -> (Place, Agent, Server, Inside) {
    let place = Place::new(test);
    let mut agent = place.agent();
    agent.watch(std::slice::from_ref(service)).unwrap();
    let namespace = place.server(&["127.0.0.1:8179"]);
    let mut server = place.spawn(&namespace, "python3", &["-c", SERVER, &port.to_string()]);
    server.said("listening");
    (place, agent, namespace, server)
}

fn ask(place: &Place, namespace: &Server, port: u16, connections: &[&str]) {
    let port = port.to_string();
    let mut arguments = vec!["-c", CLIENT, &port];
    arguments.extend(connections);
    place.run(namespace, "python3", &arguments);
}

/// Answers whose time was taken on a clock.
fn timed(batch: &Batch, service: &str, clock: Clock) -> u64 {
    let histograms = batch.histograms.iter();
    histograms
        .filter(|histogram| histogram.service.as_str() == service && histogram.clock == clock)
        .flat_map(|histogram| &histogram.buckets)
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn an_answer_lasts_until_its_last_byte_has_left() {
    let port = 8170;
    let clock = Clock::LastByte;
    let service = WatchedService {
        thresholds: vec![(clock, LATE)],
        ..watched("parts", port)
    };
    let (within, over) = (
        Signal::Within {
            clock,
            threshold: LATE,
        },
        Signal::Over {
            clock,
            threshold: LATE,
        },
    );
    let (place, mut agent, namespace, _server) = stage("parts", &service, port);
    let connections = [
        // Quick, by each rule that ends an answer; the next request on a connection shows that it had ended.
        "GET /length/0,GET /chunked/0,HEAD /length/0,GET /empty/0,GET /length/0",
        "GET /close/0",
        // Too slow, though their first bytes are not.
        "GET /length/2000",
        "GET /chunked/2000",
        "GET /close/2000",
        // Neither: a server error, and an answer that was cut off in time.
        "GET /error/0",
        "GET /cut/0",
        // Cut off too late.
        "GET /cut/2000",
    ];
    ask(&place, &namespace, port, &connections);
    let batch = eventually("all answers have ended", || {
        let batch = read(&mut agent);
        let open = gauge(&batch, "parts", Gauge::OpenConnections);
        (open == Some(0.0)).then_some(batch)
    });
    assert_eq!(value(&batch, "parts", within), 6);
    assert_eq!(value(&batch, "parts", over), 4);
    let answered = [200, 204, 500].map(|status| value(&batch, "parts", Signal::Status(status)));
    assert_eq!(answered, [10, 1, 1]);
    // All that came whole.
    assert_eq!(timed(&batch, "parts", clock), 10);
    assert_eq!(timed(&batch, "parts", Clock::Turnaround), 12);
}

#[test]
fn an_answer_that_hangs_halfway_is_over_while_it_hangs() {
    let port = 8171;
    let clock = Clock::LastByte;
    let threshold = Duration::from_millis(300);
    let service = WatchedService {
        thresholds: vec![(clock, threshold)],
        ..watched("halfway", port)
    };
    let (place, mut agent, namespace, _server) = stage("halfway", &service, port);
    let arguments = ["-c", CLIENT, &port.to_string(), "GET /length/600000"];
    let client = place.spawn(&namespace, "python3", &arguments);
    let over = Signal::Over { clock, threshold };
    eventually("it is over", || {
        (value(&read(&mut agent), "halfway", over) == 1).then_some(())
    });
    drop(client);
    let batch = eventually("its client has gone", || {
        let batch = read(&mut agent);
        assert_eq!(value(&batch, "halfway", over), 1);
        // The server does not know yet, so the connection is open.
        (value(&batch, "halfway", Signal::Status(200)) == 1).then_some(batch)
    });
    assert_eq!(timed(&batch, "halfway", clock), 0);
}

/// An answer is lost, once; and is not `over` when it would have been.
fn is_lost_alone(agent: &mut Agent, over: impl Fn(&Batch) -> u64) {
    let of = |batch: &Batch| lost(batch, LossReason::Unparsable);
    eventually("it is lost", || (of(&read(agent)) > 0).then_some(()));
    pause(2 * SOON);
    let batch = read(agent);
    assert_eq!((of(&batch), over(&batch)), (1, 0));
}

const SOON: Duration = Duration::from_millis(300);

/// Reads an answer to its end, and keeps the connection.
const HOLDER: &str = r#"
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(b"GET /crumbs/0 HTTP/1.1\r\nHost: t\r\n\r\n")
got = b""
while not got.endswith(b"0\r\n\r\n"):
    got += connection.recv(100000)
sys.stdin.readline()
"#;

#[test]
fn an_answer_whose_end_cannot_be_found_is_lost_and_not_late() {
    let port = 8174;
    let (clock, threshold) = (Clock::LastByte, SOON);
    let service = WatchedService {
        thresholds: vec![(clock, threshold)],
        ..watched("crumbs", port)
    };
    let (place, mut agent, namespace, _server) = stage("crumbs", &service, port);
    // All chunks are in one segment; the connection stays open behind them.
    let arguments = ["-c", HOLDER, &port.to_string()];
    let client = place.spawn(&namespace, "python3", &arguments);
    let over = Signal::Over { clock, threshold };
    is_lost_alone(&mut agent, |batch| value(batch, "crumbs", over));
    drop(client);
}

/// Asks the peer, reads all of the answer, and keeps the connection.
const CALLER: &str = r#"
told()
calls = socket.create_connection((sys.argv[1], 8176))
calls.sendall(b"GET / HTTP/1.1\r\n\r\n")
left = LENGTH
while left:
    left -= len(calls.recv(left))
print("answered", flush=True)
told()
"#;

#[test]
fn an_answer_of_which_a_segment_comes_late_is_lost_to_its_caller_and_not_late() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n";
    let port = 8175;
    let (clock, threshold) = (Clock::LastByte, SOON);
    let mut service = WatchedService {
        thresholds: vec![(clock, threshold)],
        ..watched("caller", port)
    };
    // All that listens here is one service, so its cgroup is known when it calls.
    service.matches.extend(watched("caller", 8159).matches);
    let program = CALLER.replace("LENGTH", &(HEAD.len() + 3000).to_string());
    let program = program.replace("sys.argv[1]", &format!("'{FAR}'"));
    let mut stage = Stage::new("calledlate", &service, port, &program);
    stage.once("its listeners are known", |batch| {
        gauge(batch, "caller", Gauge::AcceptBacklog).is_some_and(|backlog| backlog > 128.0)
    });
    let mut peer = stage.namespace.beside(|| Peer::listen(8176));
    stage.program.go_on();
    peer.accept();
    peer.answer();
    peer.send(0, PSH | ACK, &[HEAD, &[b'b'; 1000]].concat());
    let at = u32::try_from(HEAD.len()).unwrap() + 1000;
    peer.send(at + 1000, PSH | ACK, &[b'b'; 1000]);
    peer.send(at, PSH | ACK, &[b'b'; 1000]);
    stage.program.said("answered");
    let over = Signal::Over { clock, threshold };
    is_lost_alone(&mut stage.agent, |batch| client_value(batch, "caller", over));
    let batch = read(&mut stage.agent);
    assert_eq!(client_value(&batch, "caller", Signal::Status(200)), 1);
    stage.program.go_on();
    stage.program.end();
}

#[test]
fn requests_that_are_meant_to_wait_are_counted_and_never_late() {
    let (clock, threshold) = (Clock::Turnaround, Duration::from_millis(50));
    let over = Signal::Over { clock, threshold };
    for (port, long_poll, is_all) in [
        (8172, LongPoll::Routes(vec!["GET /wait/".parse().unwrap()]), false),
        (8173, LongPoll::All, true),
    ] {
        let service = WatchedService {
            thresholds: vec![(clock, threshold)],
            routes: vec!["GET /wait/".parse().unwrap(), "GET /length/".parse().unwrap()],
            // Past which requests in flight have failed.
            timeout: Duration::from_millis(200),
            long_poll,
            ..watched("news", port)
        };
        let (place, mut agent, namespace, _server) = stage("news", &service, port);
        let arguments = ["-c", CLIENT, &port.to_string(), "GET /wait/1000,GET /length/0"];
        let client = place.spawn(&namespace, "python3", &arguments);
        let in_flight = eventually("it waits", || {
            let batch = read(&mut agent);
            gauge(&batch, "news", Gauge::InFlight)
                .is_some_and(|count| count > 0.0)
                .then_some(batch)
        });
        pause(Duration::from_millis(400));
        assert_eq!(gauge(&in_flight, "news", Gauge::Overdue), Some(0.0));
        assert_eq!(value(&read(&mut agent), "news", Signal::TimedOut), 0);
        let batch = eventually("both are answered", || {
            let batch = read(&mut agent);
            (value(&batch, "news", Signal::Status(200)) == 2).then_some(batch)
        });
        client.end();
        assert_eq!(route_value(&batch, "news", "GET /wait/", Signal::Status(200)), 1);
        assert_eq!(route_value(&batch, "news", "GET /wait/", over), 0);
        assert_eq!(value(&batch, "news", Signal::TimedOut), 0);
        assert_eq!(timed(&batch, "news", clock), u64::from(!is_all));
    }
}
