use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::span::Span;
use crate::state::AppState;
use crate::views::{Items, ServiceDetail, ServiceSummary};

#[utoipa::path(get, path = "/api/v1/services", tag = "services", operation_id = "list_services",
    responses((status = 200, body = Items<ServiceSummary>)))]
pub async fn list(State(_state): State<AppState>) -> Result<Json<Items<ServiceSummary>>> {
    Err(ApiError::unavailable("not served yet"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ShowQuery {
    /// How far back the series and the routes look: 15m unless said.
    #[param(value_type = Option<String>, example = "15m")]
    pub window: Option<Span>,
}

#[utoipa::path(get, path = "/api/v1/services/{name}", tag = "services", operation_id = "show_service",
    params(("name" = String, Path), ShowQuery),
    responses((status = 200, body = ServiceDetail), (status = 404, body = ErrorEnvelope)))]
pub async fn show(
    State(_state): State<AppState>,
    Path(_name): Path<String>,
    Query(_query): Query<ShowQuery>,
) -> Result<Json<ServiceDetail>> {
    Err(ApiError::unavailable("not served yet"))
}
