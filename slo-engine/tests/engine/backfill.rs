//! Generations that are counted back: as if they had stood from the beginning.

use chrono::{DateTime, TimeDelta, Utc};
use slo_engine::Settings;
use slo_engine::measurement::{Batch, Clock, Signal};
use slo_engine::objective::{Objective, Sli, SliKind};
use sqlx::PgPool;

use crate::backfill_property::{backfill, other_books, same_windows};
use crate::order::HOSTS;
use crate::support::{
    DAY, World, at, availability, batch, definitions, noon, reading, seconds, series, status,
};

/// What `web-availability` counted before: nothing of it is bad.
fn before() -> Objective {
    let mut objective = availability("web-availability", "web");
    objective.sli = Sli {
        kind: SliKind::Ratio {
            good: "2xx".parse().unwrap(),
            total: "2xx".parse().unwrap(),
        },
        ..Sli::availability()
    };
    objective
}

fn after() -> Objective {
    availability("web-availability", "web")
}

async fn apply(world: &World, objectives: &[Objective], now: DateTime<Utc>) {
    world
        .engine
        .apply(&definitions(objectives.to_vec()), now)
        .await
        .unwrap();
}

/// Every row of the generation that holds, with its base.
async fn book(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s %s %s %s %s %s', l.at at time zone 'UTC', l.good + d.good, l.bad + d.bad,
                       l.expected_ms + d.expected_ms, l.covered_ms + d.covered_ms, l.lost + d.lost)
         from objective o
         join ledger_row l using (objective_id, generation)
         join ledger_day d on d.objective_id = l.objective_id and d.generation = l.generation
          and d.day = ledger_day_of(l.at)
         where o.name = 'web-availability'
         order by l.at",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

pub async fn messages(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select message from event where kind in ('definition_changed', 'backfill_finished') order by event_id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Read every eleven minutes for some days, thinned as time passes.
pub fn days_of_batches(days: i64) -> Vec<Batch> {
    (1..days * 1440 / 11)
        .map(|n| {
            let counted = u64::try_from(n).unwrap();
            let readings = vec![
                reading(status("web", 200), noon(), 10 * counted),
                reading(status("web", 500), noon(), counted / 5),
            ];
            batch(&crate::support::source(HOSTS[0]), at(660 * n), readings)
        })
        .collect()
}

pub async fn live(world: &World, batches: &[Batch]) {
    let mut day = noon().date_naive();
    for batch in batches {
        if batch.at.date_naive() != day {
            day = batch.at.date_naive();
            world.engine.maintain(batch.at).await.unwrap();
        }
        world.ingest(batch).await;
    }
}

#[tokio::test]
async fn days_older_than_all_that_were_thinned_are_thinned_once_they_are_counted_back() {
    let batches = days_of_batches(5);
    let (now, fourth) = (batches.last().unwrap().at, &batches[batches.len() * 4 / 5..]);
    let world = World::with(Settings::default(), vec![]).await;
    live(&world, &batches[..batches.len() * 4 / 5]).await;
    apply(&world, &[before()], fourth[0].at).await;
    live(&world, fourth).await;
    // Of what is kept, this day is the first that is old enough.
    let later = now + TimeDelta::days(2);
    world
        .engine
        .goodbye(&crate::support::source(HOSTS[0]), now)
        .await
        .unwrap();
    world.engine.maintain(later).await.unwrap();
    let thinned = async || -> (i64, i64) {
        sqlx::query_as(
            "select count(*) filter (where t.thinned_at is not null), count(*)
             from (select distinct day from ledger_day) d left join ledger_thinned t using (day)",
        )
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
    };
    let (at_first, _) = thinned().await;
    assert!(at_first > 0);
    assert!(backfill(&world.engine, later).await > 3);
    world.engine.maintain(later).await.unwrap();
    let (done, days) = thinned().await;
    assert!(
        done > at_first + 2 && done == days,
        "{at_first}, {done} of {days}"
    );
    world.database.drop().await;
}

#[tokio::test]
async fn days_that_are_thinned_are_counted_back_as_they_are_kept() {
    let batches = days_of_batches(5);
    let now = batches.last().unwrap().at;
    let stood = World::with(Settings::default(), vec![after()]).await;
    live(&stood, &batches).await;
    stood.engine.maintain(now).await.unwrap();
    let world = World::with(Settings::default(), vec![before()]).await;
    live(&world, &batches).await;
    apply(&world, &[after()], now).await;
    let others = other_books(&world.database.pool).await;
    assert!(backfill(&world.engine, now).await > 20);
    world.engine.maintain(now).await.unwrap();
    assert_eq!(book(&world.database.pool).await, book(&stood.database.pool).await);
    assert_eq!(other_books(&world.database.pool).await, others);
    same_windows(
        &world,
        &stood,
        &[now, now - TimeDelta::hours(13), now - TimeDelta::days(3)],
    )
    .await;
    // A batch that comes late to a day that was thinned finds its place in both.
    for world in [&stood, &world] {
        world.hello("late", noon()).await;
        let readings = vec![reading(status("web", 500), noon(), 3)];
        let late = batch(&crate::support::source("late"), at(30_007), readings);
        world.engine.ingest_at(&late, late.at).await.unwrap();
    }
    assert_eq!(book(&world.database.pool).await, book(&stood.database.pool).await);
    world.database.drop().await;
    stood.database.drop().await;
}

#[tokio::test]
async fn counting_back_ends_where_measurements_are_kept_no_longer() {
    let mut settings = Settings::default();
    settings.keep.measurements = seconds(2 * DAY);
    let world = World::with(settings, vec![before()]).await;
    let batches = days_of_batches(5);
    live(&world, &batches).await;
    let now = batches.last().unwrap().at;
    world.engine.maintain(now).await.unwrap();
    apply(&world, &[after()], now).await;
    backfill(&world.engine, now).await;
    // Five days later it is shortly before noon: of the day two days ago all is kept.
    let kept = at(2 * 86_400 + 43_200);
    let bad: u64 = batches.iter().filter(|batch| batch.at > kept).count() as u64 / 5;
    let (_, found) = world.window(30 * DAY, now).await;
    assert!(found.abs_diff(bad) <= 1, "{found} of {bad}");
    let counts = world
        .engine
        .burn(&"web-availability".parse().unwrap(), seconds(30 * DAY), now)
        .await
        .unwrap();
    assert_eq!(counts.from, kept);
    assert_eq!(
        messages(&world.database.pool).await[1..],
        [
            "objective `web-availability` counts other events: its budget is counted back from what was measured, \
             to 2026-11-05 00:00:00 UTC",
            "objective `web-availability` is counted back to 2026-11-05 00:00:00 UTC: older measurements are kept no longer",
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_reload_back_to_the_old_sli_is_counted_back_again() {
    let batches = days_of_batches(1);
    let (first, last) = batches.split_at(60);
    let stood = World::with(Settings::default(), vec![before()]).await;
    let world = World::with(Settings::default(), vec![before()]).await;
    for batch in first {
        stood.ingest(batch).await;
        world.ingest(batch).await;
    }
    let now = first.last().unwrap().at;
    apply(&world, &[after()], now).await;
    world.engine.backfill(now).await.unwrap();
    // Regretted before it was counted back whole.
    for batch in last {
        stood.ingest(batch).await;
        world.ingest(batch).await;
    }
    let now = last.last().unwrap().at;
    apply(&world, &[before()], now).await;
    backfill(&world.engine, now).await;
    assert_eq!(book(&world.database.pool).await, book(&stood.database.pool).await);
    same_windows(&world, &stood, &[now]).await;
    world.database.drop().await;
    stood.database.drop().await;
}

#[tokio::test]
async fn a_new_objective_counts_what_its_service_measured_before() {
    let world = World::new(Settings::default()).await;
    for n in 1..=60 {
        world
            .counted(at(60 * n), 90 * n.unsigned_abs(), n.unsigned_abs())
            .await;
    }
    let both = [after(), availability("second", "web")];
    apply(&world, &both, at(3600)).await;
    backfill(&world.engine, at(3600)).await;
    let [one, other] = ["web-availability", "second"].map(|name| name.parse().unwrap());
    let one = world.engine.burn(&one, seconds(DAY), at(3600)).await.unwrap();
    let other = world.engine.burn(&other, seconds(DAY), at(3600)).await.unwrap();
    assert_eq!((one.good, one.bad), (5400, 60));
    assert_eq!((other.good, other.bad), (5400, 60));
    assert_eq!(
        (other.expected_ms, other.covered_ms),
        (one.expected_ms, one.covered_ms)
    );
    world.database.drop().await;
}

fn latency(name: &str, threshold_ms: u64) -> Objective {
    let mut objective = availability(name, "web");
    objective.sli.kind = SliKind::Latency {
        clock: Clock::Turnaround,
        threshold: std::time::Duration::from_millis(threshold_ms),
    };
    objective
}

/// What was not counted apart is no history: neither good, nor a time without requests.
#[tokio::test]
async fn what_was_never_told_apart_is_not_counted_back() {
    let world = World::with(Settings::default(), vec![latency("fast", 250)]).await;
    let (clock, threshold) = (Clock::Turnaround, std::time::Duration::from_millis(250));
    for n in 1..=30_i64 {
        let within = series("web", Signal::Within { clock, threshold });
        let over = series("web", Signal::Over { clock, threshold });
        let readings = vec![
            reading(status("web", 200), noon(), 10 * n.unsigned_abs()),
            reading(within, noon(), 9 * n.unsigned_abs()),
            reading(over, noon(), n.unsigned_abs()),
        ];
        world.ingest(&batch(&world.source, at(60 * n), readings)).await;
    }
    let mut routed = after();
    routed.sli.route = Some("GET /api/".parse().unwrap());
    let objectives = [
        latency("fast", 250),
        latency("other", 250),
        latency("faster", 100),
        routed,
    ];
    apply(&world, &objectives, at(1800)).await;
    backfill(&world.engine, at(1800)).await;
    let counted = async |name: &str| {
        let counts = world
            .engine
            .burn(&name.parse().unwrap(), seconds(DAY), at(1800))
            .await
            .unwrap();
        (counts.good, counts.bad, counts.covered_ms)
    };
    assert_eq!(counted("fast").await, (270, 30, 1_800_000));
    assert_eq!(counted("other").await, (270, 30, 1_800_000));
    // But for the slot in which they begin.
    for name in ["faster", "web-availability"] {
        let (good, bad, covered_ms) = counted(name).await;
        assert_eq!((good, bad), (0, 0), "{name}");
        assert!(covered_ms <= 60_000, "{name} was watched for {covered_ms} ms");
    }
    // Nobody counts by 250 ms for a minute: what was before is no history that reaches to now.
    apply(&world, &[latency("fast", 500)], at(1800)).await;
    apply(&world, &[latency("fast", 250)], at(1860)).await;
    backfill(&world.engine, at(1860)).await;
    assert_eq!(counted("fast").await.0, 0);
    assert_eq!(
        messages(&world.database.pool).await.last().unwrap(),
        "objective `fast` counts other events: its budget starts anew"
    );
    world.database.drop().await;
}

#[tokio::test]
async fn it_is_told_why_counting_back_ends_where_it_does() {
    let world = World::with(Settings::default(), vec![before()]).await;
    let (clock, threshold) = (Clock::Turnaround, std::time::Duration::from_millis(250));
    for n in 1..=30_i64 {
        let within = series("web", Signal::Within { clock, threshold });
        let readings = vec![reading(within, noon(), n.unsigned_abs())];
        world.ingest(&batch(&world.source, at(60 * n), readings)).await;
        if n == 10 {
            apply(&world, &[before(), latency("fast", 250)], at(600)).await;
        }
    }
    apply(
        &world,
        &[before(), latency("fast", 250), latency("other", 250)],
        at(1800),
    )
    .await;
    backfill(&world.engine, at(1800)).await;
    apply(&world, &[after(), latency("other", 250)], at(1800)).await;
    backfill(&world.engine, at(1800)).await;
    let ended: Vec<String> = messages(&world.database.pool)
        .await
        .into_iter()
        .filter(|message| message.contains("is counted back to"))
        .collect();
    assert_eq!(
        ended,
        [
            "objective `other` is counted back to 2026-11-02 12:09:50 UTC: what it counts was not told apart before",
            "objective `web-availability` is counted back to 2026-11-02 11:59:50 UTC: nothing older of it was measured",
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn how_far_it_is_counted_back_can_be_read() {
    let world = World::with(Settings::default(), vec![before()]).await;
    let batches = days_of_batches(1);
    live(&world, &batches).await;
    let now = batches.last().unwrap().at;
    apply(&world, &[after()], now).await;
    let progress = async || {
        let slos = slo_engine::read::slos(&world.database.pool, now).await.unwrap();
        slos[0].backfill
    };
    let mut last = progress().await.unwrap();
    assert_eq!((last.from, last.to), (at(-10), now));
    while world.engine.backfill(now).await.unwrap() {
        let Some(next) = progress().await else { break };
        assert!(
            next.done_to < last.done_to && next.share() > last.share(),
            "{next:?}"
        );
        last = next;
    }
    assert_eq!(progress().await, None);
    assert!(last.share() > rust_decimal::Decimal::new(9, 1));
    world.database.drop().await;
}

/// Nothing of the ledger says who was watching then: what counted was watched.
#[tokio::test]
async fn what_nobody_kept_is_watched_where_it_counted() {
    let world = World::with(Settings::default(), Vec::new()).await;
    world.counted(at(5), 90, 10).await;
    world.counted(at(25), 180, 20).await;
    apply(&world, &[after()], at(26)).await;
    assert_eq!(backfill(&world.engine, at(26)).await, 1);
    assert_eq!(
        book(&world.database.pool).await,
        [
            "2026-11-02 12:00:10 90 10 10000 10000 0",
            "2026-11-02 12:00:30 180 20 10000 10000 0"
        ]
    );
    world.database.drop().await;
}

/// Intake goes on meanwhile, late batches among it.
#[tokio::test]
async fn intake_and_counting_back_at_once_count_everything_once() {
    let batches = days_of_batches(1);
    let world = World::with(Settings::default(), vec![before()]).await;
    let stood = World::with(Settings::default(), vec![after()]).await;
    for world in [&stood, &world] {
        world.hello("late", noon()).await;
        for batch in &batches {
            world.ingest(batch).await;
        }
    }
    let now = batches.last().unwrap().at;
    apply(&world, &[after()], now).await;
    let late: Vec<Batch> = (1..80)
        .map(|n: i64| {
            let readings = vec![reading(status("web", 500), noon(), n.unsigned_abs())];
            batch(&crate::support::source("late"), at(1000 * n + 3), readings)
        })
        .collect();
    let intake = async {
        for batch in &late {
            world.ingest(batch).await;
        }
    };
    let (stretches, ()) = tokio::join!(backfill(&world.engine, now), intake);
    assert!(stretches > 10);
    for batch in &late {
        stood.ingest(batch).await;
    }
    assert_eq!(book(&world.database.pool).await, book(&stood.database.pool).await);
    world.database.drop().await;
    stood.database.drop().await;
}
