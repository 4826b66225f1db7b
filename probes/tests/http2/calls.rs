//! gRPC, between Python's own server and client.

use std::collections::HashMap;

use slo_engine::{measurement::Signal, service::WatchedService};

use crate::{
    program::{Server, beside_this},
    support::{Place, eventually, read, route_value, value, watched},
};

#[test]
fn calls_are_counted_by_their_own_status() {
    let place = Place::new("grpc");
    let mut agent = place.agent();
    let service = WatchedService {
        routes: vec!["POST /test.Calls/Stream".parse().unwrap()],
        ..watched("calls", 8220)
    };
    agent.watch(&[service]).unwrap();
    let program = beside_this("calls.py");
    // Debian's own, which has its gRPC.
    let server = Server::start(
        &place,
        8220,
        &["/usr/bin/python3", &program, "serve", "127.0.0.1:8220"],
    );
    let said = server.ask(&["/usr/bin/python3", &program, "call", "127.0.0.1:8220"]);
    let seen: HashMap<&str, u64> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, count)| (key, count.parse().unwrap()))
        .collect();
    let batch = eventually("the calls that were cancelled have ended", || {
        let batch = read(&mut agent);
        (value(&batch, "calls", Signal::ClientGaveUp) == seen["cancelled"]).then_some(batch)
    });
    for code in 0..=16_u8 {
        assert_eq!(
            value(&batch, "calls", Signal::Grpc(code)),
            seen[code.to_string().as_str()],
            "{code}: {said} {batch:#?}"
        );
    }
    assert_eq!(
        route_value(&batch, "calls", "POST /test.Calls/Stream", Signal::Grpc(0)),
        5
    );
    // A call has one outcome: not its 200 besides.
    assert_eq!(value(&batch, "calls", Signal::Status(200)), 0);
    assert_eq!(value(&batch, "calls", Signal::Unknown), 0);
}
