//! The first page in one answer.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use slo_engine::alert::AlertState;
use slo_engine::{Partly, read};

use super::limit;
use crate::error::{ErrorEnvelope, Result};
use crate::readiness::Part;
use crate::state::AppState;
use crate::views::{AlertView, OverviewView, SloSummary, SourceView, UnreadableView};

/// More open alerts than this are no overview.
const ALERTS_MAX: u32 = 100;

/// Every objective, open alerts, live limits, sources.
#[utoipa::path(get, path = "/api/v1/overview", tag = "overview", operation_id = "overview",
    responses((status = 200, body = OverviewView), (status = 503, body = ErrorEnvelope)))]
pub async fn show(State(state): State<AppState>) -> Result<Json<OverviewView>> {
    let now = Utc::now();
    let (slos, firing, pending, sources, limits) = tokio::join!(
        read::slos(&state.pool, now),
        read::alerts(&state.pool, Some(AlertState::Firing), ALERTS_MAX),
        read::alerts(&state.pool, Some(AlertState::Pending), ALERTS_MAX),
        read::sources(&state.pool, now),
        limit::live(&state),
    );
    let mut notes = Vec::new();
    match &state.readiness.borrow().definitions {
        Part::NotReady { reason } => notes.push(format!("the definition files are not in force: {reason}")),
        Part::Lacking { reason } => notes.push(reason.clone()),
        Part::Ready | Part::Absent { .. } => {}
    }
    // The limiter is another machine than the database: the budgets are true without it.
    let limits = limits.unwrap_or_else(|error| {
        notes.push(format!("limits are not known: {error}"));
        Vec::new()
    });
    let (slos, mut unreadable) = Partly::named(slos)?;
    let mut alerts = Vec::new();
    for found in [firing, pending] {
        let (rest, more) = Partly::named(found)?;
        alerts.extend(rest.into_iter().map(AlertView::from));
        unreadable.extend(more);
    }
    unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    unreadable.dedup_by(|later, first| later.name == first.name);
    Ok(Json(OverviewView {
        items: slos.into_iter().map(SloSummary::from).collect(),
        alerts,
        limits,
        sources: sources?.into_iter().map(SourceView::from).collect(),
        generated_at: now,
        notes,
        unreadable: unreadable.into_iter().map(UnreadableView::from).collect(),
    }))
}
