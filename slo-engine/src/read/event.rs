//! Events, in order.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::RecordedEvent;
use crate::engine::EngineError;

#[derive(Debug)]
struct Row {
    event_id: i64,
    at: DateTime<Utc>,
    kind: String,
    subject: String,
    message: String,
    data: serde_json::Value,
    traceparent: Option<String>,
}

impl From<Row> for RecordedEvent {
    fn from(row: Row) -> Self {
        Self {
            id: row.event_id,
            at: row.at,
            kind: row.kind,
            subject: row.subject,
            message: row.message,
            data: row.data,
            traceparent: row.traceparent,
        }
    }
}

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
    let rows = if let Some(after) = after {
        sqlx::query_as!(
            Row,
            "select event_id, at, kind, subject, message, data, traceparent
             from event
             where event_id > $1 and ($2::text is null or subject = $2)
             order by event_id
             limit $3",
            after,
            subject,
            i64::from(limit)
        )
        .fetch_all(pool)
        .await?
    } else {
        sqlx::query_as!(
            Row,
            "select event_id, at, kind, subject, message, data, traceparent
             from event
             where $1::text is null or subject = $1
             order by event_id desc
             limit $2",
            subject,
            i64::from(limit)
        )
        .fetch_all(pool)
        .await?
    };
    Ok(rows.into_iter().map(RecordedEvent::from).collect())
}
