//! Starting, dying, coming back, and leaving nothing behind.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal::SIGUSR1, sigaction},
    unistd::{getpid, gettid},
};
use probes::agent::{Agent, AgentError};
use slo_engine::{
    measurement::{Batch, Clock, Gauge, LossReason, Signal},
    service::WatchedService,
};
use support::{Client, Place, eventually, pause, programs_of, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

/// Signals at moments of the start that its own time in the kernel sets, nearly all of which is the verifier's. Fewer
/// than it takes to interrupt one program's load as often as it is tried: aya tries each time twice.
#[test]
fn a_start_that_signals_interrupt_goes_on() {
    const SIGNALS: u64 = 8;
    extern "C" fn heard(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(heard), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(SIGUSR1, &action) }.unwrap();
    let place = Place::new("signals");
    let (sender, thread_id) = mpsc::channel();
    thread::scope(|scope| {
        let start = scope.spawn(|| {
            sender.send(gettid()).unwrap();
            place.agent()
        });
        let thread = thread_id.recv().unwrap();
        let ticks_in_kernel = || -> u64 {
            let text = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
            let field = text.split(' ').nth(14);
            field.and_then(|field| field.parse().ok()).unwrap_or(0)
        };
        let mut sent = 0;
        while sent < SIGNALS && !start.is_finished() {
            if ticks_in_kernel() > 5 * (sent + 1) {
                // SAFETY: a thread of this process, which waits for it below.
                let told =
                    unsafe { libc::syscall(libc::SYS_tgkill, getpid().as_raw(), thread.as_raw(), SIGUSR1) };
                assert_eq!(told, 0);
                sent += 1;
            }
            pause(Duration::from_millis(1));
        }
        start.join().unwrap();
        assert!(sent > 1, "the start was over before it was interrupted");
    });
}

fn start_of(batch: &Batch, signal: Signal) -> chrono::DateTime<chrono::Utc> {
    let found = batch
        .readings
        .iter()
        .find(|reading| reading.series.signal == signal);
    found.unwrap().start_time
}

#[test]
fn an_agent_that_dies_under_load_loses_and_doubles_nothing() {
    let place = Place::new("restart");
    let services = [watched("busy", 8100)];
    let mut agent = place.agent();
    agent.watch(&services).unwrap();
    let source = agent.source();
    let server = place.server(&["127.0.0.1:8100"]);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            server.spawn_beside(move || {
                let mut client = Client::connect("127.0.0.1:8100");
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/"), 200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut last = eventually("something is counted", || {
        let batch = read(&mut agent);
        (value(&batch, "busy", Signal::Status(200)) > 0).then_some(batch)
    });
    let start = start_of(&last, Signal::Status(200));
    for _ in 0..5 {
        // Dropped without a word, as by SIGKILL: only the pins stay.
        drop(agent);
        agent = place.agent();
        agent.watch(&services).unwrap();
        assert_eq!(agent.source(), source);
        let batch = read(&mut agent);
        assert_eq!(start_of(&batch, Signal::Status(200)), start);
        assert!(value(&batch, "busy", Signal::Status(200)) > value(&last, "busy", Signal::Status(200)));
        last = batch;
    }
    stop.store(true, Ordering::Relaxed);
    let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "busy", Signal::Status(200)), answered);
    assert_eq!(value(&batch, "busy", Signal::Unknown), 0);
    assert_eq!(value(&batch, "busy", Signal::Accepted), 4);
}

#[test]
fn counters_of_another_layout_are_part_of_the_total() {
    let place = Place::new("layout");
    let services = [watched("kept", 8105)];
    let mut agent = place.agent();
    agent.watch(&services).unwrap();
    let server = place.server(&["127.0.0.1:8105"]);
    let ask = |server: &support::Server| {
        server.beside(|| assert_eq!(Client::connect("127.0.0.1:8105").get("/"), 200));
    };
    ask(&server);
    let before = read(&mut agent);
    drop(agent);
    // As if the next build laid its records out differently: its own directory is not there.
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let counters = fs::read_dir(&pins)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("edge_counters_"))
        .unwrap();
    fs::rename(&counters, pins.join("edge_counters_0123456789abcdef")).unwrap();
    let mut agent = place.agent();
    agent.watch(&services).unwrap();
    ask(&server);
    let after = read(&mut agent);
    assert_eq!(value(&after, "kept", Signal::Status(200)), 2);
    assert_eq!(
        start_of(&after, Signal::Status(200)),
        start_of(&before, Signal::Status(200))
    );
}

#[test]
fn a_new_listener_is_found_and_named() {
    let place = Place::new("discovery");
    let mut agent = place.agent();
    agent.watch(&[]).unwrap();
    read(&mut agent);
    eventually("the scan is done that the read asked for", || {
        agent.has_scanned().then_some(())
    });
    agent.name();
    let server = place.server(&["127.0.0.1:8110"]);
    // Counted before it has a name.
    server.beside(|| assert_eq!(Client::connect("127.0.0.1:8110").get("/"), 200));
    let found = eventually("it is named, though nothing is read", || {
        agent.name();
        agent.discovered().into_iter().find(|found| found.port == 8110)
    });
    let batch = read(&mut agent);
    assert_eq!(found.cgroup, place.name);
    let executable = std::env::current_exe().unwrap();
    assert_eq!(found.executable.as_deref(), executable.to_str());
    assert!(found.because.contains("executable"), "{}", found.because);
    assert_eq!(value(&batch, found.service.as_str(), Signal::Status(200)), 1);
}

#[test]
fn a_request_before_its_endpoint_had_settings_is_lost_to_its_thresholds() {
    let place = Place::new("untimed");
    let mut agent = place.agent();
    let threshold = Duration::from_secs(5);
    let clock = Clock::Turnaround;
    let executable = std::env::current_exe().unwrap();
    // Who is found by its port has settings before it listens.
    let timed = WatchedService {
        matches: vec![format!("executable:{}", executable.display()).parse().unwrap()],
        thresholds: vec![(clock, threshold)],
        ..watched("timed", 8112)
    };
    agent.watch(&[timed]).unwrap();
    read(&mut agent);
    let server = place.server(&["127.0.0.1:8112"]);
    let ask = |times: usize| {
        server.beside(move || {
            let mut client = Client::connect("127.0.0.1:8112");
            (0..times).for_each(|_| assert_eq!(client.get("/"), 200));
            assert_eq!(client.get("/status/299"), 299);
        });
    };
    // Nobody has looked who listens since it does.
    ask(2);
    let counted = |batch: &Batch| {
        [
            Signal::Status(200),
            Signal::Status(299),
            Signal::Within { clock, threshold },
        ]
        .map(|signal| value(batch, "timed", signal))
    };
    let untimed = |batch: &Batch| {
        let losses = batch
            .losses
            .iter()
            .filter(|loss| loss.reason == LossReason::Untimed && loss.value > 0);
        let losses = losses.map(|loss| (loss.service.as_ref().unwrap().to_string(), loss.value));
        losses.collect::<Vec<_>>()
    };
    let batch = eventually("it is named", || {
        let batch = read(&mut agent);
        (counted(&batch)[..2] == [2, 1]).then_some(batch)
    });
    assert_eq!(counted(&batch), [2, 1, 0]);
    assert_eq!(untimed(&batch), [("timed".to_owned(), 3)]);
    ask(1);
    let batch = read(&mut agent);
    assert_eq!(counted(&batch), [3, 2, 2]);
    assert_eq!(untimed(&batch), [("timed".to_owned(), 3)]);
}

#[test]
fn a_rename_leaves_what_was_counted_under_the_old_name() {
    let place = Place::new("rename");
    let mut agent = place.agent();
    agent.watch(&[watched("old", 8120)]).unwrap();
    let server = place.server(&["127.0.0.1:8120"]);
    server
        .spawn_beside(|| Client::connect("127.0.0.1:8120").get("/"))
        .join()
        .unwrap();
    agent.watch(&[watched("new", 8120)]).unwrap();
    server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8120");
        client.get("/");
        client.get("/");
    });
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "old", Signal::Status(200)), 1);
    assert_eq!(value(&batch, "new", Signal::Status(200)), 2);
}

#[test]
fn a_second_agent_on_the_same_cgroup_is_refused_in_plain_words() {
    let place = Place::new("second");
    let agent = place.agent();
    let error = Agent::start(place.config()).unwrap_err();
    assert!(matches!(error, AgentError::CgroupInUse { .. }), "{error}");
    drop(agent);
    place.agent();
}

#[test]
fn unload_leaves_nothing_behind() {
    let place = Place::new("unload");
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&place.name);
    let mut agent = place.agent();
    agent.watch(&[watched("gone", 8130)]).unwrap();
    let server = place.server(&["127.0.0.1:8130"]);
    server.beside(|| assert_eq!(Client::connect("127.0.0.1:8130").get("/"), 200));
    assert!(fs::read_dir(pins.join("edge_links")).unwrap().count() >= 3);
    assert_eq!(programs_of(&place.cgroup), 3);
    // Even while an agent still holds everything open.
    assert!(probes::unload(&place.name).unwrap() > 0);
    assert!(!pins.exists());
    assert_eq!(programs_of(&place.cgroup), 0);
    let before = read(&mut agent);
    server.beside(|| assert_eq!(Client::connect("127.0.0.1:8130").get("/"), 200));
    let after = read(&mut agent);
    for batch in [before, after] {
        assert_eq!(value(&batch, "gone", Signal::Status(200)), 1);
    }
    assert_eq!(probes::unload(&place.name).unwrap(), 0);
}

#[test]
fn the_heaviest_source_is_named() {
    let place = Place::new("source");
    let mut agent = place.agent();
    agent.watch(&[watched("many", 8140)]).unwrap();
    let server = place.server(&["0.0.0.0:8140"]);
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |target: &'static str, every: u64| {
        let stop = Arc::clone(&stop);
        server.spawn_beside(move || {
            let mut client = Client::connect(target);
            while !stop.load(Ordering::Relaxed) {
                client.get("/");
                pause(Duration::from_millis(every));
            }
        })
    };
    // On a loopback, who connects to 127.0.0.2 is 127.0.0.2's peer 127.0.0.1; a bound source is told apart.
    let light = spawn("127.0.0.1:8140", 50);
    let heavy = spawn("bind:127.0.0.9:127.0.0.1:8140", 0);
    let service = "many".parse().unwrap();
    let sources = eventually("both sources are seen", || {
        let sources = agent.sources_of(&service).unwrap();
        (sources.len() == 2).then_some(sources)
    });
    stop.store(true, Ordering::Relaxed);
    light.join().unwrap();
    heavy.join().unwrap();
    assert_eq!(sources[0].source.to_string(), "127.0.0.9");
    assert!(sources[0].per_second > 2.0 * sources[1].per_second, "{sources:?}");
}

#[test]
fn an_address_that_never_shook_hands_is_no_source() {
    let place = Place::new("forged");
    let mut agent = place.agent();
    agent.watch(&[watched("framed", 8141)]).unwrap();
    let server = place.server(&["0.0.0.0:8141"]);
    let stop = Arc::new(AtomicBool::new(false));
    let forging = Arc::clone(&stop);
    let forger = server.spawn_beside(move || {
        let mut sent = 0_u32;
        while !forging.load(Ordering::Relaxed) {
            support::forge([127, 0, 0, 66], 8141, b"GET /forged HTTP/1.1\r\n\r\n");
            sent += 1;
            pause(Duration::from_millis(2));
        }
        sent
    });
    let asking = Arc::clone(&stop);
    let honest = server.spawn_beside(move || {
        let mut client = Client::connect("127.0.0.1:8141");
        while !asking.load(Ordering::Relaxed) {
            client.get("/");
            pause(Duration::from_millis(5));
        }
    });
    let service = "framed".parse().unwrap();
    let sources = eventually("the honest source is seen", || {
        let sources = agent.sources_of(&service).unwrap();
        (!sources.is_empty()).then_some(sources)
    });
    stop.store(true, Ordering::Relaxed);
    assert!(forger.join().unwrap() > 20);
    honest.join().unwrap();
    let named: Vec<_> = sources.iter().map(|found| found.source.to_string()).collect();
    assert_eq!(named, ["127.0.0.1"]);
}

#[test]
fn a_request_without_a_connection_is_not_of_the_next_one_from_there() {
    let place = Place::new("stale");
    let mut agent = place.agent();
    agent.watch(&[watched("stale", 8142)]).unwrap();
    let server = place.server(&["127.0.0.1:8142"]);
    server.beside(|| {
        support::forge([127, 0, 0, 67], 8142, b"GET /forged HTTP/1.1\r\n\r\n");
        // It asks nothing.
        let from = format!("127.0.0.67:{}", support::FORGED_PORT);
        drop(Client::connect_from(&from, "127.0.0.1:8142"));
        assert_eq!(Client::connect("127.0.0.1:8142").get("/"), 200);
    });
    let batch = eventually("both connections have ended", || {
        let batch = read(&mut agent);
        let open = support::gauge(&batch, "stale", Gauge::OpenConnections);
        (value(&batch, "stale", Signal::Accepted) == 2 && open == Some(0.0)).then_some(batch)
    });
    assert_eq!(value(&batch, "stale", Signal::Status(200)), 1);
    assert_eq!(value(&batch, "stale", Signal::ClientGaveUp), 0);
}

#[test]
fn names_that_find_no_room_cost_no_reading() {
    let place = Place::new("full");
    let mut agent = place.agent();
    let kept = watched("kept", 8150);
    let mut services = vec![kept.clone()];
    services.extend((1..4095).map(|number| watched(&format!("service-{number}"), 20_000 + number)));
    agent.watch(&services).unwrap();
    let error = agent.watch(&[kept, watched("one-too-many", 8151)]).unwrap_err();
    assert!(matches!(error, AgentError::SettingsFull { .. }), "{error}");
    let server = place.server(&["127.0.0.1:8150"]);
    server.beside(|| assert_eq!(Client::connect("127.0.0.1:8150").get("/"), 200));
    eventually("the listener has been looked for", || {
        let batch = read(&mut agent);
        assert_eq!(value(&batch, "kept", Signal::Status(200)), 1);
        (support::lost(&batch, LossReason::ProbeAbsent) > 0).then_some(())
    });
}
