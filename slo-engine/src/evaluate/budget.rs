//! Decides what an alert on an objective's budget should be.
//!
//! Each rule comes to one question: are there more bad events in its window than its limit? Of what is left, the window
//! is the period and the limit what the rest allows; of a drop, the limit is a share of what the period allows; of what
//! is to come, it is the fewest that spend all that is left at their pace, where a rolling period also loses the spend
//! that leaves it. What was spent is booked to the last request and needs no test; the two that conclude from less than
//! a period are weighed as tiers are.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{Decision, Evaluation, Freeze, OpenAlert, Rules, calm};
use crate::alert::{AlertState, Evidence, Spending};
use crate::budget_alert::{BudgetAlert, BudgetRule};
use crate::evidence;
use crate::measurement::ServiceName;
use crate::objective::{ObjectiveName, Severity, Target, TierName};
use crate::window::WindowCounts;

/// Everything that one decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetInput {
    pub now: DateTime<Utc>,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub target: Target,
    /// What one event is in the counts: 1, or the billionths of a slice.
    pub unit: u64,
    pub period: Duration,
    pub alert: BudgetAlert,
    /// Bad events that the budget allows, and the share of them that is left.
    pub allowed: Decimal,
    pub remaining: Decimal,
    /// What is allowed is known of the whole period, and does not grow with what is counted.
    pub is_fixed: bool,
    /// What the rule looks back on.
    pub window: WindowCounts,
    /// The time of it that corrections leave out; of a rule that looks ahead.
    pub left_out: Duration,
    /// The last minutes: while too little of them is watched, what stands, stands.
    pub recent: WindowCounts,
    /// Moments ahead, nearest first; of a rule that looks ahead.
    pub ahead: Vec<Ahead>,
    pub open: Option<OpenAlert>,
    /// Since when the alert has been frozen, if it is.
    pub frozen_since: Option<DateTime<Utc>>,
    /// The objective, or a source, began so lately that no data is no news yet.
    pub starting: bool,
    pub rules: Rules,
}

/// What the period of a moment ahead holds of the counts up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    pub after: Duration,
    /// The time until then without what corrections leave out.
    pub counted: Duration,
    pub good: u64,
    pub bad: u64,
}

/// An open alert whose objective or rule is no longer defined.
#[derive(Debug, Clone, PartialEq)]
pub struct WithdrawnBudgetAlert {
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub tier: TierName,
    pub severity: Severity,
    pub open: OpenAlert,
    pub evidence: Evidence,
}

/// Decides. Same input, same answer: `input.now` is the only clock.
#[must_use]
pub fn evaluate_budget(input: &BudgetInput) -> Evaluation {
    let spending = spending(input);
    Evaluation {
        at: input.now,
        objective: input.objective.clone(),
        service: input.service.clone(),
        tier: input.alert.name.clone(),
        severity: input.alert.severity,
        open: input.open,
        frozen_since: input.frozen_since,
        decision: decide(input, &spending),
        evidence: Evidence::Budget(spending),
    }
}

/// Nothing is asked any more, so it is over.
#[must_use]
pub fn evaluate_withdrawn_budget(gone: WithdrawnBudgetAlert, now: DateTime<Utc>) -> Evaluation {
    let mut evidence = gone.evidence;
    if let Evidence::Budget(spending) = &mut evidence {
        spending.is_withdrawn = true;
    }
    Evaluation {
        at: now,
        objective: gone.objective,
        service: gone.service,
        tier: gone.tier,
        severity: gone.severity,
        open: Some(gone.open),
        frozen_since: None,
        decision: Decision::Resolve,
        evidence,
    }
}

fn decide(input: &BudgetInput, spending: &Spending) -> Decision {
    let (Some(window), Some(recent)) = (input.window.coverage(), input.recent.coverage()) else {
        return if input.starting && input.frozen_since.is_none() {
            Decision::Quiet
        } else {
            Decision::Freeze(Freeze::NoData)
        };
    };
    let coverage = window.min(recent);
    if coverage < input.rules.coverage_min {
        return Decision::Freeze(Freeze::Coverage(coverage));
    }
    if !is_over(input, spending.limit) {
        // A twelfth of the window, as of a tier whose long window it were.
        let window = input.alert.rule.look_back().unwrap_or(input.period);
        return calm(
            input.open,
            window / 12 * input.rules.clear_percent / 100,
            input.now,
        );
    }
    let is_enough = match (alpha(input, spending.limit), spending.chance) {
        (Some(alpha), Some(chance)) => chance <= alpha,
        _ => true,
    };
    if fires_already(input) || is_enough {
        Decision::Fire
    } else {
        Decision::Pend
    }
}

fn is_over(input: &BudgetInput, limit: Decimal) -> bool {
    Decimal::from(input.window.bad) > limit
}

fn fires_already(input: &BudgetInput) -> bool {
    input.open.is_some_and(|open| open.state == AlertState::Firing)
}

/// What there is to decide on.
#[must_use]
pub fn spending(input: &BudgetInput) -> Spending {
    let (limit, exhausts_at) = match input.alert.rule {
        BudgetRule::Remaining(share) => ((Decimal::ONE - share) * input.allowed, None),
        BudgetRule::Drop { share, .. } => (share * input.allowed, None),
        BudgetRule::Exhausted(_) => look_ahead(input),
    };
    let (total, bad) = (
        input.window.total().div_ceil(input.unit),
        input.window.bad / input.unit,
    );
    let ratio = limit
        .checked_div(Decimal::from(input.window.total()))
        .and_then(|ratio| ratio.to_f64())
        .unwrap_or(1.0);
    let alpha = alpha(input, limit).filter(|_| is_over(input, limit) && !fires_already(input));
    Spending {
        rule: input.alert.rule,
        remaining: input.remaining,
        spent: Decimal::from(input.window.bad)
            .checked_div(input.allowed)
            .unwrap_or_default()
            .round_dp(9)
            .normalize(),
        window: input.window.clone(),
        limit: limit.round_dp(9).normalize(),
        chance: alpha.map(|_| evidence::chance(total, bad, ratio)),
        bad_needed: alpha
            .and_then(|alpha| evidence::bad_needed(total, ratio, alpha))
            .map(|needed| needed * input.unit),
        exhausts_at,
        is_withdrawn: false,
    }
}

/// The fewest bad events in the window whose pace leaves nothing at one of the moments ahead, and the first moment at
/// which those there are do. Below zero: nothing would be left without any more.
fn look_ahead(input: &BudgetInput) -> (Decimal, Option<DateTime<Utc>>) {
    let millis = |span: Duration| Decimal::from(span.as_millis().max(1));
    let length = input.window.length().to_std().unwrap_or_default();
    let watched = millis(length.saturating_sub(input.left_out));
    let (total, bad) = (
        Decimal::from(input.window.total()),
        Decimal::from(input.window.bad),
    );
    let (mut least, mut exhausts_at) = (Decimal::MAX, None);
    for ahead in &input.ahead {
        // So many windows like the last one fit into the time ahead.
        let windows = millis(ahead.counted) / watched;
        let kept = Decimal::from(ahead.good.saturating_add(ahead.bad));
        let allowed = if input.is_fixed {
            input.allowed
        } else {
            input.target.budget() * (kept + total * windows)
        };
        let limit = (allowed - Decimal::from(ahead.bad)) / windows;
        if bad > limit && exhausts_at.is_none() {
            let after = TimeDelta::from_std(ahead.after).unwrap_or(TimeDelta::MAX);
            exhausts_at = input.now.checked_add_signed(after);
        }
        least = least.min(limit);
    }
    // What is spent already has no time to come.
    (least, exhausts_at.filter(|_| input.remaining > Decimal::ZERO))
}

/// `None` where nothing is left to be tested: what was spent is known.
fn alpha(input: &BudgetInput, limit: Decimal) -> Option<f64> {
    if matches!(input.alert.rule, BudgetRule::Remaining(_)) || limit < Decimal::ZERO {
        return None;
    }
    input.rules.evidence.alpha(input.alert.severity)
}
