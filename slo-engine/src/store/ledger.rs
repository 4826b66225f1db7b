//! Writes the ledger.
//!
//! In: what one slot adds to each generation. Out: running totals, packed where the slot's time is. The caller holds the services'
//! locks ([`lock_services`]), so that each generation's rows have one writer at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

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
) -> Result<(), sqlx::Error> {
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
    let [good, bad, expected, covered, lost] = [
        column(|delta| delta.good),
        column(|delta| delta.bad),
        column(|delta| delta.expected_ms),
        column(|delta| delta.covered_ms),
        column(|delta| delta.lost),
    ];
    let objectives: Vec<_> = moving.iter().map(|((objective, _), _)| *objective).collect();
    let generations: Vec<_> = moving.iter().map(|((_, generation), _)| *generation).collect();
    let day = day_of(slot_end);
    let packed = packed_stretch(connection, slot_end).await?;
    if let Some((stretch, _)) = &packed {
        sqlx::query_file!(
            "queries/unpack_ledger.sql",
            &objectives,
            &generations,
            &good,
            &bad,
            &expected,
            &covered,
            &lost,
            stretch.from,
            stretch.to,
            day_end(day)
        )
        .execute(&mut *connection)
        .await?;
    }
    // Of a slot that statistics do not know yet Postgres expects one row, and joins all objectives to it by loops; planned without
    // the values it looks each up by its key.
    sqlx::raw_sql("set local plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await?;
    let unopened = sqlx::query_file!(
        "queries/book_ledger.sql",
        &objectives,
        &generations,
        &good,
        &bad,
        &expected,
        &covered,
        &lost,
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
        .execute(&mut *connection)
        .await?;
    }
    if let Some((stretch, step)) = packed {
        // Of a thinned day the new row lacks what rows that went had counted by then: it goes as they did, unless it is
        // the last of its step.
        pack(connection, &objectives, &generations, stretch, step).await?;
    }
    let (objectives, generations): (Vec<i64>, Vec<i32>) = moving
        .iter()
        .filter(|(_, delta)| delta.expected_ms != delta.covered_ms)
        .map(|(key, _)| **key)
        .unzip();
    if objectives.is_empty() {
        return Ok(());
    }
    note_uneven(connection, slot_end, &objectives, &generations).await
}

/// Of whom expected time is not covered in this slot, or more than is expected: evaluation looks at their windows whole.
pub(crate) async fn note_uneven(
    connection: &mut PgConnection,
    slot_end: DateTime<Utc>,
    objectives: &[i64],
    generations: &[i32],
) -> Result<(), EngineError> {
    sqlx::query!(
        "update objective_generation g
         set uneven_at = $3
         from unnest($1::bigint[], $2::int[]) t (objective_id, generation)
         where g.objective_id = t.objective_id and g.generation = t.generation and g.uneven_at < $3",
        objectives,
        generations,
        slot_end
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A part of a day whose rows are packed together.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Of one chunk; the whole or a part of the stretch.
    pub span: PgInterval,
}

/// The stretch that a slot lies in, if it is packed, and the step that it was thinned to, if it was. The caller holds the
/// services' locks: what it is told stays true until it commits, since whoever packs says so before it asks for them.
async fn packed_stretch(
    connection: &mut PgConnection,
    slot_end: DateTime<Utc>,
) -> Result<Option<(Stretch, Option<PgInterval>)>, EngineError> {
    let stretch = sqlx::query!(
        r#"select s.from_at as "from!", s.to_at as "to!", s.span as "span!", t.step as "step?"
           from engine_state e
           cross join lateral ledger_stretch($1) s
           left join ledger_thinned t on t.day = ledger_day_of($1)
           where $1 <= e.packed_to"#,
        slot_end
    )
    .fetch_optional(connection)
    .await?;
    Ok(stretch.map(|row| {
        let stretch = Stretch {
            from: row.from,
            to: row.to,
            span: row.span,
        };
        (stretch, row.step)
    }))
}

/// Packs what these generations have of a stretch; with a step, its last row of each. How many rows are kept.
pub(crate) async fn pack(
    connection: &mut PgConnection,
    objectives: &[i64],
    generations: &[i32],
    stretch: Stretch,
    step: Option<PgInterval>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select pack_ledger($1, $2, $3, $4, $5, $6) as "kept!""#,
        objectives,
        generations,
        stretch.from,
        stretch.to,
        step,
        stretch.span
    )
    .fetch_one(connection)
    .await
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
