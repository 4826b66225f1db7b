//! A service's calls to others make an objective of its own, whoever answers them.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

/// Takes no connection from its queue.
const DEAF: &str = "import socket, threading; s = socket.create_server(('', 8081)); threading.Event().wait()";

const PATIENCE: Duration = Duration::from_secs(30);

/// The buyer is known by its cgroup and never listens; one objective in each form.
fn definitions(network: &Network) -> String {
    let name = network.cgroup.file_name().unwrap().to_str().unwrap();
    format!(
        "
apiVersion: slowburn/v1
kind: Service
metadata: {{name: buyer}}
spec:
  match: {{cgroup: {name}/c}}
  objectives:
    - availability: {{target: 99%, role: client}}
    - latency: {{below: 1s, target: 99%, role: client}}
  window: 30d
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: payments-as-the-buyer-sees-them}}
spec:
  service: buyer
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 30d, isRolling: true}}]
  indicator:
    metadata: {{name: calls-answered}}
    spec:
      ratioMetric:
        good: {{metricSource: {{type: slowburn, spec: {{role: client, status: [2xx, 3xx, 4xx]}}}}}}
        total: {{metricSource: {{type: slowburn, spec: {{role: client}}}}}}
  objectives: [{{target: 0.99}}]
"
    )
}

#[test]
fn what_a_service_calls_is_judged_by_the_answers_it_gets() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, &definitions(&network));
    let nginx = Nginx::start(&network);
    for (path, count) in [("ok", "300"), ("missing", "40"), ("busy", "60")] {
        let url = format!("http://{SERVER}:8080/{path}");
        network.output(Side::Client, "ab", &["-q", "-k", "-n", count, "-c", "4", &url]);
    }
    let logged = nginx.settled();
    let bad = logged["503"];
    let good = logged.values().sum::<u64>() - bad;
    assert_eq!(bad, 60, "{logged:?}");
    let counts = |name: &str| {
        let slo = slowburn.get(&format!("/api/v1/slos/{name}"));
        (slo["good"].as_u64(), slo["bad"].as_u64())
    };
    for name in ["buyer-availability", "payments-as-the-buyer-sees-them"] {
        eventually("all calls to be booked", PATIENCE, || {
            let now = counts(name);
            assert!(
                now.0 <= Some(good) && now.1 <= Some(bad),
                "{name}: {now:?} of {logged:?}"
            );
            (now == (Some(good), Some(bad))).then_some(())
        });
    }
    // Errors within the threshold are no latency.
    assert_eq!(counts("buyer-latency"), (Some(good), Some(0)));

    // A call that hangs is late while it hangs, though nobody listens where the buyer lives.
    let deaf = network.spawn(Side::Server, "python3", &["-c", DEAF]);
    eventually("the deaf one to listen", PATIENCE, || {
        let listening = network.output(Side::Server, "ss", &["-tlnH"]);
        listening.contains(":8081").then_some(())
    });
    let url = format!("http://{SERVER}:8081/");
    let mut hanging = network.spawn(Side::Client, "curl", &["-s", &url]);
    eventually("the call that hangs to be late", PATIENCE, || {
        (counts("buyer-latency") == (Some(good), Some(1))).then_some(())
    });
    assert!(hanging.0.try_wait().unwrap().is_none(), "it has ended before");
    drop((hanging, deaf));

    // What it costs to know all this is there to be scraped.
    let page = scrape(&format!("{}/metrics", slowburn.address()));
    let entries = page
        .lines()
        .find_map(|line| line.strip_prefix("slowburn_probe_map_entries{map=\"COUNTS\"} "));
    assert!(entries.unwrap().parse::<u64>().unwrap() > 0, "{page}");
}

fn scrape(url: &str) -> String {
    let output = std::process::Command::new("curl")
        .args(["-sf", url])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
