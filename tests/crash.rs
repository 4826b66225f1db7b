//! kill -9 in the middle of load: nothing is lost, nothing is counted twice, nobody is paged twice.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use support::eventually;
use support::network::{Network, Running, SERVER, Side};
use support::nginx::{Nginx, booked_and_logged};
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 30d
";

/// Load until it is interrupted: how long two restarts take is the machine's affair.
fn load(network: &Network) -> Running {
    let url = format!("http://{SERVER}:8080/ok");
    network.spawn(Side::Client, "wrk", &["-t1", "-c8", "-d180s", &url])
}

/// Nothing while the engine or its Postgres is away.
fn booked(slowburn: &Slowburn) -> Option<u64> {
    slowburn.try_get("/api/v1/slos/shop-availability").ok()?["good"].as_u64()
}

/// Kills are to land in the middle of intake.
fn until_500_more_are_booked(slowburn: &Slowburn) {
    let before = eventually("the books to open", PATIENCE, || booked(slowburn));
    eventually("load to be booked", PATIENCE, || {
        booked(slowburn).filter(|now| *now > before + 500)
    });
}

#[test]
fn a_killed_slowburn_loses_and_doubles_no_request() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let mut load = load(&network);
    for _ in 0..2 {
        until_500_more_are_booked(&slowburn);
        slowburn.kill();
        // While nobody reads, the kernel goes on counting.
        let logged = nginx.counts()["200"];
        eventually("requests without an agent", PATIENCE, || {
            (nginx.counts()["200"] > logged + 500).then_some(())
        });
        slowburn.launch();
    }
    load.interrupt();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

#[test]
fn a_killed_postgres_costs_nothing() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let mut load = load(&network);
    for _ in 0..2 {
        until_500_more_are_booked(&slowburn);
        let postgres = slowburn.postgres().unwrap();
        kill(postgres, Signal::SIGKILL).unwrap();
        eventually("another Postgres", PATIENCE, || {
            slowburn.postgres().filter(|pid| *pid != postgres)
        });
    }
    load.interrupt();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

#[test]
fn an_orderly_stop_leaves_no_postgres_and_keeps_counting() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let postgres = slowburn.postgres().unwrap();
    slowburn.stop();
    assert!(kill(postgres, None).is_err(), "Postgres outlived an orderly stop");
    network.output(
        Side::Client,
        "ab",
        &["-q", "-n", "500", "-c", "4", &format!("http://{SERVER}:8080/ok")],
    );
    slowburn.launch();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}
