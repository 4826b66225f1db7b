//! The OpenAPI document, as the views and routes state it.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::error::{ApiError, Result};

pub async fn document() -> Result<Response> {
    let text = crate::openapi::json().map_err(ApiError::internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
