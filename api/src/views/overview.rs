//! The first page in one answer, and whether this process is ready.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{AlertView, LimitView, SloSummary};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OverviewView {
    pub items: Vec<SloSummary>,
    /// Pending and firing ones.
    pub alerts: Vec<AlertView>,
    pub limits: Vec<LimitView>,
    pub sources: Vec<SourceView>,
    pub generated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SourceView {
    pub id: String,
    pub host: String,
    pub last_at: Option<DateTime<Utc>>,
    /// How long ago its newest batch was measured.
    pub lag_ms: Option<i64>,
    pub state: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReadinessView {
    pub ready: bool,
    pub checks: Vec<CheckView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckView {
    #[schema(example = "database")]
    pub name: String,
    pub ready: bool,
    /// Why it is not ready, or why it is not wanted here.
    pub reason: Option<String>,
}
