//! Packets get lost on the wire: what is sent again equals the kernel's own counters to the last
//! segment, and no request is counted twice.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    fs,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TcAttachType},
};
use probes::agent::{Agent, HOST};
use slo_engine::{
    measurement::{Batch, Gauge, Signal},
    service::WatchedService,
};
use support::{Client, Inside, Place, Server, client_value, eventually, gauge, pause, read, value, watched};

static LOSS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/loss"));

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

/// Two hosts with a wire between them that loses packets in both directions.
struct Wire {
    server: Server,
    client: Server,
    programs: Vec<Ebpf>,
}

impl Wire {
    /// Loses nothing yet.
    fn new(place: &Place, listen: &str, seed: u64) -> Self {
        let server = place.server(&[listen]);
        let client = place.server(&["127.0.0.1:8399"]);
        let peer = client.child.id();
        server.beside(move || {
            ip(&format!("link add wire type veth peer name wire netns {peer}"));
        });
        let mut wire = Self {
            server,
            client,
            programs: Vec::new(),
        };
        for (side, host) in [(&wire.server, 2), (&wire.client, 1)] {
            wire.programs.push(side.beside(move || {
                ip(&format!("addr add 10.77.0.{host}/24 dev wire"));
                ip(&format!("addr add fd77::{host}/64 dev wire nodad"));
                ip("link set wire up");
                attach(if seed == 0 { 0 } else { seed + host })
            }));
        }
        wire
    }

    /// From now on one packet in so many; 0 is none.
    fn lose(&mut self, one_in: u64) {
        for side in 0..self.programs.len() {
            self.lose_at(side, one_in);
        }
    }

    /// Of what comes in at the server (0) or at the client (1).
    fn lose_at(&mut self, side: usize, one_in: u64) {
        let map = self.programs[side].map_mut("PACKETS").unwrap();
        let mut map: aya::maps::Array<_, u64> = map.try_into().unwrap();
        map.set(2, one_in, 0).unwrap();
    }

    /// What the kernel says of the server's side, and of the client's.
    fn kernel(&self) -> [Kernel; 2] {
        [Kernel::of(&self.server), Kernel::of(&self.client)]
    }

    /// What slowburn and the kernel say, at a time when nothing is sent again.
    fn settled(&self, agent: &mut Agent) -> (Batch, [Kernel; 2]) {
        eventually("what was lost is all sent again", || {
            let before = self.kernel();
            pause(Duration::from_millis(400));
            let batch = read(agent);
            (self.kernel() == before).then_some((batch, before))
        })
    }

    fn lost(&self) -> u64 {
        let lost = self.programs.iter().map(|ebpf| {
            let map: aya::maps::Array<_, u64> = ebpf.map("PACKETS").unwrap().try_into().unwrap();
            map.get(&1, 0).unwrap()
        });
        lost.sum()
    }
}

/// Attached until the object is dropped.
fn attach(seed: u64) -> Ebpf {
    let mut ebpf = EbpfLoader::new()
        .override_global("SEED", &seed, true)
        .load(LOSS)
        .unwrap();
    let program: &mut SchedClassifier = ebpf.program_mut("lose").unwrap().try_into().unwrap();
    program.load().unwrap();
    program.attach("wire", TcAttachType::Ingress).unwrap();
    ebpf
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "{arguments}");
}

/// What the kernel says of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kernel {
    /// All segments sent again.
    segments: u64,
    /// SYNs and SYN-ACKs of these.
    syns: u64,
}

impl Kernel {
    fn of(side: &Server) -> Self {
        Self {
            segments: counter(side, "snmp", "Tcp:", "RetransSegs"),
            syns: counter(side, "netstat", "TcpExt:", "TCPSynRetrans"),
        }
    }
}

fn counter(side: &Server, table: &str, prefix: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/net/{table}", side.child.id())).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with(prefix));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|found| found == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

/// The sum over the connections of one side, as `ss` tells of each: `retrans:0/3`.
fn ss(side: &Server) -> u64 {
    let text = side.beside(|| {
        let output = Command::new("ss")
            .args(["-tinH", "state", "connected"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let totals = text
        .split_ascii_whitespace()
        .filter_map(|field| field.strip_prefix("retrans:"));
    totals
        .map(|field| field.split_once('/').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

/// As slowburn tells of each side.
fn told(batch: &Batch) -> [Kernel; 2] {
    let of: [fn(&Batch, &str, Signal) -> u64; 2] = [value, client_value];
    of.map(|value| {
        let syns = value(batch, "shop", Signal::SynRetransmits);
        Kernel {
            segments: value(batch, "shop", Signal::Retransmits) + syns,
            syns,
        }
    })
}

fn matrix(test: &str, listen: &str, target: &str, way: &str) {
    let port = target.parse::<SocketAddr>().unwrap().port();
    // Deterministic and by a seed; fewer requests where each loss costs a timeout.
    for (one_in, seed, requests) in [(1000, 0, 600), (100, 7, 150), (20, 11, 40), (20, 0, 40)] {
        let place = Place::new(test);
        let mut agent = place.agent();
        let mut wire = Wire::new(&place, listen, seed);
        watch(&mut agent, port);
        wire.lose(one_in);
        let mut client = asking(&place, &wire, target, requests, way, 1);
        let answered: u64 = client.said("answered ").parse().unwrap();
        assert_eq!(answered, (CONNECTIONS * requests) as u64);

        let name = format!("one in {one_in}, seed {seed}, {way} over {target}");
        // What is still on its way arrives: a lost FIN may be sent again for seconds.
        wire.lose(0);
        let (batch, kernel) = wire.settled(&mut agent);
        let mut told = told(&batch);
        // A known gap (ARCHITECTURE.md): now and then a SYN-ACK sent again is in no count. All else is exact.
        let missed = kernel[0].syns.saturating_sub(told[0].syns);
        assert!(
            missed <= 1 + kernel[0].syns / 20,
            "{name}: {told:?} for {kernel:?}"
        );
        told[0].syns += missed;
        told[0].segments += missed;
        assert_eq!(told, kernel, "{name}");
        if way == "keep" {
            assert_eq!(
                [ss(&wire.server), ss(&wire.client)],
                wire.kernel().map(|side| side.segments),
                "{name}"
            );
        }
        for value in [value, client_value] {
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
    let place = Place::new("lossolder");
    let mut wire = Wire::new(&place, "0.0.0.0:8305", 5);
    wire.lose(20);
    let mut client = asking(&place, &wire, "10.77.0.2:8305", 40, "keep", 3);
    client.said("answered ");
    let mut agent = place.agent();
    watch(&mut agent, 8305);
    // The first answer that is seen of a connection says what it had sent again before.
    wire.lose(0);
    client.go_on();
    client.said("answered ");
    let (batch, before) = wire.settled(&mut agent);
    assert_eq!(told(&batch).map(|side| side.segments), [0, 0]);
    assert!(before.iter().all(|side| side.segments > 0), "{before:?}");
    wire.lose(20);
    client.go_on();
    client.said("answered ");
    let (batch, after) = wire.settled(&mut agent);
    let fresh = [0, 1].map(|side| after[side].segments - before[side].segments);
    assert!(fresh.iter().all(|segments| *segments > 0), "{fresh:?}");
    assert_eq!(told(&batch).map(|side| side.segments), fresh);
    client.go_on();
    client.end();
}

/// Below another, with services of its own.
fn place_within(place: &Place, name: &str) -> Place {
    let cgroup = place.cgroup.join(name);
    fs::create_dir(&cgroup).unwrap();
    Place {
        name: format!("{}-{name}", place.name),
        cgroup,
    }
}

#[test]
fn syn_acks_sent_again_are_of_the_listener_that_sent_them_whatever_its_port() {
    let place = Place::new("losssyn");
    let (one, two) = (place_within(&place, "one"), place_within(&place, "two"));
    // Nobody's: its packets do not pass here.
    let stranger = Place::new("lossaway");
    let mut agent = place.agent();
    agent
        .watch(&["one", "two"].map(|name| WatchedService {
            matches: vec![format!("cgroup:{}/{name}", place.name).parse().unwrap()],
            ..watched(name, 8307)
        }))
        .unwrap();
    let mut wires = [&one, &two, &stranger].map(|place| Wire::new(place, "0.0.0.0:8307", 0));
    eventually("both listeners are known", || {
        let batch = read(&mut agent);
        gauge(&batch, "one", Gauge::AcceptBacklog)?;
        gauge(&batch, "two", Gauge::AcceptBacklog)
    });
    let of_host = value(&read(&mut agent), HOST, Signal::SynRetransmits);
    let connects: Vec<_> = wires
        .iter_mut()
        .map(|wire| {
            // What the client is told is lost, until the server has said it more than once again.
            wire.lose_at(1, 1);
            wire.client.spawn_beside(|| TcpStream::connect("10.77.0.2:8307"))
        })
        .collect();
    eventually("SYN-ACKs are sent again", || {
        wires.iter().all(|wire| wire.kernel()[0].syns >= 2).then_some(())
    });
    for wire in &mut wires {
        wire.lose(0);
    }
    for connect in connects {
        assert!(connect.join().unwrap().is_ok());
    }
    let (batch, _) = wires[0].settled(&mut agent);
    let told = |service| value(&batch, service, Signal::SynRetransmits);
    let kernel = wires.map(|wire| wire.kernel()[0].syns);
    assert_eq!([told("one"), told("two")], kernel[..2], "{kernel:?}");
    assert!(
        told(HOST) >= of_host + kernel[2],
        "others may be lost meanwhile, too"
    );
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
