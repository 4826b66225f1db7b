//! What the probes cost is there to be scraped, and past the budget less is counted, and said to be.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::time::Duration;

use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::{Nginx, booked_and_logged};
use support::slowburn::Slowburn;

/// It looks in one second of ten, and three looks have to agree.
const PATIENCE: Duration = Duration::from_secs(90);

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 30d
";

const SAID: &str = "to stay within the overhead budget";

#[test]
fn past_the_overhead_budget_a_probe_does_less_and_says_so() {
    let network = Network::create();
    let slowburn = Slowburn::start_logging(&network, SERVICE, &["--overhead-budget=0.2%"], &[]);
    let nginx = Nginx::start(&network);
    let modes =
        ["requests", "reads", "walks"].map(|probe| format!("slowburn_probe_mode{{probe=\"{probe}\"}}"));
    let mode = |page: &str, name: &str| sample(page, name).map(f64::round);
    let calm = eventually("the cost to be known", PATIENCE, || {
        let page = metrics(&slowburn);
        modes
            .iter()
            .all(|name| mode(&page, name).is_some())
            .then_some(page)
    });
    assert_eq!(mode(&calm, &modes[0]), Some(0.0), "{calm}");
    let url = format!("http://{SERVER}:8080/ok");
    let mut load = network.spawn(Side::Client, "wrk", &["-t1", "-c8", "-d180s", &url]);
    let page = eventually("the probe of requests to do less", PATIENCE, || {
        let page = metrics(&slowburn);
        mode(&page, &modes[0]).filter(|mode| *mode > 0.0).map(|_| page)
    });
    // That is what made it so: each segment passes these two.
    let cost: f64 = ["edge_in", "edge_out"]
        .map(|program| format!("slowburn_probe_cpu_ratio{{program=\"{program}\"}}"))
        .iter()
        .map(|name| sample(&page, name).unwrap())
        .sum();
    assert!(cost > 0.002 && cost < 2.0, "{page}");
    let log = slowburn.log();
    let said = log.lines().find(|line| line.contains(SAID));
    let said = said.unwrap_or_else(|| panic!("nothing of it was said: {log}"));
    assert!(said.contains("WARN"), "{said}");
    load.interrupt();
    // What is left out is no request.
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

fn metrics(slowburn: &Slowburn) -> String {
    slowburn.get("/metrics").as_str().unwrap().to_owned()
}

fn sample(page: &str, name: &str) -> Option<f64> {
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}
