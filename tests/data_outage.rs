//! An agent that dies is a ticket of its own, told once, and over when the agent is back: nothing was missed.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/receiver.rs"]
mod receiver;
mod support;

use std::time::Duration;

use receiver::Receiver;
use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

/// The engine itself waits for half a minute before it takes an agent for silent.
const PATIENCE: Duration = Duration::from_secs(180);

const DEFINITIONS: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}, {latency: {below: 1s, target: 99%}}]
  window: 10m
  alerts:
    tiers: [{severity: page, long: 10s, short: 5s, burnRate: 5}]
    dataOutage: {for: 10s}
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: desk}
spec:
  webhook: {url: \"http://RECEIVER/hook\", secretFrom: {env: TEST_WEBHOOK_SECRET}}
---
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: tell-somebody}
spec:
  on: {services: [shop]}
  steps: [{page: {target: desk}}]
";

#[test]
fn an_agent_that_dies_is_one_ticket_until_it_is_back() {
    let receiver = Receiver::start();
    let definitions = DEFINITIONS.replace("RECEIVER", &receiver.http.to_string());
    let secret = [("TEST_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")];
    // Two machines share a database: one serves the shop, the other goes on judging when that one dies.
    let (elsewhere, network) = (Network::create(), Network::create());
    let judge = Slowburn::start_with(&elsewhere, &definitions, &[], &secret);
    let mut agent = Slowburn::start_beside(&judge, &network, &definitions, &secret);
    let nginx = Nginx::start(&network);
    let url = format!("http://{SERVER}:8080/ok");
    network.output(Side::Client, "ab", &["-q", "-n", "200", "-c", "4", &url]);
    let all_are_booked = || {
        let logged: u64 = nginx.settled().values().sum();
        eventually("the requests to be booked", PATIENCE, || {
            let booked = judge.get("/api/v1/slos/shop-availability")["good"].as_u64();
            (booked == Some(logged)).then_some(())
        });
    };
    all_are_booked();
    // The second between a greeting and the first batch is much of a young window, and little of an older one.
    let open = |state: &str| {
        let alerts = judge.get(&format!("/api/v1/alerts?state={state}"));
        alerts["items"].as_array().unwrap().len()
    };
    eventually("all of it to be watched", PATIENCE, || {
        let coverage = judge.get("/api/v1/slos/shop-availability")["coverage"].as_f64()?;
        (coverage > 0.95 && open("pending") + open("firing") == 0).then_some(())
    });
    let (calls, runs) = (
        || receiver.calls(),
        || judge.get("/api/v1/runs")["items"].as_array().unwrap().len(),
    );
    let (calls_before, runs_before) = (calls().len(), runs());

    agent.kill();
    // The kernel counts on.
    network.output(Side::Client, "ab", &["-q", "-n", "100", "-c", "4", &url]);
    let told = |count: usize| {
        eventually("the receiver to be told", PATIENCE, || {
            let told: Vec<_> = calls()
                .into_iter()
                .skip(calls_before)
                .map(|(_, body)| body)
                .collect();
            (told.len() >= count).then_some(told)
        })
    };
    let ticket = &told(1)[0];
    assert_eq!(ticket["type"], "slowburn.alert.firing");
    assert_eq!(ticket["data"]["severity"], "ticket");
    assert_eq!(ticket["data"]["tier"], "data-outage");
    let summary = ticket["data"]["summary"].as_str().unwrap();
    let silent = ticket["data"]["silent"].as_str().unwrap();
    assert!(
        summary.starts_with(&format!("`{silent}` is silent: ")),
        "{summary}"
    );
    eventually("both objectives to lack data", PATIENCE, || {
        (open("firing") == 2).then_some(())
    });

    agent.launch();
    let told = told(2);
    assert_eq!(told[1]["type"], "slowburn.alert.resolved");
    assert_eq!(told[1]["data"]["dedup_key"], ticket["data"]["dedup_key"]);
    // One ticket for both objectives, and not a request is missing.
    all_are_booked();
    assert_eq!(calls().len(), calls_before + 2, "{:?}", calls());
    assert_eq!(runs(), runs_before + 1);
}
