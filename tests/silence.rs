//! A silence holds back the page and the runbook, and what still fires as it ends is answered then, once.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/receiver.rs"]
mod receiver;
mod support;

use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use receiver::Receiver;
use serde_json::{Value, json};
use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);

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
metadata: {name: wake-somebody}
spec:
  on: {services: [shop]}
  steps: [{page: {target: oncall}}]
";

#[test]
fn nobody_is_paged_before_the_silence_ends() {
    let receiver = Receiver::start();
    let network = Network::create();
    let definitions = DEFINITIONS.replace("RECEIVER", &receiver.http.to_string());
    let secret = [("TEST_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")];
    let mut slowburn = Slowburn::start_with(&network, &definitions, &[], &secret);
    let _nginx = Nginx::start(&network);

    let silence = ask(
        &slowburn,
        "POST",
        "/api/v1/silences",
        &json!({
            "matchers": ["service=shop"],
            "ends_at": Utc::now() + TimeDelta::hours(1),
            "author": "ann",
            "comment": "a new release",
        }),
    );
    let broken = format!("http://{SERVER}:8080/broken");
    let mut load = network.spawn(Side::Client, "wrk", &["-t1", "-c1", "-d180s", &broken]);
    let firing = |slowburn: &Slowburn| -> Option<Value> {
        let alerts = slowburn.try_get("/api/v1/alerts?state=firing").ok()?;
        alerts["items"].as_array()?.first().cloned()
    };
    let alert = eventually("the alert to fire", PATIENCE, || firing(&slowburn));
    assert_eq!(alert["silenced_by"], silence["id"]);

    // A restart is no reason to tell anybody.
    slowburn.kill();
    slowburn.launch();
    // It judges once a second, as it reads.
    let read_at = |slowburn: &Slowburn| -> Option<DateTime<Utc>> {
        let overview = slowburn.try_get("/api/v1/overview").ok()?;
        overview["sources"][0]["last_at"].as_str()?.parse().ok()
    };
    let first = eventually("measurements", PATIENCE, || read_at(&slowburn));
    eventually("the next slowburn to have judged", PATIENCE, || {
        (read_at(&slowburn)? > first + TimeDelta::seconds(4)).then_some(())
    });
    assert!(firing(&slowburn).is_some(), "it fires on");
    assert_eq!(receiver.calls().len(), 0);
    assert_eq!(slowburn.get("/api/v1/runs")["items"], json!([]));

    ask(
        &slowburn,
        "DELETE",
        &format!("/api/v1/silences/{}?author=ann", silence["id"]),
        &json!({}),
    );
    eventually("the page", PATIENCE, || {
        (!receiver.calls().is_empty()).then_some(())
    });
    let shown = slowburn.get(&format!("/api/v1/alerts/{}", alert["id"]));
    assert_eq!(
        (&shown["state"], &shown["silenced_by"]),
        (&json!("firing"), &json!(null))
    );
    load.interrupt();
    let types = || -> Vec<String> {
        let calls = receiver.calls();
        calls
            .iter()
            .map(|(_, body)| body["type"].as_str().unwrap().to_owned())
            .collect()
    };
    eventually("the end to be told", PATIENCE, || {
        (types().len() > 1).then_some(())
    });
    let told = types();
    assert!(told.len() == 2 && told[1].contains("resolve"), "{told:?}");
}

fn ask(slowburn: &Slowburn, method: &str, path: &str, body: &Value) -> Value {
    let output = Command::new("curl")
        .args([
            "-s",
            "--fail-with-body",
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
            "-d",
        ])
        .arg(body.to_string())
        .arg(format!("{}{path}", slowburn.address()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{method} {path}: {text}");
    serde_json::from_str(&text).unwrap()
}
