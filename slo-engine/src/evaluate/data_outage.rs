//! Decides what the alert of an objective's missing data should be.
//!
//! While too little is watched nothing else of the objective resolves, and only its fast page fires: somebody has to
//! know. What nobody is expected to watch, or never was measured, is not missed; but what was missed while its source
//! was given up is, until somebody watches again.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{Decision, Evaluation, OpenAlert, Rules, calm, lasts};
use crate::alert::{AlertState, Evidence, Silent, Watched};
use crate::duration;
use crate::measurement::ServiceName;
use crate::objective::{ObjectiveName, Severity, TierName};
use crate::window::WindowCounts;

/// What the alert of missing data is called among an objective's tiers.
pub(crate) const DATA_OUTAGE: &str = "data-outage";

/// When missing data is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageRule {
    pub severity: Severity,
    /// How much of this time was watched is looked at.
    pub over: Duration,
    /// Fires when it was too little for so long.
    pub hold: Duration,
}

impl OutageRule {
    /// What is missing for so long is seen in as long a time, and in at least a minute: sources are late now and then.
    #[must_use]
    pub fn lasting(severity: Severity, hold: Duration) -> Self {
        Self {
            severity,
            over: hold.max(Duration::from_secs(60)),
            hold,
        }
    }
}

impl Default for OutageRule {
    fn default() -> Self {
        Self::lasting(Severity::Ticket, Duration::from_secs(300))
    }
}

/// What a definition says of missing data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingData {
    /// Below this coverage nothing of the objective resolves, and only its fast page fires.
    pub coverage_min: Decimal,
    /// `None`: nobody is told of it.
    pub outage: Option<OutageRule>,
}

/// As OpenSLO's annotation spells it, and as it is told from what was said before: a definition's fingerprint.
impl fmt::Display for MissingData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rule) = self.outage else {
            return f.write_str("off");
        };
        write!(
            f,
            "{} below {}% for {}",
            rule.severity,
            (self.coverage_min * Decimal::ONE_HUNDRED).normalize(),
            duration::format(rule.hold)
        )
    }
}

/// Everything that one decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct DataOutageInput {
    pub now: DateTime<Utc>,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub window: WindowCounts,
    /// Who should watch it and is silent, the longest silent first; only those it counts from, if there are such.
    pub silent: Vec<Silent>,
    /// Who watched it is silent, or was given up since the alert opened: nobody says that all is well.
    pub is_awaited: bool,
    pub open: Option<OpenAlert>,
    /// Since when the open alert is open.
    pub opened_at: Option<DateTime<Utc>>,
    /// The objective is no longer defined, or nobody is to be told of its missing data any more.
    pub withdrawn: bool,
    pub rules: Rules,
}

/// Decides. Same input, same answer.
#[must_use]
pub fn evaluate_data_outage(input: &DataOutageInput) -> Evaluation {
    Evaluation {
        at: input.now,
        objective: input.objective.clone(),
        service: input.service.clone(),
        tier: TierName::data_outage(),
        severity: input.rules.outage.severity,
        open: input.open,
        frozen_since: None,
        decision: decide(input),
        evidence: Evidence::Coverage(Watched {
            window: input.window.clone(),
            least: input.rules.coverage_min,
            silent: input.silent.clone(),
        }),
    }
}

fn decide(input: &DataOutageInput) -> Decision {
    let rule = &input.rules.outage;
    let is_missing = match input.window.coverage() {
        Some(coverage) => coverage < input.rules.coverage_min,
        None => input.open.is_some() && input.is_awaited,
    };
    if is_missing && !input.withdrawn {
        let fires = input.open.is_some_and(|open| open.state == AlertState::Firing);
        let since = input.opened_at.unwrap_or(input.now);
        return if fires || lasts(since, rule.hold, input.now) {
            Decision::Fire
        } else {
            Decision::Pend
        };
    }
    if input.withdrawn && input.open.is_some() {
        return Decision::Resolve;
    }
    calm(input.open, rule.over * input.rules.clear_percent / 100, input.now)
}
