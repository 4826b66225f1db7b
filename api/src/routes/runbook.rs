//! Runbooks as they were loaded.

use axum::Json;
use axum::extract::State;

use crate::state::AppState;
use crate::views::{Items, RunbookView};

#[utoipa::path(get, path = "/api/v1/runbooks", tag = "runbooks", operation_id = "list_runbooks",
    responses((status = 200, body = Items<RunbookView>)))]
pub async fn list(State(state): State<AppState>) -> Json<Items<RunbookView>> {
    Json(Items::of(&state.playbook.borrow().runbooks))
}
