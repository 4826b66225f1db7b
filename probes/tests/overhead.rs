//! What the programs cost is measured, and past a budget the kernel does less and says so.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use probes::{
    agent::Agent,
    overhead::{FEWER_WALKS, Modes, OverheadConfig, Probe, Watching},
};
use probes_ebpf::wire::mode;
use slo_engine::{
    measurement::{Clock, Gauge, LossReason, Signal},
    service::WatchedService,
};
use support::{Client, PATIENCE, Place, gauge, lost, lost_of, read, route_value, watched, within_patience};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const ADDRESS: &str = "127.0.0.1:8300";

fn routed() -> WatchedService {
    WatchedService {
        routes: vec!["GET /api/".parse().unwrap()],
        ..watched("busy", 8300)
    }
}

fn agent(place: &Place, overhead: OverheadConfig) -> Agent {
    let mut config = place.config();
    config.overhead = overhead;
    let mut agent = Agent::start(config).unwrap();
    agent.watch(&[routed()]).unwrap();
    agent
}

#[test]
fn past_its_budget_less_is_counted_and_with_room_everything_again() {
    let place = Place::new("budget");
    let mut agent = agent(
        &place,
        OverheadConfig {
            watching: Watching::Always,
            // A loop of requests takes several times as much, reading alone a fraction.
            budget: Some(0.002),
        },
    );
    let server = place.server(&[ADDRESS]);
    let stop = Arc::new(AtomicBool::new(false));
    let load = server.spawn_beside({
        let stop = Arc::clone(&stop);
        move || {
            let mut client = Client::connect(ADDRESS);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get("/api/x"), 200);
                sent += 1;
            }
            sent
        }
    });
    within_patience(PATIENCE * 3, "less is done", || {
        read(&mut agent);
        (agent.overhead().1.of(Probe::Requests) == mode::NO_ROUTES).then_some(())
    });
    let before = read(&mut agent);
    within_patience(PATIENCE, "requests go on under `other`", || {
        let batch = read(&mut agent);
        let other = |batch| route_value(batch, "busy", "other", Signal::Status(200));
        (other(&batch) > other(&before)).then_some(())
    });
    let source = agent.sources_of(&"busy".parse().unwrap()).unwrap();
    assert_eq!(source, [], "remote addresses are not counted in this mode");
    stop.store(true, Ordering::Relaxed);
    let sent: u64 = load.join().unwrap();

    let batch = read(&mut agent);
    let routed = route_value(&batch, "busy", "GET /api/", Signal::Status(200));
    let other = route_value(&batch, "busy", "other", Signal::Status(200));
    assert_eq!(routed + other, sent, "no request is lost by it");
    assert_eq!(
        lost_of(&batch, "busy", LossReason::Reduced),
        other,
        "and each that has no route is told"
    );
    assert!(lost(&batch, LossReason::ProbeAbsent) >= 1);

    let (costs, _) = agent.overhead();
    let ingress = costs.iter().find(|cost| cost.program == "edge_in").unwrap();
    assert!(
        ingress.runs > 0 && ingress.nanoseconds > ingress.runs,
        "{ingress:?}"
    );

    within_patience(PATIENCE * 3, "everything is counted again", || {
        read(&mut agent);
        (agent.overhead().1 == Modes::default()).then_some(())
    });
    server.beside(|| assert_eq!(Client::connect(ADDRESS).get("/api/y"), 200));
    let batch = read(&mut agent);
    assert_eq!(
        route_value(&batch, "busy", "GET /api/", Signal::Status(200)),
        routed + 1
    );
    assert_eq!(lost(&batch, LossReason::Reduced), other);
}

#[test]
fn walks_that_cost_most_are_fewer_and_find_what_hangs_all_the_same() {
    let place = Place::new("walks");
    let mut agent = agent(
        &place,
        OverheadConfig {
            watching: Watching::Always,
            // Always overspent.
            budget: Some(0.0001),
        },
    );
    let mut service = routed();
    service.thresholds = vec![(Clock::Turnaround, Duration::from_millis(100))];
    agent.watch(&[service]).unwrap();
    let server = place.server(&[ADDRESS]);
    // Nobody asks anything on them: only whoever walks over them pays.
    let idle = server.beside(|| -> Vec<Client> {
        (0..400)
            .map(|_| {
                let mut client = Client::connect(ADDRESS);
                assert_eq!(client.get("/"), 200);
                client
            })
            .collect()
    });
    within_patience(PATIENCE * 3, "walks are fewer", || {
        read(&mut agent);
        let modes = agent.overhead().1;
        assert_eq!(modes.of(Probe::Requests), mode::FULL);
        (modes.of(Probe::Walks) != 0).then_some(())
    });
    server.hang();
    let mut client = server.beside(|| {
        let mut client = Client::connect(ADDRESS);
        client.send("GET /api/slow HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    });
    within_patience(PATIENCE, "what hangs is overdue", || {
        let batch = read(&mut agent);
        let overdue = gauge(&batch, "busy", Gauge::Overdue);
        (overdue == Some(1.0)).then_some(())
    });
    let seen = (0..FEWER_WALKS)
        .filter(|_| gauge(&read(&mut agent), "busy", Gauge::Overdue).is_some())
        .count();
    assert_eq!(seen, 1, "where nobody looked, nothing is told");
    server.go_on();
    server.beside(move || assert_eq!(client.answer(), Some(200)));
    drop(idle);
}

#[test]
fn unless_it_is_asked_for_nothing_is_accounted() {
    let place = Place::new("unwatched");
    let mut agent = agent(
        &place,
        OverheadConfig {
            watching: Watching::Off,
            budget: None,
        },
    );
    let server = place.server(&[ADDRESS]);
    server.beside(|| assert_eq!(Client::connect(ADDRESS).get("/"), 200));
    for _ in 0..12 {
        read(&mut agent);
        support::pause(Duration::from_millis(20));
    }
    assert_eq!(agent.overhead(), (vec![], Modes::default()));
}
