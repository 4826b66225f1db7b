//! Packets get lost on the wire: what is sent again equals the kernel's own counters to the last
//! segment, and no request is counted twice.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "../support/mod.rs"]
mod support;

mod syn_acks;
mod unseen;
mod wire;

use std::{fs, io::Read as _, net::SocketAddr, path::Path, thread};

use probes::agent::Agent;
use slo_engine::measurement::{Gauge, Signal};
use support::{Client, Inside, Place, client_value, eventually, gauge, read, value, watched};
use unseen::Unseen;
use wire::{Wire, data_segments, ss, told};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const ASK: &str = "SLOWBURN_TEST_ASK";
const CONNECTIONS: usize = 8;

/// The body of the client: `address,requests on each of eight threads,keep or close,rounds`. After
/// each round it prints how many requests were answered with 200, and waits to be told to go on.
#[test]
fn ask_when_asked() {
    let Ok(text) = std::env::var(ASK) else {
        return;
    };
    let parts: Vec<&str> = text.split(',').collect();
    let (address, requests) = (parts[0], parts[1].parse::<usize>().unwrap());
    let rounds: usize = parts[3].parse().unwrap();
    let mut kept: Vec<Option<Client>> = (0..CONNECTIONS)
        .map(|_| (parts[2] == "keep").then(|| Client::connect(address)))
        .collect();
    for _ in 0..rounds {
        let ask = |kept: &mut Option<Client>| {
            let statuses = (0..requests).map(|_| match kept {
                Some(client) => client.get("/"),
                None => Client::connect(address).get("/"),
            });
            statuses.filter(|status| *status == 200).count()
        };
        let answered: usize = thread::scope(|scope| {
            let threads: Vec<_> = kept
                .iter_mut()
                .map(|kept| scope.spawn(move || ask(kept)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        println!("\nanswered {answered}");
        std::io::stdin().read_exact(&mut [0]).unwrap();
    }
}

fn matrix(test: &str, listen: &str, target: &str, way: &str) {
    let port = target.parse::<SocketAddr>().unwrap().port();
    // Deterministic and by a seed; fewer requests where each loss costs a timeout.
    for (one_in, seed, requests) in [(1000, 0, 600), (100, 7, 150), (20, 11, 40), (20, 0, 40)] {
        let place = Place::new(test);
        let mut agent = place.agent();
        let mut wire = Wire::new(&place, listen, seed);
        watch(&mut agent, port);
        let unseen = Unseen::watch(&place.name, port);
        wire.lose(one_in);
        let mut client = asking(&place, &wire, target, requests, way, 1);
        let answered: u64 = client.said("answered ").parse().unwrap();
        assert_eq!(answered, (CONNECTIONS * requests) as u64);

        let name = format!("one in {one_in}, seed {seed}, {way} over {target}");
        // What is still on its way arrives: a lost FIN may be sent again for seconds.
        wire.lose(0);
        let (batch, kernel) = wire.settled(&mut agent);
        let told = unseen.with(told(&batch), kernel);
        assert_eq!(told, kernel, "{name}");
        if way == "keep" {
            let sockets = [ss(&wire.server), ss(&wire.client)];
            let again = wire.kernel().map(|side| side.segments);
            assert_eq!(sockets.map(|side| side.sent_again), again, "{name}");
            assert_eq!(
                data_segments(&batch),
                sockets.map(|side| side.data_segments),
                "{name}"
            );
        }
        for value in [value, client_value] {
            // A request is one segment, and so is its answer.
            assert_eq!(value(&batch, "shop", Signal::SegmentsSent), answered, "{name}");
            assert_eq!(value(&batch, "shop", Signal::Status(200)), answered, "{name}");
            assert_eq!(value(&batch, "shop", Signal::Unknown), 0, "{name}");
            assert_eq!(value(&batch, "shop", Signal::ClientGaveUp), 0, "{name}");
        }
        let (lost, [server, client_side]) = (wire.lost(), wire.kernel());
        assert!(lost >= 5, "{name}: only {lost} were lost");
        assert!(server.segments + client_side.segments > 0, "{name}");
        client.go_on();
        client.end();
    }
}

/// Both listeners are one service, so that the cgroup is its own when it calls.
fn watch(agent: &mut Agent, port: u16) {
    let mut shop = watched("shop", port);
    shop.matches.extend(watched("shop", 8399).matches);
    agent.watch(&[shop]).unwrap();
    eventually("both sides are known", || {
        gauge(&read(agent), "shop", Gauge::AcceptBacklog).filter(|backlog| *backlog > 128.0)
    });
}

fn asking(place: &Place, wire: &Wire, target: &str, requests: usize, way: &str, rounds: u32) -> Inside {
    let executable = std::env::current_exe().unwrap();
    let asked = format!("{ASK}={target},{requests},{way},{rounds}");
    let arguments = [
        &asked,
        executable.to_str().unwrap(),
        "--exact",
        "ask_when_asked",
        "--nocapture",
    ];
    place.spawn(&wire.client, "env", &arguments)
}

#[test]
fn connections_older_than_the_probe_count_by_differences() {
    by_differences("lossolder", 8305, None);
}

/// Their sockets still say what is sent again: it is not counted twice.
#[test]
fn connections_that_another_layout_forgot_count_by_differences() {
    by_differences("lossforgot", 8307, Some(forget));
}

/// As if the next build laid its records out differently: its own directory is not there.
fn forget(place: &Place) {
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let mut paths = fs::read_dir(&pins).unwrap().map(|entry| entry.unwrap().path());
    let connections = paths.find(|path| path.to_string_lossy().contains("edge_connections_"));
    fs::rename(connections.unwrap(), pins.join("edge_connections_0")).unwrap();
}

/// Of connections that an agent has seen begin and forgets then, or that none has.
fn by_differences(name: &str, port: u16, forget: Option<fn(&Place)>) {
    let place = Place::new(name);
    let first = forget.map(|_| place.agent());
    let mut wire = Wire::new(&place, &format!("0.0.0.0:{port}"), 5);
    wire.lose(20);
    let mut client = asking(&place, &wire, &format!("10.77.0.2:{port}"), 40, "keep", 3);
    client.said("answered ");
    drop(first);
    if let Some(forget) = forget {
        forget(&place);
    }
    let mut agent = place.agent();
    watch(&mut agent, port);
    // The first answer that is seen of a connection says what it had sent again before.
    wire.lose(0);
    client.go_on();
    client.said("answered ");
    let (batch, before) = wire.settled(&mut agent);
    let told_before = told(&batch).map(|side| side.segments);
    if forget.is_none() {
        assert_eq!(told_before, [0, 0]);
    }
    let sockets = |wire: &Wire| [ss(&wire.server), ss(&wire.client)].map(|side| side.data_segments);
    let (seen_before, sent_before) = (data_segments(&batch), sockets(&wire));
    assert!(before.iter().all(|side| side.segments > 0), "{before:?}");
    wire.lose(20);
    client.go_on();
    client.said("answered ");
    let (batch, after) = wire.settled(&mut agent);
    let fresh = [0, 1].map(|side| after[side].segments - before[side].segments);
    assert!(fresh.iter().all(|segments| *segments > 0), "{fresh:?}");
    let told = told(&batch).map(|side| side.segments);
    assert_eq!([0, 1].map(|side| told[side] - told_before[side]), fresh);
    let (seen, sent) = (data_segments(&batch), sockets(&wire));
    assert_eq!(
        [0, 1].map(|side| seen[side] - seen_before[side]),
        [0, 1].map(|side| sent[side] - sent_before[side])
    );
    client.go_on();
    client.end();
}

/// Connects, waits for a line, and says what became of a request that nobody answers.
const GIVE_UP: &str = r#"
import socket, sys
s = socket.create_connection(("10.77.0.2", 8306))
s.setsockopt(socket.IPPROTO_TCP, 18, 400)  # TCP_USER_TIMEOUT, in milliseconds
print("connected", flush=True)
sys.stdin.readline()
s.sendall(b"GET / HTTP/1.1\r\n\r\n")
try:
    s.recv(1)
except OSError as error:
    print("failed", error.errno, flush=True)
"#;

#[test]
fn a_connection_that_tcp_gives_up_on_is_counted() {
    let place = Place::new("lossgone");
    let mut agent = place.agent();
    let mut wire = Wire::new(&place, "0.0.0.0:8306", 0);
    watch(&mut agent, 8306);
    let mut client = place.spawn(&wire.client, "python3", &["-c", GIVE_UP]);
    client.said("connected");
    wire.lose(1);
    client.go_on();
    // ETIMEDOUT
    assert_eq!(client.said("failed "), "110");
    client.end();
    let batch = read(&mut agent);
    assert_eq!(client_value(&batch, "shop", Signal::ConnectionTimeouts), 1);
    assert_eq!(client_value(&batch, "shop", Signal::ConnectFailures), 0);
    assert_eq!(
        value(&batch, "shop", Signal::ConnectionTimeouts),
        0,
        "the server knows nothing of it"
    );
}

#[test]
fn keep_alive_over_v4() {
    matrix("losskeep4", "0.0.0.0:8301", "10.77.0.2:8301", "keep");
}

#[test]
fn keep_alive_over_v6() {
    matrix("losskeep6", "[::]:8302", "[fd77::2]:8302", "keep");
}

#[test]
fn one_connection_a_request_over_v4() {
    matrix("lossclose4", "0.0.0.0:8303", "10.77.0.2:8303", "close");
}

#[test]
fn one_connection_a_request_over_v6() {
    matrix("lossclose6", "[::]:8304", "[fd77::2]:8304", "close");
}
