//! Runs of runbooks: what was meant, what was done, what came of it, who was told.

use chrono::{DateTime, Utc};
use remediation::read;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunSummary {
    pub id: i64,
    pub runbook: String,
    pub alert_id: i64,
    pub service: String,
    pub objective: String,
    pub tier: String,
    pub severity: String,
    pub state: String,
    /// `active` or `shadow`: a shadow run says what it would do and does not do it.
    pub mode: String,
    /// `recovered`, `no_effect`, `worse` or `unknown`, once it is known whether acting helped.
    pub verdict: Option<String>,
    /// Why it was refused, gave up or had nothing to do.
    pub reason: Option<String>,
    pub started_at: DateTime<Utc>,
    pub acted_at: Option<DateTime<Utc>>,
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
    /// `pagerduty`, `slack` or `webhook`.
    pub kind: String,
    /// What the target is told: `trigger` or `resolve`.
    pub action: String,
    pub state: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
}

impl From<read::Run> for RunSummary {
    fn from(run: read::Run) -> Self {
        Self {
            id: run.id.0,
            trace_id: run.trace_id().map(str::to_owned),
            runbook: run.runbook,
            alert_id: run.alert_id.0,
            service: run.service,
            objective: run.objective,
            tier: run.tier,
            severity: run.severity,
            state: run.state.to_string(),
            mode: run.mode.to_string(),
            verdict: run.verdict.map(|verdict| verdict.to_string()),
            reason: run.reason,
            started_at: run.started_at,
            acted_at: run.acted_at,
            finished_at: run.finished_at,
            deadline_at: run.deadline_at,
        }
    }
}

impl From<read::RunDetail> for RunDetail {
    fn from(detail: read::RunDetail) -> Self {
        Self {
            summary: detail.run.into(),
            steps: detail.steps.into_iter().map(StepView::from).collect(),
            deliveries: detail.deliveries.into_iter().map(DeliveryView::from).collect(),
        }
    }
}

impl From<read::Step> for StepView {
    fn from(step: read::Step) -> Self {
        Self {
            seq: step.seq,
            kind: step.kind.to_string(),
            state: step.state.to_string(),
            attempt: step.attempt,
            intent: step.intent,
            result: step.result,
            started_at: step.started_at,
            finished_at: step.finished_at,
            expires_at: step.expires_at,
            error: step.error,
        }
    }
}

impl From<read::Delivery> for DeliveryView {
    fn from(delivery: read::Delivery) -> Self {
        Self {
            target: delivery.target,
            kind: delivery.sink.to_string(),
            action: delivery.action.to_string(),
            state: delivery.state.to_string(),
            attempts: delivery.attempts,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            delivered_at: delivery.delivered_at,
        }
    }
}
