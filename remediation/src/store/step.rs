//! Rows of `step`. Every write after a claim carries the claim's epoch: a worker whose lease was
//! taken over changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::error::{Error, Stored};
use crate::run::{RunId, StepKind, StepState};

#[derive(Debug, Clone)]
pub(crate) struct NewStep<'a> {
    pub run: RunId,
    pub seq: i32,
    pub kind: StepKind,
    pub spec: Value,
    pub state: StepState,
    pub intent: Option<Value>,
    pub error: Option<&'a str>,
    pub due_at: Option<DateTime<Utc>>,
    pub traceparent: Option<&'a str>,
}

/// A step that this worker may work on until its lease ends.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub step_id: i64,
    pub run: RunId,
    pub seq: i32,
    pub kind: StepKind,
    pub spec: Value,
    pub idempotency_key: String,
    pub state: StepState,
    pub attempt: u32,
    pub epoch: i64,
    pub intent: Option<Value>,
    pub inverse: Option<Value>,
    pub renewals: u32,
    pub traceparent: Option<String>,
}

/// Another step of the run, as far as deciding about the run needs it.
#[derive(Debug, Clone)]
pub(crate) struct Sibling {
    pub step_id: i64,
    pub seq: i32,
    pub kind: StepKind,
    pub state: StepState,
    pub due_at: Option<DateTime<Utc>>,
    pub undoable: bool,
}

pub(crate) async fn insert(
    connection: &mut PgConnection,
    step: &NewStep<'_>,
    now: DateTime<Utc>,
) -> Result<i64, Error> {
    let over = matches!(
        step.state,
        StepState::Applied | StepState::Skipped | StepState::Shadowed
    );
    let id = sqlx::query_scalar!(
        "insert into step (run_id, seq, kind, spec, idempotency_key, state, intent, error, due_at, traceparent,
                           started_at, finished_at)
         values ($1, $2, $3, $4, gen_random_uuid()::text, $5, $6, $7, $8, $9,
                 case when $10 then $11::timestamptz end, case when $10 then $11::timestamptz end)
         returning step_id",
        step.run.0,
        step.seq,
        step.kind.as_str(),
        step.spec,
        step.state.as_str(),
        step.intent,
        step.error,
        step.due_at,
        step.traceparent,
        over,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Takes one due step for `lease`. A step whose effect is in another host's kernel is left to that
/// host for a minute: by then its leases there have ended. Undoing goes last step first.
pub(crate) async fn claim(
    pool: &PgPool,
    worker: &str,
    node: &str,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<Option<Claim>, Error> {
    let row = sqlx::query!(
        "update step set epoch = epoch + 1, leased_by = $1, leased_until = $3
          where step_id = (
                select s.step_id from step s
                 where s.due_at <= $4
                   and (s.leased_until is null or s.leased_until <= $4)
                   and (s.node is null or s.node = $2 or s.due_at <= $4::timestamptz - interval '1 minute')
                   and not (s.state = 'releasing' and exists (
                            select from step later
                             where later.run_id = s.run_id and later.seq > s.seq
                               and later.state = 'releasing' and later.due_at is not null))
                 order by s.due_at, s.step_id
                 limit 1
                   for update of s skip locked)
          returning step_id, run_id, seq, kind, spec, idempotency_key, state, attempt, epoch, intent, inverse,
                    renewals, traceparent",
        worker,
        node,
        now + lease,
        now,
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let count = |n: i32| u32::try_from(n).map_err(|_| Stored::Number(n.to_string()));
    Ok(Some(Claim {
        step_id: row.step_id,
        run: RunId(row.run_id),
        seq: row.seq,
        kind: row.kind.parse()?,
        spec: row.spec,
        idempotency_key: row.idempotency_key,
        state: row.state.parse()?,
        attempt: count(row.attempt)?,
        epoch: row.epoch,
        intent: row.intent,
        inverse: row.inverse,
        renewals: count(row.renewals)?,
        traceparent: row.traceparent,
    }))
}

/// Commits what is about to be done, and holds the step for as long as that may take. `false`: the
/// step was taken over.
pub(crate) async fn intend(
    connection: &mut PgConnection,
    claim: &Claim,
    state: StepState,
    node: Option<&str>,
    traceparent: Option<&str>,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update step set state = $3, intent = $4, inverse = $5, attempt = attempt + 1, error = null,
                         node = coalesce(node, $6), traceparent = coalesce($7, traceparent),
                         started_at = coalesce(started_at, $8), leased_until = $9
          where step_id = $1 and epoch = $2",
        claim.step_id,
        claim.epoch,
        state.as_str(),
        claim.intent,
        claim.inverse,
        node,
        traceparent,
        now,
        now + lease,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Holds a claimed step for longer. `false`: the step was taken over.
pub(crate) async fn extend(
    connection: &mut PgConnection,
    claim: &Claim,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update step set leased_until = $3 where step_id = $1 and epoch = $2",
        claim.step_id,
        claim.epoch,
        now + lease
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What came of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub result: Option<Value>,
    pub error: Option<String>,
    /// When there is something to do next.
    pub due_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub renewed: bool,
}

/// Commits a result and gives the lease back. `false`: the step was taken over.
pub(crate) async fn conclude(
    connection: &mut PgConnection,
    claim: &Claim,
    state: StepState,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let over = !matches!(
        state,
        StepState::Planned | StepState::Applying | StepState::Releasing
    );
    let done = sqlx::query!(
        "update step set state = $3, intent = $4, error = $6, due_at = $7,
                         result = case when $5::jsonb is null then result
                                       else coalesce(result, '{}') || $5::jsonb end,
                         expires_at = coalesce($8, expires_at), leased_by = null, leased_until = null,
                         renewals = renewals + $9::integer,
                         started_at = coalesce(started_at, $11::timestamptz),
                         finished_at = case when $10 then $11::timestamptz end
          where step_id = $1 and epoch = $2",
        claim.step_id,
        claim.epoch,
        state.as_str(),
        claim.intent,
        outcome.result,
        outcome.error,
        outcome.due_at,
        outcome.expires_at,
        i32::from(outcome.renewed),
        over,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a step back unchanged, to be tried again at `due_at`.
pub(crate) async fn postpone(
    connection: &mut PgConnection,
    claim: &Claim,
    error: &str,
    due_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update step set error = $3, due_at = $4, leased_by = null, leased_until = null,
                         attempt = greatest(attempt, $5)
          where step_id = $1 and epoch = $2",
        claim.step_id,
        claim.epoch,
        error,
        due_at,
        i32::try_from(claim.attempt.saturating_add(1)).unwrap_or(i32::MAX),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn siblings(connection: &mut PgConnection, run: RunId) -> Result<Vec<Sibling>, Error> {
    let rows = sqlx::query!(
        r#"select step_id, seq, kind, state, due_at, inverse is not null as "undoable!"
             from step where run_id = $1 order by seq"#,
        run.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Sibling {
                step_id: row.step_id,
                seq: row.seq,
                kind: row.kind.parse()?,
                state: row.state.parse()?,
                due_at: row.due_at,
                undoable: row.undoable,
            })
        })
        .collect()
}

/// Makes a step due.
pub(crate) async fn make_due(
    connection: &mut PgConnection,
    step_id: i64,
    due_at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!("update step set due_at = $2 where step_id = $1", step_id, due_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves a step that this worker does not hold, and takes it from whoever does.
pub(crate) async fn seize(
    connection: &mut PgConnection,
    step_id: i64,
    state: StepState,
    due_at: Option<DateTime<Utc>>,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let over = state != StepState::Releasing;
    sqlx::query!(
        "update step set state = $2, due_at = $3, error = coalesce($4, error), epoch = epoch + 1, attempt = 0,
                         leased_by = null, leased_until = null,
                         finished_at = case when $5 then $6::timestamptz end
          where step_id = $1",
        step_id,
        state.as_str(),
        due_at,
        error,
        over,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
