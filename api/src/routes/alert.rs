//! Alerts, and the counts they stand on.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use slo_engine::alert::{AlertId, AlertState};
use slo_engine::read;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query, page};
use crate::state::AppState;
use crate::views::{AlertView, Items};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// `pending`, `firing` or `resolved`; all unless said.
    #[param(example = "firing")]
    pub state: Option<String>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", operation_id = "list_alerts", params(ListQuery),
    responses((status = 200, body = Items<AlertView>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Items<AlertView>>> {
    let wanted = query
        .state
        .as_deref()
        .map(str::parse::<AlertState>)
        .transpose()
        .map_err(|error| {
            ApiError::bad_request(error.to_string()).hint("`state` is one of `pending`, `firing`, `resolved`")
        })?;
    Ok(Json(Items::of(
        read::alerts(&state.pool, wanted, page(query.limit)?).await?,
    )))
}

#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", operation_id = "show_alert",
    params(("id" = i64, Path)),
    responses((status = 200, body = AlertView), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(state): State<AppState>, Path(id): Path<i64>) -> Result<Json<AlertView>> {
    let alert = read::alert(&state.pool, AlertId(id)).await?;
    Ok(Json(
        alert.ok_or_else(|| ApiError::not_found("alert", id))?.into(),
    ))
}
