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

const PATIENCE: Duration = Duration::from_secs(60);
/// Less than the minute to which it is written down when a service was last seen.
const GONE_WITHIN: Duration = Duration::from_secs(15);

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

/// Of two targets nobody listens for one, and of the other the secret is missing. The runbook answers to pages alone.
const INCIDENT: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 10m
  alerts:
    tiers:
      - {severity: page, long: 10s, short: 5s, burnRate: 5}
      - {severity: ticket, long: 20s, short: 5s, burnRate: 4}
    fastPage: off
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: on-call}
spec:
  webhook: {url: \"http://127.0.0.1:9/hook\", secretFrom: {env: TEST_WEBHOOK_SECRET}}
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: channel}
spec:
  slack: {urlFrom: {env: TEST_NOT_SET_ANYWHERE}}
---
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: tell}
spec:
  on: {severity: page}
  steps:
    - scale: {command: [/bin/true]}
    - page: {target: on-call}
    - page: {target: channel}
  verify: {within: 4m, every: 2m}
";

#[test]
fn an_incident_says_what_is_true_of_windows_deliveries_runs_silences_and_secrets() {
    let network = Network::create();
    let secret = [("TEST_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")];
    let slowburn = Slowburn::start_with(&network, INCIDENT, &[], &secret);
    let _nginx = Nginx::start(&network);
    let broken = format!("http://{SERVER}:8080/broken");
    let _load = network.spawn(Side::Client, "wrk", &["-t1", "-c1", "-d300s", &broken]);
    let alert = |severity: &str| {
        eventually("both alerts to fire", PATIENCE, || {
            let alerts = slowburn.try_get("/api/v1/alerts?state=firing").ok()?;
            let items = alerts["items"].as_array()?.iter();
            let mut of_severity = items.filter(|alert| alert["severity"] == severity);
            of_severity.next()?["id"].as_u64()
        })
    };
    let (page, ticket) = (alert("page"), alert("ticket"));
    eventually("both to have been tried to tell", PATIENCE, || {
        let run = slowburn.try_get("/api/v1/runs/1").ok()?;
        let told = run["deliveries"].as_array()?.iter();
        (told.filter(|delivery| delivery["last_error"].is_string()).count() == 2).then_some(())
    });
    slowburn.sql(
        "insert into silence (matchers, starts_at, ends_at, author, comment, created_at)
         values ('{service=chekout}', now(), now() + interval '1 hour', 'ann', 'moving', now())",
    );
    let paths = [
        "--still".to_owned(),
        format!("/alerts/{page}"),
        format!("/alerts/{ticket}"),
        "/runs/1".to_owned(),
        "/alerts".to_owned(),
        "/".to_owned(),
        "/events".to_owned(),
    ];
    look(
        &slowburn,
        "incident",
        &paths,
        &[
            &["short window: ", "long window: ", "tell"],
            &[
                "No runbook answered to this tier",
                &format!("tell, run #1, is at work for page-10s, alert #{page}"),
            ],
            &[
                "Retrying",
                "on-call is not told yet (trigger",
                "retrying: ",
                "TEST_NOT_SET_ANYWHERE is not set",
            ],
            &["service=chekout", "matches nothing that is defined today"],
            &["nobody can be told by channel", "TEST_NOT_SET_ANYWHERE"],
            &["slowburn started", "started", "definitions taken up"],
        ],
    );
}

#[test]
fn a_service_of_which_every_process_has_ended_says_so_until_it_is_back() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let listens = || {
        let service = slowburn.try_get("/api/v1/services/shop").ok()?;
        Some(service["endpoints"].as_array()?.first()?["gone_at"].is_null())
    };
    let mut nginx = Nginx::start(&network);
    eventually("it to be found", PATIENCE, || listens()?.then_some(()));
    nginx.stop();
    // Its workers, too: a socket is gone when the last of them has let go of it.
    assert_eq!(network.processes(Side::Server), [0; 0]);
    eventually("its end to be seen", GONE_WITHIN, || (!listens()?).then_some(()));
    let paths = ["/services/shop", "/services"].map(String::from);
    let gone = ["Nothing listens for it any more: last seen "];
    look(&slowburn, "gone", &paths, &[&gone, &["port 8080, last seen "]]);
    let _nginx = Nginx::start(&network);
    eventually("it to be found again", PATIENCE, || listens()?.then_some(()));
}

/// Each page says its words, and logs no error.
fn look(slowburn: &Slowburn, name: &str, paths: &[String], words: &[&[&str]]) {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&shots).unwrap();
    let mut arguments = vec![slowburn.address(), shots.to_str().unwrap()];
    arguments.extend(paths.iter().map(String::as_str));
    let pages = browser("browse.mjs", &arguments);
    assert_eq!(pages.as_array().map(Vec::len), Some(words.len()), "{pages}");
    for (page, words) in pages.as_array().unwrap().iter().zip(words) {
        assert_eq!(page["errors"].as_array().map(Vec::len), Some(0), "{page}");
        let text = page["text"].as_str().unwrap();
        for word in *words {
            assert!(text.contains(word), "no `{word}` on {}: {text}", page["path"]);
        }
    }
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
