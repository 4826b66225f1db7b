//! The times that slowburn took, held against those of the capture.
//!
//! Both clocks stand in one kernel, and on a server the probe's is the inner one: a packet passes the capture's
//! socket, then the probe, on its way in, and the other way around on its way out. So a turnaround of the probe is
//! never longer than the capture's, and shorter by what the kernel does between the two. That depends on no latency,
//! so it is allowed as a time and not as a share; and as egress may be preempted between them, a few pairs may be
//! further apart. On a client the probe is the outer one, and all is the other way around.
//!
//! The probe keeps no time of a single request, but in which bucket it fell. Both lists are sorted, so the pairs of one
//! and of the other that may be the same are found by going along both, and who finds no partner is counted.

use std::collections::BTreeMap;

use slo_engine::measurement::{Batch, Clock, Role, Signal};

use super::{
    capture::Pair,
    case::Case,
    compare::{Counts, has_status, is_of_subject, route},
    patience,
};

/// What may pass between the capture's socket and the probe, both ways of a turn together. Of 28,100 pairs of 33 loads
/// on a machine with more to do than it could, 70 took more than 5 us, 16 more than 10 us and two more than this.
const BETWEEN_NS: f64 = 20_000.0;
/// So many times as much on an emulated machine: what the kernel does between the two takes longer there by as much.
const EMULATED: f64 = 50.0;
/// One pair in so many may be preempted between the two, and for how long: a burst of them is, where a server answers many at
/// once. A quantile may be off by as many ranks as pairs were, seldom one: a p99 is not a p97.
const PREEMPTED: usize = 50;
/// And so many of a few: two of 20 were in one of 332 cases.
const BURST: usize = 4;
const PREEMPTED_NS: f64 = 10_000_000.0;
/// What is promised beside the width of a bucket: never less than may pass between the two.
const PROMISED: f64 = 0.01;
/// Fewer answers than this have no p99.
const QUANTILES_FROM: usize = 100;

fn between_ns() -> f64 {
    if patience::scale() > 1 {
        BETWEEN_NS * EMULATED
    } else {
        BETWEEN_NS
    }
}

/// From where to where the probe's time may lie for one of the capture's.
fn around(case: &Case, captured_ns: f64) -> (f64, f64) {
    match case.seen.role {
        Role::Server => (captured_ns - between_ns(), captured_ns),
        Role::Client => (captured_ns, captured_ns + between_ns()),
    }
}

/// How many of so many pairs may have been preempted.
fn preempted(pairs: usize) -> usize {
    (pairs / PREEMPTED).max(BURST)
}

/// Exact, but for those that lie at the threshold itself.
pub fn thresholds(case: &Case, batch: &Batch, pairs: &[Pair]) {
    let seen = thresholds_seen(case, batch);
    for (route, pairs) in by_route(case, pairs) {
        let is_good = |pair: &&&Pair| is_plain(case, pair) && !is_server_error(&pair.status);
        for (limit, within, over) in signals(case) {
            for (signal, is_over) in [(within, false), (over, true)] {
                let times = pairs.iter().filter(|pair| is_over || is_good(pair));
                let times: Vec<_> = times
                    .map(|pair| around(case, pair.turnaround_ns as f64))
                    .collect();
                let is_counted = |time: f64| (time > limit) == is_over;
                let surely = |time: &&(f64, f64)| is_counted(time.0) && is_counted(time.1);
                let maybe = |time: &&(f64, f64)| is_counted(time.0) || is_counted(time.1);
                let least = times.iter().filter(surely).count();
                let most = times.iter().filter(maybe).count();
                // Those that were preempted may be on the other side of a threshold that is near.
                let near = |time: &&(f64, f64)| match case.seen.role {
                    Role::Server => time.0 > limit && time.0 - PREEMPTED_NS <= limit,
                    Role::Client => time.1 <= limit && time.1 + PREEMPTED_NS > limit,
                };
                let moved = times.iter().filter(near).count().min(preempted(times.len()));
                let gains = is_over == (case.seen.role == Role::Client);
                let (least, most) = if gains {
                    (least, most + moved)
                } else {
                    (least.saturating_sub(moved), most)
                };
                let found = seen.get(&(route.clone(), signal.clone())).copied().unwrap_or(0);
                assert!(
                    (least as u64..=most as u64).contains(&found),
                    "{route} {signal}: {found}, and {least} to {most} in the capture"
                );
            }
        }
    }
}

/// Says how far the quantiles are apart at most, and how many pairs were preempted.
pub fn quantiles(case: &Case, batch: &Batch, pairs: &[Pair]) -> String {
    let mut worst: Option<f64> = None;
    let mut all_beyond = 0;
    for (route, pairs) in by_route(case, pairs) {
        let plain = pairs.iter().filter(|pair| is_plain(case, pair));
        let mut times: Vec<f64> = plain.map(|pair| pair.turnaround_ns as f64).collect();
        times.sort_by(f64::total_cmp);
        let buckets = buckets(case, batch, &route);
        assert_eq!(
            buckets.values().sum::<u64>(),
            times.len() as u64,
            "timed under {route} (left) against the capture"
        );
        let beyond = without_partner(case, &buckets, &times);
        assert!(
            beyond <= preempted(times.len()),
            "{route}: {beyond} of {} are further apart than {} ns",
            times.len(),
            between_ns()
        );
        all_beyond += beyond;
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
            let (low, high) = bucket_of(&buckets, rank as u64);
            let moved = beyond;
            let apart = |time: f64| (time * PROMISED).max(between_ns());
            let (earliest, latest) = match case.seen.role {
                Role::Server => {
                    let earlier = times[(rank - 1).saturating_sub(moved)];
                    (earlier - apart(earlier), exact)
                }
                Role::Client => {
                    let later = times[(rank - 1 + moved).min(times.len() - 1)];
                    (exact, later + apart(later))
                }
            };
            assert!(
                low <= latest && earliest <= high,
                "{route} p{}: {low:.0} to {high:.0} ns against {exact:.0} in the capture",
                share * 100.0
            );
            // Nothing, where the bucket holds it.
            let apart = (low - exact).max(exact - high).max(0.0);
            worst = Some(worst.unwrap_or(0.0).max(apart));
        }
    }
    worst.map_or_else(
        || "-".to_owned(),
        |worst| format!("{:.1} us, {all_beyond}", worst / 1000.0),
    )
}

/// How many of the capture's times (sorted) fit none of the probe's that is not another's already.
fn without_partner(case: &Case, buckets: &BTreeMap<i32, u64>, times: &[f64]) -> usize {
    let mut times = times.iter().map(|time| around(case, *time)).peekable();
    let mut alone = 0;
    for (index, count) in buckets {
        let mut left = *count;
        while left > 0
            && let Some((earliest, latest)) = times.peek()
            && edge(index + 1) >= *earliest
        {
            if edge(*index) > *latest {
                alone += 1;
            } else {
                left -= 1;
            }
            times.next();
        }
    }
    alone + times.count()
}

/// Where no capture tells the times: that each answer has one, and is on one side of each threshold.
pub fn all_are_timed(case: &Case, batch: &Batch, expected: &Counts) -> String {
    let seen = thresholds_seen(case, batch);
    let mut by_route: BTreeMap<&str, u64> = BTreeMap::new();
    // A conversation has no latency.
    for ((route, _), count) in expected
        .iter()
        .filter(|((_, outcome), _)| outcome != "status:101")
    {
        *by_route.entry(route).or_default() += count;
    }
    for (route, count) in by_route {
        assert_eq!(
            buckets(case, batch, route).values().sum::<u64>(),
            count,
            "{route}"
        );
        for (_, within, over) in signals(case) {
            let found = |signal| seen.get(&(route.to_owned(), signal)).copied().unwrap_or(0);
            assert_eq!(found(within) + found(over), count, "{route}");
        }
    }
    "-".to_owned()
}

fn is_plain(case: &Case, pair: &Pair) -> bool {
    has_status(case, &pair.path, &pair.status)
}

/// Those are never within a threshold. Which of gRPC's they are, OpenTelemetry's conventions say.
fn is_server_error(status: &str) -> bool {
    match status.strip_prefix("grpc:") {
        Some(code) => ["2", "4", "12", "13", "14", "15"].contains(&code),
        None => status.starts_with('5'),
    }
}

fn by_route<'a>(case: &Case, pairs: &'a [Pair]) -> BTreeMap<String, Vec<&'a Pair>> {
    let mut by_route: BTreeMap<String, Vec<&Pair>> = BTreeMap::new();
    // A conversation has no latency.
    for pair in pairs.iter().filter(|pair| pair.status != "101") {
        by_route
            .entry(route(case, &pair.method, &pair.path))
            .or_default()
            .push(pair);
    }
    by_route
}

/// Each threshold in nanoseconds, and the names of its two counters.
fn signals(case: &Case) -> impl Iterator<Item = (f64, String, String)> {
    case.below_ms.iter().map(|ms| {
        let (clock, threshold) = (Clock::Turnaround, std::time::Duration::from_millis(*ms));
        let (within, over) = (
            Signal::Within { clock, threshold },
            Signal::Over { clock, threshold },
        );
        (1e6 * *ms as f64, within.to_string(), over.to_string())
    })
}

fn thresholds_seen(case: &Case, batch: &Batch) -> Counts {
    let mut seen = Counts::new();
    for reading in &batch.readings {
        let series = &reading.series;
        let is_threshold = matches!(series.signal, Signal::Within { .. } | Signal::Over { .. });
        if is_threshold && is_of_subject(case, series.service.as_str(), series.role) {
            let route = series.route.as_ref().map_or("", |route| route.as_str());
            let key = (route.to_owned(), series.signal.to_string());
            *seen.entry(key).or_default() += reading.value;
        }
    }
    seen
}

fn buckets(case: &Case, batch: &Batch, route: &str) -> BTreeMap<i32, u64> {
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
    buckets
}

/// The edges of the bucket that holds the value of this rank.
fn bucket_of(buckets: &BTreeMap<i32, u64>, rank: u64) -> (f64, f64) {
    let mut below = 0;
    let holds = |(_, count): &(&i32, &u64)| {
        below += **count;
        below >= rank
    };
    let (index, _) = buckets.iter().find(holds).unwrap();
    (edge(*index), edge(*index + 1))
}

fn edge(bucket: i32) -> f64 {
    (f64::from(bucket) / 16.0).exp2()
}
