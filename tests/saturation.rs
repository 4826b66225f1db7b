//! The claim of the product: when a server saturates, slowburn sees what its clients wait for, and the
//! server's own log does not. `cargo test --test saturation -- --nocapture` prints the figures.
//!
//! One single-threaded server, asked one and a half times as often as it can answer, one connection a
//! request. The server takes tens of milliseconds a request, so that what is measured is the queue
//! and not this machine's scheduling. Nothing is compared but three accounts of the same requests.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use support::network::{Network, Running, SERVER, Side};
use support::open_loop::{self, Answer, Load};
use support::slowburn::{Slowburn, lines};
use support::{delays, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const SERVICE_MS: &str = "25";
const OVERLOAD: Load = Load {
    address: "10.77.0.1:8083",
    requests: 300,
    // 25 ms / 1.5.
    every: Duration::from_micros(16_667),
};

/// The server, and who asks it: known by where it runs, since it never listens.
const DEFINITIONS: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: single}
spec:
  match: {port: 8083}
  objectives: [{latency: {below: 250ms, target: 99%}}]
  window: 30d
---
apiVersion: slowburn/v1
kind: Service
metadata: {name: asking}
spec:
  match: {cgroup: NETWORK/c}
";

#[test]
fn open_loop_client() {
    open_loop::run_when_asked();
}

/// Milliseconds that a share of the requests stayed within, by three accounts.
#[derive(Debug, Clone, Copy)]
struct Figures {
    client: f64,
    slowburn: f64,
    server: f64,
}

struct Saturation {
    network: Network,
    slowburn: Slowburn,
    answers: Vec<Answer>,
    seen: serde_json::Value,
    own: Vec<f64>,
}

impl Saturation {
    /// Runs the load against a server with this accept queue, until all of it is booked.
    fn run(backlog: &str) -> Saturation {
        let network = Network::create();
        let name = network.cgroup.file_name().unwrap().to_str().unwrap();
        let slowburn = Slowburn::start(&network, &DEFINITIONS.replace("NETWORK", name));
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("own.log");
        let _server = single(&network, backlog, log.to_str().unwrap());
        let answers = open_loop::run(&network, OVERLOAD);
        let seen = eventually("all requests to be booked", PATIENCE, || {
            let seen = slowburn.get("/api/v1/services/single?window=1h");
            let requests: u64 = seen["routes"]
                .as_array()?
                .iter()
                .filter_map(|route| route["statuses"]["200"].as_u64())
                .sum();
            (requests >= u64::from(OVERLOAD.requests)).then_some(seen)
        });
        let own = lines(&log).iter().map(|line| line.parse().unwrap()).collect();
        Saturation {
            network,
            slowburn,
            answers,
            seen,
            own,
        }
    }

    fn at(&self, share: f64, name: &str) -> Figures {
        Figures {
            client: quantile(self.answers.iter().map(|answer| answer.since_first_byte), share),
            slowburn: self.seen[name].as_f64().unwrap(),
            server: quantile(self.own.iter().copied(), share),
        }
    }

    /// Connections that found the accept queue full, by the server's kernel.
    fn overflows(&self) -> u64 {
        self.network.counter(Side::Server, "TcpExt", "ListenOverflows")
    }

    /// Of the server, or of who asks it, as the client that it is.
    fn booked(&self, service: &str, role: &str, signal: &str) -> u64 {
        let total = "select coalesce(sum(value), 0) from series_head join series using (series_id) join service using (service_id)";
        let of = format!("service.name = '{service}' and role = '{role}' and signal = '{signal}'");
        let booked = self.slowburn.sql(&format!("{total} where {of}"));
        booked.parse().unwrap()
    }
}

fn single(network: &Network, backlog: &str, log: &str) -> Running {
    let arguments = [
        "tests/programs/single.py",
        SERVER,
        "8083",
        backlog,
        SERVICE_MS,
        log,
    ];
    let mut server = network.spawn(Side::Server, "python3", &arguments);
    delays::wait_until_it_listens(&mut server);
    server
}

#[test]
fn a_saturated_server_is_as_slow_to_slowburn_as_to_its_clients() {
    // Longer than the burst: nobody waits outside of the queue.
    let saturation = Saturation::run("512");
    assert_eq!(saturation.overflows(), 0);
    assert_eq!(saturation.booked("single", "server", "tcp:listen_drops"), 0);
    let (p50, p99) = (saturation.at(0.50, "p50_ms"), saturation.at(0.99, "p99_ms"));
    println!(
        "{} requests, one every {:.1} ms, to a single-threaded server that takes {SERVICE_MS} ms each; accept-queue overflows: 0",
        OVERLOAD.requests,
        OVERLOAD.every.as_secs_f64() * 1000.0
    );
    println!("                        p50 ms    p99 ms");
    for (who, median, tail) in [
        ("the client waited", p50.client, p99.client),
        ("slowburn measured", p50.slowburn, p99.slowburn),
        ("the server logged", p50.server, p99.server),
    ] {
        println!("{who:<20} {median:>9.0} {tail:>9.0}");
    }
    agrees(p99);
    // Otherwise nothing was saturated, and the figures show nothing.
    assert!(p50.client > 10.0 * p50.server, "{p50:?}");
}

#[test]
fn a_full_accept_queue_shows_as_what_was_turned_away_and_sent_again() {
    let saturation = Saturation::run("16");
    let overflows = saturation.overflows();
    let drops = saturation.network.counter(Side::Server, "TcpExt", "ListenDrops");
    let resent = saturation
        .network
        .counter(Side::Client, "TcpExt", "TCPSynRetrans");
    let p99 = saturation.at(0.99, "p99_ms");
    let since_due = quantile(saturation.answers.iter().map(|answer| answer.since_due), 0.99);
    println!("the same load, with an accept queue of 16: p99 in ms");
    for (who, tail) in [
        ("the client waited, connecting included", since_due),
        ("the client waited, from its first byte", p99.client),
        ("slowburn measured", p99.slowburn),
        ("the server logged", p99.server),
    ] {
        println!("{who:<40} {tail:>9.0}");
    }
    println!("accept-queue overflows: {overflows}; SYNs sent again: {resent}");
    assert!(overflows > 0, "the queue did not overflow");
    eventually("what was turned away to be booked", PATIENCE, || {
        (saturation.booked("single", "server", "tcp:listen_drops") >= drops).then_some(())
    });
    // As many as its client's kernel says, and all of them its client's: the server has sent nothing again.
    let booked = |service, role| saturation.booked(service, role, "tcp:syn_retransmits");
    eventually("each SYN sent again to be booked", PATIENCE, || {
        (booked("asking", "client") >= resent).then_some(())
    });
    assert_eq!(booked("asking", "client"), resent);
    println!("by slowburn's count: {}", booked("asking", "client"));
    agrees(p99);
    // Who waited to connect waited for a SYN to be sent again, a second later at the earliest.
    let kept_out = saturation.answers.iter();
    let kept_out = kept_out.filter(|answer| answer.since_due - answer.since_first_byte > 900.0);
    let kept_out = kept_out.count() as u64;
    assert!(kept_out > 0 && kept_out <= resent, "{kept_out} of {resent}");
}

fn agrees(figures: Figures) {
    let error = (figures.slowburn / figures.client - 1.0).abs();
    assert!(error <= 0.05, "off by {:.1} %: {figures:?}", error * 100.0);
}

fn quantile(times: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = times.collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank within the slice"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}
