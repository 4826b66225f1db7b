use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::span::Span;
use crate::state::AppState;
use crate::views::{Items, SloDetail, SloSeriesView, SloSummary};

#[utoipa::path(get, path = "/api/v1/slos", tag = "slos", operation_id = "list_slos",
    responses((status = 200, body = Items<SloSummary>)))]
pub async fn list(State(_state): State<AppState>) -> Result<Json<Items<SloSummary>>> {
    Err(ApiError::unavailable("not served yet"))
}

#[utoipa::path(get, path = "/api/v1/slos/{name}", tag = "slos", operation_id = "show_slo",
    params(("name" = String, Path)),
    responses((status = 200, body = SloDetail), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(_state): State<AppState>, Path(_name): Path<String>) -> Result<Json<SloDetail>> {
    Err(ApiError::unavailable("not served yet"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    /// An hour before `to` unless said.
    pub from: Option<DateTime<Utc>>,
    /// Now unless said.
    pub to: Option<DateTime<Utc>>,
    /// Chosen for about 200 points unless said.
    #[param(value_type = Option<String>, example = "1m")]
    pub step: Option<Span>,
}

#[utoipa::path(get, path = "/api/v1/slos/{name}/series", tag = "slos", operation_id = "slo_series",
    params(("name" = String, Path), SeriesQuery),
    responses((status = 200, body = SloSeriesView), (status = 400, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope)))]
pub async fn series(
    State(_state): State<AppState>,
    Path(_name): Path<String>,
    Query(_query): Query<SeriesQuery>,
) -> Result<Json<SloSeriesView>> {
    Err(ApiError::unavailable("not served yet"))
}
