//! Runs of runbooks.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use remediation::read::{self, RunFilter};
use remediation::{RunId, RunState};
use serde::Deserialize;
use slo_engine::alert::AlertId;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query, page};
use crate::state::AppState;
use crate::views::{Items, RunDetail, RunSummary};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only runs in this state.
    pub state: Option<String>,
    /// Only runs that answer this alert.
    pub alert: Option<i64>,
    /// Only runs for this service.
    pub service: Option<String>,
    /// Only runs for this objective.
    pub objective: Option<String>,
    /// Only runs that are not over.
    pub open: Option<bool>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", operation_id = "list_runs", params(ListQuery),
    responses((status = 200, body = Items<RunSummary>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Items<RunSummary>>> {
    let wanted = query
        .state
        .as_deref()
        .map(str::parse::<RunState>)
        .transpose()
        .map_err(|error| {
            let known: Vec<_> = RunState::ALL.iter().map(|state| format!("`{state}`")).collect();
            ApiError::bad_request(error.to_string()).hint(format!("`state` is one of {}", known.join(", ")))
        })?;
    let filter = RunFilter {
        alert_id: query.alert.map(AlertId),
        service: query.service,
        objective: query.objective,
        state: wanted,
        open: query.open.unwrap_or(false),
        limit: Some(page(query.limit)?),
    };
    Ok(Json(Items::of(read::runs(&state.pool, &filter).await?)))
}

#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", operation_id = "show_run",
    params(("id" = i64, Path)),
    responses((status = 200, body = RunDetail), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(state): State<AppState>, Path(id): Path<i64>) -> Result<Json<RunDetail>> {
    let detail = read::run(&state.pool, RunId(id)).await?;
    Ok(Json(detail.ok_or_else(|| ApiError::not_found("run", id))?.into()))
}

/// Stops a run: what it did is taken back, and nothing more is done.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", operation_id = "cancel_run",
    params(("id" = i64, Path)),
    responses((status = 200, body = RunDetail), (status = 403, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope),
              (status = 415, body = ErrorEnvelope)))]
pub async fn cancel(State(state): State<AppState>, Path(id): Path<i64>) -> Result<Json<RunDetail>> {
    remediation::cancel(&state.pool, RunId(id), Utc::now()).await?;
    show(State(state), Path(id)).await
}
