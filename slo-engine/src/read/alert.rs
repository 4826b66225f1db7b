//! Alerts, newest first.

use sqlx::PgPool;

use super::Alert;
use crate::alert::{AlertId, AlertState};
use crate::engine::EngineError;

/// The latest alerts, newest first; with `state`, only those.
///
/// # Errors
/// When the database fails.
pub async fn alerts(
    pool: &PgPool,
    state: Option<AlertState>,
    limit: u32,
) -> Result<Vec<Alert>, EngineError> {
    let _ = (pool, state, limit);
    Err(sqlx::Error::WorkerCrashed.into())
}

/// One alert; `None` when there is none with this id.
///
/// # Errors
/// When the database fails.
pub async fn alert(pool: &PgPool, id: AlertId) -> Result<Option<Alert>, EngineError> {
    let _ = (pool, id);
    Err(sqlx::Error::WorkerCrashed.into())
}
