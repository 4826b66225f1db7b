//! Segments that no well-behaved peer sends, or not in this order: who is to blame for what follows,
//! and since when a request has waited.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{net::TcpStream, process::Command, time::Duration};

use slo_engine::measurement::{Batch, Clock, Gauge, LossReason, ServiceName, Signal};
use support::by_hand::{ACK, FAR, FIN, NEAR, PSH, Peer, RST};
use support::stage::{GET, Stage};
use support::{Client, Place, Server, client_value, eventually, pause, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

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

/// Reads a request, and closes instead of answering it.
const SILENT: &str = r#"
asked, _ = listener.accept()
asked.recv(1000)
print("asked", flush=True)
told()
asked.close()
told()
"#;

/// Where the request ends.
const END: u32 = 30;
const _: () = assert!(GET.len() == END as usize);

/// What is counted of a server that closes without an answer, once its kernel has `seen` what the client
/// sent last.
fn closed_by_server(
    test: &str,
    port: u16,
    (place, flags): (u32, u8),
    seen: impl Fn(&Stage) -> bool,
) -> Batch {
    let mut stage = Stage::new(test, &watched("silent", port), port, SILENT);
    let mut peer = stage.asked(port);
    peer.send(place, flags, b"");
    eventually("the segment has been seen", || seen(&stage).then_some(()));
    stage.program.go_on();
    peer.answer();
    let batch = stage.once("the request has ended", |batch| {
        [
            Signal::ClosedUnanswered,
            Signal::ClientGaveUp,
            Signal::ResetByServer,
        ]
        .iter()
        .any(|signal| value(batch, "silent", *signal) > 0)
    });
    stage.program.go_on();
    stage.program.end();
    batch
}

#[test]
fn a_reset_that_tcp_ignores_blames_no_client() {
    // Within the window, but not where the next byte stands (RFC 5961).
    let batch = closed_by_server("forgedreset", 8161, (END + 100, RST), |stage| {
        stage.netstat("TCPChallengeACK") > 0
    });
    assert_eq!(value(&batch, "silent", Signal::ClosedUnanswered), 1);
    assert_eq!(value(&batch, "silent", Signal::ResetsReceived), 0);
}

#[test]
fn a_client_whose_last_bytes_are_missing_has_not_closed() {
    let batch = closed_by_server("earlyfin", 8162, (END + 10, FIN | ACK), |stage| {
        stage.netstat("TCPOFOQueue") > 0
    });
    assert_eq!(value(&batch, "silent", Signal::ClosedUnanswered), 1);
}

#[test]
fn a_client_that_has_closed_gave_up() {
    let batch = closed_by_server("infin", 8164, (END, FIN | ACK), |stage| {
        // The state of a socket whose peer has closed.
        stage.proc("net/tcp").contains(" 08 ")
    });
    assert_eq!(value(&batch, "silent", Signal::ClientGaveUp), 1);
}

#[test]
fn a_reset_is_counted_wherever_tcp_takes_it() {
    // Where the next byte stands; and one before a FIN, as some systems send it.
    for (port, does) in [
        (8165, &[(END, RST)][..]),
        (8166, &[(END, FIN | ACK), (END, RST)][..]),
    ] {
        let mut stage = Stage::new("reset", &watched("silent", port), port, SILENT);
        let peer = stage.asked(port);
        for (place, flags) in does {
            peer.send(*place, *flags, b"");
        }
        let batch = stage.once("the request has ended", |batch| {
            value(batch, "silent", Signal::ClientGaveUp) > 0
        });
        assert_eq!(value(&batch, "silent", Signal::ResetsReceived), 1, "{does:?}");
        stage.program.go_on();
        stage.program.go_on();
        stage.program.end();
    }
}

/// Says when it has read each of two.
const READS_ON: &str = r#"
asked, _ = listener.accept()
asked.recv(1000)
print("asked", flush=True)
asked.recv(1000)
print("more", flush=True)
told()
"#;

#[test]
fn a_connection_is_reset_once() {
    let port = 8171;
    // Of a socket whose birth nobody saw, a reset is believed as it passes; TCP ignores these.
    let open = |namespace: &Server| namespace.beside(move || Peer::open(50_171, port));
    let service = watched("again", port);
    let (mut stage, peer) = Stage::with_late_agent("resetagain", &service, port, READS_ON, open);
    peer.send(0, PSH | ACK, GET);
    stage.program.said("asked");
    for place in [END + 100, END + 200] {
        peer.send(place, RST, b"");
    }
    peer.send(END, PSH | ACK, b"x");
    stage.program.said("more");
    let batch = read(&mut stage.agent);
    assert_eq!(value(&batch, "again", Signal::ResetsReceived), 1);
    stage.program.go_on();
    stage.program.end();
}

/// Reads so many bytes, answers, and waits; twice.
const READS: &str = r#"
for _ in range(2):
    asked, _ = listener.accept()
    left = SIZE
    while left:
        left -= len(asked.recv(left))
    asked.sendall(ANSWER)
    told()
"#;

#[test]
fn an_upload_whose_header_comes_last_is_a_request() {
    const HEADER: &[u8] = b"POST /up HTTP/1.1\r\nContent-Length: 2000\r\n\r\n";
    let port = 8169;
    let mut service = watched("reads", port);
    service.routes = vec!["POST /up".parse().unwrap()];
    let size = HEADER.len() + 2000;
    let program = READS.replace("SIZE", &size.to_string());
    let mut stage = Stage::new("bodyfirst", &service, port, &program);
    let place = u32::try_from(HEADER.len()).unwrap();
    // Where the handshake's end was lost as well, the body is what makes the connection.
    for (open, number) in [(Peer::open as fn(u16, u16) -> Peer, 1), (Peer::half_open, 2)] {
        let mut peer = stage.namespace.beside(move || open(50_168 + number, port));
        peer.send(place + 1000, PSH | ACK, &[b'b'; 1000]);
        peer.send(place, PSH | ACK, &[b'b'; 1000]);
        peer.send(0, PSH | ACK, HEADER);
        assert!(peer.answer().payload.starts_with(b"HTTP/1.1 200"));
        let batch = stage.once("the request is counted", |batch| {
            let answers =
                value(batch, "reads", Signal::Status(200)) + value(batch, "reads", Signal::Answered);
            answers >= u64::from(number)
        });
        let status = support::route_value(&batch, "reads", "POST /up", Signal::Status(200));
        assert_eq!(status, u64::from(number));
        assert_eq!(value(&batch, "reads", Signal::Unknown), 0);
        stage.program.go_on();
    }
    stage.program.end();
}

/// Answers a handshake, and says how it went.
const SHAKES: &str = r#"
import ssl
asked, _ = listener.accept()
try:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(asked, server_side=True)
except ssl.SSLError as error:
    # Without a certificate there is nothing that both sides take.
    print("refused", error.reason, flush=True)
told()
"#;

/// What a client of TLS says first, in hexadecimal digits.
const HELLO: &str = r#"
import ssl
outgoing = ssl.MemoryBIO()
context = ssl.create_default_context()
client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="near")
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    print(outgoing.read().hex())
"#;

#[test]
fn a_handshake_whose_beginning_comes_last_is_no_turn() {
    let port = 8170;
    let mut stage = Stage::new("hellolast", &watched("shakes", port), port, SHAKES);
    let said = Command::new("python3").args(["-c", HELLO]).output().unwrap();
    let digits = String::from_utf8(said.stdout).unwrap();
    let hello: Vec<u8> = (0..digits.trim().len() / 2)
        .map(|byte| u8::from_str_radix(&digits[2 * byte..2 * byte + 2], 16).unwrap())
        .collect();
    let mut peer = stage.namespace.beside(move || Peer::open(50_170, port));
    peer.send(100, PSH | ACK, &hello[100..]);
    peer.send(0, PSH | ACK, &hello[..100]);
    assert_eq!(peer.answer().payload[0], 21, "an alert");
    stage.program.said("refused NO_SHARED_CIPHER");
    let batch = read(&mut stage.agent);
    assert_eq!(value(&batch, "shakes", Signal::Answered), 0);
    stage.program.go_on();
    stage.program.end();
}

/// Asks the peer, and says how long the answer was.
const CLIENT: &str = r#"
told()
calls = socket.create_connection((sys.argv[1], 8168))
calls.sendall(b"GET / HTTP/1.1\r\n\r\n")
print("answered", len(calls.recv(1000)), flush=True)
told()
"#;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_server_that_closes_has_answered_first() {
    let length = u32::try_from(ANSWER.len()).unwrap();
    let port = 8167;
    let mut service = watched("caller", port);
    // All that listens here is one service, so its cgroup is known when it calls.
    service.matches.extend(watched("caller", 8159).matches);
    let client = CLIENT.replace("sys.argv[1]", &format!("'{FAR}'"));
    let mut stage = Stage::new("finfirst", &service, port, &client);
    stage.once("its listeners are known", |batch| {
        support::gauge(batch, "caller", Gauge::AcceptBacklog).is_some_and(|backlog| backlog > 128.0)
    });
    let mut peer = stage.namespace.beside(|| Peer::listen(8168));
    stage.program.go_on();
    peer.accept();
    peer.answer();
    // The answer was lost on its way, and what follows it was not.
    peer.send(length, FIN | ACK, b"");
    peer.send(0, PSH | ACK, ANSWER);
    assert_eq!(stage.program.said("answered "), length.to_string());
    let batch = stage.once("the call has ended", |batch| {
        client_value(batch, "caller", Signal::Status(200))
            + client_value(batch, "caller", Signal::ClosedUnanswered)
            > 0
    });
    assert_eq!(client_value(&batch, "caller", Signal::Status(200)), 1);
    assert_eq!(client_value(&batch, "caller", Signal::ClosedUnanswered), 0);
    stage.program.go_on();
    stage.program.end();
}

/// Says one thing after another on one connection, each when it is told to.
const ASKS_ON: &str = r#"
told()
calls = socket.create_connection((FAR, PEER))
get = b"GET / HTTP/1.1\r\n\r\n"
post = b"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n"
body = 9 * b"cd"
for words in get, post + body[:SENT], body[SENT:], get:
    calls.sendall(words)
    told()
"#;

#[test]
fn a_connection_older_than_the_name_of_who_calls_loses_nothing_by_it() {
    call_before_the_name("oldcall", 8189, 8190, 2);
}

#[test]
fn the_end_of_an_upload_that_is_too_short_to_be_read_hides_no_request() {
    call_before_the_name("oldercall", 8191, 8192, 16);
}

/// Who calls gets its name when so much of an upload's body has been sent; what follows that is counted.
fn call_before_the_name(test: &str, port: u16, peer: u16, sent: usize) {
    let mut service = watched("caller", port);
    service.matches.extend(watched("caller", 8159).matches);
    let program = ASKS_ON
        .replace("FAR", &format!("'{FAR}'"))
        .replace("PEER", &peer.to_string())
        .replace("SENT", &sent.to_string());
    let mut stage = Stage::new(test, &service, port, &program);
    let mut peer = stage.namespace.beside(move || Peer::listen(peer));
    // Nobody has looked yet who listens, and so who calls.
    stage.program.go_on();
    peer.accept();
    let mut at = 0;
    for (number, is_whole) in [(0, true), (1, false), (2, true), (3, true)] {
        peer.answer();
        let answer = if is_whole { ANSWER } else { b"" };
        peer.send(at, PSH | ACK, answer);
        at += u32::try_from(answer.len()).unwrap();
        if number == 1 {
            stage.once("its listeners are known", |batch| {
                let backlog = support::gauge(batch, "caller", Gauge::AcceptBacklog);
                backlog.is_some_and(|backlog| backlog > 128.0)
            });
        }
        stage.program.go_on();
    }
    let batch = stage.once("the last request is counted", |batch| {
        client_value(batch, "caller", Signal::Status(200)) + client_value(batch, "caller", Signal::Answered)
            > 0
    });
    assert_eq!(client_value(&batch, "caller", Signal::Status(200)), 1);
    assert_eq!(client_value(&batch, "caller", Signal::Answered), 0);
    assert_eq!(support::lost(&batch, LossReason::Unparsable), 0);
    stage.program.end();
}

#[test]
fn what_is_lost_of_one_service_is_no_loss_of_another() {
    let place = Place::new("lostof");
    let mut agent = place.agent();
    agent
        .watch(&[watched("odd", 8180), watched("even", 8181)])
        .unwrap();
    let server = place.server(&["127.0.0.1:8180", "127.0.0.1:8181"]);
    server.beside(|| {
        assert_eq!(Client::connect("127.0.0.1:8181").get("/"), 200);
        // Nobody can tell where such a request ends.
        let mut odd = Client::connect("127.0.0.1:8180");
        odd.send("POST / HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(odd.answer(), Some(200));
    });
    let of = |batch: &Batch, service: Option<&str>| {
        let losses = batch.losses.iter();
        let of_service = losses.filter(|loss| loss.service.as_ref().map(ServiceName::as_str) == service);
        let unparsable = of_service.filter(|loss| loss.reason == LossReason::Unparsable);
        unparsable
            .map(|loss| (loss.value, loss.start_time))
            .collect::<Vec<_>>()
    };
    let lost = eventually("it is lost", || of(&read(&mut agent), Some("odd")).pop());
    assert_eq!(lost.0, 1);
    // The engine counts from zero what began after it first heard of this source.
    let began = read(&mut agent).losses;
    let pins = began
        .iter()
        .find(|loss| loss.service.is_none())
        .unwrap()
        .start_time;
    assert!(lost.1 > pins);
    drop(agent);
    let batch = read(&mut place.agent());
    assert_eq!(of(&batch, Some("odd")), [lost]);
    assert_eq!(of(&batch, Some("even")), []);
    assert!(of(&batch, None).iter().all(|(value, _)| *value == 0));
}
