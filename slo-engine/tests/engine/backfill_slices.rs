//! Slices of days that are thinned: judged again where it is known who was watching in each, and nowhere else.

use chrono::{DateTime, Utc};
use slo_engine::Settings;
use slo_engine::budgeting::Budgeting;
use slo_engine::measurement::Batch;
use slo_engine::objective::Objective;

use crate::backfill::{days_of_batches, live, messages};
use crate::backfill_property::{backfill, book, counts, other_books, sliced, timeslices};
use crate::support::{World, at, batch, definitions, noon, reading, status};

const NAME: &str = "web-availability";

fn objective(total: &str, budgeting: Budgeting) -> Vec<Objective> {
    vec![sliced(counts(NAME, "2xx", total), budgeting)]
}

/// Lives through it all, and thins what is old enough at its end.
async fn lived(objectives: Vec<Objective>, batches: &[Batch]) -> World {
    let world = World::with(Settings::default(), objectives).await;
    for part in batches.chunks(100) {
        live(&world, part).await;
        world.engine.judge_slices(part[part.len() - 1].at).await.unwrap();
    }
    world
        .engine
        .maintain(batches[batches.len() - 1].at)
        .await
        .unwrap();
    world
}

/// Counts `after` back in a world that counted `before`, and holds it against one in which it stood.
async fn equals_one_that_stood(before: Vec<Objective>, after: Vec<Objective>) {
    let batches = days_of_batches(5);
    let now = batches.last().unwrap().at;
    let stood = lived(after.clone(), &batches).await;
    let world = lived(before, &batches).await;
    world.engine.apply(&definitions(after), now).await.unwrap();
    let others = other_books(&world.database.pool).await;
    assert!(backfill(&world.engine, now).await > 20);
    let steps: Vec<i64> =
        sqlx::query_scalar("select distinct extract(epoch from step)::bigint from ledger_thinned order by 1")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(steps, [60, 300]);
    for world in [&world, &stood] {
        world.engine.judge_slices(now).await.unwrap();
        world.engine.maintain(now).await.unwrap();
    }
    assert_eq!(book(&world.database.pool).await, book(&stood.database.pool).await);
    assert_eq!(other_books(&world.database.pool).await, others);
    world.database.drop().await;
    stood.database.drop().await;
}

#[tokio::test]
async fn slices_as_long_as_what_is_kept_are_judged_again() {
    let after = objective("2xx,5xx", timeslices(300, "0.9"));
    equals_one_that_stood(objective("2xx", Budgeting::Occurrences), after).await;
}

#[tokio::test]
async fn shorter_slices_are_judged_again_beside_slices_that_were_kept() {
    let after = objective("2xx,5xx", timeslices(120, "0.9"));
    equals_one_that_stood(objective("2xx", timeslices(60, "0.5")), after).await;
}

#[tokio::test]
async fn a_ledger_of_slices_begins_where_it_is_kept_finely_enough_who_was_watching() {
    let batches = days_of_batches(5);
    let now = batches.last().unwrap().at;
    let world = lived(objective("2xx", Budgeting::Occurrences), &batches).await;
    world
        .engine
        .apply(&definitions(objective("2xx,5xx", timeslices(60, "0.9"))), now)
        .await
        .unwrap();
    backfill(&world.engine, now).await;
    let (coarse_to, counted_from, first): (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>) = sqlx::query_as(
        "select (max(t.day) + 1)::timestamp at time zone 'UTC', max(g.counted_from_at), (select min(at) from slice)
         from ledger_thinned t
         cross join objective o
         join objective_generation g using (objective_id, generation)
         where t.step = '5 min'",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(counted_from, coarse_to);
    assert!(first > coarse_to);
    assert_eq!(
        *messages(&world.database.pool).await.last().unwrap(),
        format!(
            "objective `{NAME}` is counted back to {}: of older days it is kept too coarsely who was watching to judge \
             each slice of them",
            coarse_to.format("%Y-%m-%d %H:%M:%S UTC")
        )
    );
    world.database.drop().await;
}

/// Nobody kept who was watching before the objective was defined, in the middle of a slice without a request of it.
#[tokio::test]
async fn the_slice_in_which_it_is_defined_was_watched_where_the_service_counted() {
    let world = World::with(Settings::default(), Vec::new()).await;
    for second in (10..=600_i64).step_by(10) {
        let found = reading(status("web", 404), noon(), second.unsigned_abs());
        let answered = reading(status("web", 200), noon(), 1);
        world
            .ingest(&batch(&world.source, at(second), vec![found, answered]))
            .await;
        if second == 550 {
            let defined = definitions(objective("2xx,5xx", timeslices(300, "0.9")));
            world.engine.apply(&defined, at(551)).await.unwrap();
        }
    }
    backfill(&world.engine, at(610)).await;
    world.engine.judge_slices(at(630)).await.unwrap();
    let slices: Vec<(i64, i64, i64, i64)> =
        sqlx::query_as("select good, covered_ms, booked_good, booked_bad from slice order by at")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    // But for the slot in which it begins.
    assert_eq!(slices, [(1, 300_000, 1, 0), (0, 290_000, 1, 0)]);
    world.database.drop().await;
}
