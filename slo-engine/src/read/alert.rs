//! Alerts, newest first.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Alert;
use super::ownership::of_row;
use crate::alert::{Acknowledgement, AlertId, AlertState};
use crate::engine::EngineError;
use crate::partly::{self, Partly};
use crate::silence::SilenceId;
use crate::store::{alert::evidence_from_json, count, parse};

#[derive(Debug, Clone)]
struct Row {
    alert_id: i64,
    objective: String,
    service: String,
    tier: String,
    severity: String,
    state: String,
    opened_at: DateTime<Utc>,
    fired_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    evidence: serde_json::Value,
    fired_evidence: Option<serde_json::Value>,
    silenced_by: Option<i64>,
    inhibited_by: Option<i64>,
    acknowledged_at: Option<DateTime<Utc>>,
    acknowledged_by: Option<String>,
    acknowledged_note: Option<String>,
    traceparent: Option<String>,
    owner: Option<String>,
    runbook_url: Option<String>,
    unit: i64,
}

impl TryFrom<Row> for Alert {
    type Error = EngineError;

    fn try_from(row: Row) -> Result<Self, EngineError> {
        Ok(Self {
            id: AlertId(row.alert_id),
            objective: parse("objective.name", &row.objective)?,
            service: parse("service.name", &row.service)?,
            tier: parse("alert.tier", &row.tier)?,
            severity: parse("alert.severity", &row.severity)?,
            state: parse("alert.state", &row.state)?,
            opened_at: row.opened_at,
            fired_at: row.fired_at,
            resolved_at: row.resolved_at,
            evidence: evidence_from_json(row.evidence)?,
            fired_on: row.fired_evidence.map(evidence_from_json).transpose()?,
            silenced_by: row.silenced_by.map(SilenceId),
            inhibited_by: row.inhibited_by.map(AlertId),
            acknowledged: row
                .acknowledged_at
                .zip(row.acknowledged_by)
                .map(|(at, by)| Acknowledgement {
                    at,
                    by,
                    note: row.acknowledged_note.unwrap_or_default(),
                }),
            traceparent: row.traceparent,
            ownership: of_row(row.owner.as_deref(), row.runbook_url.as_deref())?,
            unit: count("slice_unit", row.unit)?,
        })
    }
}

/// The latest alerts, newest first; with `state`, only those.
///
/// # Errors
/// When the database fails; with the others, when some cannot be read.
pub async fn alerts(
    pool: &PgPool,
    state: Option<AlertState>,
    limit: u32,
) -> Result<Vec<Alert>, Partly<Alert>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select a.alert_id, o.name as objective, s.name as service, a.tier, a.severity, a.state, a.opened_at,
                a.fired_at, a.resolved_at, a.evidence, a.fired_evidence, a.silenced_by, a.inhibited_by, a.acknowledged_at,
                a.acknowledged_by, a.acknowledged_note, a.traceparent, d.owner, d.runbook_url,
                slice_unit(g.method) as "unit!"
         from alert a
         join objective o using (objective_id)
         join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
         join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
         join service s using (service_id)
         where $1::text is null or a.state = $1
         order by a.opened_at desc, a.alert_id desc
         limit $2"#,
        state.map(AlertState::as_str),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    partly::read(&rows, |row| row.objective.clone(), |row| row.clone().try_into())
}

/// One alert; `None` when there is none with this id.
///
/// # Errors
/// When the database fails.
pub async fn alert(pool: &PgPool, id: AlertId) -> Result<Option<Alert>, EngineError> {
    let row = sqlx::query_as!(
        Row,
        r#"select a.alert_id, o.name as objective, s.name as service, a.tier, a.severity, a.state, a.opened_at,
                a.fired_at, a.resolved_at, a.evidence, a.fired_evidence, a.silenced_by, a.inhibited_by, a.acknowledged_at,
                a.acknowledged_by, a.acknowledged_note, a.traceparent, d.owner, d.runbook_url,
                slice_unit(g.method) as "unit!"
         from alert a
         join objective o using (objective_id)
         join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
         join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
         join service s using (service_id)
         where a.alert_id = $1"#,
        id.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(Alert::try_from).transpose()
}
