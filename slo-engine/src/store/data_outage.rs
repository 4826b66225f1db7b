//! Reads what is decided on about missing data. Out: the inputs of [`crate::evaluate::evaluate_data_outage`].

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{WindowRow, interval, look_up, parse};
use crate::alert::{AlertId, Silent};
use crate::engine::EngineError;
use crate::evaluate::{DATA_OUTAGE, DataOutageInput, OpenAlert, Rules};

/// One input for each objective of which a tier is frozen, or whose alert is open.
pub(crate) async fn inputs(
    pool: &PgPool,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Vec<DataOutageInput>, EngineError> {
    let rows = sqlx::query_file!(
        "queries/data_outage.sql",
        now,
        interval(rules.outage.over),
        DATA_OUTAGE
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    rows.into_iter()
        .map(|row| {
            let open = match (row.alert_id, row.state) {
                (Some(id), Some(state)) => Some(OpenAlert {
                    id: AlertId(id),
                    state: parse("alert.state", &state)?,
                    clear_since: row.clear_since_at,
                }),
                _ => None,
            };
            Ok(DataOutageInput {
                now,
                objective: parse("objective.name", &row.objective)?,
                service: parse("service.name", &row.service)?,
                window: WindowRow {
                    good: row.good,
                    bad: row.bad,
                    from_at: row.from_at,
                    to_at: row.to_at,
                    expected_ms: row.expected_ms,
                    covered_ms: row.covered_ms,
                    lost: row.lost,
                }
                .try_into()?,
                silent: (row.silent_sources.into_iter().zip(row.silent_hosts))
                    .map(|(source, host)| Silent { source, host })
                    .collect(),
                open,
                opened_at: row.opened_at,
                withdrawn: row.withdrawn,
                rules: rules.clone(),
            })
        })
        .collect()
}
