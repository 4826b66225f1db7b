//! Corrections: time that an objective does not count.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use slo_engine::correction::{
    CorrectionError, CorrectionId, CorrectionKind, NewCorrection, Recurrence, RecurrenceDate,
};
use slo_engine::objective::ObjectiveName;
use slo_engine::read;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Body, Path, Query, page};
use crate::state::AppState;
use crate::views::{CorrectionView, CorrectionsView, LeftOutView};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only corrections of this objective, with what they leave out of it.
    pub objective: Option<String>,
    /// 30 days before now unless said.
    pub from: Option<DateTime<Utc>>,
    /// 30 days from now unless said.
    pub to: Option<DateTime<Utc>>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Corrections that hold some time between `from` and `to`, undone ones included, newest first.
#[utoipa::path(get, path = "/api/v1/corrections", tag = "corrections", operation_id = "list_corrections",
    params(ListQuery),
    responses((status = 200, body = CorrectionsView), (status = 400, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<CorrectionsView>> {
    let objective = query.objective.as_deref().map(objective).transpose()?;
    let range = range(query.from, query.to)?;
    let items = read::corrections(&state.pool, objective.as_ref(), range, page(query.limit)?).await?;
    let left_out = match &objective {
        Some(name) => {
            let spans = read::left_out(&state.pool, name, range).await?;
            Some(spans.into_iter().map(LeftOutView::from).collect())
        }
        None => None,
    };
    Ok(Json(CorrectionsView {
        items: items.into_iter().map(CorrectionView::from).collect(),
        left_out,
    }))
}

fn objective(name: &str) -> Result<ObjectiveName> {
    name.parse().map_err(|_| ApiError::not_found("objective", name))
}

/// Longer than any period, and short enough that what recurs daily fits into an answer.
const RANGE_MAX: TimeDelta = TimeDelta::days(800);

/// 30 days around now unless said.
pub fn range(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let now = Utc::now();
    let from = from.unwrap_or(now - TimeDelta::days(30));
    let to = to.unwrap_or(now + TimeDelta::days(30));
    if from >= to {
        return Err(ApiError::bad_request("`from` has to be before `to`"));
    }
    if to - from > RANGE_MAX {
        return Err(ApiError::bad_request(format!(
            "`from` to `to` is more than {} days",
            RANGE_MAX.num_days()
        )));
    }
    Ok((from, to))
}

/// Time that an objective does not count. Of `Occurrences` that is the requests of the slots that it touches; of
/// `Timeslices` and `RatioTimeslices` each slice that it touches, be it for a second, which in a calendar's period is not
/// among the slices that the budget is a share of either. Of a part of a composite it is what that part counted, of
/// `Timeslices` the slice of the whole; of the whole the same time of all its parts, on their own pages, too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectionBody {
    pub objective: String,
    /// `maintenance`, `deployment`, `outside_business_hours` or `other`.
    #[schema(example = "maintenance")]
    pub kind: String,
    /// The one time, in the past or the future, or the first of those that recur.
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub recurrence: Option<RecurrenceBody>,
    #[schema(example = "ann")]
    pub author: String,
    #[serde(default)]
    pub comment: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecurrenceBody {
    /// An RRULE of RFC 5545, daily or rarer.
    #[schema(example = "FREQ=WEEKLY;BYDAY=SU")]
    pub rule: String,
    /// The IANA zone on whose clocks it recurs.
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    /// EXDATE: days of the zone (`2026-12-27`: all that would begin on it counts) or moments of RFC 3339.
    #[serde(default)]
    #[schema(example = json!(["2026-12-27"]))]
    pub exdate: Vec<String>,
    /// RDATE: days, at the first time's time of day, or moments when it is beside the rule.
    #[serde(default)]
    pub rdate: Vec<String>,
}

/// From now on the objective does not count that time: events of it are in no window, slices it touches neither good
/// nor in the total. Nothing is rewritten, so that undoing it restores every number; a fast page counts anew.
#[utoipa::path(post, path = "/api/v1/corrections", tag = "corrections", operation_id = "create_correction",
    request_body = CorrectionBody,
    responses((status = 201, body = CorrectionView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 409, body = ErrorEnvelope),
              (status = 415, body = ErrorEnvelope)))]
pub async fn create(
    State(state): State<AppState>,
    Body(body): Body<CorrectionBody>,
) -> Result<(StatusCode, Json<CorrectionView>)> {
    let kind = body.kind.parse::<CorrectionKind>().map_err(|error| {
        let known: Vec<_> = CorrectionKind::ALL
            .iter()
            .map(|kind| format!("`{kind}`"))
            .collect();
        ApiError::bad_request(error.to_string()).hint(format!("`kind` is one of {}", known.join(", ")))
    })?;
    let recurrence = body
        .recurrence
        .map(|body| {
            let recurrence = Recurrence::new(&body.rule, &body.zone)?;
            Ok::<_, CorrectionError>(recurrence.with_dates(dates(&body.exdate)?, dates(&body.rdate)?))
        })
        .transpose()?;
    let new = NewCorrection {
        objective: objective(&body.objective)?,
        kind,
        starts_at: body.starts_at,
        ends_at: body.ends_at,
        recurrence,
        author: body.author,
        comment: body.comment,
    };
    let id = state.engine.correct(&new, Utc::now()).await?;
    tracing::info!(correction.id = id.0, objective.name = %new.objective, "a correction was made");
    Ok((StatusCode::CREATED, show(&state, id).await?))
}

fn dates(texts: &[String]) -> std::result::Result<Vec<RecurrenceDate>, CorrectionError> {
    texts.iter().map(|text| text.parse()).collect()
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UndoQuery {
    /// Who undoes it.
    pub author: String,
}

/// Undoes a correction: its time counts again. It stays on record, with the time it was undone.
#[utoipa::path(delete, path = "/api/v1/corrections/{id}", tag = "corrections", operation_id = "undo_correction",
    params(("id" = i64, Path), UndoQuery),
    responses((status = 200, body = CorrectionView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 409, body = ErrorEnvelope)))]
pub async fn undo(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(query): Query<UndoQuery>,
) -> Result<Json<CorrectionView>> {
    let id = CorrectionId(id);
    state
        .engine
        .undo_correction(id, &query.author, Utc::now())
        .await?;
    tracing::info!(correction.id = id.0, "a correction was undone");
    show(&state, id).await
}

async fn show(state: &AppState, id: CorrectionId) -> Result<Json<CorrectionView>> {
    let correction = read::correction(&state.pool, id, range(None, None)?).await?;
    let correction = correction.ok_or_else(|| ApiError::not_found("correction", id.0))?;
    Ok(Json(correction.into()))
}
