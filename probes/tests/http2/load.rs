//! Many streams at once.

use probes::agent::Agent;
use slo_engine::{
    measurement::{Batch, Clock, LossReason, Signal},
    service::WatchedService,
};

use crate::{
    program::{Files, Server},
    support::{Place, eventually, lost, read, route_value, value, watched},
};

/// A second server would share nothing with the first but the port: each has a namespace.
const PORT: u16 = 8200;

fn shop(place: &Place) -> (Agent, Files, Server) {
    let mut agent = place.agent();
    let routes = ["GET /one", "GET /two"];
    let service = WatchedService {
        routes: routes.iter().map(|text| text.parse().unwrap()).collect(),
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
fn settled(agent: &mut Agent, service: &str, requests: u64) -> Batch {
    eventually("all requests have ended", || {
        let batch = read(agent);
        let ended: u64 = batch
            .readings
            .iter()
            .filter(|reading| reading.series.service.as_str() == service)
            .filter(|reading| matches!(reading.series.signal, Signal::Status(_) | Signal::Unknown))
            .map(|reading| reading.value)
            .sum();
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
    let timed: u64 = batch
        .histograms
        .iter()
        .filter(|histogram| histogram.clock == Clock::Turnaround)
        .flat_map(|histogram| &histogram.buckets)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(timed, 20_000);
    for reason in [
        LossReason::ReserveFailed,
        LossReason::GapInSequence,
        LossReason::Unparsable,
    ] {
        assert_eq!(lost(&batch, reason), 0, "{reason}");
    }
}
