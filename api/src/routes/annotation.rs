//! Annotations: deploys and notes, by people and pipelines.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;
use slo_engine::annotation::{AnnotationKind, NewAnnotation};
use slo_engine::measurement::ServiceName;
use slo_engine::read;
use utoipa::{IntoParams, ToSchema};

use super::correction::range;
use crate::error::{ApiError, ErrorEnvelope, Result};
use crate::extract::{Body, Query, page};
use crate::state::AppState;
use crate::views::{AnnotationView, Items};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only annotations of this service.
    pub service: Option<String>,
    /// 30 days before now unless said.
    pub from: Option<DateTime<Utc>>,
    /// 30 days from now unless said.
    pub to: Option<DateTime<Utc>>,
    /// At most 500; 100 unless said.
    pub limit: Option<u32>,
}

/// Newest first.
#[utoipa::path(get, path = "/api/v1/annotations", tag = "annotations", operation_id = "list_annotations",
    params(ListQuery),
    responses((status = 200, body = Items<AnnotationView>), (status = 400, body = ErrorEnvelope),
              (status = 404, body = ErrorEnvelope)))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Items<AnnotationView>>> {
    let service = query.service.as_deref().map(service).transpose()?;
    let range = range(query.from, query.to)?;
    Ok(Json(Items::of(
        read::annotations(&state.pool, service.as_ref(), range, page(query.limit)?).await?,
    )))
}

fn service(name: &str) -> Result<ServiceName> {
    name.parse().map_err(|_| ApiError::not_found("service", name))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotationBody {
    pub service: String,
    /// Now unless said.
    pub at: Option<DateTime<Utc>>,
    /// `deploy` or `note`.
    #[schema(example = "deploy")]
    pub kind: String,
    #[schema(example = "v1.4.2")]
    pub text: String,
    #[schema(example = "ci")]
    pub author: String,
}

/// Keeps a deploy or a note: a mark on the charts of the service's objectives, and an event.
#[utoipa::path(post, path = "/api/v1/annotations", tag = "annotations", operation_id = "create_annotation",
    request_body = AnnotationBody,
    responses((status = 201, body = AnnotationView), (status = 400, body = ErrorEnvelope),
              (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
              (status = 415, body = ErrorEnvelope)))]
pub async fn create(
    State(state): State<AppState>,
    Body(body): Body<AnnotationBody>,
) -> Result<(StatusCode, Json<AnnotationView>)> {
    let kind = body.kind.parse::<AnnotationKind>().map_err(|error| {
        ApiError::bad_request(error.to_string()).hint("`kind` is one of `deploy`, `note`")
    })?;
    let now = Utc::now();
    let new = NewAnnotation {
        service: service(&body.service)?,
        at: body.at.unwrap_or(now),
        kind,
        text: body.text,
        author: body.author,
    };
    let annotation = state.engine.annotate(&new, now).await?;
    Ok((StatusCode::CREATED, Json(annotation.into())))
}
