//! Requests that come in the SYN (TCP Fast Open).

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;

use slo_engine::measurement::{LossReason, Signal};
use slo_engine::service::WatchedService;
use support::{Place, Server, lost, read, route_value, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const SERVER: &str = r#"
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(5)
print("listening", flush=True)
while True:
    calls, _ = listener.accept()
    reader = calls.makefile("rb")
    while reader.readline():
        length = 0
        while (line := reader.readline()) != b"\r\n":
            if line.startswith(b"Content-Length:"):
                length = int(line[15:])
        assert len(reader.read(length)) == length
        calls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
"#;

/// An upload that begins in the SYN, and a request behind it; then one that is all in the SYN.
const CLIENT: &str = r#"
import socket, sys
there = ("127.0.0.1", int(sys.argv[1]))
def answer(calls):
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        more = calls.recv(1000)
        assert more, got
        got += more
for length in (200000, 10):
    calls = socket.socket()
    asked = b"POST /up HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length + b"b" * length
    sent = calls.sendto(asked, socket.MSG_FASTOPEN, there)
    calls.sendall(asked[sent:])
    answer(calls)
    calls.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    answer(calls)
    calls.close()
"#;

/// Clients send data in a SYN, servers take it, neither asks for a cookie.
const SWITCH: &str = "echo 519 > /proc/sys/net/ipv4/tcp_fastopen";

fn opened_fast(namespace: &Server) -> u64 {
    let file = format!("/proc/{}/net/netstat", namespace.child.id());
    let text = fs::read_to_string(file).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names
        .split(' ')
        .position(|name| name == "TCPFastOpenPassive")
        .unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

#[test]
fn requests_that_begin_in_the_syn_end_where_they_end() {
    let port = 8204;
    let place = Place::new("fastopen");
    let mut agent = place.agent();
    let service = WatchedService {
        routes: vec!["POST /up".parse().unwrap(), "GET /next".parse().unwrap()],
        ..watched("fast", port)
    };
    agent.watch(&[service]).unwrap();
    let namespace = place.server(&["127.0.0.1:8159"]);
    place.run(&namespace, "sh", &["-ec", SWITCH]);
    let port = port.to_string();
    let mut server = place.spawn(&namespace, "python3", &["-c", SERVER, &port]);
    server.said("listening");
    place.run(&namespace, "python3", &["-c", CLIENT, &port]);
    assert_eq!(opened_fast(&namespace), 2);
    let batch = read(&mut agent);
    let of = |route| route_value(&batch, "fast", route, Signal::Status(200));
    assert_eq!((of("POST /up"), of("GET /next")), (2, 2), "{batch:#?}");
    assert_eq!(value(&batch, "fast", Signal::Unknown), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
}
