use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::state::AppState;
use crate::views::{Items, RunDetail, RunSummary};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only runs in this state.
    pub state: Option<String>,
    /// Only runs for this objective.
    pub objective: Option<String>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", operation_id = "list_runs", params(ListQuery),
    responses((status = 200, body = Items<RunSummary>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(_state): State<AppState>,
    Query(_query): Query<ListQuery>,
) -> Result<Json<Items<RunSummary>>> {
    Err(ApiError::unavailable("not served yet"))
}

#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", operation_id = "show_run",
    params(("id" = i64, Path)),
    responses((status = 200, body = RunDetail), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(_state): State<AppState>, Path(_id): Path<i64>) -> Result<Json<RunDetail>> {
    Err(ApiError::unavailable("not served yet"))
}

/// Stops a run: what it did is taken back, and nothing more is done.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", operation_id = "cancel_run",
    params(("id" = i64, Path)),
    responses((status = 200, body = RunDetail), (status = 403, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope)))]
pub async fn cancel(State(_state): State<AppState>, Path(_id): Path<i64>) -> Result<Json<RunDetail>> {
    Err(ApiError::unavailable("not served yet"))
}
