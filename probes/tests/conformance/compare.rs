//! What slowburn counted, held against the log, the clients and the capture.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::Utc;
use probes::agent::Agent;
use slo_engine::measurement::{Batch, Role, Signal};

use super::{
    capture::Pair,
    case::{Case, SERVICE},
    client::Answers,
    pause,
    server::{self, Protocol},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// How often each outcome was seen, by route.
pub type Counts = BTreeMap<(String, String), u64>;

/// The longest route that takes the request, by the rule in config/README.md.
pub fn route(case: &Case, method: &str, path: &str) -> String {
    if is_turns(case) {
        return "other".to_owned();
    }
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

/// What a line of the log with this path and status came to.
fn outcome(case: &Case, path: &str, status: &str) -> String {
    // nginx's own code for a client that went away first.
    if status == "499" {
        return "outcome:client_gave_up".to_owned();
    }
    if is_turns(case) {
        return "outcome:answered".to_owned();
    }
    // Some logs say it in our own words.
    if status.contains(':') {
        return status.to_owned();
    }
    let found = case.outcomes.iter().find(|(of, _)| *of == path);
    found.map_or_else(
        || format!("status:{status}"),
        |(_, outcome)| (*outcome).to_owned(),
    )
}

fn is_turns(case: &Case) -> bool {
    matches!(case.server.protocol, Protocol::Turns | Protocol::Tls)
}

/// Whether this came to a status, and so has a time.
pub fn has_status(case: &Case, path: &str, status: &str) -> bool {
    let outcome = outcome(case, path, status);
    !outcome.starts_with("outcome:") || outcome == "outcome:answered"
}

pub fn expected(case: &Case, log: &server::Log) -> Counts {
    let mut expected = Counts::new();
    for ((method, path, status), count) in log {
        let key = (route(case, method, path), outcome(case, path, status));
        *expected.entry(key).or_default() += count;
    }
    if case.together > 0 {
        assert!(is_turns(case), "requests are told apart, so all are counted");
        *expected.values_mut().next().unwrap() -= case.together;
    }
    expected
}

pub fn is_of_subject(case: &Case, service: &str, role: Role) -> bool {
    service == SERVICE && role == case.seen.role
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
    let give_up = Instant::now() + PATIENCE * crate::patience::scale();
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
    let is_answered = |path: &str, status: &str| !unanswered.contains(&outcome(case, path, status).as_str());
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
    for pair in pairs
        .iter()
        .filter(|pair| has_status(case, &pair.path, &pair.status))
    {
        let path = pair.path.split('?').next().unwrap().to_owned();
        *seen
            .entry((pair.method.clone(), path, pair.status.clone()))
            .or_default() += 1;
    }
    if is_turns(case) {
        let (seen, logged) = (seen.values().sum::<u64>(), log.values().sum::<u64>());
        assert_eq!(
            seen + case.together,
            logged,
            "turns of the capture (left) against the log"
        );
        return;
    }
    let mut logged = server::Log::new();
    for ((method, path, status), count) in log {
        if has_status(case, path, status) {
            let path = path.split('?').next().unwrap().to_owned();
            *logged.entry((method.clone(), path, status.clone())).or_default() += count;
        }
    }
    assert_eq!(seen, logged, "pairs of the capture (left) against the log");
}
