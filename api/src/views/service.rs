//! Services: how they do right now, on which endpoints, and why they carry their name.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::SloState;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceSummary {
    pub name: String,
    /// Why the service carries its name, as discovery or the definition says it.
    pub because: String,
    pub endpoints: Vec<EndpointView>,
    pub requests_per_second: Option<f64>,
    /// Share of requests that went wrong by the default availability rule.
    pub error_ratio: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub retransmits_per_second: Option<f64>,
    pub rtt_ms: Option<f64>,
    pub in_flight: Option<u64>,
    /// Requests in flight for longer than their threshold.
    pub overdue: Option<u64>,
    /// Share of the last minutes that was measured.
    pub coverage: Option<f64>,
    pub slos: Vec<String>,
    pub worst_state: SloState,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EndpointView {
    pub port: u16,
    pub cgroup: String,
    pub executable: Option<String>,
    pub source: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceDetail {
    #[serde(flatten)]
    pub summary: ServiceSummary,
    pub series: ServiceSeriesView,
    pub routes: Vec<RouteView>,
}

/// Columns of equal length: one value a step, null where nothing was measured.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceSeriesView {
    pub step_seconds: u64,
    /// Epoch seconds.
    pub at: Vec<i64>,
    pub requests: Vec<Option<u64>>,
    pub errors: Vec<Option<u64>>,
    pub p50_ms: Vec<Option<f64>>,
    pub p99_ms: Vec<Option<f64>>,
    pub retransmits: Vec<Option<u64>>,
    pub coverage: Vec<Option<f64>>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RouteView {
    #[schema(example = "GET /api/")]
    pub route: String,
    pub requests: u64,
    pub errors: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Requests by exact status code.
    pub statuses: BTreeMap<String, u64>,
}
