//! A threshold that is new: what it would have counted lies within what is estimated, and nothing else knows of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use slo_engine::Settings;
use slo_engine::budgeting::Budgeting;
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::measurement::{Batch, Clock, Signal};
use slo_engine::objective::{Objective, SliKind};
use slo_engine::read::{Estimate, Slo, slo};

use crate::backfill_property::backfill;
use crate::support::{
    DAY, World, at, availability, batch, books, decimal, definitions, few, histogram, noon, reading, run,
    seconds, series, status,
};

const OLD: Duration = Duration::from_millis(250);
const NEW: Duration = Duration::from_millis(100);
/// 2^27 ns: the edge of a bucket.
const EDGE: Duration = Duration::from_nanos(1 << 27);

fn fast(threshold: Duration) -> Objective {
    let mut objective = availability("fast", "web");
    objective.sli.kind = SliKind::Latency {
        clock: Clock::Turnaround,
        threshold,
    };
    objective
}

/// One request: when it ended, after how long, and how. No status: it died.
#[derive(Debug, Clone, Copy)]
struct Request {
    ended_s: i64,
    took: Duration,
    status: Option<u16>,
}

/// What the probes tell by `to_s` of all that ended, the thresholds counted exactly among it.
fn read(to_s: i64, requests: &[Request], thresholds: &[Duration]) -> Batch {
    let ended = || requests.iter().filter(|request| request.ended_s <= to_s);
    let number = |count: usize| u64::try_from(count).unwrap();
    let mut readings = Vec::new();
    for code in [200, 503] {
        let counted = ended().filter(|request| request.status == Some(code)).count();
        readings.push(reading(status("web", code), noon(), number(counted)));
    }
    let died = ended().filter(|request| request.status.is_none()).count();
    readings.push(reading(
        series("web", Signal::ResetByServer),
        noon(),
        number(died),
    ));
    for threshold in thresholds {
        let (clock, threshold) = (Clock::Turnaround, *threshold);
        let within = ended().filter(|request| request.took <= threshold && request.status == Some(200));
        let over = ended().filter(|request| request.took > threshold);
        readings.push(reading(
            series("web", Signal::Within { clock, threshold }),
            noon(),
            number(within.count()),
        ));
        readings.push(reading(
            series("web", Signal::Over { clock, threshold }),
            noon(),
            number(over.count()),
        ));
    }
    let mut buckets = std::collections::BTreeMap::new();
    for request in ended().filter(|request| request.status.is_some()) {
        #[expect(clippy::cast_possible_truncation, reason = "a small number")]
        let bucket = ((request.took.as_secs_f64() * 1e9).log2() * 16.0).ceil() as i32 - 1;
        *buckets.entry(bucket).or_insert(0) += 1;
    }
    let buckets: Vec<(i32, u64)> = buckets.into_iter().collect();
    let mut batch = batch(&crate::support::source("host1"), at(to_s), readings);
    batch.histograms = vec![histogram("web", noon(), &buckets)];
    batch
}

/// Requests of some hours, all sorts of them.
fn requests(hours: i64) -> Vec<Request> {
    (1..hours * 60)
        .flat_map(|minute| {
            let ended_s = 60 * minute;
            let took = |ms| Duration::from_millis(ms);
            let answered = [20, 100, 101, 180, 400].map(|ms| (took(ms), Some(200)));
            let failed = (
                took(if minute % 2 == 0 { 10 } else { 900 }),
                (minute % 9 == 0).then_some(503),
            );
            answered
                .into_iter()
                .chain((minute % 3 == 0).then_some(failed))
                .map(move |(took, status)| Request {
                    ended_s,
                    took,
                    status,
                })
        })
        .collect()
}

async fn apply(world: &World, objectives: &[Objective], now: DateTime<Utc>) {
    world
        .engine
        .apply(&definitions(objectives.to_vec()), now)
        .await
        .unwrap();
}

/// Once nobody is waited for who may tell of the time before.
async fn estimate(world: &World, now: DateTime<Utc>) -> u32 {
    backfill(&world.engine, now).await;
    let now = now + TimeDelta::seconds(30);
    let mut hours = 0;
    while world.engine.estimate(now).await.unwrap() {
        hours += 1;
    }
    hours
}

async fn look(world: &World, now: DateTime<Utc>) -> Slo {
    slo(&world.database.pool, &"fast".parse().unwrap(), now)
        .await
        .unwrap()
        .unwrap()
}

async fn live(world: &World, requests: &[Request], thresholds: &[Duration], (from_s, to_s): (i64, i64)) {
    for second in (from_s + 60..=to_s).step_by(60) {
        world.ingest(&read(second, requests, thresholds)).await;
    }
}

async fn hours(world: &World) -> Vec<String> {
    sqlx::query_scalar("select e::text from estimate_hour e order by e.objective_id, e.generation, e.from_at")
        .fetch_all(&world.database.pool)
        .await
        .unwrap()
}

/// The exact counts of those that ended by `to_s`.
fn truth(requests: &[Request], threshold: Duration, to_s: i64) -> (u64, u64) {
    let ended = || requests.iter().filter(move |request| request.ended_s <= to_s);
    let good = ended().filter(|request| request.took <= threshold && request.status == Some(200));
    let bad = ended().filter(|request| request.took > threshold);
    (
        u64::try_from(good.count()).unwrap(),
        u64::try_from(bad.count()).unwrap(),
    )
}

fn holds(estimate: &Estimate, (good, bad): (u64, u64)) -> bool {
    (estimate.good_min..=estimate.good_max).contains(&good)
        && (estimate.bad_min..=estimate.bad_max).contains(&bad)
}

#[tokio::test]
async fn what_a_new_threshold_would_have_counted_lies_within_its_estimate() {
    let (requests, changed) = (requests(5), 4 * 3600 + 600);
    let stood = World::with(Settings::default(), vec![fast(NEW)]).await;
    live(&stood, &requests, &[NEW], (0, changed)).await;
    let world = World::with(Settings::default(), vec![fast(OLD)]).await;
    live(&world, &requests, &[OLD], (0, changed)).await;
    apply(&world, &[fast(NEW)], at(changed)).await;
    // Somebody may still tell of the last seconds.
    assert!(!world.engine.estimate(at(changed + 29)).await.unwrap());
    assert_eq!(look(&world, at(changed)).await.estimated, None);
    assert_eq!(estimate(&world, at(changed)).await, 5);

    let exact = look(&stood, at(changed)).await;
    assert_eq!(exact.estimated, None);
    let told = look(&world, at(changed)).await;
    let estimated = told.estimated.clone().unwrap();
    // The slot in which it was defined is the ledger's.
    let (good, bad) = truth(&requests, NEW, changed - 10);
    assert!(holds(&estimated, (good, bad)), "{good} {bad}: {estimated:?}");
    assert_eq!((estimated.from, estimated.to), (at(50), at(changed - 10)));
    // One bucket holds 100 ms and 101 ms: which is which is not known.
    assert!(estimated.good_max - estimated.good_min > 200, "{estimated:?}");
    assert!(estimated.bad_min > 400, "{estimated:?}");
    let sli = exact.sli.unwrap();
    assert!(estimated.sli_min.unwrap() <= sli && sli <= estimated.sli_max.unwrap());
    assert!(
        estimated.budget_remaining_min <= exact.budget_remaining
            && exact.budget_remaining <= estimated.budget_remaining_max
    );
    let by_psql: (i64, i64, i64, i64) =
        sqlx::query_as("select good_min, good_max, bad_min, bad_max from error_budget_estimate('fast', $1)")
            .bind(at(changed))
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    let counts = [
        estimated.good_min,
        estimated.good_max,
        estimated.bad_min,
        estimated.bad_max,
    ];
    let (a, b, c, d) = by_psql;
    assert_eq!([a, b, c, d].map(i64::unsigned_abs), counts);
    stood.database.drop().await;
    world.database.drop().await;
}

#[tokio::test]
async fn nothing_of_an_estimate_is_in_the_ledger_or_alerts() {
    let (requests, changed) = (requests(3), 2 * 3600);
    let world = World::with(Settings::default(), vec![fast(OLD)]).await;
    live(&world, &requests, &[OLD], (0, changed)).await;
    apply(&world, &[fast(NEW)], at(changed)).await;
    backfill(&world.engine, at(changed)).await;
    let burn = async || {
        let name = "fast".parse().unwrap();
        world.engine.burn(&name, seconds(DAY), at(changed)).await.unwrap()
    };
    let before = (
        books(&world.database.pool).await,
        burn().await,
        look(&world, at(changed)).await,
    );
    assert_eq!(estimate(&world, at(changed)).await, 2);
    let after = look(&world, at(changed)).await;
    // Most of it was bad: were it counted, all would burn.
    assert!(after.estimated.as_ref().unwrap().bad_min > 200);
    let without = Slo {
        estimated: None,
        ..after
    };
    assert_eq!(before, (books(&world.database.pool).await, burn().await, without));
    assert!(world.step(at(changed)).await.is_empty());
    world.database.drop().await;
}

#[tokio::test]
async fn a_threshold_on_the_edge_of_a_bucket_is_told_exactly() {
    let requests: Vec<Request> = requests(3)
        .into_iter()
        .filter(|request| request.status == Some(200))
        .collect();
    let changed = 2 * 3600 + 1800;
    let world = World::with(Settings::default(), vec![fast(OLD)]).await;
    live(&world, &requests, &[OLD], (0, changed)).await;
    apply(&world, &[fast(EDGE)], at(changed)).await;
    estimate(&world, at(changed)).await;
    let told = look(&world, at(changed)).await.estimated.unwrap();
    let (good, bad) = truth(&requests, EDGE, changed - 10);
    assert!(good > 300 && bad > 200);
    assert_eq!(
        [told.good_min, told.good_max, told.bad_min, told.bad_max],
        [good, good, bad, bad]
    );
    assert_eq!(told.sli_min, told.sli_max);
    world.database.drop().await;
}

#[tokio::test]
async fn each_hour_is_estimated_once_and_a_threshold_that_comes_back_is_estimated_anew() {
    let requests = requests(6);
    let world = World::with(Settings::default(), vec![fast(NEW)]).await;
    live(&world, &requests, &[NEW], (0, 7200)).await;
    apply(&world, &[fast(OLD)], at(7200)).await;
    assert!(world.engine.backfill(at(7200)).await.is_ok());
    assert!(world.engine.estimate(at(7230)).await.unwrap());
    // Regretted before all was estimated.
    live(&world, &requests, &[OLD], (7200, 10_800)).await;
    apply(&world, &[fast(NEW)], at(10_800)).await;
    assert_eq!(estimate(&world, at(10_800)).await, 3);
    let once = hours(&world).await;
    assert_eq!(once.len(), 3, "{once:?}");
    assert_eq!(estimate(&world, at(10_860)).await, 0);
    apply(&world, &[fast(NEW)], at(10_900)).await;
    assert_eq!(estimate(&world, at(10_900)).await, 0);
    assert_eq!(hours(&world).await, once);
    let told = look(&world, at(10_800)).await.estimated.unwrap();
    assert!(holds(&told, truth(&requests, NEW, 10_790)), "{told:?}");
    world.database.drop().await;
}

#[tokio::test]
async fn an_hour_of_which_nothing_is_known_or_some_is_left_out_is_not_in_it() {
    let requests = requests(5);
    let world = World::with(Settings::default(), vec![fast(OLD)]).await;
    live(&world, &requests, &[OLD], (0, 3600)).await;
    // Nobody told anything for an hour, then for an hour only that there were answers.
    for minute in 121_i64..=180 {
        let more = reading(status("web", 204), at(7200), minute.unsigned_abs());
        world
            .ingest(&batch(&world.source, at(60 * minute), vec![more]))
            .await;
    }
    world.ingest(&read(14_400, &requests, &[OLD])).await;
    apply(&world, &[fast(NEW)], at(14_460)).await;
    estimate(&world, at(14_460)).await;
    // The first, and that in which all that was missed came in.
    assert_eq!(hours(&world).await.len(), 2);
    let told = look(&world, at(14_460)).await.estimated.unwrap();
    assert!(holds(&told, truth(&requests, NEW, 14_400)), "{told:?}");
    let correction = NewCorrection {
        objective: "fast".parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(600),
        ends_at: at(660),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    let id = world.engine.correct(&correction, at(14_460)).await.unwrap();
    let corrected = look(&world, at(14_460)).await.estimated.unwrap();
    let (first, all) = (truth(&requests, NEW, 3600), truth(&requests, NEW, 14_400));
    assert_eq!(corrected.from, at(10_800));
    assert!(
        holds(&corrected, (all.0 - first.0, all.1 - first.1)),
        "{corrected:?}"
    );
    world.engine.undo_correction(id, "ann", at(14_460)).await.unwrap();
    assert_eq!(look(&world, at(14_460)).await.estimated, Some(told));
    world.database.drop().await;
}

#[tokio::test]
async fn budgets_of_slices_and_other_clocks_are_not_estimated() {
    let requests = requests(2);
    let world = World::with(Settings::default(), vec![fast(OLD)]).await;
    live(&world, &requests, &[OLD], (0, 3600)).await;
    let sliced = Objective {
        budgeting: Budgeting::Timeslices {
            slice: seconds(60),
            target: decimal("0.9"),
        },
        ..fast(NEW)
    };
    let mut first_byte = fast(NEW);
    first_byte.name = "first-byte".parse().unwrap();
    first_byte.sli.kind = SliKind::Latency {
        clock: Clock::FirstByte,
        threshold: NEW,
    };
    let available = availability("available", "web");
    apply(&world, &[sliced, first_byte, available], at(3600)).await;
    assert_eq!(estimate(&world, at(3600)).await, 0);
    assert_eq!(look(&world, at(3600)).await.estimated, None);
    world.database.drop().await;
}

fn any_request() -> impl Strategy<Value = Request> {
    let status = prop_oneof![4 => Just(Some(200)), 1 => Just(Some(503)), 1 => Just(None)];
    (1_i64..7190, 60_000_u64..160_000, status).prop_map(|(ended_s, micros, status)| Request {
        ended_s,
        took: Duration::from_micros(micros),
        status,
    })
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn whatever_was_asked_its_count_lies_within(
        requests in prop::collection::vec(any_request(), 1..80),
        threshold_us in 60_000_u64..160_000,
    ) {
        let threshold = Duration::from_micros(threshold_us);
        let told = run(async {
            let world = World::with(Settings::default(), vec![fast(OLD)]).await;
            for second in (600..=7200).step_by(600) {
                world.ingest(&read(second, &requests, &[OLD])).await;
            }
            apply(&world, &[fast(threshold)], at(7200) + TimeDelta::seconds(30)).await;
            estimate(&world, at(7230)).await;
            let told = look(&world, at(7230)).await.estimated;
            world.database.drop().await;
            told
        });
        let truth = truth(&requests, threshold, 7200);
        match told {
            Some(told) => prop_assert!(holds(&told, truth), "{truth:?}: {told:?}"),
            None => prop_assert_eq!(truth, (0, 0)),
        }
    }
}
