//! A limit lives and dies with its reason: slowburn's life, its run, its deadline.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/receiver.rs"]
mod receiver;
mod support;

use std::time::Duration;

use receiver::Receiver;
use support::eventually;
use support::network::{CLIENT, Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);
/// The lease is five seconds; the rest is for a busy machine.
const LEASE_PATIENCE: Duration = Duration::from_secs(15);

const DEFINITIONS: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 10m
  alerts:
    tiers: [{severity: page, long: 10s, short: 5s, burnRate: 5}]
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: oncall}
spec:
  webhook: {url: \"http://RECEIVER/hook\", secretFrom: {env: TEST_WEBHOOK_SECRET}}
---
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: hold-back}
spec:
  on: {services: [shop]}
  guards: {floor: 1}
  steps:
    - xdp_limit: {sources: [CLIENT], ratePerSecond: 5, burst: 5, ttl: 5m}
    - page: {target: oncall}
  verify: {within: 4m, every: 2m}
";

#[test]
fn a_limit_ends_with_a_dead_slowburn_and_stands_again_with_the_next() {
    let receiver = Receiver::start();
    let network = Network::create();
    let definitions = DEFINITIONS
        .replace("RECEIVER", &receiver.http.to_string())
        .replace("CLIENT", CLIENT);
    let interface = format!(
        "--limit-interface={}:eth0",
        network.namespace_path(Side::Server).display()
    );
    let secret = [("TEST_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")];
    let mut slowburn = Slowburn::start_with(&network, &definitions, &[&interface], &secret);
    let _nginx = Nginx::start(&network);
    assert!(
        answered(&network) > 300,
        "nginx answers slowly before anything is limited"
    );

    // Errors until the alert fires and the client is held back.
    let broken = format!("http://{SERVER}:8080/broken");
    let limit = eventually("the limit", PATIENCE, || {
        network.output(Side::Client, "wrk", &["-t1", "-c2", "-d1s", &broken]);
        slowburn.get("/api/v1/limits")["items"]
            .as_array()?
            .first()
            .cloned()
    });
    assert_eq!(limit["source"], format!("{CLIENT}/32"));
    assert!(
        answered(&network) < 50,
        "the limit of 5 packets a second lets everything pass"
    );
    eventually("the page", PATIENCE, || {
        (!pages(&receiver).is_empty()).then_some(())
    });

    slowburn.kill();
    eventually("the kernel to let everything pass", LEASE_PATIENCE, || {
        (answered(&network) > 300).then_some(())
    });

    slowburn.launch();
    let again = eventually("the limit to stand again", PATIENCE, || {
        slowburn.get("/api/v1/limits")["items"]
            .as_array()?
            .first()
            .cloned()
    });
    for same in ["id", "source", "expires_at", "run_id"] {
        assert_eq!(again[same], limit[same], "{again} is another limit than {limit}");
    }
    eventually("the kernel to hold back again", LEASE_PATIENCE, || {
        (answered(&network) < 50).then_some(())
    });
    assert_eq!(pages(&receiver).len(), 1, "paged again");

    // What a person ends is ended, and stays so.
    let cancelled = delete(&slowburn, "/api/v1/limits");
    assert_eq!(cancelled, "200");
    eventually("everything to pass", LEASE_PATIENCE, || {
        (answered(&network) > 300).then_some(())
    });
}

/// Requests that a second of asking gets answers to.
fn answered(network: &Network) -> u64 {
    let url = format!("http://{SERVER}:8080/ok");
    let said = network.output(
        Side::Client,
        "wrk",
        &["-t1", "-c2", "-d1s", "--timeout", "1s", &url],
    );
    let line = said
        .lines()
        .find(|line| line.contains("requests in"))
        .expect("wrk counts");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Identities of the notifications that opened an incident.
fn pages(receiver: &Receiver) -> Vec<String> {
    let calls = receiver.calls();
    let opened = calls
        .iter()
        .filter(|(_, body)| !body["type"].as_str().unwrap().contains("resolve"));
    let mut ids: Vec<String> = opened
        .map(|(headers, _)| headers["webhook-id"].to_str().unwrap().into())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

fn delete(slowburn: &Slowburn, path: &str) -> String {
    let output = std::process::Command::new("curl")
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-X",
            "DELETE",
            "-H",
            "Content-Type: application/json",
        ])
        .arg(format!("{}{path}", slowburn.address()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
