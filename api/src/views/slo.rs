//! Objectives: where the budget stands, how fast it burns, and what each tier makes of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SloSummary {
    pub name: String,
    pub display_name: String,
    pub service: String,
    pub kind: SloKind,
    /// Share of good events asked for, between 0 and 1.
    #[schema(example = 0.999)]
    pub target: f64,
    /// Of a latency objective: slower than this is bad.
    pub threshold_ms: Option<f64>,
    pub period_seconds: u64,
    pub good: u64,
    pub bad: u64,
    /// Share of good events over the period; null while nothing was counted.
    pub sli: Option<f64>,
    /// Share of the error budget left: 1 is all of it, below 0 is overspent.
    pub budget_remaining: Option<f64>,
    pub budget_spent_events: u64,
    /// Bad events the target allows for the events counted so far.
    pub budget_total_events: f64,
    pub burn: Vec<BurnView>,
    pub state: SloState,
    /// Share of the period that was measured.
    pub coverage: Option<f64>,
    /// When the budget ends if it goes on burning as it does now.
    pub exhausts_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SloKind {
    Availability,
    Latency,
    Ratio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SloState {
    Ok,
    Burning,
    Firing,
    Exhausted,
    NoData,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BurnView {
    pub window_seconds: u64,
    /// Multiple of the even spending rate; null while nothing was counted in the window.
    pub burn_rate: Option<f64>,
    pub good: u64,
    pub bad: u64,
    pub coverage: Option<f64>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SloDetail {
    #[serde(flatten)]
    pub summary: SloSummary,
    pub description: String,
    pub tiers: Vec<TierView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TierView {
    #[schema(example = "page-1h")]
    pub name: String,
    /// `page` or `ticket`.
    pub severity: String,
    pub long_seconds: u64,
    pub short_seconds: u64,
    pub burn_rate_threshold: f64,
    pub burn_rate_long: Option<f64>,
    pub burn_rate_short: Option<f64>,
    /// State of the tier's open alert, or `ok`.
    pub state: String,
}

/// Columns of equal length: one value a step.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SloSeriesView {
    pub step_seconds: u64,
    /// Epoch seconds.
    pub at: Vec<i64>,
    pub budget_remaining: Vec<Option<f64>>,
    pub burn_rate: Vec<Option<f64>>,
    pub good: Vec<u64>,
    pub bad: Vec<u64>,
    pub coverage: Vec<Option<f64>>,
}
