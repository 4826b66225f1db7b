//! Rate limits that are live in the kernel.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use remediation::LimitId;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::Path;
use crate::state::AppState;
use crate::views::{ClearedView, Items, LimitView};

#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", operation_id = "list_limits",
    responses((status = 200, body = Items<LimitView>), (status = 503, body = ErrorEnvelope)))]
pub async fn list(State(state): State<AppState>) -> Result<Json<Items<LimitView>>> {
    Ok(Json(Items {
        items: live(&state).await?,
    }))
}

/// Every live limit with the run that set it.
pub async fn live(state: &AppState) -> Result<Vec<LimitView>> {
    Ok(state
        .limits
        .list()
        .await?
        .into_iter()
        .map(|live| LimitView::new(live, None))
        .collect())
}

#[utoipa::path(delete, path = "/api/v1/limits/{id}", tag = "limits", operation_id = "release_limit",
    params(("id" = u32, Path)),
    responses((status = 204), (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 503, body = ErrorEnvelope)))]
pub async fn release(State(state): State<AppState>, Path(id): Path<u32>) -> Result<StatusCode> {
    let id = LimitId(id);
    if !state.limits.list().await?.iter().any(|live| live.limit.id == id) {
        return Err(ApiError::not_found("live limit", id));
    }
    state.limits.release(id).await?;
    tracing::info!(limit.id = %id, "a limit was released by request");
    Ok(StatusCode::NO_CONTENT)
}

/// The panic key: takes every limit out of the kernel.
#[utoipa::path(delete, path = "/api/v1/limits", tag = "limits", operation_id = "clear_limits",
    responses((status = 200, body = ClearedView), (status = 403, body = ErrorEnvelope),
              (status = 503, body = ErrorEnvelope)))]
pub async fn clear(State(state): State<AppState>) -> Result<Json<ClearedView>> {
    let mut cleared = 0;
    for live in state.limits.list().await? {
        state.limits.release(live.limit.id).await?;
        cleared += 1;
    }
    tracing::info!(limits.cleared = cleared, "every limit was released by request");
    Ok(Json(ClearedView { cleared }))
}
