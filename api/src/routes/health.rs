//! Liveness asks whether the process answers, readiness whether it can do its work.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;

use crate::request_log::IsAnswer;
use crate::state::AppState;
use crate::views::ReadinessView;

pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether this process can do its work, and if not, why.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses((status = 200, body = ReadinessView), (status = 503, body = ReadinessView)))]
pub async fn readyz(State(state): State<AppState>) -> Response {
    let view = ReadinessView::from(&*state.readiness.borrow());
    let status = if view.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Extension(IsAnswer), Json(view)).into_response()
}
