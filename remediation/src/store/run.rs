//! Rows of `run`, `run_alert` and `cooldown`.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use slo_engine::alert::Acknowledgement;
use slo_engine::objective::Severity;
use sqlx::PgConnection;

use crate::error::{Error, Stored};
use crate::plan::GuardInput;
use crate::run::{Ending, Mode, RunId, RunState, Verdict};
use crate::runbook::Verify;

/// An incident is over when this long after its last alert none came.
const INCIDENT_QUIET: TimeDelta = TimeDelta::hours(1);

/// What was measured when the alert fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    pub burn_rate_long: Decimal,
    pub burn_rate_short: Decimal,
    pub threshold: Decimal,
    pub good: u64,
    pub bad: u64,
    /// The share of events that may be bad; `None` when the evidence does not tell.
    pub budget: Option<Decimal>,
}

#[derive(Debug, Clone)]
pub(crate) struct NewRun<'a> {
    pub runbook: &'a str,
    pub mode: Mode,
    pub dedup_key: &'a str,
    pub alert_id: i64,
    pub service: &'a str,
    pub objective: &'a str,
    pub tier: &'a str,
    pub severity: &'a str,
    pub acts: bool,
    /// `None`: not on burn rates, and so nothing acts.
    pub before: Option<&'a Before>,
    pub verify: &'a Verify,
    pub floor_per_second: u32,
    pub incident_at: DateTime<Utc>,
    pub traceparent: Option<&'a str>,
    pub deadline_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    pub id: RunId,
    pub runbook: String,
    pub mode: Mode,
    pub alert_id: i64,
    pub service: String,
    pub objective: String,
    pub state: RunState,
    pub ending: Option<Ending>,
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
    pub before: Option<Before>,
    pub verify: Verify,
    pub floor_per_second: u32,
    pub traceparent: Option<String>,
    pub acted_at: Option<DateTime<Utc>>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub alerts_resolved_at: Option<DateTime<Utc>>,
}

/// Serializes decisions about one runbook until the transaction ends: without it two engines
/// could both see the last free place of the hourly budget.
pub(crate) async fn lock_runbook(connection: &mut PgConnection, runbook: &str) -> Result<(), Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtext('slowburn.runbook'), hashtext($1))",
        runbook
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A run that was just written.
#[derive(Debug, Clone)]
pub(crate) struct Inserted {
    pub id: RunId,
    /// Unlike the number, no other installation has it: receivers join notifications by it.
    pub public_key: String,
}

/// Writes a planned run; `None` when one with its dedup key is open.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    run: &NewRun<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Inserted>, Error> {
    let row = sqlx::query!(
        "insert into run (runbook, mode, dedup_key, alert_id, service, objective, tier, severity, state, acts,
                          evidence, verify, floor_per_second, traceparent, started_at, deadline_at,
                          incident_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'planned', $9, $10, $11, $12, $13, $14, $15, $16)
         on conflict (dedup_key) where finished_at is null do nothing
         returning run_id, public_key",
        run.runbook,
        run.mode.as_str(),
        run.dedup_key,
        run.alert_id,
        run.service,
        run.objective,
        run.tier,
        run.severity,
        run.acts,
        serde_json::to_value(run.before)?,
        serde_json::to_value(run.verify)?,
        i64::from(run.floor_per_second),
        run.traceparent,
        now,
        run.deadline_at,
        run.incident_at,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Inserted {
        id: RunId(row.run_id),
        public_key: row.public_key,
    }))
}

/// A run that is not over.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub id: RunId,
    pub public_key: String,
    /// The highest of the alerts it answers to.
    pub severity: Severity,
    /// All alerts that it answers to have resolved, and people were told.
    pub over: bool,
}

/// The open run of a dedup key; one that was refused to act, too, while what it told of lasts.
pub(crate) async fn open(
    connection: &mut PgConnection,
    dedup_key: &str,
    or_refused: bool,
) -> Result<Option<Open>, Error> {
    let row = sqlx::query!(
        r#"select run_id, public_key, severity, alerts_resolved_at is not null as "over!"
             from run
             where dedup_key = $1
               and (finished_at is null or ($2 and state = 'refused' and alerts_resolved_at is null))
             order by run_id desc
             limit 1"#,
        dedup_key,
        or_refused
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Open {
            id: RunId(row.run_id),
            public_key: row.public_key,
            severity: row.severity.parse()?,
            over: row.over,
        })
    })
    .transpose()
}

/// The run answers to this alert, too.
pub(crate) async fn join_alert(
    connection: &mut PgConnection,
    run: RunId,
    alert_id: i64,
    severity: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into run_alert (run_id, alert_id) values ($1, $2) on conflict do nothing",
        run.0,
        alert_id
    )
    .execute(&mut *connection)
    .await?;
    // A run whose alerts had all resolved answers to a live one again.
    sqlx::query!(
        "update run set alerts_resolved_at = null, severity = $2 where run_id = $1",
        run.0,
        severity
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Books the end of an alert; returns the runs of which it was the last one.
pub(crate) async fn resolve_alert(
    connection: &mut PgConnection,
    alert_id: i64,
    now: DateTime<Utc>,
) -> Result<Vec<RunId>, Error> {
    sqlx::query!(
        "update run_alert set resolved_at = $2 where alert_id = $1 and resolved_at is null",
        alert_id,
        now
    )
    .execute(&mut *connection)
    .await?;
    let ids = sqlx::query_scalar!(
        "update run set alerts_resolved_at = $2
          where run_id in (select run_id from run_alert where alert_id = $1)
            and alerts_resolved_at is null
            and not exists (select from run_alert
                             where run_alert.run_id = run.run_id and run_alert.resolved_at is null)
          returning run_id",
        alert_id,
        now
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(RunId).collect())
}

/// The runs that answer to an alert which is not over.
pub(crate) async fn answering(connection: &mut PgConnection, alert_id: i64) -> Result<Vec<RunId>, Error> {
    let ids = sqlx::query_scalar!(
        "select run_id from run_alert where alert_id = $1 and resolved_at is null order by run_id",
        alert_id
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(RunId).collect())
}

/// Who takes care of an alert, if somebody said so.
pub(crate) async fn acknowledgement(
    connection: &mut PgConnection,
    alert_id: i64,
) -> Result<Option<Acknowledgement>, Error> {
    let said = sqlx::query_as!(
        Acknowledgement,
        r#"select acknowledged_at as "at!", acknowledged_by as "by!", coalesce(acknowledged_note, '') as "note!"
             from alert where alert_id = $1 and acknowledged_at is not null"#,
        alert_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(said)
}

/// When the incident of an objective began, as its runs of this runbook tell.
pub(crate) async fn incident(
    connection: &mut PgConnection,
    runbook: &str,
    objective: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Error> {
    let began = sqlx::query_scalar!(
        "select max(incident_at) from run
          where runbook = $1 and objective = $2 and (alerts_resolved_at is null or alerts_resolved_at > $3)",
        runbook,
        objective,
        now - INCIDENT_QUIET,
    )
    .fetch_one(connection)
    .await?;
    Ok(began.unwrap_or(now))
}

/// What the guards of a runbook look at.
pub(crate) async fn guard_input(
    connection: &mut PgConnection,
    runbook: &str,
    service: &str,
    objective: &str,
    incident_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<GuardInput, Error> {
    let cooldown = sqlx::query!(
        "select until_at, run_id from cooldown where runbook = $1 and service = $2",
        runbook,
        service
    )
    .fetch_optional(&mut *connection)
    .await?;
    let counts = sqlx::query!(
        r#"select count(*) filter (where started_at > $3) as "last_hour!",
                  count(*) filter (where objective = $2 and incident_at = $4) as "attempts!"
             from run where runbook = $1 and acts and state <> 'refused'"#,
        runbook,
        objective,
        now - TimeDelta::hours(1),
        incident_at,
    )
    .fetch_one(connection)
    .await?;
    let count = |n: i64| u32::try_from(n).map_err(|_| Stored::Number(n.to_string()));
    Ok(GuardInput {
        now,
        cooldown: cooldown.map(|row| (row.until_at, RunId(row.run_id))),
        runs_last_hour: count(counts.last_hour)?,
        attempts: count(counts.attempts)?,
    })
}

/// Extends the cool-down of a runbook and service, never shortens it.
pub(crate) async fn cool_down(
    connection: &mut PgConnection,
    runbook: &str,
    service: &str,
    run: RunId,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into cooldown (runbook, service, until_at, run_id) values ($1, $2, $3, $4)
         on conflict (runbook, service) do update
            set until_at = greatest(cooldown.until_at, excluded.until_at), run_id = excluded.run_id",
        runbook,
        service,
        until,
        run.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads and locks a run, so that its steps are decided about one at a time.
pub(crate) async fn lock(connection: &mut PgConnection, id: RunId) -> Result<RunRow, Error> {
    let row = sqlx::query!(
        "select runbook, mode, alert_id, service, objective, state, ending, verdict, reason,
                evidence, verify, floor_per_second, traceparent, acted_at, deadline_at, alerts_resolved_at
           from run where run_id = $1 for update",
        id.0
    )
    .fetch_optional(connection)
    .await?
    .ok_or(Error::UnknownRun(id))?;
    Ok(RunRow {
        id,
        runbook: row.runbook,
        mode: row.mode.parse()?,
        alert_id: row.alert_id,
        service: row.service,
        objective: row.objective,
        state: row.state.parse()?,
        ending: row.ending.map(|word| word.parse()).transpose()?,
        verdict: row.verdict.map(|word| word.parse()).transpose()?,
        reason: row.reason,
        before: serde_json::from_value(row.evidence)?,
        verify: serde_json::from_value(row.verify)?,
        floor_per_second: u32::try_from(row.floor_per_second)
            .map_err(|_| Stored::Number(row.floor_per_second.to_string()))?,
        traceparent: row.traceparent,
        acted_at: row.acted_at,
        deadline_at: row.deadline_at,
        alerts_resolved_at: row.alerts_resolved_at,
    })
}

/// Writes what changes in a run's life.
pub(crate) async fn update(
    connection: &mut PgConnection,
    run: &RunRow,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update run set state = $2, ending = $3, verdict = $4, reason = $5, acted_at = $6,
                        finished_at = case when $7 then $8::timestamptz end
          where run_id = $1",
        run.id.0,
        run.state.as_str(),
        run.ending.map(Ending::as_str),
        run.verdict.map(Verdict::as_str),
        run.reason,
        run.acted_at,
        run.state.is_final(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
