//! What happened, in order: the journal page and the live stream speak the same view.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::read;
use utoipa::ToSchema;

use super::number::trace_id;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventView {
    /// Grows with time: resume the stream or page on with the last one seen.
    pub id: i64,
    pub at: DateTime<Utc>,
    pub kind: String,
    /// Name of the service, objective, run or source that it is about.
    pub subject: String,
    pub message: String,
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    pub trace_id: Option<String>,
}

/// Sent on the stream each second so that pages know when to refresh.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TickView {
    pub at: DateTime<Utc>,
}

impl From<read::RecordedEvent> for EventView {
    fn from(event: read::RecordedEvent) -> Self {
        Self {
            id: event.id,
            at: event.at,
            kind: event.kind,
            subject: event.subject,
            message: event.message,
            data: event.data,
            trace_id: trace_id(event.traceparent.as_deref()),
        }
    }
}
