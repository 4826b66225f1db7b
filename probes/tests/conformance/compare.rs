//! What slowburn counted, held against the log, the clients and the capture.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::Utc;
use probes::agent::Agent;
use slo_engine::measurement::{Batch, Clock, Role, Signal};

use super::{
    capture::Pair,
    case::{Case, SERVICE},
    client::Answers,
    pause, server,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Half the width of a bucket of the histogram (16 an octave), relative; and the 1 % that is promised beside it.
const QUANTILE_ERROR: f64 = 0.022 + 0.01;
/// Capture and probe look at two places of the same path through the kernel.
const APART_NS: f64 = 20_000.0;
/// Fewer answers than this have no p99.
const QUANTILES_FROM: usize = 100;

/// How often each outcome was seen, by route.
pub type Counts = BTreeMap<(String, String), u64>;

/// The longest route that takes the request, by the rule in config/README.md.
fn route(case: &Case, method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let takes = |route: &&&str| {
        let (of, prefix) = route.split_once(' ').unwrap();
        let rest = path.strip_prefix(prefix);
        of == method
            && (prefix == "*"
                || rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')))
    };
    let longest = case.routes.iter().filter(takes).max_by_key(|route| route.len());
    longest.map_or("other", |route| route).to_owned()
}

/// What an answer that the log has under this path and status came to, where that is no status.
fn outcome(case: &Case, path: &str, status: &str) -> Option<&'static str> {
    // nginx's own code for a client that went away first.
    if status == "499" {
        return Some("outcome:client_gave_up");
    }
    let found = case.outcomes.iter().find(|(of, _)| *of == path);
    found.map(|(_, outcome)| *outcome)
}

fn is_plain(case: &Case, pair: &Pair) -> bool {
    outcome(case, &pair.path, &pair.status.to_string()).is_none()
}

pub fn expected(case: &Case, log: &server::Log) -> Counts {
    let mut expected = Counts::new();
    for ((method, path, status), count) in log {
        let outcome = match outcome(case, path, status) {
            Some(outcome) => outcome.to_owned(),
            None => format!("status:{status}"),
        };
        *expected.entry((route(case, method, path), outcome)).or_default() += count;
    }
    expected
}

fn is_of_subject(case: &Case, service: &str, role: Role) -> bool {
    service == SERVICE && role == case.role
}

/// Every outcome of requests, and nothing else.
pub fn counts(case: &Case, batch: &Batch) -> Counts {
    let mut counts = Counts::new();
    for reading in &batch.readings {
        let series = &reading.series;
        let is_outcome =
            !series.signal.is_tcp() && !matches!(series.signal, Signal::Within { .. } | Signal::Over { .. });
        if is_outcome && reading.value > 0 && is_of_subject(case, series.service.as_str(), series.role) {
            let route = series.route.as_ref().map_or("", |route| route.as_str());
            let key = (route.to_owned(), series.signal.to_string());
            *counts.entry(key).or_default() += reading.value;
        }
    }
    counts
}

/// What the agent reads once the counts are as expected, or at the end of patience.
pub fn settled(case: &Case, agent: &mut Agent, expected: &Counts) -> Batch {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let batch = agent.read(Utc::now()).unwrap();
        if counts(case, &batch) == *expected || Instant::now() > give_up {
            return batch;
        }
        pause(Duration::from_millis(100));
    }
}

pub fn clients_with_log(case: &Case, log: &server::Log, answers: &[Answers]) {
    let unanswered = [
        "outcome:closed_unanswered",
        "outcome:reset_by_server",
        "outcome:client_gave_up",
    ];
    let is_answered = |path: &str, status: &str| {
        outcome(case, path, status).is_none_or(|outcome| !unanswered.contains(&outcome))
    };
    let logged: u64 = log
        .iter()
        .filter(|((_, path, status), _)| is_answered(path, status))
        .map(|(_, count)| count)
        .sum();
    let mut said = 0;
    let mut is_exact = true;
    for answer in answers {
        match answer {
            Answers::Exactly(count) => said += count,
            Answers::AtLeast(count) => (said, is_exact) = (said + count, false),
        }
    }
    if is_exact {
        assert_eq!(
            said, logged,
            "answers of the clients (left) against the log: {log:?}"
        );
    } else {
        assert!(
            said <= logged,
            "the clients got {said} answers, the server logged {logged}"
        );
    }
}

/// The reader of the capture is shown right before anything is held against it.
pub fn capture_with_log(case: &Case, log: &server::Log, pairs: &[Pair]) {
    let mut seen = server::Log::new();
    for pair in pairs {
        let path = pair.path.split('?').next().unwrap().to_owned();
        *seen
            .entry((pair.method.clone(), path, pair.status.to_string()))
            .or_default() += 1;
    }
    let mut logged = server::Log::new();
    for ((method, path, status), count) in log {
        if outcome(case, path, status).is_none() {
            let path = path.split('?').next().unwrap().to_owned();
            *logged.entry((method.clone(), path, status.clone())).or_default() += count;
        }
    }
    seen.retain(|(_, path, status), _| outcome(case, path, status).is_none());
    assert_eq!(seen, logged, "pairs of the capture (left) against the log");
}

pub fn thresholds(case: &Case, batch: &Batch, pairs: &[Pair]) {
    let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
    for reading in &batch.readings {
        let series = &reading.series;
        if matches!(series.signal, Signal::Within { .. } | Signal::Over { .. }) {
            let route = series.route.as_ref().map_or("", |route| route.as_str());
            *seen
                .entry((route.to_owned(), series.signal.to_string()))
                .or_default() += reading.value;
        }
    }
    let mut by_route: BTreeMap<String, Vec<&Pair>> = BTreeMap::new();
    for pair in pairs {
        by_route
            .entry(route(case, &pair.method, &pair.path))
            .or_default()
            .push(pair);
    }
    for (route, pairs) in by_route {
        for ms in case.below_ms {
            let (threshold, clock) = (Duration::from_millis(*ms), Clock::Turnaround);
            let limit = 1e6 * *ms as f64;
            // At the threshold itself, two places in the kernel may see two sides of it.
            let slack = limit * 0.01 + APART_NS;
            for (signal, is_over) in [
                (Signal::Within { clock, threshold }, false),
                (Signal::Over { clock, threshold }, true),
            ] {
                let counts_here = |pair: &&&Pair| is_over || (pair.status < 500 && is_plain(case, pair));
                let count = |limit: f64| {
                    let here = pairs.iter().filter(counts_here);
                    here.filter(|pair| (pair.turnaround_ns as f64 > limit) == is_over)
                        .count() as u64
                };
                let (least, most) = if is_over {
                    (count(limit + slack), count(limit - slack))
                } else {
                    (count(limit - slack), count(limit + slack))
                };
                let found = seen
                    .get(&(route.clone(), signal.to_string()))
                    .copied()
                    .unwrap_or(0);
                assert!(
                    (least..=most).contains(&found),
                    "{route} {signal}: {found}, and {least} to {most} in the capture"
                );
            }
        }
    }
}

/// Says how far the quantiles are apart at most.
pub fn quantiles(case: &Case, batch: &Batch, pairs: &[Pair]) -> String {
    let mut truth: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| is_plain(case, pair)) {
        let times = truth.entry(route(case, &pair.method, &pair.path)).or_default();
        times.push(pair.turnaround_ns as f64);
    }
    let mut worst: Option<f64> = None;
    for (route, mut times) in truth {
        times.sort_by(f64::total_cmp);
        let mut buckets: BTreeMap<i32, u64> = BTreeMap::new();
        for histogram in &batch.histograms {
            let of = histogram.route.as_ref().map_or("", |route| route.as_str());
            if is_of_subject(case, histogram.service.as_str(), histogram.role)
                && histogram.clock == Clock::Turnaround
                && of == route
            {
                for (index, count) in &histogram.buckets {
                    *buckets.entry(*index).or_default() += count;
                }
            }
        }
        let total: u64 = buckets.values().sum();
        assert_eq!(
            total,
            times.len() as u64,
            "timed under {route} (left) against the capture"
        );
        if times.len() < QUANTILES_FROM {
            continue;
        }
        for share in [0.5, 0.9, 0.99] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank within the slice"
            )]
            let rank = (share * times.len() as f64).ceil() as usize;
            let exact = times[rank - 1];
            let measured = value_at(&buckets, rank as u64);
            let apart = (measured - exact).abs();
            assert!(
                apart <= exact * QUANTILE_ERROR + APART_NS,
                "{route} p{}: {measured:.0} ns against {exact:.0} in the capture",
                share * 100.0
            );
            worst = Some(worst.unwrap_or(0.0).max(apart / exact * 100.0));
        }
    }
    worst.map_or_else(|| "-".to_owned(), |worst| format!("{worst:.1} %"))
}

/// The middle of the bucket that holds the value of this rank.
fn value_at(buckets: &BTreeMap<i32, u64>, rank: u64) -> f64 {
    let mut below = 0;
    let holds = |(_, count): &(&i32, &u64)| {
        below += **count;
        below >= rank
    };
    let (index, _) = buckets.iter().find(holds).unwrap();
    ((f64::from(*index) + 0.5) / 16.0).exp2()
}
