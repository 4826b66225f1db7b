//! Books slices of time, for budgets that count those instead of requests.
//!
//! In: what an intake adds to each generation. Out: the same in its slice, and in the ledger, once the slice is
//! over, what the slice is worth. A slice that changes later is judged again: the ledger moves by the difference.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Acquire, PgConnection};

use super::ledger::{self, Delta, Deltas};
use super::memory::Generation;
use super::{interval, lock, slot_end};
use crate::engine::{Engine, EngineError};
use crate::settings::Settings;

/// What goes to slices, by objective, generation and the slice's end.
type Slices = BTreeMap<(i64, i32, DateTime<Utc>), Delta>;

/// Moves the requests of budgets that count slices from the ledger's deltas into their slices. Of a slice that
/// is kept no longer nothing can be judged: its requests are lost to the budget, and counted as such.
pub(crate) async fn book<'a>(
    connection: &mut PgConnection,
    settings: &Settings,
    generations: impl Iterator<Item = &'a Generation>,
    booked_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    deltas: &mut Deltas,
) -> Result<(), EngineError> {
    let mut slices = Slices::new();
    let patience = i64::try_from(settings.patience.as_millis()).unwrap_or(i64::MAX);
    let slot = slot_end(booked_at, settings.slot)?;
    for generation in generations {
        let key = (generation.objective_id, generation.generation);
        let (Some(slice), Some(delta)) = (generation.slice, deltas.get_mut(&key)) else {
            continue;
        };
        let end = slot_end(slot, slice)?;
        let counted = *delta;
        (delta.good, delta.bad) = (0, 0);
        if received_at - end > kept(settings.keep.measurements) {
            delta.lost += counted.good + counted.bad;
            continue;
        }
        let length = TimeDelta::from_std(slice).unwrap_or(TimeDelta::MAX);
        let mut here = counted;
        // A return from a short absence covers what it missed of the slices before, too.
        let mut before = counted.covered_ms - (booked_at - (end - length)).num_milliseconds();
        if before > 0 && counted.covered_ms <= patience {
            here.covered_ms -= before;
            let mut earlier = end;
            while before > 0 {
                earlier -= length;
                let covered_ms = before.min(length.num_milliseconds());
                let covered = Delta {
                    covered_ms,
                    ..Delta::default()
                };
                slices.insert((key.0, key.1, earlier), covered);
                before -= covered_ms;
            }
        }
        if here.good + here.bad + here.covered_ms != 0 {
            slices.insert((key.0, key.1, end), here);
        }
    }
    if slices.is_empty() {
        return Ok(());
    }
    let column = |pick: fn(&Delta) -> i64| slices.values().map(pick).collect::<Vec<_>>();
    sqlx::query!(
        "insert into slice (objective_id, generation, at, good, bad, covered_ms)
         select * from unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[])
         on conflict on constraint slice_pkey do update
         set good = slice.good + excluded.good, bad = slice.bad + excluded.bad,
             covered_ms = slice.covered_ms + excluded.covered_ms, is_stale = true",
        &slices.keys().map(|key| key.0).collect::<Vec<_>>(),
        &slices.keys().map(|key| key.1).collect::<Vec<_>>(),
        &slices.keys().map(|key| key.2).collect::<Vec<_>>(),
        &column(|delta| delta.good),
        &column(|delta| delta.bad),
        &column(|delta| delta.covered_ms),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn kept(measurements: Duration) -> TimeDelta {
    TimeDelta::from_std(measurements).unwrap_or(TimeDelta::MAX)
}

/// What a slice that was judged adds to the ledger.
struct Judged {
    objective_id: i64,
    generation: i32,
    at: DateTime<Utc>,
    good: i64,
    bad: i64,
}

/// Judges every slice that is over: by now all that is not late has come.
pub(crate) async fn judge(engine: &Engine, now: DateTime<Utc>) -> Result<u64, EngineError> {
    let until = now - TimeDelta::from_std(engine.settings().patience).unwrap_or_default();
    let mut connection = engine.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", lock::DEFINITIONS)
        .execute(&mut *transaction)
        .await?;
    let services = sqlx::query_scalar!(
        "select distinct g.service_id
         from slice s
         join objective_generation g using (objective_id, generation)
         where s.is_stale and s.at <= $1",
        until
    )
    .fetch_all(&mut *transaction)
    .await?;
    if services.is_empty() {
        return Ok(0);
    }
    ledger::lock_services(&mut transaction, services.iter().copied()).await?;
    let judged = sqlx::query_file_as!(Judged, "queries/judge_slices.sql", until, &services)
        .fetch_all(&mut *transaction)
        .await?;
    let wholes = sqlx::query_file_as!(
        Judged,
        "queries/judge_wholes.sql",
        &judged.iter().map(|slice| slice.objective_id).collect::<Vec<_>>(),
        &judged.iter().map(|slice| slice.generation).collect::<Vec<_>>(),
        &judged.iter().map(|slice| slice.at).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut by_end: BTreeMap<DateTime<Utc>, Deltas> = BTreeMap::new();
    for slice in judged.iter().chain(&wholes) {
        let delta = Delta {
            good: slice.good,
            bad: slice.bad,
            ..Delta::default()
        };
        by_end
            .entry(slice.at)
            .or_default()
            .insert((slice.objective_id, slice.generation), delta);
    }
    for (end, deltas) in &by_end {
        ledger::book(&mut transaction, *end, deltas).await?;
    }
    transaction.commit().await?;
    Ok(u64::try_from(judged.len()).unwrap_or(u64::MAX))
}

/// Drops slices that nothing is added to any more; a bite at a time, what is left waits for the next minute.
pub(crate) async fn forget(
    connection: &mut PgConnection,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    // A day longer than slices are added to, so that none is judged by its late requests alone.
    let keep = settings.keep.measurements + Duration::from_secs(86_400);
    sqlx::query!(
        "delete from slice
         where (objective_id, generation, at) in (
             select objective_id, generation, at from slice where at < $1::timestamptz - $2::interval limit 10000
         )",
        now,
        interval(keep)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every generation that something may be booked to, once.
pub(crate) fn all<K>(generations: &HashMap<K, Vec<Generation>>) -> impl Iterator<Item = &Generation> {
    generations.values().flatten()
}
