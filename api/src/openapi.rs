//! The OpenAPI document. `api/openapi.json` is a committed copy: the dashboard's types come from it.

use utoipa::OpenApi;

use crate::routes;
use crate::views::{EventView, TickView};

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "slowburn",
        description = "SLOs on every service of a host: budgets, burn rates, alerts, and what was done about them.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        routes::overview::show,
        routes::service::list,
        routes::service::show,
        routes::slo::list,
        routes::slo::show,
        routes::slo::series,
        routes::alert::list,
        routes::alert::show,
        routes::alert::acknowledge,
        routes::silence::list,
        routes::silence::create,
        routes::silence::end,
        routes::correction::list,
        routes::correction::create,
        routes::correction::undo,
        routes::annotation::list,
        routes::annotation::create,
        routes::run::list,
        routes::run::show,
        routes::run::cancel,
        routes::limit::list,
        routes::limit::release,
        routes::limit::clear,
        routes::runbook::list,
        routes::event::list,
        routes::stream::stream,
        routes::health::readyz,
    ),
    // The stream's payloads are named in no response schema.
    components(schemas(EventView, TickView))
)]
pub struct Document;

/// The document as it is served and committed: pretty, with a final newline.
pub fn json() -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&Document::openapi())?;
    text.push('\n');
    Ok(text)
}
