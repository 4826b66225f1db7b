//! The dashboard in a real browser, over live data.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99.5%}, {latency: {below: 250ms, target: 99%}}]
  window: 30d
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: whole}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives:
    - displayName: answers
      target: 0.995
      compositeWeight: 2
      indicator: {spec: {ratioMetric: {bad: {metricSource: {type: slowburn, spec: {status: [5xx, unanswered]}}}, total: {metricSource: {type: slowburn, spec: {service: shop}}}}}}
    - displayName: speed
      target: 0.99
      op: lte
      value: 0.25
      indicator: {spec: {thresholdMetric: {metricSource: {type: slowburn, spec: {service: shop}}}}}
";

#[test]
fn every_page_shows_live_data_without_an_error() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let _nginx = Nginx::start(&network);
    // Goes on while the browser looks, so that live pages have something to show.
    let _load = network.spawn(
        Side::Client,
        "wrk",
        &["-t1", "-c2", "-d120s", &format!("http://{SERVER}:8080/ok")],
    );
    eventually("requests to be booked", Duration::from_secs(30), || {
        slowburn.get("/api/v1/slos/shop-availability")["good"]
            .as_u64()
            .filter(|good| *good > 1_000)
    });
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    std::fs::create_dir_all(&shots).unwrap();
    let shots = shots.to_str().unwrap();
    // No request is bad, so nothing of the composite changes.
    let paths = [
        "/",
        "/slos/shop-availability",
        "/services/shop",
        "--still",
        "/slos/whole",
    ];
    let pages = browser("browse.mjs", &[&[slowburn.address(), shots], &paths[..]].concat());
    let expected = [
        vec!["shop-availability", "shop-latency", "99.5"],
        vec!["shop-availability", "99.5", "page"],
        vec!["shop", "8080", "2xx"],
        vec![
            "Composite",
            "whole answers",
            "whole-speed 1",
            "mean of its parts",
            "spent by what its parts burned",
        ],
    ];
    for (page, words) in pages.as_array().unwrap().iter().zip(expected) {
        assert_eq!(page["errors"].as_array().map(Vec::len), Some(0), "{page}");
        for word in words {
            assert!(
                page["text"].as_str().unwrap().contains(word),
                "no `{word}` on {page}"
            );
        }
    }

    let before = good(&slowburn);
    let said = browser("leave_out.mjs", &[slowburn.address(), "shop-availability"]);
    assert_eq!(said.as_array().map(Vec::len), Some(4), "{said}");
    for (text, words) in said.as_array().unwrap().iter().zip([
        "no time is left out",
        "To: this is not a time",
        "are left out of the numbers above",
        "undone by ben",
    ]) {
        assert!(text.as_str().unwrap().contains(words), "no `{words}` in {text}");
    }
    // It counts again.
    assert!(good(&slowburn) >= before);
    let events = slowburn.get("/api/v1/events?subject=shop-availability");
    let messages = events.to_string();
    assert!(messages.contains("by ann"), "{messages}");
}

fn good(slowburn: &Slowburn) -> u64 {
    slowburn.get("/api/v1/slos/shop-availability")["good"]
        .as_u64()
        .unwrap()
}

/// What a script of `tests/programs` says of the page it looked at.
fn browser(script: &str, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new("node")
        .arg(Path::new("tests/programs").join(script))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
