use axum::extract::State;

use crate::error::{ApiError, Result};
use crate::state::AppState;
use crate::views::ReadinessView;

/// Whether this process can do its work, and if not, why.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses((status = 200, body = ReadinessView), (status = 503, body = ReadinessView)))]
pub async fn readyz(State(_state): State<AppState>) -> Result<()> {
    Err(ApiError::unavailable("not served yet"))
}
