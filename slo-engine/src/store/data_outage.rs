//! Missing data: keeps what a definition says of it, and reads what is decided on.
//!
//! Out: the inputs of [`crate::evaluate::evaluate_data_outage`].

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgPool};

use super::alert::open_alert;
use super::{WindowRow, interval, look_up, parse, span};
use crate::alert::Silent;
use crate::engine::EngineError;
use crate::evaluate::{DATA_OUTAGE, DataOutageInput, MissingData, OutageRule, Rules};
use crate::partly::{self, Partly};

/// One input for each objective of which a tier is frozen, or whose alert is open.
pub(crate) async fn inputs(
    pool: &PgPool,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Vec<DataOutageInput>, Partly<DataOutageInput>> {
    let rows = sqlx::query_file!(
        "queries/data_outage.sql",
        now,
        interval(rules.outage.over),
        DATA_OUTAGE
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            let open = open_alert(row.alert_id, row.state.as_deref(), row.clear_since_at)?;
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
                silent: (row.silent_sources.iter().zip(&row.silent_hosts))
                    .map(|(source, host)| Silent {
                        source: source.clone(),
                        host: host.clone(),
                    })
                    .collect(),
                is_awaited: row.is_awaited,
                open,
                opened_at: row.opened_at,
                withdrawn: row.withdrawn,
                rules: rules_of(
                    rules,
                    row.coverage_min,
                    row.severity.as_deref(),
                    row.hold.as_ref(),
                )?,
            })
        },
    )
}

/// The engine's rules, but for what the definition says.
fn rules_of(
    rules: &Rules,
    coverage_min: Option<Decimal>,
    severity: Option<&str>,
    hold: Option<&PgInterval>,
) -> Result<Rules, EngineError> {
    let mut rules = rules.with_coverage(coverage_min);
    if let (Some(severity), Some(hold)) = (severity, hold) {
        let severity = parse("objective_missing_data.severity", severity)?;
        rules.outage = OutageRule::lasting(severity, span("objective_missing_data.hold", hold)?);
    }
    Ok(rules)
}

pub(crate) async fn keep(
    connection: &mut PgConnection,
    objective_id: i64,
    from_at: DateTime<Utc>,
    stated: Option<&MissingData>,
) -> Result<(), EngineError> {
    let Some(stated) = stated else { return Ok(()) };
    sqlx::query!(
        "insert into objective_missing_data (objective_id, from_at, coverage_min, severity, hold, look_back)
         values ($1, $2, $3, $4, $5, $6)",
        objective_id,
        from_at,
        stated.coverage_min,
        stated.outage.map(|rule| rule.severity.as_str()),
        stated.outage.map(|rule| interval(rule.hold)),
        stated.outage.map(|rule| interval(rule.over))
    )
    .execute(connection)
    .await?;
    Ok(())
}
