//! The same counts through the rules that people run today, in a real Prometheus, and through the engine:
//! with the evidence gate off, both fire in the same minutes.
//!
//! The rules have the shape that Sloth gives them: a recording rule for each window, and alerts on pairs
//! of them; each pair is an alert of its own here, so that none hides another.
//! `promtool test rules` is told what the engine said of each minute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use slo_engine::alert::AlertState;
use slo_engine::objective::Objective;

use crate::support::{World, at, availability, batch, noon, reading, status, without_evidence};

const MINUTES: i64 = 26 * 60;

/// What is asked of a service in one minute, and how many of ten thousand fail.
type Minute = fn(i64) -> (u64, u64);

/// Each makes other pairs of windows decide.
const SERVICES: [(&str, Minute); 7] = [
    ("outage", |minute| (600, step(minute, 90..97, 10_000))),
    ("flapping", |minute| {
        (600, if minute % 40 < 5 { 1_500 } else { 0 })
    }),
    ("two-percent", |minute| (600, step(minute, 200..500, 200))),
    ("slow-burn", |minute| (600, step(minute, 300..900, 70))),
    ("smoulder", |minute| (600, step(minute, 400..1_400, 35))),
    // Traffic by day, and errors that nobody planned.
    ("ragged", |minute| {
        let load = 200 + minute.rem_euclid(720).unsigned_abs();
        (
            load,
            scatter(minute) % 97 * u64::from(scatter(minute / 45).is_multiple_of(3)),
        )
    }),
    // One failure in the night, and none asked for long.
    ("quiet", |minute| {
        if minute.rem_euclid(11) == 0 {
            (1, step(minute, 330..331, 10_000))
        } else {
            (0, 0)
        }
    }),
];

fn step(minute: i64, during: std::ops::Range<i64>, bad: u64) -> u64 {
    if during.contains(&minute) { bad } else { 0 }
}

/// The same numbers each time, and no pattern in them (the mixer of SplitMix64).
fn scatter(seed: i64) -> u64 {
    let mut bits = seed
        .unsigned_abs()
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Good and bad of a service, in all, at the end of each minute from the zeroth on.
fn totals(minute: Minute) -> Vec<(u64, u64)> {
    let mut sum = (0, 0);
    let ends = (1..=MINUTES).map(|end| {
        let (asked, per_ten_thousand) = minute(end);
        let bad = asked * per_ten_thousand / 10_000;
        sum = (sum.0 + asked - bad, sum.1 + bad);
        sum
    });
    [(0, 0)].into_iter().chain(ends).collect()
}

/// By tier, which services fire in each minute.
type Firing = BTreeMap<&'static str, Vec<Vec<&'static str>>>;

async fn by_the_engine(counts: &[Vec<(u64, u64)>]) -> Firing {
    let objectives: Vec<Objective> = SERVICES
        .iter()
        .map(|(name, _)| availability(name, name))
        .collect();
    let world = World::with(without_evidence(), objectives).await;
    let mut open: BTreeSet<(String, String)> = BTreeSet::new();
    let mut firing = Firing::new();
    for minute in 1..=MINUTES {
        let readings = SERVICES.iter().zip(counts).flat_map(|((name, _), totals)| {
            let (good, bad) = totals[usize::try_from(minute).unwrap()];
            [
                reading(status(name, 200), noon(), good),
                reading(status(name, 500), noon(), bad),
            ]
        });
        let now = at(minute * 60);
        world.ingest(&batch(&world.source, now, readings.collect())).await;
        for change in world.step(now).await {
            let of = (change.tier.to_string(), change.objective.to_string());
            let is_news = match change.to {
                AlertState::Firing => open.insert(of),
                AlertState::Resolved => open.remove(&of),
                AlertState::Pending => false,
            };
            assert!(is_news, "{change:?}");
        }
        for (tier, ..) in TIERS {
            let names = SERVICES.iter().map(|(name, _)| *name);
            let now = names.filter(|name| open.contains(&(tier.to_owned(), (*name).to_owned())));
            firing.entry(tier).or_default().push(now.collect());
        }
    }
    world.database.drop().await;
    firing
}

/// Tiers with their pairs of windows, short before long, and their burn rates.
const TIERS: [(&str, &str, &str, &str); 4] = [
    ("page-1h", "5m", "1h", "14.4"),
    ("page-6h", "30m", "6h", "6"),
    ("ticket-1d", "2h", "1d", "3"),
    ("ticket-3d", "6h", "3d", "1"),
];

fn rules() -> String {
    let mut text = "groups:\n- name: sli\n  rules:\n".to_owned();
    let windows: BTreeSet<_> = TIERS
        .iter()
        .flat_map(|(_, short, long, _)| [short, long])
        .collect();
    for window in windows {
        writeln!(
            text,
            "  - record: slo:sli_error:ratio_rate{window}
    expr: sum by (service) (rate(errors_total[{window}])) / sum by (service) (rate(requests_total[{window}]))"
        )
        .unwrap();
    }
    text.push_str("- name: alerts\n  rules:\n");
    for (tier, short, long, rate) in TIERS {
        let above = |window| format!("slo:sli_error:ratio_rate{window} > ({rate} * 0.001)");
        writeln!(
            text,
            "  - alert: {tier}\n    expr: {} and {}",
            above(short),
            above(long)
        )
        .unwrap();
    }
    text
}

fn test_file(counts: &[Vec<(u64, u64)>], firing: &Firing) -> String {
    let mut text = "rule_files: [rules.yaml]\nevaluation_interval: 1m\ngroup_eval_order: [sli, alerts]
tests:\n- interval: 1m\n  input_series:\n"
        .to_owned();
    for ((name, _), totals) in SERVICES.iter().zip(counts) {
        let requests: Vec<String> = totals
            .iter()
            .map(|(good, bad)| (good + bad).to_string())
            .collect();
        let errors: Vec<String> = totals.iter().map(|(_, bad)| bad.to_string()).collect();
        for (metric, values) in [("requests_total", requests), ("errors_total", errors)] {
            let values = values.join(" ");
            writeln!(
                text,
                "  - {{series: '{metric}{{service=\"{name}\"}}', values: '{values}'}}"
            )
            .unwrap();
        }
    }
    text.push_str("  alert_rule_test:\n");
    for (tier, minutes) in firing {
        for (index, names) in minutes.iter().enumerate() {
            let alerts: Vec<String> = names
                .iter()
                .map(|name| format!("{{exp_labels: {{service: {name}}}}}"))
                .collect();
            writeln!(
                text,
                "  - {{eval_time: {}m, alertname: {tier}, exp_alerts: [{}]}}",
                index + 1,
                alerts.join(", ")
            )
            .unwrap();
        }
    }
    text
}

#[tokio::test]
async fn prometheus_and_the_engine_fire_in_the_same_minutes() {
    let counts: Vec<_> = SERVICES.iter().map(|(_, minute)| totals(*minute)).collect();
    let firing = by_the_engine(&counts).await;
    for (tier, minutes) in &firing {
        let changes = minutes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes > 1, "nothing happened to {tier}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), rules()).unwrap();
    std::fs::write(folder.path().join("test.yaml"), test_file(&counts, &firing)).unwrap();
    let output = Command::new("promtool")
        .args(["test", "rules", "test.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("promtool runs; `make setup` installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.lines().take(40).collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{said}");
}
