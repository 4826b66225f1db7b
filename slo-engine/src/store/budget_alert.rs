//! Alerts on budgets: keeps what a definition states, and reads what is decided on.
//!
//! Out: the inputs of [`crate::evaluate::evaluate_budget`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::alert::{evidence_from_json, open_alert};
use super::{WindowRow, convert, count, evaluation, interval, look_up, parse, span};
use crate::alert::AlertId;
use crate::budget_alert::BudgetAlert;
use crate::engine::EngineError;
use crate::evaluate::{Ahead, BudgetInput, OpenAlert, Rules, WithdrawnBudgetAlert};
use crate::objective::ObjectiveName;
use crate::partly::{self, Partly};

/// One input for each alert that is defined, of every objective or of one.
pub(crate) async fn inputs(
    pool: &PgPool,
    rules: &Rules,
    objective: Option<&ObjectiveName>,
    now: DateTime<Utc>,
) -> Result<Vec<BudgetInput>, Partly<BudgetInput>> {
    let rows = sqlx::query_file!(
        "queries/budget_alert.sql",
        now,
        interval(rules.outage.over),
        objective.map(ObjectiveName::as_str)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            let open = open_alert(row.alert_id, row.state.as_deref(), row.clear_since_at)?;
            let gate = evaluation::gate(row.evidence.as_deref())?;
            Ok(BudgetInput {
                now,
                objective: parse("objective.name", &row.objective)?,
                service: parse("service.name", &row.service)?,
                target: convert("target", row.target)?,
                unit: count("unit", row.unit)?.max(1),
                period: span("period", &row.period)?,
                alert: BudgetAlert {
                    name: parse("objective_budget_alert.name", &row.alert)?,
                    severity: parse("objective_budget_alert.severity", &row.severity)?,
                    rule: parse("objective_budget_alert.rule", &row.rule)?,
                },
                allowed: row.allowed,
                remaining: row.remaining.normalize(),
                is_fixed: row.is_fixed,
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
                left_out: Duration::from_millis(count("left_out", row.left_out_ms)?),
                ahead: ahead(&row.after_ms, &row.counted_ms, &row.kept_good, &row.kept_bad)?,
                open,
                frozen_since: row.frozen_since_at,
                starting: row.starting,
                rules: rules.with_coverage(row.coverage_min).with_evidence(gate),
            })
        },
    )
}

pub(crate) async fn keep(
    connection: &mut PgConnection,
    objective_id: i64,
    from_at: DateTime<Utc>,
    alerts: &[BudgetAlert],
) -> Result<(), EngineError> {
    for (position, alert) in (0_i32..).zip(alerts) {
        sqlx::query!(
            "insert into objective_budget_alert
                 (objective_id, from_at, name, position, severity, rule, look_back, horizon)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            objective_id,
            from_at,
            alert.name.as_str(),
            position,
            alert.severity.as_str(),
            alert.rule.to_string(),
            alert.rule.look_back().map(interval),
            alert.rule.horizon().map(interval)
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn ahead(after_ms: &[i64], counted_ms: &[i64], good: &[i64], bad: &[i64]) -> Result<Vec<Ahead>, EngineError> {
    let millis = |column, value| Ok::<_, EngineError>(Duration::from_millis(count(column, value)?));
    let times = after_ms.iter().zip(counted_ms);
    times
        .zip(good.iter().zip(bad))
        .map(|((after, counted), (good, bad))| {
            Ok(Ahead {
                after: millis("after", *after)?,
                counted: millis("counted", *counted)?,
                good: count("ledger.good", *good)?,
                bad: count("ledger.bad", *bad)?,
            })
        })
        .collect()
}

/// Open alerts that nothing defines any more.
pub(crate) async fn withdrawn(
    pool: &PgPool,
) -> Result<Vec<WithdrawnBudgetAlert>, Partly<WithdrawnBudgetAlert>> {
    let rows = sqlx::query!(
        "select o.name as objective, s.name as service, a.tier, a.severity, a.alert_id, a.state, a.clear_since_at,
                a.evidence
         from alert a
         join objective o using (objective_id)
         join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
         join service s using (service_id)
         where a.state <> 'resolved'
           and a.evidence ->> 'test' = 'budget'
           and (
               o.withdrawn_at is not null
               or not exists (
                   select from objective_budget_alert b
                   where b.objective_id = o.objective_id and b.from_at = o.defined_at and b.name = a.tier
               )
           )
         order by o.name, a.tier"
    )
    .fetch_all(pool)
    .await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            Ok(WithdrawnBudgetAlert {
                objective: parse("objective.name", &row.objective)?,
                service: parse("service.name", &row.service)?,
                tier: parse("alert.tier", &row.tier)?,
                severity: parse("alert.severity", &row.severity)?,
                open: OpenAlert {
                    id: AlertId(row.alert_id),
                    state: parse("alert.state", &row.state)?,
                    clear_since: row.clear_since_at,
                },
                evidence: evidence_from_json(row.evidence.clone())?,
            })
        },
    )
}
