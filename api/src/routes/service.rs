//! Services: how they do, by themselves and route by route.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use serde::Deserialize;
use slo_engine::measurement::ServiceName;
use slo_engine::read;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::span::Span;
use crate::state::AppState;
use crate::views::{Items, ServiceDetail, ServiceSummary};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WindowQuery {
    /// How far back to look, at most 30d. Unless said: 5m for the list, 15m for one service.
    #[param(value_type = Option<String>, example = "15m")]
    pub window: Option<Span>,
}

impl WindowQuery {
    fn or(&self, default: Span) -> Result<std::time::Duration> {
        let window = self.window.unwrap_or(default).get();
        if window > Span::seconds(30 * 86_400).get() {
            return Err(ApiError::bad_request("`window` is longer than 30d"));
        }
        Ok(window)
    }
}

#[utoipa::path(get, path = "/api/v1/services", tag = "services", operation_id = "list_services",
    params(WindowQuery),
    responses((status = 200, body = Items<ServiceSummary>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<WindowQuery>,
) -> Result<Json<Items<ServiceSummary>>> {
    let window = query.or(Span::seconds(300))?;
    let services = read::services(&state.pool, window, Utc::now()).await;
    Ok(Json(Items::partly(services)?))
}

#[utoipa::path(get, path = "/api/v1/services/{name}", tag = "services", operation_id = "show_service",
    params(("name" = String, Path), WindowQuery),
    responses((status = 200, body = ServiceDetail), (status = 400, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope)))]
pub async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<WindowQuery>,
) -> Result<Json<ServiceDetail>> {
    let unknown = || ApiError::not_found("service", &name);
    let window = query.or(Span::seconds(900))?;
    let service: ServiceName = name.parse().map_err(|_| unknown())?;
    let detail = read::service(&state.pool, &service, window, Utc::now())
        .await?
        .ok_or_else(unknown)?;
    Ok(Json(detail.into()))
}
