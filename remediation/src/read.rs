//! What others may know of runs, limits and runbooks: plain structs, no JSON shapes.

use chrono::{DateTime, Utc};
use slo_engine::alert::AlertId;
use sqlx::PgPool;

use crate::error::{Error, Stored};
use crate::limits::{LimitId, Limits, LiveLimit};
use crate::outbox::{DeliveryState, NoticeAction};
use crate::run::{Mode, RunId, RunState, StepKind, StepState, Verdict};
use crate::runbook::{On, Playbook};
use crate::target::SinkKind;

/// Most rows that one reading returns.
const ROWS_MAX: i64 = 500;

/// Which runs; what is `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub alert_id: Option<AlertId>,
    pub service: Option<String>,
    pub objective: Option<String>,
    pub state: Option<RunState>,
    /// Only runs that are not over.
    pub open: bool,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub runbook: String,
    pub alert_id: AlertId,
    pub service: String,
    pub objective: String,
    pub tier: String,
    pub severity: String,
    pub state: RunState,
    pub mode: Mode,
    pub verdict: Option<Verdict>,
    /// Why it was refused, gave up or had nothing to do.
    pub reason: Option<String>,
    pub started_at: DateTime<Utc>,
    pub acted_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub traceparent: Option<String>,
}

impl Run {
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref().and_then(crate::trace::trace_id)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    pub run: Run,
    pub steps: Vec<Step>,
    pub deliveries: Vec<Delivery>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub seq: i32,
    pub kind: StepKind,
    pub state: StepState,
    pub attempt: u32,
    pub intent: Option<serde_json::Value>,
    pub result: Option<serde_json::Value>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub target: String,
    pub sink: SinkKind,
    pub action: NoticeAction,
    pub state: DeliveryState,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
}

/// A live limit and the run that set it, when one did.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedLimit {
    pub live: LiveLimit,
    pub run_id: Option<RunId>,
}

/// A runbook as it was loaded, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookSummary {
    pub name: String,
    pub description: String,
    pub mode: Mode,
    /// Alerts it answers to, one condition each.
    pub when: Vec<String>,
    pub steps: Vec<(StepKind, String)>,
}

/// Notifications by where they are, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    pub pending: u64,
    pub delivered: u64,
    pub failed: u64,
}

/// Runs, newest first.
///
/// # Errors
/// When the database fails.
pub async fn runs(pool: &PgPool, filter: &RunFilter) -> Result<Vec<Run>, Error> {
    let limit = filter.limit.map_or(100, i64::from).min(ROWS_MAX);
    let rows = sqlx::query!(
        "select run_id, runbook, mode, alert_id, service, objective, tier, severity, state, verdict, reason,
                traceparent, started_at, acted_at, deadline_at, finished_at
           from run
          where ($1::bigint is null or exists (
                    select from run_alert where run_alert.run_id = run.run_id and run_alert.alert_id = $1))
            and ($2::text is null or service = $2)
            and ($3::text is null or objective = $3)
            and ($4::text is null or state = $4)
            and (not $5 or finished_at is null)
          order by run_id desc
          limit $6",
        filter.alert_id.map(|id| id.0),
        filter.service,
        filter.objective,
        filter.state.map(RunState::as_str),
        filter.open,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Run {
                id: RunId(row.run_id),
                runbook: row.runbook,
                alert_id: AlertId(row.alert_id),
                service: row.service,
                objective: row.objective,
                tier: row.tier,
                severity: row.severity,
                state: row.state.parse()?,
                mode: row.mode.parse()?,
                verdict: row.verdict.map(|word| word.parse()).transpose()?,
                reason: row.reason,
                started_at: row.started_at,
                acted_at: row.acted_at,
                finished_at: row.finished_at,
                deadline_at: row.deadline_at,
                traceparent: row.traceparent,
            })
        })
        .collect()
}

/// One run with its steps and deliveries; `None` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn run(pool: &PgPool, id: RunId) -> Result<Option<RunDetail>, Error> {
    let row = sqlx::query!(
        "select run_id, runbook, mode, alert_id, service, objective, tier, severity, state, verdict, reason,
                traceparent, started_at, acted_at, deadline_at, finished_at
           from run where run_id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let run = Run {
        id,
        runbook: row.runbook,
        alert_id: AlertId(row.alert_id),
        service: row.service,
        objective: row.objective,
        tier: row.tier,
        severity: row.severity,
        state: row.state.parse()?,
        mode: row.mode.parse()?,
        verdict: row.verdict.map(|word| word.parse()).transpose()?,
        reason: row.reason,
        started_at: row.started_at,
        acted_at: row.acted_at,
        finished_at: row.finished_at,
        deadline_at: row.deadline_at,
        traceparent: row.traceparent,
    };
    let steps = steps(pool, id).await?;
    let deliveries = deliveries(pool, id).await?;
    Ok(Some(RunDetail {
        run,
        steps,
        deliveries,
    }))
}

async fn steps(pool: &PgPool, id: RunId) -> Result<Vec<Step>, Error> {
    let rows = sqlx::query!(
        "select seq, kind, state, attempt, intent, result, started_at, finished_at, expires_at, error
           from step where run_id = $1 order by seq",
        id.0
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Step {
                seq: row.seq,
                kind: row.kind.parse()?,
                state: row.state.parse()?,
                attempt: count(row.attempt.into())?,
                intent: row.intent,
                result: row.result,
                started_at: row.started_at,
                finished_at: row.finished_at,
                expires_at: row.expires_at,
                error: row.error,
            })
        })
        .collect()
}

async fn deliveries(pool: &PgPool, id: RunId) -> Result<Vec<Delivery>, Error> {
    let rows = sqlx::query!(
        "select target, sink, action, state, attempts, last_error, created_at, delivered_at
           from outbox where run_id = $1 order by outbox_id",
        id.0
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Delivery {
                target: row.target,
                sink: row.sink.parse()?,
                action: row.action.parse()?,
                state: row.state.parse()?,
                attempts: count(row.attempts.into())?,
                last_error: row.last_error,
                created_at: row.created_at,
                delivered_at: row.delivered_at,
            })
        })
        .collect()
}

/// What the limiter enforces now, with the runs that asked for it.
///
/// # Errors
/// When the database or the limiter fails.
pub async fn limits(pool: &PgPool, limiter: &dyn Limits) -> Result<Vec<OwnedLimit>, Error> {
    let live = limiter.list().await?;
    let ids: Vec<i32> = live
        .iter()
        .filter_map(|live| i32::try_from(live.limit.id.0).ok())
        .collect();
    let owners = sqlx::query!(
        "select rate_limit_id, run_id from rate_limit join step using (step_id) where rate_limit_id = any($1)",
        &ids
    )
    .fetch_all(pool)
    .await?;
    let owner = |id: LimitId| {
        owners
            .iter()
            .find(|row| u32::try_from(row.rate_limit_id) == Ok(id.0))
            .map(|row| RunId(row.run_id))
    };
    Ok(live
        .into_iter()
        .map(|live| OwnedLimit {
            run_id: owner(live.limit.id),
            live,
        })
        .collect())
}

/// The runbooks in words.
#[must_use]
pub fn runbooks(playbook: &Playbook) -> Vec<RunbookSummary> {
    playbook
        .runbooks
        .iter()
        .map(|runbook| RunbookSummary {
            name: runbook.name.clone(),
            description: runbook.description.clone(),
            mode: runbook.mode,
            when: conditions(&runbook.on),
            steps: runbook
                .steps
                .iter()
                .map(|step| (step.kind(), step.summary()))
                .collect(),
        })
        .collect()
}

fn conditions(on: &On) -> Vec<String> {
    let mut found = Vec::new();
    let list = |names: Vec<&str>| names.join(", ");
    if !on.services.is_empty() {
        found.push(format!(
            "service {}",
            list(on.services.iter().map(AsRef::as_ref).collect())
        ));
    }
    if !on.objectives.is_empty() {
        found.push(format!(
            "objective {}",
            list(on.objectives.iter().map(AsRef::as_ref).collect())
        ));
    }
    found.extend(on.tier_words());
    if let Some(severity) = on.severity {
        found.push(format!("severity {severity}"));
    }
    if found.is_empty() {
        found.push("every alert".to_owned());
    }
    found
}

/// How many notifications wait, arrived and were given up.
///
/// # Errors
/// When the database fails.
pub async fn outbox_depth(pool: &PgPool) -> Result<OutboxDepth, Error> {
    let rows = sqlx::query!(r#"select state, count(*) as "count!" from outbox group by state"#)
        .fetch_all(pool)
        .await?;
    let mut depth = OutboxDepth::default();
    for row in rows {
        let count = u64::try_from(row.count).unwrap_or_default();
        match row.state.parse()? {
            DeliveryState::Pending => depth.pending = count,
            DeliveryState::Delivered => depth.delivered = count,
            DeliveryState::Failed => depth.failed = count,
        }
    }
    Ok(depth)
}

fn count(value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Stored::Number(value.to_string()).into())
}
