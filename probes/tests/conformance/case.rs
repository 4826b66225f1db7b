//! One case: run it, and hold what slowburn counted against the log, the client and the capture.

use std::{collections::BTreeMap, fmt::Write as _, sync::Mutex, thread, time::Duration};

use chrono::Utc;
use probes::{
    agent::{Agent, AgentConfig, MapSizes},
    overhead::OverheadConfig,
};
use slo_engine::{
    measurement::{Clock, LossReason, Role},
    service::WatchedService,
};

use super::{
    capture::Capture,
    client::{self, Answers, Client},
    compare, eventually,
    network::{Network, Side, run as run_command},
    pause,
    server::{self, PORT, Server},
    servers,
    speaker::Speaker,
    times,
};

const PATIENCE: Duration = Duration::from_secs(10);
pub const SERVICE: &str = "subject";

#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub server: &'static Server,
    /// One after another.
    pub clients: &'static [Client],
    pub routes: &'static [&'static str],
    pub below_ms: &'static [u64],
    pub timeout: Duration,
    /// What requests of a path come to, where the log's status does not say it.
    pub outcomes: &'static [(&'static str, &'static str)],
    pub wire: Wire,
    pub seen: Seen,
    /// Bodies frame themselves, so the capture has to keep all of them.
    pub framed: bool,
    /// Inside TLS each answer is one record, so that the capture can tell its time.
    pub alone: bool,
    /// Requests the log must have, at least: a case that asked for nothing shows nothing.
    pub at_least: u64,
    /// Requests sent along with another, in protocols of which only turns are seen.
    pub together: u64,
    /// What slowburn says it could not read.
    pub losses: u64,
}

/// Which end slowburn and the capture look at.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub role: Role,
    pub side: Side,
    pub port: u16,
    pub device: &'static str,
}

pub const BY_SERVER: Seen = Seen {
    role: Role::Server,
    side: Side::Server,
    port: PORT,
    device: "eth0",
};
pub const BY_CLIENT: Seen = Seen {
    role: Role::Client,
    side: Side::Client,
    ..BY_SERVER
};
/// The server is itself the client of one behind it, on the same host.
pub const BY_SERVER_AS_CLIENT: Seen = Seen {
    role: Role::Client,
    port: 8090,
    device: "lo",
    ..BY_SERVER
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Plain,
    /// Segments as they are on a wire: no GSO, GRO or checksums left to a device.
    NoOffloads,
    /// 2 % of the segments are lost in each direction, on the client's side of the capture.
    Lossy,
}

pub const CASE: Case = Case {
    name: "",
    server: &servers::NGINX,
    clients: &[],
    routes: &[],
    below_ms: &[20],
    timeout: Duration::from_secs(30),
    outcomes: &[],
    wire: Wire::Plain,
    seen: BY_SERVER,
    framed: false,
    alone: false,
    at_least: 1,
    together: 0,
    losses: 0,
};

/// The same with another server.
pub const fn on(server: &'static Server, case: Case) -> Case {
    Case { server, ..case }
}

/// The same under another name.
pub const fn over(name: &'static str, case: Case) -> Case {
    Case { name, ..case }
}

/// The same, and the client is looked at instead of the server.
pub const fn by_client(name: &'static str, case: Case) -> Case {
    Case {
        seen: BY_CLIENT,
        ..over(name, case)
    }
}

impl Case {
    /// No two have the same.
    pub fn title(&self) -> String {
        format!("{}::{}", self.server.name, self.name.replace(' ', "_"))
    }
}

/// Takes the pins away.
struct Instance(String);

impl Drop for Instance {
    fn drop(&mut self) {
        let _gone = probes::unload(&self.0);
    }
}

pub fn run(case: Case) {
    let network = Network::create();
    shape(&network, case.wire);
    let instance = Instance(network.name.clone());
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let running = server::start(case.server, &network, at);

    let is_older = |number: &usize| matches!(case.clients[*number], Client::Older(_));
    let mut older: BTreeMap<usize, Speaker> = (0..case.clients.len())
        .filter(is_older)
        .map(|number| (number, Speaker::older(&network, &case, number)))
        .collect();
    let before = eventually("the log of what was before", PATIENCE, || {
        let log = server::log(case.server, at);
        (log.values().sum::<u64>() == older.len() as u64).then_some(log)
    });

    let mut agent = start_agent(&network, case.seen.side, &instance.0);
    agent.watch(&[service(&case, &network)]).unwrap();
    let capture = Capture::start(&network, &case, at);
    let answers: Vec<Answers> = (0..case.clients.len())
        .map(|number| {
            let older = older.remove(&number);
            thread::scope(|scope| {
                let client = scope.spawn(|| client::run(&network, &case, number, at, older));
                // As in life, the agent looks while there is traffic.
                while !client.is_finished() {
                    agent.read(Utc::now()).unwrap();
                    pause(Duration::from_millis(100));
                }
                client.join().unwrap()
            })
        })
        .collect();
    running.finish(&network, at);
    let pairs = capture.pairs(&network, &case);
    let mut log = server::log(case.server, at);
    for (entry, count) in before {
        *log.get_mut(&entry).unwrap() -= count;
    }
    log.retain(|_, count| *count > 0);

    let logged = log.values().sum::<u64>();
    assert!(
        logged >= case.at_least,
        "only {logged} requests were logged: {log:?}; the clients got {answers:?}"
    );
    compare::clients_with_log(&case, &log, &answers);
    let expected = compare::expected(&case, &log);
    let batch = compare::settled(&case, &mut agent, &expected);
    let lost: Vec<_> = batch.losses.iter().filter(|loss| loss.value > 0).collect();
    assert_eq!(
        compare::counts(&case, &batch),
        expected,
        "slowburn's counts (left) against the log's; lost: {lost:?}"
    );
    // What the kernel lacks is told once an agent, and is no loss of these requests.
    let of_requests = lost
        .iter()
        .filter(|loss| !(is_degraded() && loss.reason == LossReason::ProbeAbsent));
    let losses = of_requests.map(|loss| loss.value).sum::<u64>();
    assert_eq!(losses, case.losses, "{lost:?}");
    let apart = match &pairs {
        Some(pairs) => {
            compare::capture_with_log(&case, &log, pairs);
            times::thresholds(&case, &batch, pairs);
            times::quantiles(&case, &batch, pairs)
        }
        None => times::all_are_timed(&case, &batch, &expected),
    };
    let names: Vec<&str> = case.clients.iter().map(Client::name).collect();
    ROWS.lock().unwrap().push([
        case.server.name.to_owned(),
        case.name.to_owned(),
        names.join(", "),
        logged.to_string(),
        apart,
    ]);
}

fn shape(network: &Network, wire: Wire) {
    match wire {
        Wire::Plain => {}
        Wire::NoOffloads => {
            for side in [Side::Server, Side::Client] {
                let off = "-K eth0 tso off gso off gro off tx off rx off sg off";
                server::needs("ethtool");
                network.output(side, "ethtool", &off.split(' ').collect::<Vec<_>>());
            }
        }
        Wire::Lossy => {
            let namespace = network.namespace(Side::Client);
            for chain in ["INPUT", "OUTPUT"] {
                let rule = format!(
                    "ip netns exec {namespace} iptables-legacy -A {chain} -p tcp -m statistic --mode random --probability 0.02 -j DROP"
                );
                run_command(&rule.split(' ').collect::<Vec<_>>());
            }
        }
    }
}

/// As `support` has it, for `scripts/test-kernels`.
fn is_degraded() -> bool {
    std::env::var_os("SLOWBURN_TEST_DEGRADED").is_some()
}

fn start_agent(network: &Network, side: Side, instance: &str) -> Agent {
    let agent = Agent::start(AgentConfig {
        cgroup: Some(network.cgroup.join(side.tag())),
        instance: instance.to_owned(),
        sizes: MapSizes::default(),
        overhead: OverheadConfig::default(),
    })
    .unwrap();
    if !is_degraded() {
        assert_eq!(agent.degraded(), [""; 0]);
    }
    agent
}

fn service(case: &Case, network: &Network) -> WatchedService {
    // Servers are known by where they listen, callers by where they run.
    let place = match case.seen.role {
        Role::Server => format!("port:{PORT}"),
        Role::Client => {
            let parent = network.cgroup.file_name().unwrap().to_str().unwrap();
            format!("cgroup:{parent}/{}", case.seen.side.tag())
        }
    };
    let turnaround = |ms: &u64| (Clock::Turnaround, Duration::from_millis(*ms));
    WatchedService {
        name: SERVICE.parse().unwrap(),
        matches: vec![place.parse().unwrap()],
        routes: case.routes.iter().map(|route| route.parse().unwrap()).collect(),
        thresholds: case.below_ms.iter().map(turnaround).collect(),
        timeout: case.timeout,
        long_poll: slo_engine::service::LongPoll::None,
    }
}

static ROWS: Mutex<Vec<[String; 5]>> = Mutex::new(Vec::new());

/// What was shown.
pub fn table() -> String {
    let mut rows = ROWS.lock().unwrap().clone();
    rows.sort();
    rows.insert(
        0,
        [
            "server",
            "case",
            "clients",
            "requests = counted",
            "quantiles apart at most, pairs preempted",
        ]
        .map(str::to_owned),
    );
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            write!(text, "{cell:<width$}  ").unwrap();
        }
        text.push('\n');
    }
    text
}
