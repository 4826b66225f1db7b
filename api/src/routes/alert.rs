use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::state::AppState;
use crate::views::{AlertView, Items};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// `pending`, `firing` or `resolved`; all unless said.
    #[param(example = "firing")]
    pub state: Option<String>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", operation_id = "list_alerts", params(ListQuery),
    responses((status = 200, body = Items<AlertView>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(_state): State<AppState>,
    Query(_query): Query<ListQuery>,
) -> Result<Json<Items<AlertView>>> {
    Err(ApiError::unavailable("not served yet"))
}

#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", operation_id = "show_alert",
    params(("id" = i64, Path)),
    responses((status = 200, body = AlertView), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(_state): State<AppState>, Path(_id): Path<i64>) -> Result<Json<AlertView>> {
    Err(ApiError::unavailable("not served yet"))
}
