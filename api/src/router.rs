//! Every path, and what stands around all of them.

use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{delete, get, post};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{StatusCode, header};
use tower::ServiceBuilder;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::error::ApiError;
use crate::guard::{Guard, guard};
use crate::live::Live;
use crate::request_log;
use crate::routes::{
    alert, annotation, correction, dashboard, event, health, limit, metrics, openapi, overview, run, runbook,
    service, silence, slo, stream,
};
use crate::state::AppState;

/// No route takes more than a few words.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// To the response's head: the stream's body goes on for as long as it is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The whole face as one service. Call it inside a runtime: it starts the live stream's listener.
pub fn router(state: AppState) -> Router {
    let guard_state = Guard::new(state.listen, &state.names);
    let live = Live::start(state.engine.clone(), state.stopping.clone());
    let headers = ServiceBuilder::new()
        .layer(request_log::layer())
        .layer(always(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::X_FRAME_OPTIONS, "DENY"))
        .layer(always(header::REFERRER_POLICY, "no-referrer"))
        .layer(always(
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ))
        .layer(always(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ))
        // Numbers of now; the dashboard's files say otherwise themselves.
        .layer(SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ));
    Router::new()
        .route("/api/v1/overview", get(overview::show))
        .route("/api/v1/services", get(service::list))
        .route("/api/v1/services/{name}", get(service::show))
        .route("/api/v1/slos", get(slo::list))
        .route("/api/v1/slos/{name}", get(slo::show))
        .route("/api/v1/slos/{name}/series", get(slo::series))
        .route("/api/v1/alerts", get(alert::list))
        .route("/api/v1/alerts/{id}", get(alert::show))
        .route("/api/v1/alerts/{id}/acknowledge", post(alert::acknowledge))
        .route("/api/v1/silences", get(silence::list).post(silence::create))
        .route("/api/v1/silences/{id}", delete(silence::end))
        .route(
            "/api/v1/corrections",
            get(correction::list).post(correction::create),
        )
        .route("/api/v1/corrections/{id}", delete(correction::undo))
        .route(
            "/api/v1/annotations",
            get(annotation::list).post(annotation::create),
        )
        .route("/api/v1/runs", get(run::list))
        .route("/api/v1/runs/{id}", get(run::show))
        .route("/api/v1/runs/{id}/cancel", post(run::cancel))
        .route("/api/v1/limits", get(limit::list).delete(limit::clear))
        .route("/api/v1/limits/{id}", delete(limit::release))
        .route("/api/v1/runbooks", get(runbook::list))
        .route("/api/v1/events", get(event::list))
        .route("/api/v1/stream", get(stream::stream).with_state(live))
        .route("/api/openapi.json", get(openapi::document))
        .route("/metrics", get(metrics::show))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(dashboard::file)
        .with_state(state)
        // The last one stands outermost.
        .layer(from_fn_with_state(guard_state, guard))
        .layer(RequestBodyLimitLayer::new(BODY_MAX_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            ANSWER_WITHIN,
        ))
        .layer(map_response(ApiError::wrap_bare))
        .layer(headers)
}

/// The dashboard loads from here, talks to here, and is framed by nobody.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
