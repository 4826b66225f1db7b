//! Alerts and the counts they stand on.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::alert::{Burning, Evidence, PartOfEvidence, Spending};
use slo_engine::read;
use slo_engine::window::WindowCounts;
use utoipa::ToSchema;

use super::number::{chance, coverage, number, trace_id};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AlertView {
    pub id: i64,
    pub objective: String,
    pub service: String,
    pub tier: String,
    /// `page` or `ticket`.
    pub severity: String,
    /// `pending`, `firing` or `resolved`.
    pub state: String,
    pub opened_at: DateTime<Utc>,
    pub fired_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub evidence: EvidenceView,
    /// What it fired on; null until it does, and of alerts that fired before this was kept.
    pub fired_on: Option<EvidenceView>,
    /// The silence that holds now, or did when the alert resolved.
    pub silenced_by: Option<i64>,
    /// The page of a service it depends on that inhibits it, or did when it resolved.
    pub inhibited_by: Option<i64>,
    pub acknowledged: Option<AcknowledgementView>,
    /// The person or team whose objective it is, as its definition says now.
    pub owner: Option<String>,
    /// Where people read what to do about it.
    pub runbook_url: Option<String>,
    /// Counts of its evidence are in parts of which so many make an event, as those of its SLO.
    pub unit: u64,
    pub trace_id: Option<String>,
}

/// Who takes care of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AcknowledgementView {
    pub at: DateTime<Utc>,
    pub by: String,
    pub note: String,
}

/// What the last transition was decided on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceView {
    /// `windows`; `sequential`: both windows are the span since errors began; `coverage`: both are the time that was
    /// looked at, and the threshold is the least share of it that is to be watched; `budget`: both are what the rule
    /// looks back on, and the threshold is the bad events of it that do not fire yet.
    pub test: String,
    pub long: WindowCountsView,
    pub short: WindowCountsView,
    /// Null where nothing was counted, and of `coverage` and `budget`.
    pub burn_rate_long: Option<f64>,
    pub burn_rate_short: Option<f64>,
    pub threshold: f64,
    /// `windows`: the chance of at least this many bad events if it burned at the threshold exactly.
    /// `sequential`: the most that the chance of such counts can be while the objective is met.
    pub chance: Option<f64>,
    /// Bad events in the long window that would be evidence enough; of a sequential test, the fewest. Null of a composite
    /// that counts shares of a whole: its parts' counts are weighed.
    pub bad_needed: Option<u64>,
    /// What each part of such a composite counted over the long window, and what would be evidence.
    pub parts: Vec<PartOfEvidenceView>,
    /// Of `coverage`: the hosts that should watch and are silent, the longest silent first.
    pub silent: Vec<String>,
    /// Of `budget` alone.
    pub budget: Option<SpendingView>,
}

/// One part of a composite, in what its alert stands on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartOfEvidenceView {
    pub objective: String,
    pub weight: f64,
    /// How fast the part itself burns; the whole burns so much of it as it weighs. Null where nothing was counted.
    pub burn_rate: Option<f64>,
    pub good: u64,
    pub bad: u64,
    /// Bad events of this part that would be evidence enough beside what the others counted; 0 where theirs are without it.
    /// Null where not even all that it counted would be, and where nothing was to be decided.
    pub bad_needed: Option<u64>,
    /// Its counts are in parts of which so many make an event.
    pub unit: u64,
}

impl From<PartOfEvidence> for PartOfEvidenceView {
    fn from(part: PartOfEvidence) -> Self {
        Self {
            objective: part.objective.to_string(),
            weight: number(part.weight.value()),
            burn_rate: (part.good + part.bad > 0).then(|| number(part.burn_rate)),
            good: part.good,
            bad: part.bad,
            bad_needed: part.bad_needed,
            unit: part.unit,
        }
    }
}

/// What is left of a budget, and what an alert on it makes of that.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SpendingView {
    /// `remaining`, `exhausted within` or `drop`, as definitions spell it.
    #[schema(example = "drop 10% within 1d")]
    pub rule: String,
    /// One sentence that says where it stands.
    pub says: String,
    /// Share of the period's budget that is left; below 0 it is overspent.
    pub remaining: f64,
    /// Share of it that was spent in the time the rule looks back on.
    pub spent: f64,
    /// Bad events of that time, and more than how many fire. Below 0: nothing would be left without any more.
    pub bad: u64,
    pub limit: f64,
    /// When nothing is left at that time's pace; null when that is later than the rule looks.
    pub exhausts_at: Option<DateTime<Utc>>,
}

impl From<Spending> for SpendingView {
    fn from(spending: Spending) -> Self {
        Self {
            rule: spending.rule.to_string(),
            says: spending.to_string(),
            remaining: number(spending.remaining),
            spent: number(spending.spent),
            bad: spending.window.bad,
            limit: number(spending.limit),
            exhausts_at: spending.exhausts_at,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WindowCountsView {
    pub good: u64,
    pub bad: u64,
    /// The edges used: a window rounds back to the rows that were kept.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub coverage: Option<f64>,
    /// Counts known to be lost.
    pub lost: u64,
}

impl From<read::Alert> for AlertView {
    fn from(alert: read::Alert) -> Self {
        Self {
            id: alert.id.0,
            objective: alert.objective.to_string(),
            service: alert.service.to_string(),
            tier: alert.tier.to_string(),
            severity: alert.severity.to_string(),
            state: alert.state.to_string(),
            opened_at: alert.opened_at,
            fired_at: alert.fired_at,
            resolved_at: alert.resolved_at,
            evidence: alert.evidence.into(),
            fired_on: alert.fired_on.map(Into::into),
            silenced_by: alert.silenced_by.map(|id| id.0),
            inhibited_by: alert.inhibited_by.map(|id| id.0),
            acknowledged: alert.acknowledged.map(|said| AcknowledgementView {
                at: said.at,
                by: said.by,
                note: said.note,
            }),
            owner: alert.ownership.owner.map(|owner| owner.to_string()),
            runbook_url: alert.ownership.runbook_url.map(|url| url.to_string()),
            unit: alert.unit,
            trace_id: trace_id(alert.traceparent.as_deref()),
        }
    }
}

impl From<Evidence> for EvidenceView {
    fn from(evidence: Evidence) -> Self {
        match evidence {
            Evidence::Windows(burning) => Self::burning("windows", burning),
            Evidence::Sequential(burning) => Self::burning("sequential", burning),
            Evidence::Coverage(watched) => Self {
                test: "coverage".to_owned(),
                long: watched.window.clone().into(),
                short: watched.window.into(),
                burn_rate_long: None,
                burn_rate_short: None,
                threshold: number(watched.least),
                chance: None,
                bad_needed: None,
                parts: Vec::new(),
                silent: watched.silent.into_iter().map(|silent| silent.host).collect(),
                budget: None,
            },
            Evidence::Budget(spending) => Self {
                test: "budget".to_owned(),
                long: spending.window.clone().into(),
                short: spending.window.clone().into(),
                burn_rate_long: None,
                burn_rate_short: None,
                threshold: number(spending.limit),
                chance: spending.chance.map(chance),
                bad_needed: spending.bad_needed,
                parts: Vec::new(),
                silent: Vec::new(),
                budget: Some(spending.into()),
            },
        }
    }
}

impl EvidenceView {
    fn burning(test: &str, burning: Burning) -> Self {
        let rate = |counts: &WindowCounts, rate| (counts.total() > 0).then(|| number(rate));
        Self {
            test: test.to_owned(),
            burn_rate_long: rate(&burning.long, burning.burn_rate_long),
            burn_rate_short: rate(&burning.short, burning.burn_rate_short),
            long: burning.long.into(),
            short: burning.short.into(),
            threshold: number(burning.threshold.value()),
            chance: burning.chance.map(chance),
            bad_needed: burning.bad_needed,
            parts: burning.parts.into_iter().map(Into::into).collect(),
            silent: Vec::new(),
            budget: None,
        }
    }
}

impl From<WindowCounts> for WindowCountsView {
    fn from(counts: WindowCounts) -> Self {
        Self {
            coverage: coverage(&counts),
            good: counts.good,
            bad: counts.bad,
            from: counts.from,
            to: counts.to,
            lost: counts.lost,
        }
    }
}
