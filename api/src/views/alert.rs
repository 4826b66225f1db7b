//! Alerts and the counts they stand on.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AlertView {
    pub id: i64,
    pub objective: String,
    pub service: String,
    pub tier: String,
    /// `page` or `ticket`.
    pub severity: String,
    /// `pending`, `firing` or `resolved`.
    pub state: String,
    pub opened_at: DateTime<Utc>,
    pub fired_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub evidence: EvidenceView,
    pub trace_id: Option<String>,
}

/// What the last transition was decided on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceView {
    pub long: WindowCountsView,
    pub short: WindowCountsView,
    pub burn_rate_long: Option<f64>,
    pub burn_rate_short: Option<f64>,
    pub threshold: f64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WindowCountsView {
    pub good: u64,
    pub bad: u64,
    /// The edges used: a window rounds back to the rows that were kept.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub coverage: Option<f64>,
}
