//! Objectives: where their budgets stand and how they got there.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use slo_engine::objective::ObjectiveName;
use slo_engine::read;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Path, Query};
use crate::span::Span;
use crate::state::AppState;
use crate::views::{Items, SloDetail, SloSeriesView, SloSummary};

#[utoipa::path(get, path = "/api/v1/slos", tag = "slos", operation_id = "list_slos",
    responses((status = 200, body = Items<SloSummary>)))]
pub async fn list(State(state): State<AppState>) -> Result<Json<Items<SloSummary>>> {
    Ok(Json(Items::partly(read::slos(&state.pool, Utc::now()).await)?))
}

#[utoipa::path(get, path = "/api/v1/slos/{name}", tag = "slos", operation_id = "show_slo",
    params(("name" = String, Path)),
    responses((status = 200, body = SloDetail), (status = 404, body = ErrorEnvelope)))]
pub async fn show(State(state): State<AppState>, Path(name): Path<String>) -> Result<Json<SloDetail>> {
    let unknown = || ApiError::not_found("objective", &name);
    let objective: ObjectiveName = name.parse().map_err(|_| unknown())?;
    let slo = read::slo(&state.pool, &objective, Utc::now())
        .await?
        .ok_or_else(unknown)?;
    Ok(Json(slo.into()))
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
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<SloSeriesView>> {
    let unknown = || ApiError::not_found("objective", &name);
    let objective: ObjectiveName = name.parse().map_err(|_| unknown())?;
    let Course { from, to, step } = query.course(Utc::now(), state.engine.settings().slot)?;
    let course = read::slo_series(&state.pool, &objective, from, to, step)
        .await?
        .ok_or_else(unknown)?;
    Ok(Json(SloSeriesView::new(course, step.as_secs())))
}

/// Points a chart can show, and points an answer may hold.
const POINTS_WANTED: u64 = 200;
const POINTS_MAX: u64 = 2_000;

#[derive(Debug, PartialEq, Eq)]
struct Course {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: Duration,
}

impl SeriesQuery {
    fn course(&self, now: DateTime<Utc>, slot: Duration) -> Result<Course> {
        let to = self.to.unwrap_or(now);
        let from = match self.from {
            Some(from) => from,
            None => to
                .checked_sub_signed(TimeDelta::hours(1))
                .ok_or_else(|| ApiError::bad_request("`to` is too early"))?,
        };
        let span = (to - from).to_std().ok().filter(|span| !span.is_zero());
        let span = span
            .ok_or_else(|| ApiError::bad_request("`from` has to be before `to`"))?
            .as_secs();
        // Finer than a slot there is nothing to see.
        let slot = slot.as_secs().max(1);
        let step = match self.step {
            Some(step) => step.get().as_secs(),
            None => span.div_ceil(POINTS_WANTED).next_multiple_of(slot).max(slot),
        };
        if span / step > POINTS_MAX {
            return Err(ApiError::bad_request(format!(
                "that is {} points, at most {POINTS_MAX} are given",
                span / step
            ))
            .hint("choose a longer `step`, or leave it out"));
        }
        Ok(Course {
            from,
            to,
            step: Duration::from_secs(step),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(query: &str) -> Result<Course> {
        let uri: http::Uri = format!("/?{query}").parse().unwrap();
        let axum::extract::Query(query) = axum::extract::Query::<SeriesQuery>::try_from_uri(&uri).unwrap();
        query.course("2026-01-02T00:00:00Z".parse().unwrap(), Duration::from_secs(10))
    }

    #[test]
    fn the_last_hour_in_slots_unless_said() {
        let course = course("").unwrap();
        assert_eq!(
            (course.to - course.from, course.step),
            (TimeDelta::hours(1), Duration::from_secs(20))
        );
    }

    #[test]
    fn less_than_a_second_is_one_step() {
        let course = course("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00.5Z").unwrap();
        assert_eq!(course.step, Duration::from_secs(10));
    }

    #[test]
    fn a_course_backwards_or_too_fine_is_refused() {
        assert!(course("from=2026-01-03T00:00:00Z").is_err());
        assert!(course("from=2026-01-02T00:00:00Z").is_err());
        assert!(course("from=2025-01-01T00:00:00Z&step=1s").is_err());
        assert!(course("from=2025-01-01T00:00:00Z&step=1d").is_ok());
        assert!(course("to=-262143-01-01T00:00:00Z").is_err());
    }
}
