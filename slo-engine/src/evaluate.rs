//! Decides, for one tier of one objective, what its alert should be.
//!
//! In: the counts of both windows, the tier, what stood before, and `now`. Out: a decision with the
//! numbers it rests on. Same input, same answer: no clock, no SQL.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::alert::{AlertId, AlertState, Evidence};
use crate::measurement::ServiceName;
use crate::objective::{ObjectiveName, Severity, Target, Tier, TierName};
use crate::window::WindowCounts;

/// What all tiers have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Chance at which counts are evidence enough. `None`: ratios alone decide.
    pub evidence: Option<EvidenceRule>,
    /// Below this coverage nothing fires and nothing resolves.
    pub coverage_min: Decimal,
    /// An alert resolves after its condition has been gone for this share of the short window, so
    /// that it does not flap at the edge.
    pub clear_percent: u32,
}

/// How small the chance of a false alarm must be, by severity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvidenceRule {
    pub page: f64,
    pub ticket: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            evidence: Some(EvidenceRule {
                page: 0.01,
                ticket: 0.05,
            }),
            coverage_min: Decimal::new(9, 1),
            clear_percent: 10,
        }
    }
}

/// Everything that one decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationInput {
    pub now: DateTime<Utc>,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub target: Target,
    pub tier: Tier,
    pub long: WindowCounts,
    pub short: WindowCounts,
    /// The alert that is open for this tier.
    pub open: Option<OpenAlert>,
    /// Since when the tier has been frozen, if it is.
    pub frozen_since: Option<DateTime<Utc>>,
    /// The objective or the tier is no longer defined.
    pub withdrawn: bool,
    pub rules: Rules,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAlert {
    pub id: AlertId,
    pub state: AlertState,
    /// Since when its condition has been gone.
    pub clear_since: Option<DateTime<Utc>>,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub at: DateTime<Utc>,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub tier: TierName,
    pub severity: Severity,
    /// What stood before: recording changes nothing when something else stands by then.
    pub open: Option<OpenAlert>,
    pub frozen_since: Option<DateTime<Utc>>,
    pub decision: Decision,
    pub evidence: Evidence,
}

/// What becomes of the tier's alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Both windows burn, the counts are no evidence yet.
    Pend,
    /// Both windows burn, and the counts say so.
    Fire,
    /// Was open, its condition is gone, but not for long enough. Carries since when.
    Clearing(DateTime<Utc>),
    /// Was open and is over.
    Resolve,
    /// Nothing is open and nothing burns.
    Quiet,
    /// Too little was watched to say anything: what stands, stands.
    Freeze(Freeze),
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freeze {
    /// No source is expected to watch this service.
    NoData,
    /// Sources are silent: coverage is below the least.
    Coverage(Decimal),
}
