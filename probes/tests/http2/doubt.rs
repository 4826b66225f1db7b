//! What becomes of requests whose end was never told: the ring was full, or the agent's layout changed.

use std::{fs, io::Write as _, net::TcpStream, os::fd::AsRawFd as _, path::Path, time::Duration};

use nix::sys::signal::Signal::SIGUSR2;
use probes::agent::Agent;
use slo_engine::{
    measurement::{Gauge, LossReason, Signal},
    service::WatchedService,
};

use crate::{
    load::settled,
    program::{Files, Server, Talk, beside_this},
    support::{Place, client_value, eventually, gauge, lost_of, read, value, watched},
};

const SHOP: u16 = 8220;
const NODE: u16 = 8221;
/// Where whoever calls the node listens itself.
const CALLER: u16 = 8222;
const SINK: u16 = 8223;

fn impatient(name: &str, port: u16) -> WatchedService {
    WatchedService {
        timeout: Duration::from_secs(1),
        ..watched(name, port)
    }
}

fn node(place: &Place) -> Server {
    Server::start(
        place,
        NODE,
        &["node", &beside_this("server.mjs"), &NODE.to_string()],
    )
}

fn client(orders: &[&str]) -> Vec<String> {
    let mut command = vec!["node".to_owned(), beside_this("client.mjs"), NODE.to_string()];
    command.extend(orders.iter().map(|order| (*order).to_owned()));
    command
}

fn waiting(agent: &mut Agent, service: &str) -> [Option<f64>; 2] {
    let batch = read(agent);
    [Gauge::InFlight, Gauge::Overdue].map(|kind| gauge(&batch, service, kind))
}

#[test]
fn what_hangs_after_the_ring_was_full_times_out_and_who_went_meanwhile_hangs_no_more() {
    let place = Place::new("h2-doubt");
    let mut agent = place.agent();
    agent
        .watch(&[impatient("shop", SHOP), impatient("node", NODE)])
        .unwrap();
    let files = Files::new(&place, &[("one", b"1")]);
    let port = SHOP.to_string();
    let shop = Server::start(&place, SHOP, &["nghttpd", "--no-tls", "-d", files.path(), &port]);
    let node = node(&place);
    let command = client(&["GET /status/200"]);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    node.run(&command);
    settled(&mut agent, "node", 1);
    // Nobody reads.
    drop(agent);
    let url = format!("http://127.0.0.1:{SHOP}/one");
    shop.run(&["h2load", "-n120000", "-c4", "-m20", &url]);
    let mut agent = place.agent();
    let batch = settled(&mut agent, "shop", 120_000);
    let full = |service| lost_of(&batch, service, LossReason::ReserveFailed);
    assert!(full("shop") > 0, "there was room for all");
    assert_eq!(full("node"), 0, "it asked for none");
    assert_eq!(value(&batch, "shop", Signal::TimedOut), 0);
    eventually("nothing of the shop is in flight", || {
        (waiting(&mut agent, "shop") == [Some(0.0), Some(0.0)]).then_some(())
    });

    let command = client(&["GET /hang"]);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut asking = node.client(&command).spawn().unwrap();
    let batch = eventually("the request has ended, though nobody answers", || {
        let batch = read(&mut agent);
        let ended = [Signal::TimedOut, Signal::Unknown].map(|signal| value(&batch, "node", signal));
        (ended != [0, 0]).then_some(batch)
    });
    asking.kill().unwrap();
    asking.wait().unwrap();
    assert_eq!(value(&batch, "node", Signal::TimedOut), 1);
    assert_eq!(value(&batch, "node", Signal::Unknown), 0);
}

/// Reads what it is sent, and says nothing.
const READS: &str = "
import socket, sys, threading
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=64)
def read(asked):
    while asked.recv(65536):
        pass
while True:
    threading.Thread(target=read, args=(listener.accept()[0],), daemon=True).start()
";

const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// POST http://near/one, and a field that is kept in the table.
const POST: &[u8] = b"\x83\x86\x04\x04/one\x01\x04near\x40\x01x\x01y";

/// A request's beginning on `stream`, which may have a body, and trailers.
fn headers(stream: u8, flags: u8, block: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = block.len().to_be_bytes();
    [&[a, b, c, 1, flags, 0, 0, 0, stream], block].concat()
}

#[test]
fn trailers_of_what_was_let_go_for_want_of_room_are_no_other_request() {
    const CONNECTIONS: u64 = 24;
    let place = Place::new("h2-let-go");
    let mut agent = place.agent();
    agent
        .watch(&[WatchedService {
            timeout: Duration::from_secs(600),
            ..watched("sink", SINK)
        }])
        .unwrap();
    let server = Server::start(&place, SINK, &["python3", "-c", READS, &SINK.to_string()]);
    // All of them together are more than there is room for, while they are on their way.
    let field = [&b"\0\x01x\x64"[..], &[b'y'; 100]].concat();
    let large = headers(3, 5, &[POST, &field.repeat(2000)].concat());
    let (most, rest) = large.split_at(large.len() - 10);
    let first = [OPENING, &headers(1, 4, POST), most].concat();
    let mut streams: Vec<TcpStream> = server.beside(move || {
        let connect = |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", SINK)).unwrap();
            stream.write_all(&first).unwrap();
            stream
        };
        (0..CONNECTIONS).map(connect).collect()
    });
    eventually("some are let go", || {
        (value(&read(&mut agent), "sink", Signal::Unknown) > 0).then_some(())
    });
    let trailers = headers(1, 5, b"\xbe");
    for stream in &mut streams {
        stream.write_all(&[rest, &trailers].concat()).unwrap();
    }
    drop(streams);
    eventually("all have ended", || {
        (waiting(&mut agent, "sink")[0] == Some(0.0)).then_some(())
    });
    let batch = read(&mut agent);
    let ended = [Signal::Unknown, Signal::ClientGaveUp, Signal::ClosedUnanswered];
    let ended = ended.map(|signal| value(&batch, "sink", signal));
    assert_eq!(ended.iter().sum::<u64>(), 2 * CONNECTIONS, "{ended:?}");
}

/// The table of a connection that began before the probes is not known, and trailers may be the first that is seen of it.
#[test]
fn trailers_of_what_another_layout_let_go_are_no_other_request() {
    let place = Place::new("h2-old-trailers");
    let mut agent = place.agent();
    agent.watch(&[watched("sink", SINK)]).unwrap();
    let server = Server::start(&place, SINK, &["python3", "-c", READS, &SINK.to_string()]);
    let opening = [OPENING, &headers(1, 4, POST), &headers(3, 4, POST)].concat();
    let mut stream = server.beside(|| TcpStream::connect(("127.0.0.1", SINK)).unwrap());
    stream.write_all(&opening).unwrap();
    eventually("they are in flight", || {
        (waiting(&mut agent, "sink")[0] == Some(2.0)).then_some(())
    });
    drop(agent);
    set_aside(&place, "", "_old");
    let mut agent = place.agent();
    settled(&mut agent, "sink", 2);
    // A field that goes into the table, and one with a name of the static table; a request behind them.
    for block in [
        headers(3, 5, b"\x40\x01x\x01y"),
        headers(1, 5, b"\x7c\x01y"),
        headers(5, 5, POST),
    ] {
        stream.write_all(&block).unwrap();
    }
    eventually("all has passed", || (unacknowledged(&stream) == 0).then_some(()));
    let batch = settled(&mut agent, "sink", 3);
    let counted = [Signal::Unknown, Signal::Answered, Signal::ClientGaveUp];
    assert_eq!(counted.map(|signal| value(&batch, "sink", signal)), [3, 0, 0]);
}

/// Bytes that the other end's TCP has not taken yet.
fn unacknowledged(stream: &TcpStream) -> libc::c_int {
    let mut bytes = 0;
    // SAFETY: an integer for what answers with one.
    let rc = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    assert_eq!(rc, 0);
    bytes
}

/// Renames directories of connections whose names end so: as if another build laid them out differently, or came back.
pub fn set_aside(place: &Place, from: &str, to: &str) {
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let entries: Vec<_> = fs::read_dir(&pins).unwrap().collect();
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_one = ["edge_connections_", "edge_http2_"]
            .iter()
            .any(|kind| name.starts_with(kind));
        if let Some(stem) = name.strip_suffix(from).filter(|_| is_one) {
            fs::rename(pins.join(&name), pins.join(format!("{stem}{to}"))).unwrap();
        }
    }
}

/// Of another layout's connections nothing is known, not even who asks: what is seen of one first is an answer, or,
/// where it `answers_before` the agent is there, a request.
fn of_another_layout(answers_before: bool) {
    let place = Place::new(if answers_before {
        "h2-forgot"
    } else {
        "h2-forgot-now"
    });
    let mut agent = place.agent();
    let service = watched("node", NODE);
    agent.watch(&[service]).unwrap();
    let server = node(&place);
    // The second time, the status is but a number in a table; so are the headers that a request may begin with.
    let orders = [
        "GET /status/418",
        "--",
        "GET /gate/418",
        "--",
        "GET /status/404",
        "GET /status/404",
    ];
    let command = client(&orders);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut client = server.talk(&command);
    client.until("--");
    settled(&mut agent, "node", 1);
    client.say("go on");
    eventually("one is in flight", || {
        (waiting(&mut agent, "node")[0] == Some(1.0)).then_some(())
    });
    drop(agent);
    let answer = |client: &mut Talk| {
        server.signal(SIGUSR2);
        client.until("--");
    };
    if answers_before {
        answer(&mut client);
    }
    set_aside(&place, "", "_old");
    let mut agent = place.agent();
    if !answers_before {
        answer(&mut client);
    }
    client.say("go on");
    client.until("GET /status/404: 404");
    let counted = |agent: &mut Agent| {
        let batch = settled(agent, "node", 4);
        [Signal::Status(418), Signal::Unknown, Signal::Status(404)]
            .map(|signal| value(&batch, "node", signal))
    };
    assert_eq!(counted(&mut agent), [1, 3, 0]);
    assert_eq!(waiting(&mut agent, "node"), [Some(0.0), Some(0.0)]);
    // And back.
    drop(agent);
    set_aside(&place, "", "_new");
    set_aside(&place, "_old_new", "");
    let mut agent = place.agent();
    assert_eq!(counted(&mut agent), [1, 3, 0]);
    assert_eq!(waiting(&mut agent, "node"), [Some(0.0), Some(0.0)]);
}

/// A service that is known by its cgroup may ask elsewhere: what it is answered is no request to it, whether it listens
/// or not.
fn of_who_asks(listens: bool) {
    let place = Place::new(if listens { "h2-asks-too" } else { "h2-asks" });
    let caller = place.cgroup.join("caller");
    fs::create_dir(&caller).unwrap();
    let procs = caller.join("cgroup.procs");
    let (caller, procs) = (format!("cgroup:{}/caller", place.name), procs.to_str().unwrap());
    let within = ["sh", "-c", "echo 0 > \"$0\"; exec \"$@\"", procs];
    let mut agent = place.agent();
    let server = node(&place);
    let _listens = listens.then(|| {
        let (program, port) = (beside_this("server.mjs"), CALLER.to_string());
        let serves = server.talk(&[&within[..], &["node", &program, &port]].concat());
        server.beside(|| {
            eventually("it listens", || TcpStream::connect(("127.0.0.1", CALLER)).ok());
        });
        serves
    });
    let service = WatchedService {
        matches: vec![caller.parse().unwrap()],
        ..watched("caller", CALLER)
    };
    agent.watch(&[watched("node", NODE), service]).unwrap();
    let command = client(&["GET /status/418", "--", "GET /gate/418", "--", "GET /status/404"]);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut client = server.talk(&[&within[..], &command].concat());
    client.until("--");
    settled(&mut agent, "node", 1);
    client.say("go on");
    eventually("one is in flight", || {
        (waiting(&mut agent, "node")[0] == Some(1.0)).then_some(())
    });
    drop(agent);
    set_aside(&place, "", "_old");
    let mut agent = place.agent();
    server.signal(SIGUSR2);
    client.until("--");
    client.say("go on");
    client.until("GET /status/404: 404");
    settled(&mut agent, "node", 3);
    let batch = eventually("what it asked is counted", || {
        let batch = read(&mut agent);
        (client_value(&batch, "caller", Signal::Unknown) == 2).then_some(batch)
    });
    assert_eq!(client_value(&batch, "caller", Signal::Status(418)), 1);
    for signal in [Signal::Unknown, Signal::Status(418), Signal::Status(404)] {
        assert_eq!(value(&batch, "caller", signal), 0, "{signal}");
    }
}

#[test]
fn what_a_cgroup_is_answered_is_no_request_to_it() {
    of_who_asks(false);
}

#[test]
fn what_a_cgroup_is_answered_is_no_request_to_it_though_it_listens() {
    of_who_asks(true);
}

#[test]
fn another_layout_of_connections_leaves_no_request_behind() {
    of_another_layout(true);
}

#[test]
fn an_answer_that_another_layout_sees_first_is_no_request() {
    of_another_layout(false);
}
