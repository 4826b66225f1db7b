use axum::extract::State;

use crate::error::{ApiError, Result};
use crate::state::AppState;

/// Server-Sent Events: `event` carries one EventView with its id, `tick` a TickView each second.
///
/// `Last-Event-ID` resumes after that event.
#[utoipa::path(get, path = "/api/v1/stream", tag = "events", operation_id = "stream",
    params(("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream(State(_state): State<AppState>) -> Result<()> {
    Err(ApiError::unavailable("not served yet"))
}
