//! Objectives with their budgets.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Slo, SloCourse};
use crate::engine::EngineError;
use crate::objective::ObjectiveName;

/// Every objective that is defined, by name.
///
/// # Errors
/// When the database fails.
pub async fn slos(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Slo>, EngineError> {
    let _ = (pool, now);
    Err(sqlx::Error::WorkerCrashed.into())
}

/// One objective; `None` when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn slo(
    pool: &PgPool,
    name: &ObjectiveName,
    now: DateTime<Utc>,
) -> Result<Option<Slo>, EngineError> {
    let _ = (pool, name, now);
    Err(sqlx::Error::WorkerCrashed.into())
}

/// Budget and burn rate over time; `None` when no objective has the name.
///
/// # Errors
/// When the database fails.
pub async fn slo_series(
    pool: &PgPool,
    name: &ObjectiveName,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: Duration,
) -> Result<Option<SloCourse>, EngineError> {
    let _ = (pool, name, from, to, step);
    Err(sqlx::Error::WorkerCrashed.into())
}
