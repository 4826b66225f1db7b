//! Rate limits that are live in the kernel.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use http::StatusCode;
use remediation::LimitId;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::Path;
use crate::state::AppState;
use crate::views::{ClearedView, Items, LimitView};

#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", operation_id = "list_limits",
    responses((status = 200, body = Items<LimitView>), (status = 503, body = ErrorEnvelope)))]
pub async fn list(State(state): State<AppState>) -> Result<Json<Items<LimitView>>> {
    Ok(Json(Items::of(live(&state).await?)))
}

/// Every live limit with the run that set it.
pub async fn live(state: &AppState) -> Result<Vec<LimitView>> {
    let found = remediation::read::limits(&state.pool, state.limits.as_ref()).await?;
    Ok(found.into_iter().map(LimitView::from).collect())
}

/// Takes one limit out of the kernel, and stops the run that asked for it.
#[utoipa::path(delete, path = "/api/v1/limits/{id}", tag = "limits", operation_id = "release_limit",
    params(("id" = u32, Path)),
    responses((status = 204), (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 503, body = ErrorEnvelope)))]
pub async fn release(State(state): State<AppState>, Path(id): Path<u32>) -> Result<StatusCode> {
    if !remediation::clear_limit(&state.pool, state.limits.as_ref(), LimitId(id), Utc::now()).await? {
        return Err(ApiError::not_found("live limit", id));
    }
    tracing::info!(limit.id = id, "a limit was released by request");
    Ok(StatusCode::NO_CONTENT)
}

/// The panic key: takes every limit out of the kernel, and stops the runs that asked for them.
#[utoipa::path(delete, path = "/api/v1/limits", tag = "limits", operation_id = "clear_limits",
    responses((status = 200, body = ClearedView), (status = 403, body = ErrorEnvelope),
              (status = 503, body = ErrorEnvelope)))]
pub async fn clear(State(state): State<AppState>) -> Result<Json<ClearedView>> {
    let cleared = remediation::clear_limits(&state.pool, state.limits.as_ref(), Utc::now()).await?;
    tracing::info!(
        limits.cleared = cleared.limits,
        "every limit was released by request"
    );
    Ok(Json(cleared.into()))
}
