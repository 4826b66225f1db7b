//! What a source covers that was given up and came back.
//!
//! In: the time that was booked as expected when it was given up, and of which its return says that it was watched. Out: that covered time,
//! where the ledger lacks it, and not at the return: a window that begins in between would hold time that nobody expected of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::engine::EngineError;
use crate::settings::Settings;
use crate::store::ledger::{self, Deltas};
use crate::store::slot_end;

/// Rows of a thinned day stand at most so much later than they were booked at.
const STEP_MAX: TimeDelta = TimeDelta::minutes(5);

/// Of one generation.
#[derive(Debug)]
pub(super) struct Owed {
    pub objective_id: i64,
    pub generation: i32,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub covered_ms: i64,
}

/// Moves from the `deltas` of the return to the rows of the absence what those lack, and no more. The caller holds the
/// services' locks.
pub(super) async fn cover(
    connection: &mut PgConnection,
    settings: &Settings,
    owed: &[Owed],
    deltas: &mut Deltas,
) -> Result<(), EngineError> {
    let mut by_row: BTreeMap<DateTime<Utc>, Deltas> = BTreeMap::new();
    for owed in owed {
        let mut left = owed.covered_ms;
        for (at, missing_ms) in missing(connection, settings, owed).await? {
            let covered_ms = left.min(missing_ms).max(0);
            if covered_ms > 0 {
                let key = (owed.objective_id, owed.generation);
                by_row.entry(at).or_default().entry(key).or_default().covered_ms += covered_ms;
                deltas.entry(key).or_default().covered_ms -= covered_ms;
                left -= covered_ms;
            }
        }
    }
    for (at, deltas) in &by_row {
        ledger::book(connection, *at, deltas).await?;
    }
    Ok(())
}

/// What each row of the time expects more than it covers.
async fn missing(
    connection: &mut PgConnection,
    settings: &Settings,
    owed: &Owed,
) -> Result<Vec<(DateTime<Utc>, i64)>, EngineError> {
    let rows = sqlx::query!(
        r#"with row as (
               select r.*
               from ledger r
               where r.objective_id = $1 and r.generation = $2 and r.at between $3 and $4
               union all
               select r.*
               from ledger_chunk c
               cross join ledger_rows(c) r
               where c.objective_id = $1 and c.generation = $2 and c.at > $3::timestamptz - interval '1 day' and c.at <= $4
                 and r.at between $3 and $4
           ),
           total as (
               select r.at, r.expected_ms + d.expected_ms - r.covered_ms - d.covered_ms as missing_ms
               from row r
               join ledger_day d
                   on d.objective_id = $1 and d.generation = $2 and d.day = ledger_day_of(r.at)
           )
           select t.at as "at!",
                  t.missing_ms - lag(t.missing_ms, 1, coalesce(b.expected_ms - b.covered_ms, 0)) over (order by t.at) as "missing_ms!"
           from total t
           left join ledger_total($1, $2, $3) b on true
           order by t.at"#,
        owed.objective_id,
        owed.generation,
        slot_end(owed.from, settings.slot)?,
        slot_end(owed.to, settings.slot)? + STEP_MAX,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.at, row.missing_ms)).collect())
}
