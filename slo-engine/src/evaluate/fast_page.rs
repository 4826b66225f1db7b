//! Decides what the alert of an objective's fast page should be.
//!
//! What was seen is evidence however little was watched, since time unseen adds none: it fires on that. That errors are
//! over, only those know who watch: it resolves once coverage is known and enough.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{Decision, Evaluation, OpenAlert};
use crate::alert::{AlertState, Burning, Evidence};
use crate::measurement::ServiceName;
use crate::objective::{ObjectiveName, Severity, Target, TierName};
use crate::sequential::{FastPage, Sequential};
use crate::window::WindowCounts;

/// Everything that one decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct FastPageInput {
    pub now: DateTime<Utc>,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub target: Target,
    /// `None`: the objective, or its fast page, is no longer defined.
    pub page: Option<FastPage>,
    /// Since the statistic left zero. `None`: it is zero.
    pub excursion: Option<Excursion>,
    /// The last minutes: errors that have stopped altogether are over without waiting for traffic.
    pub recent: WindowCounts,
    /// Events a second over the last hour.
    pub rate: Decimal,
    pub open: Option<OpenAlert>,
    /// What the open alert stood on.
    pub evidence: Option<Burning>,
    pub coverage_min: Decimal,
}

/// The events since a statistic left zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Excursion {
    pub statistic: f64,
    pub counts: WindowCounts,
}

/// Decides; `None` when nothing is to be recorded. Same input, same answer.
#[must_use]
pub fn evaluate_fast_page(input: &FastPageInput) -> Option<Evaluation> {
    let fires = input.open.is_some_and(|open| open.state == AlertState::Firing);
    let (decision, burning) = if fires {
        (Decision::Resolve, over(input)?)
    } else {
        (Decision::Fire, burning(input)?)
    };
    Some(Evaluation {
        at: input.now,
        objective: input.objective.clone(),
        service: input.service.clone(),
        tier: TierName::fast_page(),
        severity: Severity::Page,
        open: input.open,
        frozen_since: None,
        decision,
        evidence: Evidence::Sequential(burning),
    })
}

/// What a new alert stands on, if there is to be one.
fn burning(input: &FastPageInput) -> Option<Burning> {
    let (page, excursion) = (input.page.as_ref()?, input.excursion.as_ref()?);
    let test = Sequential::new(input.target, page);
    if excursion.statistic < test.limit || input.rate < page.rate_min {
        return None;
    }
    let burn_rate = excursion.counts.burn_rate(input.target);
    Some(Burning {
        long: excursion.counts.clone(),
        short: excursion.counts.clone(),
        burn_rate_long: burn_rate,
        burn_rate_short: burn_rate,
        threshold: page.burn_rate,
        chance: Some((-excursion.statistic).exp()),
        bad_needed: Some(test.bad_needed()),
        unit: 1,
        parts: Vec::new(),
    })
}

/// What the end of an open alert stands on, if it is over.
fn over(input: &FastPageInput) -> Option<Burning> {
    let is_watched = input
        .recent
        .coverage()
        .is_some_and(|coverage| coverage >= input.coverage_min);
    let recovered = is_watched && (input.excursion.is_none() || input.recent.bad == 0);
    if input.page.is_some() && !recovered {
        return None;
    }
    let burn_rate = input.recent.burn_rate(input.target);
    Some(Burning {
        long: input.recent.clone(),
        short: input.recent.clone(),
        burn_rate_long: burn_rate,
        burn_rate_short: burn_rate,
        chance: None,
        bad_needed: None,
        ..input.evidence.clone()?
    })
}
