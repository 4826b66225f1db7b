//! What TCP says of a service's connections: bytes, resets and their reasons, how connecting went.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use probes::agent::Agent;
use slo_engine::measurement::{Batch, Clock, ConnectError, Gauge, ResetReason, Role, Signal};
use support::{Client, Place, Server, client_value, eventually, gauge, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// A counter of `/proc/net/snmp` or `/proc/net/netstat` in the server's namespace.
fn kernel(server: &Server, table: &str, prefix: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/net/{table}", server.child.id())).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with(prefix));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|found| found == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

fn open_connections(batch: &Batch, service: &str) -> f64 {
    gauge(batch, service, Gauge::OpenConnections).unwrap()
}

/// How many times were taken on a clock, and their sum.
fn timed(batch: &Batch, service: &str, role: Role, clock: Clock) -> (u64, Duration) {
    let found = batch.histograms.iter().filter(|histogram| {
        histogram.service.as_str() == service && histogram.role == role && histogram.clock == clock
    });
    found.fold((0, Duration::ZERO), |(count, sum), histogram| {
        let more: u64 = histogram.buckets.iter().map(|(_, n)| n).sum();
        (count + more, sum + histogram.sum)
    })
}

#[test]
fn bytes_equal_what_the_client_wrote_and_read() {
    let place = Place::new("bytes");
    let mut agent = place.agent();
    agent
        .watch(&[watched("four", 8201), watched("six", 8202)])
        .unwrap();
    let server = place.server(&["127.0.0.1:8201", "[::1]:8202"]);
    for (service, address) in [("four", "127.0.0.1:8201"), ("six", "[::1]:8202")] {
        const ANSWER: &[u8] = b"HTTP/1.1 200 Word\r\nContent-Length: 2\r\n\r\nok";
        let mut written = 0;
        let mut answered = 0;
        let mut ask = |stream: &mut TcpStream, length: usize| {
            let body = "x".repeat(length);
            let request = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = [0; ANSWER.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
            written += request.len();
            answered += answer.len();
        };
        let mut stream = server.beside(move || TcpStream::connect(address).unwrap());
        for length in [0, 1, 70_000, 300, 5] {
            ask(&mut stream, length);
        }
        let expected = (written as u64, answered as u64);
        let counted = |batch: &Batch| {
            let of = |signal| value(batch, service, signal);
            (of(Signal::BytesReceived), of(Signal::BytesSent))
        };
        // By the walk over sockets, while the connection is open.
        eventually("bytes of an open connection", || {
            (counted(&read(&mut agent)) == expected).then_some(())
        });
        drop(stream);
        let batch = eventually("the connection has ended", || {
            let batch = read(&mut agent);
            (open_connections(&batch, service) == 0.0).then_some(batch)
        });
        assert_eq!(counted(&batch), expected, "a FIN is no byte");
        assert!(timed(&batch, service, Role::Server, Clock::RoundTrip).0 >= 1);
    }
}

#[test]
fn a_reset_is_counted_once_and_says_why() {
    let place = Place::new("resets");
    let mut agent = place.agent();
    agent.watch(&[watched("rude", 8210)]).unwrap();
    let server = place.server(&["127.0.0.1:8210", "[::1]:8210"]);
    for address in ["127.0.0.1:8210", "[::1]:8210"] {
        server.beside(move || {
            let ask = |text: &str| {
                let mut client = Client::connect(address);
                client.send(text);
                assert_eq!(client.answer(), None);
            };
            // Closed by SO_LINGER at 0, twice; closed with a body unread, three times.
            ask("GET /reset HTTP/1.1\r\n\r\n");
            ask("GET /reset HTTP/1.1\r\n\r\n");
            for _ in 0..3 {
                ask(&format!(
                    "POST /unread HTTP/1.1\r\nContent-Length: 40000\r\n\r\n{}",
                    "x".repeat(40_000)
                ));
            }
            // Nobody listens: the namespace's own resets, of no service.
            let elsewhere = address.replace("8210", "8211");
            assert!(TcpStream::connect(elsewhere).is_err());
        });
    }
    let sent = |batch: &Batch, reason| value(batch, "rude", Signal::ResetSent(reason));
    let batch = eventually("all connections have ended", || {
        let batch = read(&mut agent);
        (open_connections(&batch, "rude") == 0.0).then_some(batch)
    });
    let total = value(&batch, "rude", Signal::ResetsSent);
    // Two were for the port that nobody listens on.
    assert_eq!(total, kernel(&server, "snmp", "Tcp:", "OutRsts") - 2);
    let format = fs::read_to_string("/sys/kernel/tracing/events/tcp/tcp_send_reset/format").unwrap();
    if !format.contains("reason") {
        eprintln!("not tested: Linux before 6.10 tells no reasons");
        return;
    }
    assert_eq!(sent(&batch, ResetReason::State), 4, "{batch:#?}");
    assert_eq!(sent(&batch, ResetReason::AbortOnClose), 6);
    let reasons: u64 = ResetReason::ALL.iter().map(|reason| sent(&batch, *reason)).sum();
    assert_eq!(total, reasons);
    // Others on this machine may be refused meanwhile, too.
    let host = |signal| value(&batch, probes::agent::HOST, signal);
    assert!(host(Signal::ResetSent(ResetReason::NoSocket)) >= 2);
    let of_host: u64 = ResetReason::ALL
        .iter()
        .map(|reason| host(Signal::ResetSent(*reason)))
        .sum();
    assert_eq!(host(Signal::ResetsSent), of_host);
}

/// Connects as its arguments say, one after the other, and prints the error's number.
const CONNECT: &str = r#"
import socket, sys
for argument in sys.argv[1:]:
    how, host, port = argument.split(",")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if how == "cancel":
        s.setblocking(False)
    print(s.connect_ex((host, int(port))))
    s.close()
"#;

#[test]
fn connects_are_timed_and_their_failures_told_apart() {
    let place = Place::new("connect");
    let mut agent = place.agent();
    // A cgroup whose listeners are one service is that service's when it calls.
    let mut caller = watched("caller", 8220);
    caller.matches.extend(watched("caller", 8221).matches);
    agent.watch(&[caller]).unwrap();
    let server = place.server(&["127.0.0.1:8220", "[::1]:8220"]);
    let router = place.server(&["127.0.0.1:8221"]);
    let pid = router.child.id();
    let ip = |arguments: &str| {
        let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "{arguments}");
    };
    // .2 has an address nobody answers to, .3 none at all; the router knows no way to 10.98.
    server.beside(move || {
        ip(&format!("link add out type veth peer name back netns {pid}"));
        ip("addr add 10.99.0.1/24 dev out");
        ip("link set out up");
        ip("neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev out nud permanent");
        fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").unwrap();
        fs::write("/proc/sys/net/ipv4/neigh/out/retrans_time_ms", "50").unwrap();
    });
    router.beside(move || {
        ip("addr add 10.99.0.254/24 dev back");
        ip("link set back up");
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    });
    server.beside(move || ip("route add 10.98.0.0/24 via 10.99.0.254"));
    eventually("the caller's cgroup is known", || {
        let batch = read(&mut agent);
        gauge(&batch, "caller", Gauge::AcceptBacklog)
    });
    let said = place.run(
        &server,
        "python3",
        &[
            "-c",
            CONNECT,
            "wait,127.0.0.1,8220",
            "wait,127.0.0.1,8220",
            "wait,::1,8220",
            "wait,127.0.0.1,8229",
            "wait,::1,8229",
            "wait,10.99.0.2,80",
            "wait,10.99.0.3,80",
            "wait,10.98.0.1,80",
            "cancel,10.99.0.2,80",
            "cancel,10.99.0.2,80",
            "cancel,10.99.0.2,80",
        ],
    );
    let numbers: Vec<&str> = said.lines().collect();
    assert_eq!(
        numbers,
        [
            "0", "0", "0", "111", "111", "110", "113", "101", "115", "115", "115"
        ]
    );

    let batch = read(&mut agent);
    let failed = |error| client_value(&batch, "caller", Signal::ConnectFailed(error));
    let expected = [
        (ConnectError::Refused, 2),
        (ConnectError::TimedOut, 1),
        (ConnectError::HostUnreachable, 1),
        (ConnectError::NetworkUnreachable, 1),
        (ConnectError::Reset, 0),
        (ConnectError::Canceled, 3),
        (ConnectError::Other, 0),
    ];
    for (error, count) in expected {
        assert_eq!(failed(error), count, "{error}");
    }
    assert_eq!(client_value(&batch, "caller", Signal::ConnectFailures), 8);
    assert_eq!(client_value(&batch, "caller", Signal::Connected), 3);
    let (count, sum) = timed(&batch, "caller", Role::Client, Clock::Connect);
    assert_eq!(count, 3, "failures have no time");
    assert!(
        sum > Duration::from_micros(3) && sum < Duration::from_secs(3),
        "{sum:?}"
    );
    let again = client_value(&batch, "caller", Signal::SynRetransmits);
    assert_eq!(again, kernel(&server, "snmp", "Tcp:", "RetransSegs"));
    assert!(again >= 1, "no answer to the first SYN");
}

/// A capture on the loopback device of the server's namespace.
struct Capture {
    tcpdump: Child,
    directory: PathBuf,
}

impl Capture {
    fn start(server: &Server, place: &Place, filter: &'static str) -> Self {
        let directory = std::env::temp_dir().join(&place.name);
        fs::create_dir(&directory).unwrap();
        let file = directory.join("capture");
        let path = file.clone();
        let tcpdump = server.beside(move || {
            let arguments = ["-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w"];
            let mut command = Command::new("tcpdump");
            command
                .args(arguments)
                .arg(path)
                .arg(filter)
                .stderr(Stdio::null());
            command.spawn().unwrap()
        });
        eventually("the capture to begin", || {
            fs::metadata(&file).ok().filter(|file| file.len() >= 24)
        });
        Self { tcpdump, directory }
    }

    fn packets(&self) -> u64 {
        let file = self.directory.join("capture");
        let output = Command::new("tcpdump").arg("-r").arg(file).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count() as u64
    }

    /// Once all that was captured, and something was, is counted as this signal, and nothing else.
    fn equals(&self, agent: &mut Agent, service: &str, signal: Signal) -> Batch {
        eventually("the window has closed and all of it is captured", || {
            let before = self.packets();
            let batch = read(agent);
            let counted = value(&batch, service, signal);
            (before > 0 && counted == before && self.packets() == before).then_some(batch)
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn closed_windows_equal_a_capture() {
    let place = Place::new("window");
    let mut agent = place.agent();
    agent.watch(&[watched("stuck", 8230)]).unwrap();
    let server = place.server(&["127.0.0.1:8230"]);
    let filter = "tcp src port 8230 and tcp[14:2] = 0 and tcp[13] & 6 = 0";
    let capture = Capture::start(&server, &place, filter);
    // The server sleeps on the first request and reads nothing of what follows.
    let mut stream = server.beside(|| TcpStream::connect("127.0.0.1:8230").unwrap());
    stream.write_all(b"GET /sleep/1500 HTTP/1.1\r\n\r\n").unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(800)))
        .unwrap();
    let block = [b'x'; 65_536];
    while stream.write(&block).is_ok() {}
    let batch = capture.equals(&mut agent, "stuck", Signal::ZeroWindowsSent);
    assert_eq!(value(&batch, "stuck", Signal::ZeroWindowsReceived), 0);
    assert!(
        value(&batch, "stuck", Signal::ZeroWindowsSent)
            >= kernel(&server, "netstat", "TcpExt:", "TCPToZeroWindowAdv")
    );
}

/// Answers each request with more than anybody's buffers hold.
const FLOOD: &str = r#"
import socket
listener = socket.create_server(("127.0.0.1", 8231))
print("listening", flush=True)
calls, _ = listener.accept()
calls.recv(1000)
calls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
calls.sendall(b"x" * 50000000)
"#;

#[test]
fn windows_that_a_client_closes_equal_a_capture() {
    let place = Place::new("unread");
    let mut agent = place.agent();
    agent.watch(&[watched("flood", 8231)]).unwrap();
    let namespace = place.server(&["127.0.0.1:8159"]);
    let mut flood = place.spawn(&namespace, "python3", &["-c", FLOOD]);
    flood.said("listening");
    let filter = "tcp dst port 8231 and tcp[14:2] = 0 and tcp[13] & 6 = 0";
    let capture = Capture::start(&namespace, &place, filter);
    let mut stream = namespace.beside(|| TcpStream::connect("127.0.0.1:8231").unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // It reads nothing of its download.
    let batch = capture.equals(&mut agent, "flood", Signal::ZeroWindowsReceived);
    assert_eq!(value(&batch, "flood", Signal::ZeroWindowsSent), 0);
    assert_eq!(value(&batch, "flood", Signal::Status(200)), 1);
}

/// What `ss` says of the one connection at this port, on the server's side, once nothing of it is on its way.
fn quiet(server: &Server, port: u16) -> String {
    let look = || {
        server.beside(move || {
            let filter = format!("sport = :{port}");
            let output = Command::new("ss")
                .args(["-tinH", "state", "established", &filter])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
    };
    eventually("all is acknowledged", || {
        let said = look();
        (!said.contains(" unacked:") && said.contains(" bytes_acked:")).then_some(said)
    })
}

#[test]
fn round_trips_are_those_that_the_kernel_has_smoothed() {
    let place = Place::new("rtt");
    let mut agent = place.agent();
    agent.watch(&[watched("near", 8232)]).unwrap();
    let server = place.server(&["127.0.0.1:8232"]);
    let mut client = server.beside(|| Client::connect("127.0.0.1:8232"));
    let taken = |batch: &Batch| timed(batch, "near", Role::Server, Clock::RoundTrip);
    assert_eq!(client.get("/"), 200);
    quiet(&server, 8232);
    eventually("its sockets are walked over", || {
        (taken(&read(&mut agent)).0 > 0).then_some(())
    });
    for _ in 0..5 {
        let before = taken(&read(&mut agent));
        assert_eq!(client.get("/"), 200);
        let said = quiet(&server, 8232);
        // In milliseconds, to the microsecond: `rtt:0.031/0.015`.
        let rtt = said.split(" rtt:").nth(1).unwrap().split('/').next().unwrap();
        let micros = (rtt.parse::<f64>().unwrap() * 1000.0).round();
        assert!(micros > 0.0, "{said}");
        // It moved bytes, so the walk over sockets asks for it, once.
        let batch = read(&mut agent);
        let after = taken(&batch);
        assert_eq!(after.0, before.0 + 1, "{said}");
        assert_eq!((after.1 - before.1).as_micros() as f64, micros, "{said}");
        // The difference of two sums, each of whole microseconds.
        let mean = gauge(&batch, "near", Gauge::RttMicros).unwrap();
        assert!((mean - micros).abs() <= 1.0, "{mean} {said}");
    }
}
