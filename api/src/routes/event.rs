//! The journal.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use slo_engine::read;
use utoipa::IntoParams;

use crate::error::{ErrorEnvelope, Result};
use crate::extract::{Query, page};
use crate::state::AppState;
use crate::views::{EventView, Items};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only events with a greater id, oldest first. Without it: the newest ones, newest first.
    pub after: Option<i64>,
    /// Only events about this service, objective, run or source; about a slowburn, `host/instance`; about the definitions
    /// as a whole, `definition files`.
    pub subject: Option<String>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(ListQuery),
    responses((status = 200, body = Items<EventView>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Items<EventView>>> {
    let limit = page(query.limit)?;
    Ok(Json(Items::of(
        read::events(&state.pool, query.after, query.subject.as_deref(), limit).await?,
    )))
}
