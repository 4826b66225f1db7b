//! Killed, restarted, upgraded, out of room: every request is counted once, or counted as lost.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "../support/mod.rs"]
mod support;

mod agent_process;
mod load;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use probes::agent::{Agent, AgentConfig, MapSizes};
use slo_engine::{
    measurement::{Batch, Clock, Gauge, LossReason, Signal},
    service::WatchedService,
};
use support::{Client, Place, Server, eventually, gauge, lost, read, value, watched};

use agent_process::{AgentProcess, links};
use load::Load;

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

#[test]
fn agent_when_asked() {
    agent_process::run_when_asked();
}

/// Everything that the clients saw answered is counted with its status, and nothing else is.
#[track_caller]
fn exact(agent: &mut Agent, service: &str, answered: u64) {
    let batch = read(agent);
    assert_eq!(value(&batch, service, Signal::Status(200)), answered);
    assert_eq!(value(&batch, service, Signal::Unknown), 0);
    assert_eq!(value(&batch, service, Signal::Accepted), load::CONNECTIONS);
    for loss in &batch.losses {
        assert_eq!(loss.value, 0, "{loss:?}");
    }
}

#[test]
fn an_agent_killed_anywhere_on_its_way_up_loses_and_doubles_nothing() {
    let place = Place::new("killed");
    let mut agent = place.agent();
    agent.watch(&[watched("busy", 8160)]).unwrap();
    let server = place.server(&["127.0.0.1:8160"]);
    let load = Load::start(&server, "127.0.0.1:8160");
    load.wait_for_more();
    drop(agent);

    // Which calls a start makes, and which of them put the new programs into the links.
    let calls = AgentProcess::trace(&place, 8160);
    let updates: Vec<usize> = (1..)
        .zip(&calls)
        .filter(|(_, call)| call.contains("BPF_LINK_UPDATE"))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(updates.len(), 3, "{calls:#?}");
    let (first, last) = (updates[0], updates[2]);
    let mut moments: Vec<usize> = (0..10).map(|step| 1 + step * (last - 1) / 10).collect();
    moments.extend([first, first + 1, updates[1], last, last + 1, calls.len()]);
    for moment in moments {
        let before = links(&place);
        AgentProcess::kill_at(&place, 8160, moment);
        let after = links(&place);
        let replaced = (0..3).filter(|link| before[*link] != after[*link]).count();
        let expected = updates.iter().filter(|update| **update < moment).count();
        assert_eq!(replaced, expected, "killed at call {moment} of {updates:?}");
        load.wait_for_more();
    }
    // And at any other moment, as by hand.
    for _ in 0..4 {
        let running = AgentProcess::start(&place, 8160);
        load.wait_for_more();
        running.kill();
    }
    let answered = load.stop();
    exact(&mut place.agent(), "busy", answered);
}

fn agent_with(place: &Place, counts: u32) -> Agent {
    let sizes = MapSizes {
        counts,
        ..MapSizes::default()
    };
    let mut agent = Agent::start(AgentConfig {
        sizes,
        ..place.config()
    })
    .unwrap();
    let mut service = watched("moved", 8161);
    service.thresholds = vec![(Clock::Turnaround, Duration::from_secs(20))];
    agent.watch(&[service]).unwrap();
    agent
}

#[test]
fn another_layout_of_counters_under_load_loses_nothing() {
    let place = Place::new("moved");
    let mut agent = agent_with(&place, 4096);
    let server = place.server(&["127.0.0.1:8161"]);
    let load = Load::start(&server, "127.0.0.1:8161");
    load.wait_for_more();
    // Other maps each time, and each time the old ones again after that.
    for counts in [8192, 4096, 2048, 8192, 4096, 2048] {
        drop(agent);
        load.wait_for_more();
        agent = agent_with(&place, counts);
        load.wait_for_more();
    }
    let answered = load.stop();
    exact(&mut agent, "moved", answered);
    let batch = read(&mut agent);
    let (clock, threshold) = (Clock::Turnaround, Duration::from_secs(20));
    let within = value(&batch, "moved", Signal::Within { clock, threshold });
    assert_eq!(within, answered);
}

/// Directories of pins whose names begin so.
fn named(place: &Place, word: &str) -> Vec<PathBuf> {
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let paths = fs::read_dir(pins).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(word))
        .collect()
}

#[test]
fn counters_that_cannot_be_read_end_their_source() {
    let place = Place::new("unread");
    let agent = agent_with(&place, 4096);
    let server = place.server(&["127.0.0.1:8161"]);
    let ask = || server.beside(|| assert_eq!(Client::connect("127.0.0.1:8161").get("/"), 200));
    for _ in 0..3 {
        ask();
    }
    let before = agent.source();
    drop(agent);
    // As if the next build's record of latencies had another size.
    let counters = named(&place, "edge_counters_").pop().unwrap();
    fs::remove_file(counters.join("LATENCIES")).unwrap();
    fs::hard_link(counters.join("COUNTS"), counters.join("LATENCIES")).unwrap();

    let mut agent = agent_with(&place, 8192);
    assert_ne!(
        agent.source(),
        before,
        "what it counted is no beginning of what is counted now"
    );
    assert_eq!(named(&place, "unread_edge_counters_").len(), 1);
    ask();
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "moved", Signal::Status(200)), 1);
    // Once: who comes next is the same source.
    let after = agent.source();
    drop(agent);
    let mut agent = agent_with(&place, 8192);
    assert_eq!(agent.source(), after);
    ask();
    assert_eq!(value(&read(&mut agent), "moved", Signal::Status(200)), 2);
}

#[test]
fn counters_that_hold_http2_of_an_earlier_build_end_their_source() {
    let place = Place::new("heldh2");
    let mut counts = 4096;
    for (pin, held) in [
        ("HTTP2_RECORDS", "HTTP2_RECORDS"),
        ("HTTP2_BOOK_6", "HTTP2_BOOK_5"),
    ] {
        let agent = agent_with(&place, counts);
        let before = agent.source();
        drop(agent);
        // As they stood before 26 November.
        let http2 = named(&place, "edge_http2_").pop().unwrap();
        let counters = named(&place, "edge_counters_").pop().unwrap();
        fs::hard_link(http2.join(pin), counters.join(held)).unwrap();
        counts *= 2;
        let agent = agent_with(&place, counts);
        assert_ne!(agent.source(), before, "{held}: its totals are in no count");
        drop(agent);
        assert_eq!(named(&place, "edge_counters_").len(), 1);
    }
    assert_eq!(named(&place, "unread_edge_counters_").len(), 2);
}

#[test]
fn another_layout_of_connections_loses_at_most_what_is_in_flight() {
    let place = Place::new("forgot");
    let mut agent = place.agent();
    agent.watch(&[watched("forgot", 8162)]).unwrap();
    let server = place.server(&["127.0.0.1:8162"]);
    let load = Load::start(&server, "127.0.0.1:8162");
    load.wait_for_more();
    let source = agent.source();
    drop(agent);
    // As if the next build laid its records out differently: its own directory is not there.
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let connections = fs::read_dir(&pins)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("edge_connections_"))
        .unwrap();
    fs::rename(&connections, pins.join("edge_connections_0")).unwrap();
    let mut agent = place.agent();
    agent.watch(&[watched("forgot", 8162)]).unwrap();
    assert_eq!(
        agent.source(),
        source,
        "a new source would be a new beginning to the engine"
    );
    load.wait_for_more();
    let answered = load.stop();
    let batch = read(&mut agent);
    let known = value(&batch, "forgot", Signal::Status(200));
    let unknown = value(&batch, "forgot", Signal::Unknown);
    assert_eq!(known + unknown, answered);
    assert!(unknown <= load::CONNECTIONS, "{unknown}");
}

/// An agent with room for little, and a connection to its service on which everything that is
/// counted once a connection has been counted.
fn cramped(place: &Place, service: WatchedService, address: &'static str) -> (Agent, Server) {
    let sizes = MapSizes {
        counts: 512,
        latency_mib: 1,
        ..MapSizes::default()
    };
    let mut agent = Agent::start(AgentConfig {
        sizes,
        ..place.config()
    })
    .unwrap();
    agent.watch(std::slice::from_ref(&service)).unwrap();
    let server = place.server(&[address]);
    for _ in 0..2 {
        server.beside(move || assert_eq!(Client::connect(address).get("/"), 200));
        read(&mut agent);
    }
    (agent, server)
}

#[test]
fn statuses_that_find_no_room_are_counted_as_lost() {
    let place = Place::new("crowd");
    let (mut agent, server) = cramped(&place, watched("crowd", 8163), "127.0.0.1:8163");
    let before = read(&mut agent);
    let produced = server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8163");
        let statuses = (200..900).chain(200..900);
        statuses
            .map(|status| assert_eq!(client.get(&format!("/status/{status}")), status))
            .count()
    });
    let batch = read(&mut agent);
    let delivered: u64 = (200..900)
        .map(|status| value(&batch, "crowd", Signal::Status(status)))
        .sum();
    let delivered = delivered - value(&before, "crowd", Signal::Status(200));
    let dropped = lost(&batch, LossReason::MapFull);
    println!("{produced} requests produced = {delivered} delivered + {dropped} dropped");
    assert_eq!(lost(&before, LossReason::MapFull), 0);
    assert!(dropped > 300, "there was room for all: {dropped}");
    assert_eq!(delivered + dropped, produced as u64);
}

#[test]
fn latencies_that_find_no_room_are_counted_as_lost() {
    const ROUTES: u64 = 200;
    let place = Place::new("routes");
    let mut service = watched("routes", 8164);
    service.routes = (0..ROUTES)
        .map(|number| format!("GET /{number}").parse().unwrap())
        .collect();
    let (mut agent, server) = cramped(&place, service, "127.0.0.1:8164");
    // Round trips have a histogram of their own.
    let timed = |batch: &Batch| -> u64 {
        let requests = batch.histograms.iter();
        let requests = requests.filter(|histogram| histogram.clock == Clock::Turnaround);
        let buckets = requests.flat_map(|histogram| &histogram.buckets);
        buckets.map(|(_, count)| count).sum()
    };
    let before = read(&mut agent);
    server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8164");
        for number in (0..ROUTES).chain(0..ROUTES) {
            assert_eq!(client.get(&format!("/{number}")), 200);
        }
    });
    let batch = read(&mut agent);
    // The status has room all the same.
    let answered =
        value(&batch, "routes", Signal::Status(200)) - value(&before, "routes", Signal::Status(200));
    assert_eq!(answered, 2 * ROUTES);
    let (delivered, dropped) = (timed(&batch) - timed(&before), lost(&batch, LossReason::Untimed));
    println!("{answered} latencies produced = {delivered} delivered + {dropped} dropped");
    assert!(dropped > 0, "there was room for all");
    assert_eq!(delivered + dropped, answered);
}

#[test]
fn what_has_no_room_but_latencies_of_requests_makes_no_request_untimed() {
    let place = Place::new("crowded");
    let mut service = watched("crowded", 8165);
    service.routes = (0..200)
        .map(|number| format!("GET /{number}").parse().unwrap())
        .collect();
    let (mut agent, server) = cramped(&place, service.clone(), "127.0.0.1:8165");
    server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8165");
        for number in 0..200 {
            assert_eq!(client.get(&format!("/{number}")), 200);
        }
    });
    let mut timed = watched("late", 8166);
    // Where neither clock has room, a request is untimed once.
    timed.thresholds = vec![
        (Clock::Turnaround, Duration::from_millis(1)),
        (Clock::LastByte, Duration::from_millis(1)),
    ];
    agent.watch(&[service, timed]).unwrap();
    let late = place.server(&["127.0.0.1:8166"]);
    let mut client = late.beside(|| {
        let mut client = Client::connect("127.0.0.1:8166");
        for _ in 0..10 {
            assert_eq!(client.get("/"), 200);
        }
        client
    });
    // One is found overdue while it hangs, and again as it ends.
    late.hang();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("it is overdue", || {
        (gauge(&read(&mut agent), "late", Gauge::Overdue)? > 0.0).then_some(())
    });
    late.go_on();
    assert_eq!(client.answer(), Some(200));
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "late", Signal::Status(200)), 11);
    let of = |reason| {
        let losses = batch.losses.iter();
        let losses = losses.filter(|loss| loss.service.as_ref().is_some_and(|name| name.as_str() == "late"));
        losses
            .filter(|loss| loss.reason == reason)
            .map(|loss| loss.value)
            .sum::<u64>()
    };
    assert_eq!(of(LossReason::Untimed), 11);
    // The round trip of its one connection, and where the kernel tells of reads how long each request waited.
    assert!(of(LossReason::SignalsFull) > 0);
}
