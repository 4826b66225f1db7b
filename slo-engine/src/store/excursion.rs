//! Moves the statistics of fast pages, and reads what is decided on them.
//!
//! In: what each intake adds to the ledger. Out: the inputs of [`crate::evaluate::evaluate_fast_page`].
//! On a calm day there is nothing to write and nothing to read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};

use super::alert::{evidence_from_json, open_alert};
use super::ledger::Deltas;
use super::{WindowRow, convert, count, interval, look_up, parse};
use crate::engine::EngineError;
use crate::evaluate::{Excursion, FastPageInput, Rules};
use crate::partly::{self, Partly};
use crate::sequential::{FAST_PAGE, FastPage};
use crate::window::WindowCounts;

/// Errors that have stopped for so long are over.
const RECENT: Duration = Duration::from_secs(300);

/// Takes in what was counted between `since` and `at`. The caller holds the services' locks.
pub(crate) async fn book(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    at: DateTime<Utc>,
    deltas: &Deltas,
) -> Result<(), EngineError> {
    let counted: Vec<_> = deltas
        .iter()
        .filter(|(_, delta)| delta.good != 0 || delta.bad != 0)
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "queries/book_excursion.sql",
        &counted.iter().map(|((id, _), _)| *id).collect::<Vec<_>>(),
        &counted
            .iter()
            .map(|((_, generation), _)| *generation)
            .collect::<Vec<_>>(),
        &counted.iter().map(|(_, delta)| delta.good).collect::<Vec<_>>(),
        &counted.iter().map(|(_, delta)| delta.bad).collect::<Vec<_>>(),
        since,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what was counted for an alert that is over, under another SLI, or for an objective that
/// is no longer kept.
pub(crate) async fn forget(connection: &mut PgConnection, objective_id: i64) -> Result<(), EngineError> {
    sqlx::query!("delete from excursion where objective_id = $1", objective_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what was counted in time that a correction leaves out. All of it: how much of it was before and after is
/// not kept, and an outage that goes on is told anew within seconds. What pages already, and goes on behind the correction,
/// stays: it would page again. The caller holds the lock of the objective's service.
pub(crate) async fn leave_out(connection: &mut PgConnection, correction_id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from excursion e
         using correction c
         join correction_span s using (correction_id)
         where c.correction_id = $1 and e.objective_id = c.objective_id and s.from_at < e.at and s.to_at > e.since_at
           and (
               s.to_at >= e.at
               or not exists (
                   select from alert a
                   where a.objective_id = e.objective_id and a.tier = $2 and a.state <> 'resolved'
               )
           )",
        correction_id,
        FAST_PAGE
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One input for each objective that may have to page, or whose page is open.
pub(crate) async fn inputs(
    pool: &PgPool,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Vec<FastPageInput>, Partly<FastPageInput>> {
    // On a calm day the question below has no answer, and is not even planned: it is asked every second, and each connection
    // plans it anew.
    let is_calm = sqlx::query_scalar!(
        r#"select not exists (select from excursion)
              and not exists (select from alert where tier = $1 and state <> 'resolved') as "calm!""#,
        FAST_PAGE
    )
    .fetch_one(pool)
    .await?;
    if is_calm {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_file!("queries/fast_page.sql", now, interval(RECENT), FAST_PAGE)
        .fetch_all(&mut *look_up(pool).await?)
        .await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            let page = match (row.burn_rate, row.false_pages_a_year, row.rate_min) {
                (Some(burn_rate), Some(false_pages_a_year), Some(rate_min)) if !row.withdrawn => {
                    Some(FastPage {
                        burn_rate: convert("objective_fast_page.burn_rate", burn_rate)?,
                        false_pages_a_year,
                        rate_min,
                    })
                }
                _ => None,
            };
            let excursion = match (
                row.statistic,
                row.since_at,
                row.excursion_at,
                row.excursion_good,
                row.excursion_bad,
            ) {
                (Some(statistic), Some(since_at), Some(at), Some(good), Some(bad)) => Some(Excursion {
                    statistic,
                    counts: WindowCounts {
                        good: count("excursion.good", good)?,
                        bad: count("excursion.bad", bad)?,
                        ..WindowCounts::empty_between(since_at, at)
                    },
                }),
                _ => None,
            };
            let open = open_alert(row.alert_id, row.state.as_deref(), None)?;
            Ok(FastPageInput {
                now,
                objective: parse("objective.name", &row.objective)?,
                service: parse("service.name", &row.service)?,
                target: convert("target", row.target)?,
                page,
                excursion,
                recent: WindowRow {
                    good: row.recent_good,
                    bad: row.recent_bad,
                    from_at: row.recent_from_at,
                    to_at: row.recent_to_at,
                    expected_ms: row.recent_expected_ms,
                    covered_ms: row.recent_covered_ms,
                    lost: row.recent_lost,
                }
                .try_into()?,
                rate: Decimal::from(row.hour_total) / row.hour_seconds.max(Decimal::ONE),
                open,
                evidence: row
                    .evidence
                    .clone()
                    .map(evidence_from_json)
                    .transpose()?
                    .and_then(|evidence| evidence.burning().cloned()),
                coverage_min: row.coverage_min.unwrap_or(rules.coverage_min),
            })
        },
    )
}
