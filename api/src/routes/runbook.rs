use axum::Json;
use axum::extract::State;

use crate::error::{ApiError, Result};
use crate::state::AppState;
use crate::views::{Items, RunbookView};

#[utoipa::path(get, path = "/api/v1/runbooks", tag = "runbooks", operation_id = "list_runbooks",
    responses((status = 200, body = Items<RunbookView>)))]
pub async fn list(State(_state): State<AppState>) -> Result<Json<Items<RunbookView>>> {
    Err(ApiError::unavailable("not served yet"))
}
