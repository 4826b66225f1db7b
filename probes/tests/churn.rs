//! Endpoints that come and go fill no map, and no total ever changes by it.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use probes::agent::{Agent, MapSizes, MapUse};
use slo_engine::{
    measurement::{Clock, LossReason, Role, Signal},
    service::WatchedService,
};
use support::{
    PATIENCE, Place, eventually, lost, process::Process, process::obey_when_asked, read, value,
    within_patience,
};

/// `listeners N` asks each of N listeners, one after the other, for one answer; `cgroups N DIRECTORY` does so
/// with the same port in N cgroups that are gone afterwards.
#[test]
fn churn_when_asked() {
    obey_when_asked("churn_when_asked", |order| {
        let mut words = order.split(' ');
        let kind = words.next().unwrap();
        let number: usize = words.next().unwrap().parse().unwrap();
        let directory = words.next().map(Path::new);
        for index in 0..number {
            match (kind, directory) {
                ("listeners", _) => answer_once("127.0.0.1:0"),
                ("cgroups", Some(parent)) => {
                    let own = parent.join(format!("c{index}"));
                    fs::create_dir(&own).unwrap();
                    fs::write(own.join("cgroup.procs"), "0").unwrap();
                    answer_once("127.0.0.1:8100");
                    fs::write(parent.join("cgroup.procs"), "0").unwrap();
                    fs::remove_dir(&own).unwrap();
                }
                _ => return "what?".to_owned(),
            }
        }
        "done".to_owned()
    });
}

fn answer_once(address: &str) {
    // The standard library sets SO_REUSEADDR.
    let listener = TcpListener::bind(address).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client
        .write_all(b"GET /one HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    let mut bytes = [0; 1024];
    assert_ne!(server.read(&mut bytes).unwrap(), 0);
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_ne!(client.read(&mut bytes).unwrap(), 0);
    // The client closes first, so that the server's port is free at once.
    drop(client);
    assert_eq!(server.read(&mut bytes).unwrap(), 0);
}

fn entries(agent: &Agent, map: &str) -> u64 {
    let found = agent.map_use().iter().find(|place| place.map == map);
    found.unwrap().entries
}

/// Reads until the maps hold less than `share` of what fits; every total stays what it is meanwhile.
fn settle(agent: &mut Agent, service: &str, total: u64, share: f64) {
    within_patience(PATIENCE * 3, "room was made", || {
        let batch = read(agent);
        assert_eq!(value(&batch, service, Signal::Status(200)), total);
        assert_eq!(value(&batch, service, Signal::Accepted), total);
        assert_eq!(lost(&batch, LossReason::MapFull), 0);
        let has_room = |place: &MapUse| (place.entries as f64) < place.capacity as f64 * share;
        agent.map_use().iter().all(has_room).then_some(())
    });
}

fn histogram_total(agent: &mut Agent, service: &str) -> u64 {
    let batch = read(agent);
    let found = batch.histograms.iter().filter(|found| {
        found.service.as_str() == service && found.role == Role::Server && found.clock == Clock::Turnaround
    });
    found
        .flat_map(|found| &found.buckets)
        .map(|(_, count)| count)
        .sum()
}

fn watched(wish: &str) -> WatchedService {
    WatchedService {
        name: "churn".parse().unwrap(),
        matches: vec![wish.parse().unwrap()],
        routes: vec![],
        thresholds: vec![],
        timeout: Duration::from_secs(30),
        long_poll: slo_engine::service::LongPoll::None,
    }
}

/// A round of 200 listeners takes about 1940 keys of the one and 1160 of the other, and a round begins
/// when they are at most half full.
const SMALL: MapSizes = MapSizes {
    counts: 5120,
    latency_mib: 20,
    sources: 1024,
    endpoints: 512,
};

#[test]
fn many_listeners_that_come_and_go_leave_exact_totals_and_empty_maps() {
    let place = Place::new("churn");
    let mut config = place.config();
    config.sizes = SMALL;
    let services = [watched(&format!("cgroup:{}", place.name))];
    let mut agent = Agent::start(config.clone()).unwrap();
    agent.watch(&services).unwrap();
    let mut process = Process::start(&place, "churn_when_asked");
    let mut total = 0;
    // The process is seen to call, too, which takes more keys still. Eight rounds fill every map several times over.
    for round in 0..8 {
        assert_eq!(process.ask("listeners 200"), "done");
        total += 200;
        let batch = read(&mut agent);
        assert_eq!(
            value(&batch, "churn", Signal::Status(200)),
            total,
            "round {round}"
        );
        if round % 2 == 0 {
            // Whoever starts in between finds all of it, moved or not.
            drop(agent);
            agent = Agent::start(config.clone()).unwrap();
            agent.watch(&services).unwrap();
        }
        settle(&mut agent, "churn", total, 0.5);
    }
    settle(&mut agent, "churn", total, 0.02);
    assert_eq!(histogram_total(&mut agent, "churn"), total);
}

#[test]
fn cgroups_that_come_and_go_with_one_port_leave_exact_totals_and_empty_maps() {
    let place = Place::new("pods");
    let mut config = place.config();
    config.sizes = SMALL;
    let mut agent = Agent::start(config).unwrap();
    agent.watch(&[watched("port:8100")]).unwrap();
    let mut process = Process::start(&place, "churn_when_asked");
    let mut total = 0;
    for _ in 0..3 {
        let order = format!("cgroups 150 {}", place.cgroup.display());
        assert_eq!(process.ask(&order), "done");
        total += 150;
        settle(&mut agent, "churn", total, 0.05);
    }
    assert_eq!(histogram_total(&mut agent, "churn"), total);
}

#[test]
fn listeners_that_nobody_knows_and_nobody_saw_share_one_name() {
    let place = Place::new("brief");
    let mut config = place.config();
    config.sizes = SMALL;
    let mut agent = Agent::start(config).unwrap();
    agent.watch(&[]).unwrap();
    let mut process = Process::start(&place, "churn_when_asked");
    assert_eq!(process.ask("listeners 300"), "done");
    eventually("they have names", || {
        let batch = read(&mut agent);
        let of = |wanted: Option<&str>| -> u64 {
            let counted = batch.readings.iter().filter(|reading| {
                reading.series.signal == Signal::Status(200)
                    && wanted.is_none_or(|name| reading.series.service.as_str() == name)
            });
            counted.map(|reading| reading.value).sum()
        };
        // One or another may have been seen while it listened: it is called by its executable.
        (of(None) == 300 && of(Some("short-lived")) > 200).then_some(())
    });
    within_patience(PATIENCE * 6, "room was made", || {
        read(&mut agent);
        (entries(&agent, "COUNTS") < 20 && entries(&agent, "ENDPOINTS") < 20).then_some(())
    });
}
