//! Silences: alerts of which nobody wants to be told for a while.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;
use slo_engine::read;
use slo_engine::silence::{Matcher, NewSilence, SilenceError, SilenceId};
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Body, Path, Query, page};
use crate::state::AppState;
use crate::views::{Items, SilenceView};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Also those that are over.
    pub ended: Option<bool>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/silences", tag = "silences", operation_id = "list_silences", params(ListQuery),
    responses((status = 200, body = Items<SilenceView>), (status = 400, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Items<SilenceView>>> {
    let now = Utc::now();
    let limit = page(query.limit)?;
    let found = read::silences(&state.pool, query.ended.unwrap_or(false), now, limit).await?;
    // All tiers there are: nobody asks for them every few seconds for nothing.
    let alerting = match found.as_slice() {
        [] => Vec::new(),
        _ => read::alerting(&state.pool).await?,
    };
    let items = found
        .iter()
        .map(|silence| SilenceView::of(silence, &alerting, now));
    Ok(Json(Items::of(items)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceBody {
    /// All must hold: `service`, `objective`, `tier` or `severity`, then `=`, `!=`, `=~` or `!~`, then a text or an
    /// expression about the whole text.
    #[schema(example = json!(["service=web", "tier=~page-.*"]))]
    pub matchers: Vec<String>,
    /// Now unless said.
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: DateTime<Utc>,
    #[schema(example = "ann")]
    pub author: String,
    #[schema(example = "moving to the new database")]
    pub comment: String,
}

/// Alerts that match fire and resolve as ever, but no runbook answers to one that fires: nobody is paged and nothing is
/// limited. What still fires as the silence ends is answered then, once. Runs that have begun go on, and people
/// who were told are told that it is over. One that is about nothing that is defined (`matches` is 0) is kept all the
/// same: what it is about may come.
#[utoipa::path(post, path = "/api/v1/silences", tag = "silences", operation_id = "create_silence",
    request_body = SilenceBody,
    responses((status = 201, body = SilenceView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope),
              (status = 415, body = ErrorEnvelope)))]
pub async fn create(
    State(state): State<AppState>,
    Body(body): Body<SilenceBody>,
) -> Result<(StatusCode, Json<SilenceView>)> {
    let now = Utc::now();
    let matchers: Result<Vec<Matcher>, SilenceError> =
        body.matchers.iter().map(|text| text.parse()).collect();
    let new = NewSilence {
        matchers: matchers?,
        starts_at: body.starts_at.unwrap_or(now),
        ends_at: body.ends_at,
        author: body.author,
        comment: body.comment,
    };
    let id = state.engine.silence(&new, now).await?;
    tracing::info!(silence.id = id.0, "a silence was made");
    let made = show(&state, id).await?;
    if made.0.matches == Some(0) {
        tracing::warn!(
            silence.id = id.0,
            "the silence matches nothing that is defined today"
        );
    }
    Ok((StatusCode::CREATED, made))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndQuery {
    /// Who ends it.
    pub author: String,
}

/// Ends a silence before its time. It stays on record.
#[utoipa::path(delete, path = "/api/v1/silences/{id}", tag = "silences", operation_id = "end_silence",
    params(("id" = i64, Path), EndQuery),
    responses((status = 200, body = SilenceView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 409, body = ErrorEnvelope)))]
pub async fn end(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(query): Query<EndQuery>,
) -> Result<Json<SilenceView>> {
    let id = SilenceId(id);
    state.engine.end_silence(id, &query.author, Utc::now()).await?;
    tracing::info!(silence.id = id.0, "a silence was ended");
    show(&state, id).await
}

async fn show(state: &AppState, id: SilenceId) -> Result<Json<SilenceView>> {
    let silence = read::silence(&state.pool, id).await?;
    let silence = silence.ok_or_else(|| ApiError::not_found("silence", id.0))?;
    let alerting = read::alerting(&state.pool).await?;
    Ok(Json(SilenceView::of(&silence, &alerting, Utc::now())))
}
