//! Writes the ledger.
//!
//! In: what one slot adds to each generation. Out: running totals. The caller holds the services'
//! locks ([`lock_services`]), so that each generation's rows have one writer at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::lock;
use crate::engine::EngineError;

/// What a slot adds to one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Delta {
    pub good: i64,
    pub bad: i64,
    pub expected_ms: i64,
    pub covered_ms: i64,
    pub lost: i64,
}

/// By objective and generation.
pub(crate) type Deltas = BTreeMap<(i64, i32), Delta>;

/// The UTC day that a slot ending at `at` lies in, as `ledger_day_of` has it.
pub(crate) fn day_of(at: DateTime<Utc>) -> NaiveDate {
    (at - TimeDelta::microseconds(1)).date_naive()
}

pub(crate) fn day_start(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

pub(crate) fn day_end(day: NaiveDate) -> DateTime<Utc> {
    day_start(day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX))
}

/// Makes this transaction the only one that books to these services, until it ends. Always in the
/// order of ids, so that two batches never wait for each other.
pub(crate) async fn lock_services(
    connection: &mut PgConnection,
    services: impl IntoIterator<Item = i64>,
) -> Result<(), EngineError> {
    // Ids beyond 2^31 share locks, which costs waiting and nothing else.
    let mut keys: Vec<i32> = services
        .into_iter()
        .map(|id| i32::try_from(id % i64::from(i32::MAX)).unwrap_or(0))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    sqlx::query!(
        "select pg_advisory_xact_lock($1, key) from unnest($2::int[]) with ordinality as t (key, n) order by n",
        lock::SERVICE,
        &keys
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Adds to the slot that ends at `slot_end`, to every later row of its day, and to the bases of every
/// later day.
pub(crate) async fn book(
    connection: &mut PgConnection,
    slot_end: DateTime<Utc>,
    deltas: &Deltas,
) -> Result<(), EngineError> {
    let moving: Vec<_> = deltas
        .iter()
        .filter(|(_, delta)| **delta != Delta::default())
        .collect();
    if moving.is_empty() {
        return Ok(());
    }
    let column = |pick: fn(&Delta) -> i64| moving.iter().map(|(_, delta)| pick(delta)).collect::<Vec<_>>();
    let day = day_of(slot_end);
    let unopened = sqlx::query_file!(
        "queries/book_ledger.sql",
        &moving
            .iter()
            .map(|((objective, _), _)| *objective)
            .collect::<Vec<_>>(),
        &moving
            .iter()
            .map(|((_, generation), _)| *generation)
            .collect::<Vec<_>>(),
        &column(|delta| delta.good),
        &column(|delta| delta.bad),
        &column(|delta| delta.expected_ms),
        &column(|delta| delta.covered_ms),
        &column(|delta| delta.lost),
        slot_end,
        day_start(day),
        day_end(day),
        day,
    )
    .fetch_all(&mut *connection)
    .await?;
    if !unopened.is_empty() {
        sqlx::query_file!(
            "queries/open_ledger_day.sql",
            &unopened.iter().map(|row| row.objective_id).collect::<Vec<_>>(),
            &unopened.iter().map(|row| row.generation).collect::<Vec<_>>(),
            day
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_belongs_to_the_day_that_ends() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(day_of(at("2026-11-23T00:00:00Z")), day("2026-11-22"));
        assert_eq!(day_of(at("2026-11-23T00:00:10Z")), day("2026-11-23"));
        assert_eq!(day_end(day("2026-11-22")), at("2026-11-23T00:00:00Z"));
    }
}
