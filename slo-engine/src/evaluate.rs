//! Decides, for one tier of one objective, what its alert should be.
//!
//! In: the counts of both windows, the tier, what stood before, and `now`. Out: a decision with the
//! numbers it rests on. Same input, same answer: no clock, no SQL.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::alert::{AlertId, AlertState, Burning, Evidence, PartOfEvidence};
use crate::composite::Weight;
use crate::evidence;
use crate::measurement::ServiceName;
use crate::objective::{ObjectiveName, Severity, Target, Tier, TierName};
use crate::window::WindowCounts;

/// What all tiers have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    pub evidence: EvidenceGate,
    /// Below this coverage nothing resolves, and only fast pages fire.
    pub coverage_min: Decimal,
    /// An alert resolves after its condition has been gone for this share of the short window, so
    /// that it does not flap at the edge.
    pub clear_percent: u32,
    pub outage: OutageRule,
}

impl Rules {
    /// The same with the floor that a definition states, if it does.
    pub(crate) fn with_coverage(&self, least: Option<Decimal>) -> Self {
        Self {
            coverage_min: least.unwrap_or(self.coverage_min),
            ..self.clone()
        }
    }

    /// The same with the gate that a definition states, if it does.
    pub(crate) fn with_evidence(self, gate: Option<EvidenceGate>) -> Self {
        Self {
            evidence: gate.unwrap_or(self.evidence),
            ..self
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            evidence: EvidenceGate::default(),
            coverage_min: Decimal::new(9, 1),
            clear_percent: 10,
            outage: OutageRule::default(),
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
    /// What one event is in the counts: 1, or the billionths of a slice.
    pub unit: u64,
    /// Of a composite: what each part counted over the long window. Evidence is theirs.
    pub parts: Vec<PartCounts>,
    pub tier: Tier,
    pub long: WindowCounts,
    pub short: WindowCounts,
    /// The alert that is open for this tier.
    pub open: Option<OpenAlert>,
    /// Since when it is open, which is since its windows burn.
    pub open_since: Option<DateTime<Utc>>,
    /// Since when the tier has been frozen, if it is.
    pub frozen_since: Option<DateTime<Utc>>,
    /// The objective, or a source, began so lately that no data is no news yet.
    pub starting: bool,
    /// The objective or the tier is no longer defined.
    pub withdrawn: bool,
    pub rules: Rules,
}

/// One part of a composite over the long window.
#[derive(Debug, Clone, PartialEq)]
pub struct PartCounts {
    pub objective: ObjectiveName,
    pub weight: Weight,
    pub target: Target,
    pub unit: u64,
    pub good: u64,
    pub bad: u64,
}

impl PartCounts {
    /// Its counts as those of the whole's window.
    pub(crate) fn over(&self, window: &WindowCounts) -> WindowCounts {
        WindowCounts {
            good: self.good,
            bad: self.bad,
            ..window.clone()
        }
    }

    fn evidence(&self) -> evidence::Part {
        evidence::Part {
            total: (self.good + self.bad).div_ceil(self.unit),
            bad: self.bad / self.unit,
            burn_of_all: (self.weight.value() / self.target.budget())
                .to_f64()
                .unwrap_or(f64::MAX),
        }
    }
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

/// Decides. Same input, same answer: `input.now` is the only clock.
#[must_use]
pub fn evaluate(input: &EvaluationInput) -> Evaluation {
    let burning = weigh(input);
    Evaluation {
        at: input.now,
        objective: input.objective.clone(),
        service: input.service.clone(),
        tier: input.tier.name.clone(),
        severity: input.tier.severity,
        open: input.open,
        frozen_since: input.frozen_since,
        decision: decide(input, &burning),
        evidence: Evidence::Windows(burning),
    }
}

fn decide(input: &EvaluationInput, burning: &Burning) -> Decision {
    if input.withdrawn {
        return if input.open.is_some() {
            Decision::Resolve
        } else {
            Decision::Quiet
        };
    }
    let (Some(long), Some(short)) = (input.long.coverage(), input.short.coverage()) else {
        return if input.starting && input.frozen_since.is_none() {
            Decision::Quiet
        } else {
            Decision::Freeze(Freeze::NoData)
        };
    };
    let coverage = long.min(short);
    if coverage < input.rules.coverage_min {
        return Decision::Freeze(Freeze::Coverage(coverage));
    }
    if burns(input) {
        let is_enough = match (alpha(input), burning.chance) {
            (Some(alpha), Some(chance)) => chance <= alpha,
            _ => true,
        };
        return if fires_already(input) || is_enough && has_lasted(input) {
            Decision::Fire
        } else {
            Decision::Pend
        };
    }
    calm(
        input.open,
        input.tier.short * input.rules.clear_percent / 100,
        input.now,
    )
}

/// What becomes of an alert whose condition is not there: it is over when that has been so for long enough.
fn calm(open: Option<OpenAlert>, long_enough: Duration, now: DateTime<Utc>) -> Decision {
    let Some(open) = open else {
        return Decision::Quiet;
    };
    let since = open.clear_since.unwrap_or(now);
    if lasts(since, long_enough, now) {
        Decision::Resolve
    } else {
        Decision::Clearing(since)
    }
}

fn lasts(since: DateTime<Utc>, long_enough: Duration, now: DateTime<Utc>) -> bool {
    now - since >= TimeDelta::from_std(long_enough).unwrap_or(TimeDelta::MAX)
}

fn burns(input: &EvaluationInput) -> bool {
    let above = |window: &WindowCounts| window.burns_above(input.tier.burn_rate, input.target);
    above(&input.long) && above(&input.short)
}

/// Whether it has burnt for as long as its tier waits. What is no end of an alert is none of this: a moment below the
/// threshold, or without measurements, as long as the pending alert stands.
fn has_lasted(input: &EvaluationInput) -> bool {
    let after = input.tier.after;
    after.is_zero()
        || input
            .open_since
            .is_some_and(|since| lasts(since, after, input.now))
}

fn fires_already(input: &EvaluationInput) -> bool {
    input.open.is_some_and(|open| open.state == AlertState::Firing)
}

/// The chance is computed only where it decides: thousands of calm tiers must cost nothing.
fn weigh(input: &EvaluationInput) -> Burning {
    let ratio = (input.tier.burn_rate.value() * input.target.budget())
        .to_f64()
        .unwrap_or(1.0);
    // Slices that were partly bad are as many bad ones as they make whole, so that rounding is no evidence.
    let (total, bad) = (
        input.long.total().div_ceil(input.unit),
        input.long.bad / input.unit,
    );
    let alpha = alpha(input).filter(|_| burns(input) && !fires_already(input));
    // A composite of good and bad slices counts slices of its own.
    let is_composite = !input.parts.is_empty() && input.unit > 1;
    let threshold = input.tier.burn_rate.value().to_f64().unwrap_or(f64::MAX);
    let counted: Vec<_> = (input.parts.iter().filter(|_| is_composite))
        .map(PartCounts::evidence)
        .collect();
    Burning {
        long: input.long.clone(),
        short: input.short.clone(),
        burn_rate_long: input.long.burn_rate(input.target),
        burn_rate_short: input.short.burn_rate(input.target),
        threshold: input.tier.burn_rate,
        chance: alpha.map(|_| {
            if is_composite {
                evidence::chance_of_parts(&counted, threshold)
            } else {
                evidence::chance(total, bad, ratio)
            }
        }),
        bad_needed: alpha
            .filter(|_| !is_composite)
            .and_then(|alpha| evidence::bad_needed(total, ratio, alpha))
            .map(|needed| needed * input.unit),
        unit: input.unit,
        parts: of_parts(input, &counted, alpha.map(|alpha| (threshold, alpha))),
    }
}

/// What each part counted, and what it would take of it where that decides.
fn of_parts(
    input: &EvaluationInput,
    counted: &[evidence::Part],
    decides: Option<(f64, f64)>,
) -> Vec<PartOfEvidence> {
    let needed = match decides {
        Some((threshold, alpha)) => evidence::bad_needed_of_parts(counted, threshold, alpha),
        None => vec![None; counted.len()],
    };
    let each = input.parts.iter().zip(needed);
    each.map(|(part, needed)| PartOfEvidence {
        objective: part.objective.clone(),
        weight: part.weight,
        burn_rate: part.over(&input.long).burn_rate(part.target),
        good: part.good,
        bad: part.bad,
        bad_needed: needed.map(|needed| needed.saturating_mul(part.unit)),
        unit: part.unit,
    })
    .collect()
}

fn alpha(input: &EvaluationInput) -> Option<f64> {
    input.rules.evidence.alpha(input.tier.severity)
}

/// What becomes of the tier's alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Both windows burn; the counts are no evidence yet, or that has not lasted for long enough.
    Pend,
    /// Both windows burn, and the counts say so.
    Fire,
    /// Was open, its condition is gone, but not for long enough. Carries since when.
    Clearing(DateTime<Utc>),
    /// Was open and is over.
    Resolve,
    /// Nothing is open and nothing burns, or nothing is known yet: what stands, stands.
    Quiet,
    /// Too little was watched to say anything: what stands, stands.
    Freeze(Freeze),
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freeze {
    /// No source is expected to watch this service, or none has told of the windows yet.
    NoData,
    /// Sources are silent: coverage is below the least.
    Coverage(Decimal),
}

impl std::fmt::Display for Freeze {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoData => f.write_str("there are no measurements of its windows"),
            Self::Coverage(coverage) => {
                write!(
                    f,
                    "only {} % of the time was watched",
                    (coverage * Decimal::ONE_HUNDRED).round_dp(1).normalize()
                )
            }
        }
    }
}

mod budget;
mod data_outage;
mod fast_page;
mod gate;
#[cfg(test)]
mod tests;

pub use budget::{
    Ahead, BudgetInput, WithdrawnBudgetAlert, evaluate_budget, evaluate_withdrawn_budget, spending,
};
pub(crate) use data_outage::DATA_OUTAGE;
pub use data_outage::{DataOutageInput, MissingData, OutageRule, evaluate_data_outage};
pub use fast_page::{Excursion, FastPageInput, evaluate_fast_page};
pub use gate::{EvidenceGate, NoEvidenceGate};
