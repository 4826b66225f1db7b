//! Runs of runbooks: what was meant, what was done, what came of it, who was told.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunSummary {
    pub id: i64,
    pub runbook: String,
    pub alert_id: Option<i64>,
    pub service: String,
    pub objective: String,
    pub state: String,
    /// `active` or `shadow`: a shadow run says what it would do and does not do it.
    pub mode: String,
    pub verdict: Option<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub trace_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub summary: RunSummary,
    pub steps: Vec<StepView>,
    pub deliveries: Vec<DeliveryView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StepView {
    pub seq: i32,
    pub kind: String,
    pub state: String,
    pub attempt: u32,
    /// Written before acting.
    #[schema(value_type = Object, nullable)]
    pub intent: Option<serde_json::Value>,
    /// Written after acting.
    #[schema(value_type = Object, nullable)]
    pub result: Option<serde_json::Value>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When what the step did ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryView {
    pub target: String,
    pub kind: String,
    pub state: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub delivered_at: Option<DateTime<Utc>>,
}
