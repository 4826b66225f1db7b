use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::Path;
use crate::state::AppState;
use crate::views::{ClearedView, Items, LimitView};

#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", operation_id = "list_limits",
    responses((status = 200, body = Items<LimitView>), (status = 503, body = ErrorEnvelope)))]
pub async fn list(State(_state): State<AppState>) -> Result<Json<Items<LimitView>>> {
    Err(ApiError::unavailable("not served yet"))
}

#[utoipa::path(delete, path = "/api/v1/limits/{id}", tag = "limits", operation_id = "release_limit",
    params(("id" = u32, Path)),
    responses((status = 204), (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope)))]
pub async fn release(State(_state): State<AppState>, Path(_id): Path<u32>) -> Result<StatusCode> {
    Err(ApiError::unavailable("not served yet"))
}

/// The panic key: takes every limit out of the kernel.
#[utoipa::path(delete, path = "/api/v1/limits", tag = "limits", operation_id = "clear_limits",
    responses((status = 200, body = ClearedView), (status = 403, body = ErrorEnvelope)))]
pub async fn clear(State(_state): State<AppState>) -> Result<Json<ClearedView>> {
    Err(ApiError::unavailable("not served yet"))
}
