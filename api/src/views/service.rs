//! Services: how they do right now, on which endpoints, and why they carry their name.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::read;
use utoipa::ToSchema;

use super::number::{epoch_seconds, millis, number, six_digits, whole};
use super::{ConnectionsView, SloState};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceSummary {
    pub name: String,
    /// Why its latest endpoint carries this name; null while no endpoint was found.
    pub because: Option<String>,
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
    pub because: String,
    /// To the minute. What listens no longer stays here with the time at which it did.
    pub last_seen_at: DateTime<Utc>,
    /// When its source looked and found that nobody listens there any more; null while somebody does, as far as the source
    /// has said.
    pub gone_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceDetail {
    #[serde(flatten)]
    pub summary: ServiceSummary,
    /// What requests waited until the server read them, a part of the turnaround; null where the
    /// kernel does not tell.
    pub queue_p50_ms: Option<f64>,
    pub queue_p99_ms: Option<f64>,
    /// From the first byte of a request to the last of its answer, where the end of answers is known; null
    /// unless an objective of the service is on the clock `last_byte`.
    pub last_byte_p50_ms: Option<f64>,
    pub last_byte_p99_ms: Option<f64>,
    pub series: ServiceSeriesView,
    pub routes: Vec<RouteView>,
    pub connections: ConnectionsView,
}

/// Columns of equal length: one value a step, null where nothing was measured. `at` is a step's end.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceSeriesView {
    pub step_seconds: u64,
    /// Epoch seconds.
    pub at: Vec<i64>,
    pub requests: Vec<Option<u64>>,
    pub errors: Vec<Option<u64>>,
    pub p50_ms: Vec<Option<f64>>,
    pub p99_ms: Vec<Option<f64>>,
    pub queue_p99_ms: Vec<Option<f64>>,
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

impl From<read::Service> for ServiceSummary {
    fn from(service: read::Service) -> Self {
        // A rate of what nobody watches is not zero.
        let watched = service.coverage.is_some() || service.requests > 0;
        Self {
            name: service.name.to_string(),
            because: service.because,
            endpoints: service.endpoints.into_iter().map(EndpointView::from).collect(),
            requests_per_second: watched.then(|| six_digits(service.requests_per_second)),
            error_ratio: service.error_ratio.map(six_digits),
            p50_ms: service.p50_ms.map(millis),
            p99_ms: service.p99_ms.map(millis),
            retransmits_per_second: watched.then(|| six_digits(service.retransmits_per_second)),
            rtt_ms: service.rtt_ms.map(millis),
            in_flight: service.in_flight.and_then(whole),
            overdue: service.overdue.and_then(whole),
            coverage: service.coverage.map(number),
            slos: service.objectives.iter().map(ToString::to_string).collect(),
            worst_state: service.worst_state.into(),
        }
    }
}

impl From<read::Endpoint> for EndpointView {
    fn from(endpoint: read::Endpoint) -> Self {
        Self {
            port: endpoint.port,
            cgroup: endpoint.cgroup,
            executable: endpoint.executable,
            source: endpoint.source.to_string(),
            because: endpoint.because,
            last_seen_at: endpoint.last_seen_at,
            gone_at: endpoint.gone_at,
        }
    }
}

impl From<read::ServiceDetail> for ServiceDetail {
    fn from(detail: read::ServiceDetail) -> Self {
        Self {
            summary: detail.service.into(),
            queue_p50_ms: detail.queue_p50_ms.map(millis),
            queue_p99_ms: detail.queue_p99_ms.map(millis),
            last_byte_p50_ms: detail.last_byte_p50_ms.map(millis),
            last_byte_p99_ms: detail.last_byte_p99_ms.map(millis),
            series: detail.course.into(),
            routes: detail.routes.into_iter().map(RouteView::from).collect(),
            connections: detail.tcp.into(),
        }
    }
}

impl From<read::ServiceCourse> for ServiceSeriesView {
    fn from(course: read::ServiceCourse) -> Self {
        let counts = |column: Vec<u64>| {
            let covered = course
                .coverage
                .iter()
                .map(|coverage| coverage.is_some_and(|share| share > 0.0));
            column
                .into_iter()
                .zip(covered)
                .map(|(count, covered)| (covered || count > 0).then_some(count))
                .collect()
        };
        Self {
            step_seconds: course.step.as_secs(),
            at: epoch_seconds(&course.at),
            requests: counts(course.requests),
            errors: counts(course.errors),
            p50_ms: each(course.p50_ms, millis),
            p99_ms: each(course.p99_ms, millis),
            queue_p99_ms: each(course.queue_p99_ms, millis),
            retransmits: counts(course.retransmits),
            coverage: each(course.coverage, six_digits),
        }
    }
}

fn each(column: Vec<Option<f64>>, rounded: fn(f64) -> f64) -> Vec<Option<f64>> {
    column.into_iter().map(|value| value.map(rounded)).collect()
}

impl From<read::RouteCounts> for RouteView {
    fn from(counts: read::RouteCounts) -> Self {
        Self {
            route: counts.route.to_string(),
            requests: counts.requests,
            errors: counts.errors,
            p50_ms: counts.p50_ms.map(millis),
            p99_ms: counts.p99_ms.map(millis),
            statuses: counts
                .statuses
                .into_iter()
                .map(|(code, count)| (code.to_string(), count))
                .collect(),
        }
    }
}
