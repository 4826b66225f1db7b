//! Requests of which segments come in another order, and more of them at once than find room: each is counted under
//! what it is, or as lost, and none under what another is.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use slo_engine::measurement::{LossReason, Signal};
use slo_engine::service::WatchedService;
use support::by_hand::{ACK, PSH, Peer};
use support::stage::{GET, Stage};
use support::{lost, read, route_value, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// Reads as many bytes as it is told, then answers; once, or each of several requests that many times. Reads and
/// hangs when it is to answer none.
const READS: &str = r#"
asked, _ = listener.accept()
for line in sys.stdin:
    left, answers = (int(word) for word in line.split())
    while left:
        left -= len(asked.recv(left))
    print("read", flush=True)
    asked.sendall(ANSWER * answers)
"#;

const HEAD: &[u8] = b"POST /up HTTP/1.1\r\nContent-Length: 2000\r\n\r\n";

fn routed(name: &str, port: u16, routes: &[&str]) -> WatchedService {
    WatchedService {
        routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        ..watched(name, port)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// A connection, and how far it has been used.
struct Asked {
    stage: Stage,
    peer: Peer,
    at: u32,
}

impl Asked {
    fn new(test: &str, service: &WatchedService, port: u16) -> Self {
        let stage = Stage::new(test, service, port, READS);
        let peer = stage.namespace.beside(move || Peer::open(50_200, port));
        Self { stage, peer, at: 0 }
    }

    /// Sends pieces that are so far ahead, and waits for so many answers to all of them.
    fn ask(&mut self, pieces: &[(u32, &[u8])], answers: u32) {
        let all: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        for (ahead, piece) in pieces {
            self.peer.send(self.at + ahead, PSH | ACK, piece);
        }
        self.stage.program.say(&format!("{all} {answers}"));
        self.stage.program.said("read");
        self.at += u32::try_from(all).unwrap();
        let mut heard = Vec::new();
        while heard.windows(4).filter(|end| end == b"\r\n\r\n").count() < answers as usize {
            heard.extend(self.peer.answer().payload);
            self.peer.send(self.at, ACK, b"");
        }
    }
}

#[test]
fn a_request_whose_header_comes_behind_its_body_is_that_request() {
    let port = 8200;
    let mut service = routed("late", port, &["POST /up", "GET /"]);
    service.timeout = Duration::from_millis(300);
    let mut asked = Asked::new("late", &service, port);
    let head = length(HEAD);
    asked.ask(&[(0, GET)], 1);
    asked.ask(
        &[(head + 1000, &[b'b'; 1000]), (head, &[b'b'; 1000]), (0, HEAD)],
        1,
    );
    asked.ask(&[(0, GET)], 1);
    // The body may go on behind what came too early.
    asked.ask(
        &[(head, &[b'b'; 1000]), (0, HEAD), (head + 1000, &[b'b'; 1000])],
        1,
    );
    asked.ask(&[(0, GET)], 1);
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "late", route, Signal::Status(200));
    assert_eq!((of("POST /up"), of("GET /")), (2, 3));
    // All of it is here, and nothing comes of it.
    asked.ask(
        &[(head + 1000, &[b'b'; 1000]), (head, &[b'b'; 1000]), (0, HEAD)],
        0,
    );
    let batch = asked.stage.once("it has timed out", |batch| {
        value(batch, "late", Signal::TimedOut) > 0
    });
    assert_eq!(route_value(&batch, "late", "POST /up", Signal::TimedOut), 1);
    assert_eq!(value(&batch, "late", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    asked.stage.program.end();
}

#[test]
fn a_header_of_which_the_middle_comes_last_is_one_request() {
    const HEAD: &[u8] = b"POST /up HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
    let port = 8205;
    let mut asked = Asked::new("middle", &routed("middle", port, &["POST /up", "GET /"]), port);
    let (head, body) = (length(HEAD), &[b'b'; 1000][..]);
    // Cut behind the request line, and before its method can be told; what comes early is of the header or the body.
    for first in [20, 4] {
        let (start, rest) = HEAD.split_at(first);
        let (middle, end) = rest.split_at(5);
        let at = length(start);
        asked.ask(&[(0, start), (at + 5, end), (at, middle), (head, body)], 1);
        asked.ask(&[(0, GET)], 1);
        asked.ask(&[(0, start), (head, body), (at, rest)], 1);
        asked.ask(&[(0, GET)], 1);
    }
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "middle", route, Signal::Status(200));
    assert_eq!((of("POST /up"), of("GET /")), (4, 4));
    assert_eq!(value(&batch, "middle", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    // A request behind the body is in what comes early, and is not looked for there.
    let early = [body, GET].concat();
    let (start, rest) = HEAD.split_at(20);
    asked.ask(&[(0, start), (head, &early), (20, rest)], 2);
    asked.ask(&[(0, GET)], 1);
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "middle", route, Signal::Status(200));
    assert_eq!((of("POST /up"), of("GET /")), (5, 5));
    assert_eq!(value(&batch, "middle", Signal::Unknown), 1);
    assert_eq!(lost(&batch, LossReason::Unparsable), 1);
    asked.stage.program.end();
}

#[test]
fn requests_that_are_missing_with_the_end_of_a_header_give_nobody_their_answers() {
    const HEAD: &[u8] = b"POST /up HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    let port = 8206;
    let mut asked = Asked::new(
        "behind",
        &routed("behind", port, &["POST /up", "GET /", "GET /none"]),
        port,
    );
    let none = b"GET /none HTTP/1.1\r\nHost: near\r\n\r\n";
    // Too little is missing for a request.
    let (start, end) = HEAD.split_at(HEAD.len() - 16);
    asked.ask(&[(0, start), (length(HEAD), GET), (length(start), end)], 2);
    let counted = |asked: &mut Asked| {
        let batch = read(&mut asked.stage.agent);
        let of = |route| route_value(&batch, "behind", route, Signal::Status(200));
        (
            [of("POST /up"), of("GET /"), of("GET /none")],
            value(&batch, "behind", Signal::Unknown),
            lost(&batch, LossReason::Unparsable),
        )
    };
    assert_eq!(counted(&mut asked), ([1, 1, 0], 0, 0));
    let (start, end) = HEAD.split_at(20);
    let rest = [end, none].concat();
    let more = length(HEAD) + length(none);
    asked.ask(&[(0, start), (more, GET), (length(start), &rest)], 3);
    assert_eq!(counted(&mut asked), ([2, 1, 0], 2, 2));
    // How many were missing, nobody knows.
    asked.ask(&[(0, GET)], 1);
    assert_eq!(counted(&mut asked), ([2, 1, 0], 3, 3));
    asked.stage.program.end();
}

#[test]
fn what_cannot_be_read_for_its_order_is_counted_as_lost() {
    let port = 8201;
    let mut asked = Asked::new("unread", &routed("unread", port, &["POST /up", "GET /"]), port);
    asked.ask(&[(0, GET)], 1);
    // A header of which the second part comes first.
    let (first, second) = HEAD.split_at(30);
    let head = length(HEAD);
    asked.ask(
        &[
            (30, second),
            (0, first),
            (head, &[b'b'; 1000]),
            (head + 1000, &[b'b'; 1000]),
        ],
        1,
    );
    asked.ask(&[(0, GET)], 1);
    let batch = read(&mut asked.stage.agent);
    assert_eq!(route_value(&batch, "unread", "POST /up", Signal::Status(200)), 1);
    assert_eq!(route_value(&batch, "unread", "GET /", Signal::Status(200)), 2);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    // Two requests, the second first.
    asked.ask(&[(length(GET), GET), (0, GET)], 2);
    let batch = read(&mut asked.stage.agent);
    assert_eq!(route_value(&batch, "unread", "GET /", Signal::Status(200)), 3);
    assert_eq!(value(&batch, "unread", Signal::Unknown), 1);
    assert_eq!(lost(&batch, LossReason::Unparsable), 1);
    asked.stage.program.end();
}

#[test]
fn no_request_is_given_the_answer_of_one_that_found_no_room() {
    let port = 8202;
    let mut asked = Asked::new("deep", &routed("deep", port, &["GET /none", "GET /"]), port);
    let none = b"GET /none HTTP/1.1\r\nHost: near\r\n\r\n";
    let many = GET.repeat(35);
    // One is in flight, 64 wait.
    asked.ask(&[(0, &many), (length(&many), &many)], 10);
    // There is room again, and five answers are ahead that nobody waits for.
    asked.ask(&[(0, &none.repeat(5))], 60);
    asked.ask(&[], 5);
    asked.ask(&[(0, none)], 1);
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "deep", route, Signal::Status(200));
    assert_eq!((of("GET /"), of("GET /none")), (65, 1));
    assert_eq!(value(&batch, "deep", Signal::Unknown), 10);
    assert_eq!(lost(&batch, LossReason::Unparsable), 10);
    asked.stage.program.end();
}

#[test]
fn a_segment_of_more_requests_than_are_read_gives_nobody_their_answers() {
    let port = 8203;
    let mut asked = Asked::new("deeper", &routed("deeper", port, &["GET /none", "GET /"]), port);
    let none = b"GET /none HTTP/1.1\r\nHost: near\r\n\r\n";
    let bare = b"GET / HTTP/1.1\n\n";
    // 66 requests, empty lines, five more: too many parts.
    let many = [&bare.repeat(66)[..], &b"\n".repeat(70), &bare.repeat(5)].concat();
    asked.ask(&[(0, &many)], 66);
    asked.ask(&[(0, none)], 6);
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "deeper", route, Signal::Status(200));
    assert_eq!((of("GET /"), of("GET /none")), (65, 0));
    assert_eq!(value(&batch, "deeper", Signal::Unknown), 7);
    asked.stage.program.end();
}

#[test]
fn a_segment_of_as_many_parts_as_are_read_is_read() {
    let port = 8204;
    let mut asked = Asked::new("full", &routed("full", port, &["GET /none", "GET /"]), port);
    // One is in flight, 64 wait; and 63 empty lines.
    let many = [&b"GET / HTTP/1.1\n\n".repeat(65)[..], &b"\n".repeat(63)].concat();
    asked.ask(&[(0, &many)], 65);
    asked.ask(&[(0, b"GET /none HTTP/1.1\r\nHost: near\r\n\r\n")], 1);
    let batch = read(&mut asked.stage.agent);
    let of = |route| route_value(&batch, "full", route, Signal::Status(200));
    assert_eq!((of("GET /"), of("GET /none")), (65, 1));
    assert_eq!(value(&batch, "full", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    asked.stage.program.end();
}
