//! Packets get lost on the wire: what is sent again equals the kernel's own counters to the last
//! segment, and no request is counted twice.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{fs, net::SocketAddr, process::Command, thread, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TcAttachType},
};
use slo_engine::measurement::{Batch, Gauge, Signal};
use support::{Client, Place, Server, client_value, eventually, gauge, pause, read, value, watched};

static LOSS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/loss"));

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const ASK: &str = "SLOWBURN_TEST_ASK";
const CONNECTIONS: usize = 8;

/// The body of the client: `address,requests on each of eight threads,keep or close,seconds to stay`.
/// Prints how many requests were answered with 200.
#[test]
fn ask_when_asked() {
    let Ok(text) = std::env::var(ASK) else {
        return;
    };
    let parts: Vec<&str> = text.split(',').collect();
    let (address, requests) = (parts[0].to_owned(), parts[1].parse::<usize>().unwrap());
    let keeps = parts[2] == "keep";
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                let mut kept = keeps.then(|| Client::connect(&address));
                let mut answered = 0;
                for _ in 0..requests {
                    let status = match &mut kept {
                        Some(client) => client.get("/"),
                        None => Client::connect(&address).get("/"),
                    };
                    answered += usize::from(status == 200);
                }
                (answered, kept)
            })
        })
        .collect();
    // Connections stay open until the test has looked at them.
    let (answered, _kept): (Vec<usize>, Vec<_>) =
        threads.into_iter().map(|thread| thread.join().unwrap()).unzip();
    println!("\nanswered {}", answered.iter().sum::<usize>());
    std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap();
}

/// Two hosts with a wire between them that loses packets in both directions.
struct Wire {
    server: Server,
    client: Server,
    programs: Vec<Ebpf>,
}

impl Wire {
    fn new(place: &Place, listen: &str, one_in: u32, seed: u64) -> Self {
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
                lose(one_in, if seed == 0 { 0 } else { seed + host })
            }));
        }
        wire
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
fn lose(one_in: u32, seed: u64) -> Ebpf {
    let mut ebpf = EbpfLoader::new()
        .override_global("ONE_IN", &one_in, true)
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
        let mut shop = watched("shop", port);
        shop.matches.extend(watched("shop", 8399).matches);
        agent.watch(&[shop]).unwrap();
        let wire = Wire::new(&place, listen, one_in, seed);
        eventually("both sides are known", || {
            let batch = read(&mut agent);
            // Of both listeners.
            gauge(&batch, "shop", Gauge::AcceptBacklog).filter(|backlog| *backlog > 128.0)
        });
        let executable = std::env::current_exe().unwrap();
        let mut client = place.spawn(
            &wire.client,
            "env",
            &[
                &format!("{ASK}={target},{requests},{way}"),
                executable.to_str().unwrap(),
                "--exact",
                "ask_when_asked",
                "--nocapture",
            ],
        );
        let answered: u64 = client.said("answered ").parse().unwrap();
        assert_eq!(answered, (CONNECTIONS * requests) as u64);

        let name = format!("one in {one_in}, seed {seed}, {way} over {target}");
        let sides = || [Kernel::of(&wire.server), Kernel::of(&wire.client)];
        let batch = eventually("what was lost is all sent again", || {
            let before = sides();
            pause(Duration::from_millis(400));
            let batch = read(&mut agent);
            (sides() == before).then_some(batch)
        });
        assert_eq!(told(&batch), sides(), "{name}");
        if way == "keep" {
            assert_eq!(
                [ss(&wire.server), ss(&wire.client)],
                sides().map(|side| side.segments),
                "{name}"
            );
        }
        for value in [value, client_value] {
            assert_eq!(value(&batch, "shop", Signal::Status(200)), answered, "{name}");
            assert_eq!(value(&batch, "shop", Signal::Unknown), 0, "{name}");
            assert_eq!(value(&batch, "shop", Signal::ClientGaveUp), 0, "{name}");
        }
        let (lost, [server, client_side]) = (wire.lost(), sides());
        assert!(lost >= 5, "{name}: only {lost} were lost");
        assert!(server.segments + client_side.segments > 0, "{name}");
        client.end();
    }
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
