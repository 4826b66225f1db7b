//! Services that nobody defined are there within two seconds of listening.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::{Duration, Instant};

use support::network::Network;
use support::slowburn::Slowburn;
use support::{delays, eventually};

const PATIENCE: Duration = Duration::from_secs(30);
const PROMISED: Duration = Duration::from_secs(2);

#[test]
fn a_service_appears_within_two_seconds_of_listening_and_says_why_it_has_its_name() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, "# Nothing is defined.\n");
    // The first answer of a process that has just begun, with statements that nobody has prepared yet, takes longer than all that follow.
    slowburn.get("/api/v1/services");
    let (mut servers, mut times) = (Vec::new(), Vec::new());
    for port in [8085_u64, 8086, 8087] {
        servers.push(delays::start(&network, &port.to_string()));
        let listening = Instant::now();
        let (service, took) = eventually("the service to appear", PATIENCE, || {
            let services = slowburn.get("/api/v1/services");
            let found = services["items"].as_array().unwrap().iter().find(|service| {
                let endpoints = service["endpoints"].as_array().unwrap();
                endpoints.iter().any(|endpoint| endpoint["port"] == port)
            });
            Some((found?.clone(), listening.elapsed()))
        });
        println!(
            "port {port} appeared {:.2} s after it listened",
            took.as_secs_f64()
        );
        times.push(took);
        let (name, because) = (
            service["name"].as_str().unwrap(),
            service["because"].as_str().unwrap(),
        );
        assert!(name.starts_with("python3"), "{name}");
        assert_eq!(
            because,
            format!("nothing matches port {port}, and its executable is `{name}`")
        );
    }
    // Beside builds the API itself takes up to a second to answer, in a debug build: one of them may be late.
    times.sort();
    assert!(times[1] <= PROMISED, "{times:?}");
}
