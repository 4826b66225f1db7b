//! Services and sources.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Service, ServiceDetail, Source};
use crate::engine::EngineError;
use crate::measurement::ServiceName;

/// Every service over the window that ends now.
///
/// # Errors
/// When the database fails.
pub async fn services(
    pool: &PgPool,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Service>, EngineError> {
    let _ = (pool, window, now);
    Err(sqlx::Error::WorkerCrashed.into())
}

/// One service; `None` when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn service(
    pool: &PgPool,
    name: &ServiceName,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Option<ServiceDetail>, EngineError> {
    let _ = (pool, name, window, now);
    Err(sqlx::Error::WorkerCrashed.into())
}

/// Every source that is not retired.
///
/// # Errors
/// When the database fails.
pub async fn sources(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Source>, EngineError> {
    let _ = (pool, now);
    Err(sqlx::Error::WorkerCrashed.into())
}
