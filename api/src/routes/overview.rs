use axum::Json;
use axum::extract::State;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::state::AppState;
use crate::views::OverviewView;

/// The first page in one answer: every objective, open alerts, live limits, sources.
#[utoipa::path(get, path = "/api/v1/overview", tag = "overview", operation_id = "overview",
    responses((status = 200, body = OverviewView), (status = 503, body = ErrorEnvelope)))]
pub async fn show(State(_state): State<AppState>) -> Result<Json<OverviewView>> {
    Err(ApiError::unavailable("not served yet"))
}
