//! Many streams at once.

use std::{fs, path::Path, time::Duration};

use probes::agent::{Agent, AgentConfig, AgentError, MapSizes};
use slo_engine::{
    measurement::{Batch, Clock, LossReason, Role, Signal},
    service::WatchedService,
};

use crate::{
    doubt::set_aside,
    program::{Files, Server},
    support::{Place, eventually, lost, lost_of, read, route_value, value, watched},
};

/// A second server would share nothing with the first but the port: each has a namespace.
const PORT: u16 = 8200;

/// So late that none is.
const LAST_BYTE: (Clock, Duration) = (Clock::LastByte, Duration::from_secs(29));

fn shop(place: &Place) -> (Agent, Files, Server) {
    let mut agent = place.agent();
    let routes = ["GET /one", "GET /two"];
    let service = WatchedService {
        routes: routes.iter().map(|text| text.parse().unwrap()).collect(),
        thresholds: vec![LAST_BYTE],
        ..watched("shop", PORT)
    };
    agent.watch(&[service]).unwrap();
    let large = vec![b'x'; 3 << 20];
    let files = Files::new(place, &[("one", b"1"), ("two", b"22"), ("large", &large)]);
    let port = PORT.to_string();
    let command = ["nghttpd", "--no-tls", "-d", files.path(), &port];
    let server = Server::start(place, PORT, &command);
    (agent, files, server)
}

/// Reads until every one of `requests` has ended.
#[expect(clippy::print_stdout, reason = "shown when they never have")]
pub fn settled(agent: &mut Agent, service: &str, requests: u64) -> Batch {
    let mut last = None;
    eventually("all requests have ended", || {
        let batch = read(agent);
        let of_service = || {
            let readings = batch.readings.iter();
            // What its cgroup asks itself is not what it was asked.
            readings.filter(|reading| {
                reading.series.service.as_str() == service && reading.series.role == Role::Server
            })
        };
        let ended: u64 = of_service()
            .filter(|reading| matches!(reading.series.signal, Signal::Status(_) | Signal::Unknown))
            .map(|reading| reading.value)
            .sum();
        // Which are missing, and as what they are held.
        if last.replace(ended) != Some(ended) {
            let counted = of_service().map(|reading| (&reading.series, reading.value));
            println!("{ended} of {requests}: {:?}", counted.collect::<Vec<_>>());
        }
        (ended >= requests).then_some(batch)
    })
}

#[test]
fn twenty_thousand_streams_are_counted_by_route_and_status() {
    let place = Place::new("h2load");
    let (mut agent, _files, server) = shop(&place);
    let said = server.ask(&[
        "h2load",
        "-n20000",
        "-c10",
        "-m50",
        "http://127.0.0.1:8200/one",
        "http://127.0.0.1:8200/two?page=2",
        "http://127.0.0.1:8200/missing",
        "http://127.0.0.1:8200/two",
    ]);
    assert!(
        said.contains("status codes: 15000 2xx, 0 3xx, 5000 4xx, 0 5xx"),
        "{said}"
    );
    let batch = settled(&mut agent, "shop", 20_000);
    assert_eq!(value(&batch, "shop", Signal::Unknown), 0, "{batch:#?}");
    for (route, status, count) in [
        ("GET /one", 200, 5000),
        ("GET /two", 200, 10_000),
        ("other", 404, 5000),
    ] {
        assert_eq!(
            route_value(&batch, "shop", route, Signal::Status(status)),
            count,
            "{route}"
        );
    }
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 15_000);
    assert_eq!(value(&batch, "shop", Signal::Status(404)), 5000);
    for clock in [Clock::Turnaround, Clock::LastByte] {
        let timed: u64 = batch
            .histograms
            .iter()
            .filter(|histogram| histogram.clock == clock)
            .flat_map(|histogram| &histogram.buckets)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(timed, 20_000, "{clock}");
    }
    let (clock, threshold) = LAST_BYTE;
    assert_eq!(value(&batch, "shop", Signal::Within { clock, threshold }), 20_000);
    for reason in [
        LossReason::ReserveFailed,
        LossReason::GapInSequence,
        LossReason::Unparsable,
    ] {
        assert_eq!(lost(&batch, reason), 0, "{reason}");
    }
}

/// Asks while one agent comes after another, which `next` makes where the one before it has died. No stream is lost or
/// doubled.
fn one_agent_after_another(name: &str, mut next: impl FnMut(&Place) -> Agent) -> Batch {
    let place = Place::new(name);
    let (mut agent, _files, server) = shop(&place);
    // Slow enough that the ring holds what comes while nobody reads.
    let mut load = server
        .client(&[
            "h2load",
            "-n40000",
            "-c4",
            "-m20",
            "--rps=500",
            "http://127.0.0.1:8200/one",
            "http://127.0.0.1:8200/no",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut last = 0;
    let mut agents = 0;
    while load.try_wait().unwrap().is_none() {
        let before = value(&read(&mut agent), "shop", Signal::Status(200));
        assert!(before >= last, "a total went down from {last} to {before}");
        last = before;
        // Dropped without a word, as by SIGKILL: only the pins stay.
        drop(agent);
        agent = next(&place);
        agents += 1;
    }
    assert!(agents > 1, "the load was over after {agents}");
    let batch = settled(&mut agent, "shop", 40_000);
    assert_eq!(value(&batch, "shop", Signal::Unknown), 0, "{batch:#?}");
    assert_eq!(
        route_value(&batch, "shop", "GET /one", Signal::Status(200)),
        20_000
    );
    assert_eq!(route_value(&batch, "shop", "other", Signal::Status(404)), 20_000);
    batch
}

#[test]
fn an_agent_that_dies_under_load_loses_and_doubles_no_stream() {
    one_agent_after_another("h2-restart", Place::agent);
}

#[test]
fn requests_that_find_no_room_are_unknown_and_none_is_missing() {
    let place = Place::new("h2-overflow");
    let (agent, _files, server) = shop(&place);
    // Nobody reads.
    drop(agent);
    server.run(&["h2load", "-n120000", "-c4", "-m20", "http://127.0.0.1:8200/one"]);
    let mut agent = place.agent();
    let batch = settled(&mut agent, "shop", 120_000);
    let (resolved, unknown) = (
        value(&batch, "shop", Signal::Status(200)),
        value(&batch, "shop", Signal::Unknown),
    );
    assert_eq!(resolved + unknown, 120_000, "{resolved} and {unknown}");
    assert!(unknown > 0, "the ring had room for all of them");
    // Each is told of the service whose request it was.
    let full = lost_of(&batch, "shop", LossReason::ReserveFailed);
    assert!(full > 0);
    assert_eq!(lost(&batch, LossReason::ReserveFailed), full);
    // Who comes now is followed again.
    server.run(&["h2load", "-n1000", "-c1", "-m20", "http://127.0.0.1:8200/one"]);
    let batch = settled(&mut agent, "shop", 121_000);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), resolved + 1000);
}

fn with_counts(place: &Place, counts: u32) -> Agent {
    let sizes = MapSizes {
        counts,
        ..MapSizes::default()
    };
    let agent = Agent::start(AgentConfig {
        sizes,
        ..place.config()
    });
    agent.unwrap()
}

#[test]
fn another_layout_of_counters_under_load_loses_and_doubles_no_stream() {
    // Other maps, and the old ones again.
    let mut counts = [4096, 16_384].into_iter().cycle();
    let batch = one_agent_after_another("h2-counters", |place| with_counts(place, counts.next().unwrap()));
    for loss in &batch.losses {
        assert_eq!(loss.value, 0, "{loss:?}");
    }
}

#[test]
fn an_agent_of_another_layout_that_cannot_start_takes_nothing() {
    let place = Place::new("h2-failed");
    let (agent, _files, server) = shop(&place);
    drop(agent);
    server.run(&["h2load", "-n300", "-c1", "-m10", "http://127.0.0.1:8200/one"]);
    set_aside(&place, "", "_old");
    let links = Path::new("/sys/fs/bpf/slowburn")
        .join(&place.name)
        .join("edge_links");
    let rename = |from, to| fs::rename(links.join(from), links.join(to)).unwrap();
    // What is pinned where one of its programs belongs is another's.
    rename("edge_in", "edge_spare");
    rename("edge_out", "edge_in");
    let error = Agent::start(place.config()).unwrap_err();
    assert!(matches!(error, AgentError::Attach { .. }), "{error}");
    rename("edge_in", "edge_out");
    rename("edge_spare", "edge_in");
    set_aside(&place, "", "_new");
    set_aside(&place, "_old_new", "");
    let mut agent = place.agent();
    let batch = settled(&mut agent, "shop", 300);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 300);
    assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
}

#[test]
fn what_nobody_read_before_another_layout_is_lost_once() {
    let place = Place::new("h2-layout");
    let (agent, _files, server) = shop(&place);
    drop(agent);
    let ask = || server.run(&["h2load", "-n300", "-c1", "-m10", "http://127.0.0.1:8200/one"]);
    ask();
    // The layout of counters is not the ring's.
    let mut agent = with_counts(&place, 4096);
    let batch = settled(&mut agent, "shop", 300);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 300);
    assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
    drop(agent);
    ask();
    set_aside(&place, "", "_old");
    let mut agent = place.agent();
    let batch = read(&mut agent);
    let unread = lost(&batch, LossReason::GapInSequence);
    // Of each request its header, that of its answer, and the end of that; and the end of the connection.
    assert_eq!(unread, 3 * 300 + 1);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 300);
    drop(agent);
    let mut agent = place.agent();
    assert_eq!(lost(&read(&mut agent), LossReason::GapInSequence), unread);
    ask();
    let batch = settled(&mut agent, "shop", 600);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 600);
}
