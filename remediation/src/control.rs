//! What a person may order: stop a run, clear limits. Works whatever the worker is doing: its claim
//! is taken from it, and it finds that out when it wants to write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Error;
use crate::lifecycle;
use crate::limits::{LimitId, Limits};
use crate::run::{Ending, RunId, RunState};
use crate::store;

/// Stops a run and lets the worker undo what it did. Returns the state it is in then.
///
/// # Errors
/// When there is no such run, it is over, or the database fails.
pub async fn cancel(pool: &PgPool, id: RunId, now: DateTime<Utc>) -> Result<RunState, Error> {
    let mut transaction = pool.begin().await?;
    let state = cancel_in(&mut transaction, id, "a person stopped it", now).await?;
    transaction.commit().await?;
    Ok(state)
}

async fn cancel_in(
    connection: &mut PgConnection,
    id: RunId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<RunState, Error> {
    let mut run = store::run::lock(connection, id).await?;
    if run.state.is_final() {
        return Err(Error::RunIsOver(id));
    }
    run.reason = Some(reason.to_owned());
    run.ending = Some(Ending::Cancelled);
    lifecycle::undo(connection, &mut run, Ending::Cancelled, now).await?;
    Ok(run.state)
}

/// What [`clear_limits`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    pub limits: u64,
    pub runs_cancelled: u64,
}

/// How long the books may hold up the limiter: packets matter more than books.
const BOOKS_PATIENCE: Duration = Duration::from_secs(5);

/// Ends one limit at once, and the run that asked for it. `false`: it was not live.
///
/// # Errors
/// When the limiter or the database fails; what could be ended is.
pub async fn clear_limit(
    pool: &PgPool,
    limits: &dyn Limits,
    id: LimitId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let live = limits.list().await?.iter().any(|live| live.limit.id == id);
    // Before the limiter: the worker brings back what is wanted. Its run's worker releases it once
    // more, in case that it was being applied.
    let rows = in_books(stop_owner(pool, id, now)).await;
    limits.release(id).await?;
    rows?;
    Ok(live)
}

/// Ends every limit at once, and every run that asked for one.
///
/// # Errors
/// When the limiter or the database fails; what could be ended is.
pub async fn clear_limits(pool: &PgPool, limits: &dyn Limits, now: DateTime<Utc>) -> Result<Cleared, Error> {
    let rows = in_books(cancel_all(pool, now)).await;
    let mut cleared = Cleared::default();
    let mut failed = None;
    for live in limits.list().await? {
        match limits.release(live.limit.id).await {
            Ok(()) => cleared.limits += 1,
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    cleared.runs_cancelled = rows?;
    Ok(cleared)
}

/// A database that hangs is one that fails.
async fn in_books<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(BOOKS_PATIENCE, work)
        .await
        .unwrap_or(Err(Error::Database(sqlx::Error::PoolTimedOut)))
}

async fn stop_owner(pool: &PgPool, id: LimitId, now: DateTime<Utc>) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    if let Some(run) = store::limit::run_of(&mut transaction, id).await? {
        stop(&mut transaction, RunId(run), now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn cancel_all(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut transaction = pool.begin().await?;
    let mut cancelled = 0;
    for run in store::limit::runs_with_limits(&mut transaction).await? {
        cancelled += u64::from(stop(&mut transaction, RunId(run), now).await?);
    }
    transaction.commit().await?;
    Ok(cancelled)
}

async fn stop(connection: &mut PgConnection, run: RunId, now: DateTime<Utc>) -> Result<bool, Error> {
    match cancel_in(connection, run, "a person cleared its limits", now).await {
        Ok(_) => Ok(true),
        Err(Error::RunIsOver(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
