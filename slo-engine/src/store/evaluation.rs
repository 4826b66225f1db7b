//! Reads what evaluation needs: every window of every tier, in one round trip.
//!
//! In: `now`. Out: the inputs of [`crate::evaluate::evaluate`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

use super::alert::open_alert;
use super::{WindowRow, composite, convert, count, interval, look_up, parse, span};
use crate::engine::EngineError;
use crate::evaluate::{EvaluationInput, EvidenceGate, PartCounts, Rules};
use crate::objective::{ObjectiveName, Tier};
use crate::partly::{self, Partly};
use crate::window::WindowCounts;

#[derive(Debug)]
struct Row {
    objective: String,
    service: String,
    target: Decimal,
    unit: i64,
    tier: String,
    severity: String,
    long_window: PgInterval,
    short_window: PgInterval,
    burn_rate: Decimal,
    budget_share: Option<Decimal>,
    fires_after: PgInterval,
    withdrawn: bool,
    long_good: i64,
    long_bad: i64,
    long_from_at: DateTime<Utc>,
    long_expected_ms: i64,
    long_covered_ms: i64,
    long_lost: i64,
    short_good: i64,
    short_bad: i64,
    short_from_at: DateTime<Utc>,
    short_expected_ms: i64,
    short_covered_ms: i64,
    short_lost: i64,
    to_at: DateTime<Utc>,
    alert_id: Option<i64>,
    state: Option<String>,
    opened_at: Option<DateTime<Utc>>,
    clear_since_at: Option<DateTime<Utc>>,
    frozen_since_at: Option<DateTime<Utc>>,
    starting: bool,
    coverage_min: Option<Decimal>,
    evidence: Option<String>,
}

/// Which tiers are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tiers<'a> {
    /// Without the calm ones: of those nothing stands, and nothing would be decided.
    Moving,
    All,
    Of(&'a ObjectiveName),
}

/// One input a tier, also for open alerts whose tier is no longer defined.
pub(crate) async fn inputs(
    pool: &PgPool,
    rules: &Rules,
    tiers: Tiers<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<EvaluationInput>, Partly<EvaluationInput>> {
    let objective = match tiers {
        Tiers::Of(objective) => Some(objective),
        Tiers::Moving | Tiers::All => None,
    };
    let rows = sqlx::query_file_as!(
        Row,
        "queries/evaluation.sql",
        now,
        objective.map(ObjectiveName::as_str),
        !matches!(tiers, Tiers::Moving)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    let mut parts = composite::counts(pool, objective, now).await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            let parts = parts.remove(&(row.objective.clone(), row.tier.clone()));
            row.input(rules, parts.unwrap_or_default(), now)
        },
    )
}

impl Row {
    fn input(
        &self,
        rules: &Rules,
        parts: Vec<composite::Row>,
        now: DateTime<Utc>,
    ) -> Result<EvaluationInput, EngineError> {
        let open = open_alert(self.alert_id, self.state.as_deref(), self.clear_since_at)?;
        let gate = gate(self.evidence.as_deref())?;
        Ok(EvaluationInput {
            now,
            objective: parse("objective.name", &self.objective)?,
            service: parse("service.name", &self.service)?,
            target: convert("target", self.target)?,
            unit: count("unit", self.unit)?.max(1),
            parts: parts
                .into_iter()
                .map(PartCounts::try_from)
                .collect::<Result<_, _>>()?,
            tier: Tier {
                name: parse("tier", &self.tier)?,
                severity: parse("severity", &self.severity)?,
                long: span("long_window", &self.long_window)?,
                short: span("short_window", &self.short_window)?,
                burn_rate: convert("burn_rate", self.burn_rate)?,
                budget_share: self.budget_share.map(|share| share.normalize()),
                after: span("fires_after", &self.fires_after)?,
            },
            long: WindowRow {
                good: self.long_good,
                bad: self.long_bad,
                from_at: self.long_from_at,
                to_at: self.to_at,
                expected_ms: self.long_expected_ms,
                covered_ms: self.long_covered_ms,
                lost: self.long_lost,
            }
            .try_into()?,
            short: WindowRow {
                good: self.short_good,
                bad: self.short_bad,
                from_at: self.short_from_at,
                to_at: self.to_at,
                expected_ms: self.short_expected_ms,
                covered_ms: self.short_covered_ms,
                lost: self.short_lost,
            }
            .try_into()?,
            open,
            open_since: self.opened_at,
            frozen_since: self.frozen_since_at,
            starting: self.starting,
            withdrawn: self.withdrawn,
            rules: rules.with_coverage(self.coverage_min).with_evidence(gate),
        })
    }
}

/// What a definition says of evidence, if it does.
pub(crate) fn gate(stated: Option<&str>) -> Result<Option<EvidenceGate>, EngineError> {
    stated
        .map(|text| parse("objective_definition.evidence", text))
        .transpose()
}

/// One window of one objective, as `burn_rate` has it.
pub(crate) async fn window(
    pool: &PgPool,
    objective: &ObjectiveName,
    length: Duration,
    now: DateTime<Utc>,
) -> Result<Option<WindowCounts>, EngineError> {
    let row = sqlx::query_as!(
        WindowRow,
        r#"select good as "good!", bad as "bad!", from_at as "from_at!", to_at as "to_at!",
                  expected_ms as "expected_ms!", covered_ms as "covered_ms!", lost as "lost!"
           from burn_rate($1, $2, $3)"#,
        objective.as_str(),
        interval(length),
        now
    )
    .fetch_optional(&mut *look_up(pool).await?)
    .await?;
    row.map(WindowCounts::try_from).transpose()
}

/// The requests behind one window of one objective: of slices those in them, of a composite those of its parts.
pub(crate) async fn requests(
    pool: &PgPool,
    objective: &ObjectiveName,
    length: Duration,
    now: DateTime<Utc>,
) -> Result<Option<u64>, EngineError> {
    let requests = sqlx::query_scalar!(
        r#"select coalesce(sum(
                      case
                          when c.slice is null then w.good + w.bad
                          else (
                              select coalesce(sum(s.good + s.bad), 0)
                              from slice s
                              where s.objective_id = c.objective_id and s.generation = c.generation
                                and s.at > $3::timestamptz - $2::interval and s.at <= $3
                          )
                      end
                  ), 0)::bigint as "requests!"
           from objective o
           cross join lateral (
               select g.objective_id, g.generation, g.slice
               from objective_generation g
               where (g.objective_id, g.generation) = (o.objective_id, o.generation) and g.method <> 'Composite'
               union all
               select g.objective_id, g.generation, g.slice
               from objective_part p
               join objective_generation g on g.objective_id = p.part_id and g.generation = p.part_generation
               where (p.objective_id, p.generation) = (o.objective_id, o.generation)
           ) c
           cross join lateral own_window(c.objective_id, c.generation, $3::timestamptz - $2::interval, $3) w
           where o.name = $1 and o.withdrawn_at is null
           group by o.objective_id"#,
        objective.as_str(),
        interval(length),
        now
    )
    .fetch_optional(&mut *look_up(pool).await?)
    .await?;
    requests.map(|requests| count("requests", requests)).transpose()
}
