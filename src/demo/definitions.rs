//! What the demo defines: three services, their objectives, one runbook, one target.
//!
//! The same files that a user writes, with windows scaled down so that minutes stand for weeks: the
//! budget is over ten minutes, an alert looks at half a minute and at five seconds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::world::Place;

/// The objective whose budget the story follows.
pub const OBJECTIVE: &str = "web-availability";
/// The service that the flood goes for.
pub const SERVICE: &str = "web";
/// Answers later than this are late, to the objective and to the clients alike.
pub const LATE_MS: u64 = 250;
/// What the demo's pager knows slowburn by. A secret only in form.
pub const ROUTING_KEY: &str = "5108b0a2d0de5108b0a2d0de5108b0a2";

const SERVICES: [(Place, &str); 3] = [
    (Place::Web, "[GET /, GET /cart, POST /checkout]"),
    (Place::Checkout, "[GET /cart, POST /orders]"),
    (Place::Stock, "[POST /reservations]"),
];

/// Writes the definitions into `directory` and returns where they are.
pub fn write(directory: &Path, cgroup: impl Fn(Place) -> String, pager_url: &str) -> Result<PathBuf> {
    let key = directory.join("routing-key");
    fs::write(&key, ROUTING_KEY).with_context(|| format!("write `{}`", key.display()))?;
    let documents: Vec<String> = SERVICES
        .iter()
        .map(|&(place, routes)| service(place.name(), &cgroup(place), routes))
        .chain([runbook(), target(&key, pager_url)])
        .collect();
    let path = directory.join("demo.yaml");
    fs::write(&path, documents.join("---\n")).with_context(|| format!("write `{}`", path.display()))?;
    Ok(path)
}

fn service(name: &str, cgroup: &str, routes: &str) -> String {
    format!(
        "apiVersion: slowburn/v1
kind: Service
metadata:
  name: {name}
spec:
  description: The demo's {name}. Ten minutes stand for a month here.
  match:
    cgroup: {cgroup}
  routes: {routes}
  window: 10m
  objectives:
    availability: 90%
    latency: {{below: {LATE_MS}ms, target: 90%}}
  alerts:
    tiers:
      - {{severity: page, long: 30s, short: 5s, burnRate: 1.5}}
      - {{severity: ticket, long: 2m, short: 15s, burnRate: 1.2}}
"
    )
}

fn runbook() -> String {
    format!(
        "apiVersion: slowburn/v1
kind: Runbook
metadata:
  name: flood
spec:
  description: One source sends most of the traffic. Tighten on it, tell somebody, look whether it helped.
  on:
    objectives: [{OBJECTIVE}]
    severity: page
  steps:
    - xdp_limit: {{sources: heaviest, minShare: 0.5, ratePerSecond: 20, ttl: 90s, renewals: 0}}
    - page: {{target: pager}}
  verify: {{within: 20s, every: 2s}}
"
    )
}

fn target(key: &Path, pager_url: &str) -> String {
    format!(
        "apiVersion: slowburn/v1
kind: NotificationTarget
metadata:
  name: pager
spec:
  pagerduty:
    url: {pager_url}
    routingKeyFrom: {{file: {key:?}}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_definitions_are_as_a_user_would_have_to_write_them() {
        let directory = tempfile::tempdir().unwrap();
        let cgroup = |place: Place| format!("slowburn-demo-1/{}", place.cgroup());
        let path = write(directory.path(), cgroup, "http://127.0.0.1:9/v2/enqueue").unwrap();
        let ledger = slo_engine::definitions::LedgerLimits {
            slot: super::super::stack::SLOT,
            ..Default::default()
        };
        let (read, found) = slo_engine::definitions::read_partly(&[path], ledger);
        assert!(found.is_empty(), "{found}");
        assert_eq!((read.services.len(), read.objectives.len()), (3, 6));
        assert!(
            read.objectives
                .iter()
                .any(|objective| objective.name.as_str() == OBJECTIVE)
        );
        let playbook = remediation::Playbook::read(&read).unwrap();
        assert_eq!((playbook.runbooks.len(), playbook.targets.len()), (1, 1));
        assert_eq!(ROUTING_KEY.len(), 32);
    }
}
