//! Requests at the socket edge, counted exactly.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::{Duration, Instant};

use slo_engine::{
    measurement::{Clock, Gauge, LossReason, Signal},
    service::WatchedService,
};
use support::{Client, Place, eventually, gauge, lost, pause, read, route_value, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

#[test]
fn requests_are_counted_by_exact_status_over_v4_and_v6() {
    let place = Place::new("status");
    let mut agent = place.agent();
    agent
        .watch(&[watched("four", 8004), watched("six", 8006)])
        .unwrap();
    let server = place.server(&["127.0.0.1:8004", "[::1]:8006"]);
    server.beside(|| {
        for address in ["127.0.0.1:8004", "[::1]:8006"] {
            for _ in 0..3 {
                let mut client = Client::connect(address);
                for _ in 0..20 {
                    assert_eq!(client.get("/"), 200);
                }
                assert_eq!(client.get("/status/404"), 404);
                assert_eq!(client.get("/status/503"), 503);
                assert_eq!(client.post("/continue", "hello"), 200);
            }
        }
    });
    let batch = read(&mut agent);
    for service in ["four", "six"] {
        assert_eq!(value(&batch, service, Signal::Status(200)), 63, "{batch:#?}");
        assert_eq!(value(&batch, service, Signal::Status(404)), 3);
        assert_eq!(value(&batch, service, Signal::Status(503)), 3);
        assert_eq!(value(&batch, service, Signal::Unknown), 0);
        assert_eq!(value(&batch, service, Signal::Accepted), 3);
        assert_eq!(timed_on(&batch, service, Clock::Turnaround).0, 69);
    }
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
    assert_eq!(lost(&batch, LossReason::MapFull), 0);
}

fn within(ms: u64) -> Signal {
    Signal::Within {
        clock: Clock::Turnaround,
        threshold: Duration::from_millis(ms),
    }
}

fn over(ms: u64) -> Signal {
    Signal::Over {
        clock: Clock::Turnaround,
        threshold: Duration::from_millis(ms),
    }
}

fn timed(name: &str, port: u16, thresholds: &[u64]) -> WatchedService {
    let turnaround = |ms: &u64| (Clock::Turnaround, Duration::from_millis(*ms));
    WatchedService {
        thresholds: thresholds.iter().map(turnaround).collect(),
        ..watched(name, port)
    }
}

#[test]
fn thresholds_are_counted_exactly_and_errors_are_left_out() {
    let place = Place::new("threshold");
    let mut agent = place.agent();
    agent.watch(&[timed("slow", 8010, &[50, 1000])]).unwrap();
    let server = place.server(&["127.0.0.1:8010"]);
    let felt = server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8010");
        let mut get = |path| {
            let asked = Instant::now();
            client.get(path);
            asked.elapsed()
        };
        let felt: Vec<_> = [["/"; 5].as_slice(), &["/sleep/120"; 3]]
            .concat()
            .into_iter()
            .map(&mut get)
            .collect();
        get("/status/500");
        felt
    });
    let batch = read(&mut agent);
    // On a busy machine one may wait that was to be quick; then its client has felt it.
    for (ms, quick) in [(50, 5), (1000, 8)] {
        let surely = felt.iter().filter(|time| **time < Duration::from_millis(ms));
        let (least, found) = (surely.count() as u64, value(&batch, "slow", within(ms)));
        assert!((least..=quick).contains(&found), "{ms} ms: {found} of {felt:?}");
        assert_eq!(value(&batch, "slow", over(ms)), 8 - found);
    }
    assert_eq!(value(&batch, "slow", Signal::Status(500)), 1);
}

#[test]
fn a_request_is_counted_under_its_longest_route() {
    let place = Place::new("route");
    let mut agent = place.agent();
    let routes = ["GET /api/", "GET /api/orders/", "POST *"];
    let service = WatchedService {
        routes: routes.iter().map(|text| text.parse().unwrap()).collect(),
        ..watched("shop", 8020)
    };
    agent.watch(&[service]).unwrap();
    let server = place.server(&["127.0.0.1:8020"]);
    server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8020");
        client.get("/api/users");
        client.get("/api/users?page=2");
        client.get("/api/orders/7");
        client.get("/elsewhere");
        client.post("/api/orders/", "x");
    });
    let batch = read(&mut agent);
    for (route, count) in [
        ("GET /api/", 2),
        ("GET /api/orders/", 1),
        ("POST *", 1),
        ("other", 1),
    ] {
        assert_eq!(
            route_value(&batch, "shop", route, Signal::Status(200)),
            count,
            "{route}"
        );
    }
}

#[test]
fn an_overdue_request_shows_while_it_hangs_and_is_one_event() {
    let place = Place::new("overdue");
    let mut agent = place.agent();
    agent.watch(&[timed("hang", 8030, &[100])]).unwrap();
    let server = place.server(&["127.0.0.1:8030"]);
    server.hang();
    let client = server.spawn_beside(|| Client::connect("127.0.0.1:8030").get("/"));
    eventually("the request is overdue while it hangs", || {
        let batch = read(&mut agent);
        let shows =
            value(&batch, "hang", over(100)) == 1 && gauge(&batch, "hang", Gauge::Overdue) == Some(1.0);
        shows.then(|| assert_eq!(value(&batch, "hang", Signal::Status(200)), 0))
    });
    server.go_on();
    assert_eq!(client.join().unwrap(), 200);
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "hang", over(100)), 1);
    assert_eq!(value(&batch, "hang", within(100)), 0);
    assert_eq!(value(&batch, "hang", Signal::Status(200)), 1);
    assert_eq!(gauge(&batch, "hang", Gauge::Overdue), Some(0.0));
}

#[test]
fn the_rest_of_a_body_is_no_request() {
    let place = Place::new("early");
    let mut agent = place.agent();
    agent.watch(&[watched("early", 8071)]).unwrap();
    let server = place.server(&["127.0.0.1:8071"]);
    server.beside(|| {
        let mut client = Client::connect("127.0.0.1:8071");
        client.send("POST /early HTTP/1.1\r\nContent-Length: 20\r\n\r\n");
        assert_eq!(client.answer(), Some(200));
        client.send("GET /no HTTP/1.1\r\n\r\n");
        assert_eq!(client.get("/"), 200);
    });
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "early", Signal::Status(200)), 2);
    assert_eq!(value(&batch, "early", Signal::ClientGaveUp), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
}

#[test]
fn a_request_past_its_timeout_is_final() {
    let place = Place::new("timeout");
    let mut agent = place.agent();
    let service = WatchedService {
        timeout: Duration::from_millis(200),
        ..timed("dead", 8031, &[100])
    };
    agent.watch(&[service]).unwrap();
    let server = place.server(&["127.0.0.1:8031"]);
    server.hang();
    let client = server.spawn_beside(|| Client::connect("127.0.0.1:8031").get("/"));
    eventually("the request has timed out", || {
        let batch = read(&mut agent);
        (value(&batch, "dead", Signal::TimedOut) == 1).then_some(())
    });
    server.go_on();
    client.join().unwrap();
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "dead", Signal::TimedOut), 1);
    assert_eq!(value(&batch, "dead", Signal::Status(200)), 0);
    assert_eq!(value(&batch, "dead", over(100)), 1);
}

#[test]
fn a_request_that_is_not_answered_says_who_ended_it() {
    let place = Place::new("ends");
    let mut agent = place.agent();
    agent.watch(&[watched("end", 8040)]).unwrap();
    let server = place.server(&["127.0.0.1:8040"]);
    server.beside(|| {
        let ask = |path: &str| {
            let mut client = Client::connect("127.0.0.1:8040");
            client.send(&format!("GET {path} HTTP/1.1\r\n\r\n"));
            client.answer()
        };
        assert_eq!(ask("/close"), None);
        assert_eq!(ask("/close"), None);
        assert_eq!(ask("/reset"), None);
        // The client goes away while the server works.
        let mut client = Client::connect("127.0.0.1:8040");
        client.send("GET /sleep/200 HTTP/1.1\r\n\r\n");
        client.reset();
    });
    let batch = eventually("all requests have ended", || {
        let batch = read(&mut agent);
        (value(&batch, "end", Signal::ClientGaveUp) == 1).then_some(batch)
    });
    assert_eq!(value(&batch, "end", Signal::ClosedUnanswered), 2);
    assert_eq!(value(&batch, "end", Signal::ResetByServer), 1);
    assert_eq!(value(&batch, "end", Signal::Status(200)), 0);
    assert_eq!(value(&batch, "end", Signal::ResetsSent), 1);
    assert_eq!(value(&batch, "end", Signal::ResetsReceived), 1);
}

#[test]
fn a_request_that_arrives_before_its_connection_exists_is_counted() {
    let place = Place::new("defer");
    let mut agent = place.agent();
    // Known only by who listens: no port or cgroup says its name.
    let program = std::env::current_exe().unwrap();
    let named = WatchedService {
        matches: vec![format!("executable:{}", program.display()).parse().unwrap()],
        routes: vec!["GET /".parse().unwrap()],
        ..watched("named", 8052)
    };
    agent
        .watch(&[watched("four", 8050), watched("six", 8051), named])
        .unwrap();
    let server = place.server(&["defer:127.0.0.1:8050", "defer:[::1]:8051", "defer:127.0.0.1:8052"]);
    eventually("the listener is known", || {
        read(&mut agent);
        let found = agent.discovered();
        found.iter().any(|found| found.port == 8052).then_some(())
    });
    server.beside(|| {
        for address in ["127.0.0.1:8050", "[::1]:8051", "127.0.0.1:8052"] {
            for _ in 0..10 {
                let mut client = Client::connect(address);
                assert_eq!(client.get("/"), 200);
                assert_eq!(client.get("/"), 200);
            }
        }
    });
    let batch = read(&mut agent);
    for service in ["four", "six", "named"] {
        assert_eq!(value(&batch, service, Signal::Status(200)), 20, "{batch:#?}");
        assert_eq!(value(&batch, service, Signal::Unknown), 0);
    }
    assert_eq!(route_value(&batch, "named", "GET /", Signal::Status(200)), 20);
}

#[test]
fn pipelined_requests_are_each_counted_by_route_status_and_time() {
    let place = Place::new("pipeline");
    let mut agent = place.agent();
    let service = WatchedService {
        routes: vec!["GET /status/".parse().unwrap(), "POST *".parse().unwrap()],
        ..timed("pipe", 8060, &[80])
    };
    agent.watch(&[service]).unwrap();
    let server = place.server(&["127.0.0.1:8060"]);
    server.beside(|| {
        // One behind the other, in segments of their own.
        let mut client = Client::connect("127.0.0.1:8060");
        client.send("GET /sleep/150 HTTP/1.1\r\n\r\n");
        client.send("GET /status/404 HTTP/1.1\r\n\r\n");
        assert_eq!(client.answer(), Some(200));
        assert_eq!(client.answer(), Some(404));
        // Several in one segment, the last of them not whole.
        client.send(concat!(
            "GET /status/201 HTTP/1.1\r\n\r\nPOST /in HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET ",
            "GET /status/503 HTTP/1.1\r\n\r\nGET /sta"
        ));
        client.send("tus/204 HTTP/1.1\r\n\r");
        client.send("\n");
        for status in [201, 200, 503, 204] {
            assert_eq!(client.answer(), Some(status));
        }
    });
    let batch = read(&mut agent);
    let of = |route, status| route_value(&batch, "pipe", route, Signal::Status(status));
    for status in [201, 204, 404, 503] {
        assert_eq!(of("GET /status/", status), 1, "{status} {batch:#?}");
    }
    assert_eq!(of("POST *", 200), 1);
    assert_eq!(of("other", 200), 1);
    assert_eq!(value(&batch, "pipe", Signal::Unknown), 0);
    // Waiting behind a slow one is waiting.
    assert_eq!(route_value(&batch, "pipe", "GET /status/", over(80)), 1);
    assert_eq!(lost(&batch, LossReason::Unparsable), 0);
}

#[test]
fn a_slow_upload_is_not_held_against_the_server() {
    let place = Place::new("upload");
    let mut agent = place.agent();
    // Its pieces take longer together; the server has as long, should others keep it from the processor.
    let threshold = Duration::from_millis(500);
    let service = WatchedService {
        thresholds: vec![(Clock::Turnaround, threshold), (Clock::FirstByte, threshold)],
        ..watched("up", 8070)
    };
    agent.watch(&[service]).unwrap();
    let server = place.server(&["127.0.0.1:8070"]);
    let upload = server.spawn_beside(|| {
        let mut client = Client::connect("127.0.0.1:8070");
        client.send("POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n");
        for _ in 0..4 {
            pause(Duration::from_millis(150));
            client.send("0123456789");
        }
        client.answer()
    });
    while !upload.is_finished() {
        read(&mut agent);
        pause(Duration::from_millis(20));
    }
    assert_eq!(upload.join().unwrap(), Some(200));
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "up", over(500)), 0);
    assert_eq!(value(&batch, "up", within(500)), 1);
    // But by the clock that begins with its first byte: overdue before it is whole, and one event.
    let clock = Clock::FirstByte;
    assert_eq!(value(&batch, "up", Signal::Over { clock, threshold }), 1);
    assert_eq!(value(&batch, "up", Signal::Within { clock, threshold }), 0);
    assert_eq!(value(&batch, "up", Signal::Status(200)), 1);
}

/// Count and sum of the service's histogram on one clock.
fn timed_on(batch: &slo_engine::measurement::Batch, service: &str, clock: Clock) -> (u64, Duration) {
    let of_clock = batch
        .histograms
        .iter()
        .filter(|histogram| histogram.service.as_str() == service && histogram.clock == clock);
    of_clock.fold((0, Duration::ZERO), |(count, sum), histogram| {
        let more: u64 = histogram.buckets.iter().map(|(_, n)| n).sum();
        (count + more, sum + histogram.sum)
    })
}

#[test]
fn what_a_request_waits_to_be_read_is_told_apart_from_what_it_takes() {
    const STOPPED: Duration = Duration::from_millis(300);
    const WORK: Duration = Duration::from_millis(150);
    let place = Place::new("queue");
    let mut agent = place.agent();
    agent
        .watch(&[watched("waits", 8090), watched("works", 8091)])
        .unwrap();
    let server = place.server(&["127.0.0.1:8090", "127.0.0.1:8091"]);
    server.beside(|| {
        for _ in 0..3 {
            assert_eq!(Client::connect("127.0.0.1:8091").get("/sleep/150"), 200);
        }
    });
    server.hang();
    let clients: Vec<_> = (0..3)
        .map(|_| server.spawn_beside(|| Client::connect("127.0.0.1:8090").get("/")))
        .collect();
    eventually("all requests wait", || {
        (gauge(&read(&mut agent), "waits", Gauge::InFlight) == Some(3.0)).then_some(())
    });
    pause(STOPPED);
    server.go_on();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let batch = read(&mut agent);
    let (waited, works) = (
        |clock| timed_on(&batch, "waits", clock),
        |clock| timed_on(&batch, "works", clock),
    );
    assert_eq!(waited(Clock::Queue).0, 3);
    assert!(
        waited(Clock::Queue).1 >= 3 * STOPPED,
        "{:?}",
        waited(Clock::Queue)
    );
    assert!(waited(Clock::Queue).1 <= waited(Clock::Turnaround).1);
    assert_eq!(works(Clock::Queue).0, 3);
    assert!(works(Clock::Queue).1 + 3 * WORK <= works(Clock::Turnaround).1);
}
