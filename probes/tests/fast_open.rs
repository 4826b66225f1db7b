//! Connections that begin as few do: with a request in the SYN (TCP Fast Open), or on a socket that was connected before.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{fs, net::TcpStream};

use probes::agent::Agent;
use program::{Scratch, certificate};

use slo_engine::measurement::{Batch, Gauge, LossReason, Role, Signal};
use slo_engine::service::WatchedService;
use support::{
    Inside, Place, Server, client_value, eventually, gauge, lost, of_role, read, route_value, value, watched,
};

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
    try:
        while reader.readline():
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.startswith(b"Content-Length:"):
                    length = int(line[15:])
            assert len(reader.read(length)) == length
            calls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except ConnectionResetError:
        pass
    reader.close()
    calls.close()
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

const ASKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/asks.py");
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/peer.py");

/// Servers of a protocol each, and who calls them: all of it is one service.
struct Town {
    agent: Agent,
    namespace: Server,
    servers: Vec<String>,
    _running: Vec<Inside>,
    _scratch: Scratch,
    // Its cgroup goes when nobody is in it any more.
    place: Place,
}

impl Town {
    fn new(test: &str, port: u16, switch: &str) -> Self {
        let place = Place::new(test);
        let mut agent = place.agent();
        let [http1, http2, line, tls] = [0, 1, 2, 3].map(|number| port + number);
        let matches = [8159, http1, http2, line, tls].map(|port| format!("port:{port}").parse().unwrap());
        let service = WatchedService {
            matches: matches.into(),
            ..watched("town", port)
        };
        agent.watch(&[service]).unwrap();
        let scratch = Scratch::new();
        fs::write(scratch.0.join("one"), "1").unwrap();
        let files = scratch.0.to_str().unwrap();
        let both = certificate(&scratch);
        let namespace = place.server(&["127.0.0.1:8159"]);
        place.run(&namespace, "sh", &["-ec", switch]);
        let ports = [http1, http2, line, tls].map(|port| port.to_string());
        let commands = [
            &["python3", "-c", SERVER, &ports[0]][..],
            &["nghttpd", "--no-tls", "-d", files, &ports[1]],
            &["python3", PEER, "--port", &ports[2]],
            &["python3", PEER, "--port", &ports[3], "--certificate", &both],
        ];
        let running = commands.map(|command| place.spawn(&namespace, command[0], &command[1..]));
        for port in [http1, http2, line, tls] {
            namespace.beside(move || {
                eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
            });
        }
        let mut town = Self {
            place,
            agent,
            namespace,
            servers: ["http1", "http2", "line", "tls"]
                .iter()
                .zip(port..)
                .map(|(kind, port)| format!("{kind},{port}"))
                .collect(),
            _running: running.into(),
            _scratch: scratch,
        };
        // It is known by its cgroup when it calls, once all that listens there is.
        eventually("the caller is known", || {
            town.place
                .run(&town.namespace, "python3", &["-c", CALL, &http1.to_string()]);
            (client_value(&read(&mut town.agent), "town", Signal::Connected) > 0).then_some(())
        });
        town
    }

    /// Asks each server twice, in so many rounds.
    fn ask(&self, how: &str, rounds: usize) {
        let servers = self.servers.iter().map(String::as_str);
        let arguments: Vec<&str> = [ASKS, how]
            .into_iter()
            .chain(servers.cycle().take(rounds * self.servers.len()))
            .collect();
        self.place.run(&self.namespace, "python3", &arguments);
    }

    /// Once all has ended: at either end so many statuses and as many turns were counted, and nothing else was.
    fn counts(&mut self, each: u64) {
        let of = |batch: &Batch, signal| {
            [Role::Client, Role::Server].map(|role| of_role(batch, "town", role, None, signal))
        };
        let batch = eventually("all connections have ended", || {
            let batch = read(&mut self.agent);
            let open = gauge(&batch, "town", Gauge::OpenConnections)?;
            (open == 0.0).then_some(batch)
        });
        for signal in [Signal::Status(200), Signal::Answered] {
            assert_eq!(of(&batch, signal), [each, each], "{signal}: {batch:#?}");
        }
        for signal in [
            Signal::Unknown,
            Signal::ClosedUnanswered,
            Signal::ClientGaveUp,
            Signal::ResetByServer,
        ] {
            assert_eq!(of(&batch, signal), [0, 0], "{signal}");
        }
        for reason in [LossReason::Unparsable, LossReason::GapInSequence] {
            assert_eq!(lost(&batch, reason), 0, "{reason}");
        }
    }
}

const CALL: &str = "
import socket, sys
socket.create_connection((\"127.0.0.1\", int(sys.argv[1]))).close()
";

#[test]
fn a_socket_that_is_connected_again_begins_anew() {
    let mut town = Town::new("again", 8640, "true");
    town.ask("again", 4);
    // Two servers of either kind, asked twice a round.
    town.counts(16);
}

#[test]
fn what_is_said_in_a_syn_is_counted_at_either_end_whatever_it_is() {
    // Whoever listens takes it.
    let mut town = Town::new("fast", 8650, "echo 1543 > /proc/sys/net/ipv4/tcp_fastopen");
    town.ask("fast", 2);
    assert_eq!(opened_fast(&town.namespace), 8);
    town.counts(8);
}
