//! Requests at the socket edge, counted exactly.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use slo_engine::measurement::Signal;
use support::{Client, Place, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

#[test]
fn requests_are_counted_by_exact_status_over_v4_and_v6() {
    let place = Place::new("status");
    let mut agent = place.agent();
    agent.watch(&[watched("four", 8004), watched("six", 8006)]).unwrap();
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
    }
}
