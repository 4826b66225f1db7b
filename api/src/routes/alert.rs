//! Alerts, and the counts they stand on.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use serde::Deserialize;
use slo_engine::alert::{AlertId, AlertState};
use slo_engine::read;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Body, Path, Query, page};
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
    let alerts = read::alerts(&state.pool, wanted, page(query.limit)?).await;
    Ok(Json(Items::partly(alerts)?))
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

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeBody {
    #[schema(example = "ann")]
    pub author: String,
    #[serde(default)]
    #[schema(example = "rolling back")]
    pub note: String,
}

/// Says who takes care of an open alert: shown on it and in the events, and told to whoever was told that it fires
/// (PagerDuty acknowledges its incident). It fires on, and runbooks go on.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts", operation_id = "acknowledge_alert",
    params(("id" = i64, Path)), request_body = AcknowledgeBody,
    responses((status = 200, body = AlertView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 409, body = ErrorEnvelope),
              (status = 415, body = ErrorEnvelope)))]
pub async fn acknowledge(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Body(body): Body<AcknowledgeBody>,
) -> Result<Json<AlertView>> {
    let alert = AlertId(id);
    let mut transaction = state.pool.begin().await?;
    let said = state
        .engine
        .acknowledge(&mut transaction, alert, &body.author, &body.note, Utc::now())
        .await?;
    remediation::acknowledged(&mut transaction, alert, &said).await?;
    transaction.commit().await?;
    tracing::info!(alert.id = id, "an alert was acknowledged");
    show(State(state), Path(id)).await
}
