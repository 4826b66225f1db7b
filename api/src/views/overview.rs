//! The first page in one answer, and whether this process is ready.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::read;
use utoipa::ToSchema;

use super::{AlertView, LimitView, SloSummary, UnreadableView};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OverviewView {
    pub items: Vec<SloSummary>,
    /// Pending and firing ones.
    pub alerts: Vec<AlertView>,
    pub limits: Vec<LimitView>,
    pub sources: Vec<SourceView>,
    pub generated_at: DateTime<Utc>,
    /// What could not be read, in words: the rest is still true.
    pub notes: Vec<String>,
    /// Objectives that cannot be read, or whose alert cannot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SourceView {
    pub id: String,
    pub host: String,
    pub last_at: DateTime<Utc>,
    /// How long ago its newest batch was measured that is booked as a whole: of a host where more than 1,000 counters move in a second,
    /// one a slot is.
    pub lag_ms: i64,
    /// It is silent, and what is missing leaves a gap, when it is further behind.
    pub patience_ms: i64,
    /// Its clock is ahead of ours by this much.
    pub offset_ms: i64,
    /// `expected` or `goodbye`.
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

impl From<read::Source> for SourceView {
    fn from(source: read::Source) -> Self {
        Self {
            id: source.id.to_string(),
            host: source.host,
            last_at: source.last_at,
            lag_ms: source.lag_ms,
            patience_ms: source.patience_ms,
            offset_ms: source.offset_ms,
            state: source.state.to_string(),
        }
    }
}
