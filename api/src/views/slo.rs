//! Objectives: where the budget stands, how fast it burns, and what each tier makes of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::alert::AlertState;
use slo_engine::evaluate::EvidenceGate;
use slo_engine::read;
use utoipa::ToSchema;

use super::alert::SpendingView;
use super::number::{coverage, epoch_seconds, measured, millis, number};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SloSummary {
    pub name: String,
    pub display_name: String,
    pub service: String,
    pub kind: SloKind,
    /// The person or team whose objective it is.
    pub owner: Option<String>,
    /// Where people read what to do when it alerts.
    pub runbook_url: Option<String>,
    /// The composite that spends its budget by what this SLO burns.
    pub part_of: Option<String>,
    /// Share of good events asked for, between 0 and 1.
    #[schema(example = 0.999)]
    pub target: f64,
    /// Of a latency objective: slower than this is bad.
    pub threshold_ms: Option<f64>,
    /// Nominal for a calendar's period: `period_from` and `period_to` are what it is.
    pub period_seconds: u64,
    pub period_from: DateTime<Utc>,
    pub period_to: DateTime<Utc>,
    /// Where the counts of the period begin: later than `period_from` for an SLI that is younger, and was not measured before.
    pub counted_from: DateTime<Utc>,
    /// While the SLI is counted back from what was measured before it was defined; null when that is done.
    pub backfill: Option<BackfillView>,
    /// What histograms tell of the part of the period before `counted_from`, for a latency threshold that was not counted then.
    /// None of the other numbers, and no alert, has anything of it. Null where there is nothing to tell.
    pub estimated: Option<EstimateView>,
    /// OpenSLO's: `Occurrences`, `Timeslices` or `RatioTimeslices`; `Composite` where its parts are counted.
    pub budgeting_method: String,
    /// Length of the slices that are counted instead of requests.
    pub slice_seconds: Option<u64>,
    /// All counts of this SLO are in parts of which so many make an event: 1, or 1000000000 where slices are partly
    /// good, 1000000000000 where a composite counts shares of the whole.
    pub unit: u64,
    pub good: u64,
    pub bad: u64,
    /// Events of the period that are known to have been lost.
    pub lost: u64,
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
    /// When the budget ends if it goes on burning as it does now; null when it does not end, or is gone already.
    pub exhausts_at: Option<DateTime<Utc>>,
}

/// How far an SLI is counted back; the newest comes first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackfillView {
    /// Where it is to end.
    pub from: DateTime<Utc>,
    /// Later than this all is counted.
    pub done_to: DateTime<Utc>,
    /// Of the time that is to be counted back, between 0 and 1.
    pub share: f64,
}

impl From<read::Backfill> for BackfillView {
    fn from(backfill: read::Backfill) -> Self {
        Self {
            from: backfill.from,
            done_to: backfill.done_to,
            share: number(backfill.share()),
        }
    }
}

/// An interval that the truth lies in: it is not known more exactly how many were within the threshold.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EstimateView {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub good_min: u64,
    pub good_max: u64,
    pub bad_min: u64,
    pub bad_max: u64,
    /// Share of good events of this time; null when it may be that none counts.
    pub sli_min: Option<f64>,
    pub sli_max: Option<f64>,
    /// Share of the budget left of the whole period: what was counted, and this.
    pub budget_remaining_min: f64,
    pub budget_remaining_max: f64,
}

impl From<read::Estimate> for EstimateView {
    fn from(estimate: read::Estimate) -> Self {
        Self {
            from: estimate.from,
            to: estimate.to,
            good_min: estimate.good_min,
            good_max: estimate.good_max,
            bad_min: estimate.bad_min,
            bad_max: estimate.bad_max,
            sli_min: estimate.sli_min.map(number),
            sli_max: estimate.sli_max.map(number),
            budget_remaining_min: number(estimate.budget_remaining_min),
            budget_remaining_max: number(estimate.budget_remaining_max),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SloKind {
    Availability,
    Latency,
    Ratio,
    /// Of segments with data, those that had to be sent again are bad.
    Retransmits,
    /// Burns what its parts burn, each times its weight.
    Composite,
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
    /// Of a composite, as its definition has them.
    pub parts: Vec<PartView>,
    pub tiers: Vec<TierView>,
    /// Null: turned off.
    pub fast_page: Option<FastPageView>,
    /// Alerts on what is left of the budget: none unless the definition states one.
    pub budget_alerts: Vec<BudgetAlertView>,
    /// How much evidence tiers and alerts on the budget take; null: none, ratios alone decide.
    pub evidence_gate: Option<EvidenceGateView>,
}

/// They fire when the chance of so many bad events is at most this, were it burning at the threshold exactly.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceGateView {
    #[schema(example = 0.01)]
    pub page: f64,
    #[schema(example = 0.05)]
    pub ticket: f64,
}

impl EvidenceGateView {
    fn of(gate: EvidenceGate) -> Option<Self> {
        match gate {
            EvidenceGate::Off => None,
            EvidenceGate::At { page, ticket } => Some(Self {
                page: number(page),
                ticket: number(ticket),
            }),
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BudgetAlertView {
    #[schema(example = "budget-remaining-20")]
    pub name: String,
    /// `page` or `ticket`.
    pub severity: String,
    pub spending: SpendingView,
    /// State of its open alert, `frozen` while too little is measured, or `ok`.
    pub state: String,
    pub frozen_since: Option<DateTime<Utc>>,
}

/// An SLO that a composite is made of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartView {
    pub name: String,
    /// How many times its burn counts in the whole.
    pub weight: f64,
}

/// A sequential test on every count as it comes in.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FastPageView {
    /// Of the outage that it looks for.
    pub burn_rate: f64,
    /// At most so many a year while the objective is just met and errors are independent.
    pub false_pages_a_year: f64,
    /// Events a second, over the hour before, below which it keeps quiet.
    pub rate_min: f64,
    /// The fewest bad events that page.
    pub bad_needed: u64,
    /// From 0, nothing speaks for an outage, to 1, which pages.
    pub evidence: f64,
    /// `firing` or `ok`.
    pub state: String,
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
    /// Null while nothing was counted in the window.
    pub burn_rate_long: Option<f64>,
    pub burn_rate_short: Option<f64>,
    /// State of the tier's open alert, `frozen` while too little is measured, or `ok`.
    pub state: String,
    pub frozen_since: Option<DateTime<Utc>>,
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
    /// Null where nobody was expected to measure.
    pub coverage: Vec<Option<f64>>,
}

impl From<read::Slo> for SloSummary {
    fn from(slo: read::Slo) -> Self {
        Self {
            name: slo.name.to_string(),
            display_name: slo.display_name,
            service: slo.service.to_string(),
            kind: slo.kind.into(),
            owner: slo.ownership.owner.map(|owner| owner.to_string()),
            runbook_url: slo.ownership.runbook_url.map(|url| url.to_string()),
            part_of: slo.part_of.map(|name| name.to_string()),
            target: number(slo.target.ratio()),
            threshold_ms: slo
                .threshold
                .map(|threshold| millis(threshold.as_secs_f64() * 1_000.0)),
            period_seconds: slo.period.as_secs(),
            period_from: slo.period_from,
            period_to: slo.period_to,
            counted_from: slo.counts.from.max(slo.period_from),
            backfill: slo.backfill.map(BackfillView::from),
            estimated: slo.estimated.map(EstimateView::from),
            budgeting_method: slo.method,
            slice_seconds: slo.slice.map(|slice| slice.as_secs()),
            unit: slo.unit,
            good: slo.counts.good,
            bad: slo.counts.bad,
            lost: slo.counts.lost,
            sli: slo.sli.map(number),
            budget_remaining: measured(&slo.counts).then(|| number(slo.budget_remaining)),
            budget_spent_events: slo.budget_spent_events,
            budget_total_events: number(slo.budget_total_events),
            burn: slo.burn.into_iter().map(BurnView::from).collect(),
            state: slo.state.into(),
            coverage: coverage(&slo.counts),
            exhausts_at: slo.exhausts_at,
        }
    }
}

impl From<read::Slo> for SloDetail {
    fn from(mut slo: read::Slo) -> Self {
        let description = std::mem::take(&mut slo.description);
        let parts = std::mem::take(&mut slo.parts)
            .into_iter()
            .map(|part| PartView {
                name: part.objective.to_string(),
                weight: number(part.weight.value()),
            })
            .collect();
        let tiers = std::mem::take(&mut slo.tiers)
            .into_iter()
            .map(|tier| TierView::new(tier, &slo.burn))
            .collect();
        let evidence_gate = EvidenceGateView::of(slo.evidence);
        let fast_page = slo.fast_page.take().map(FastPageView::from);
        let budget_alerts = std::mem::take(&mut slo.budget_alerts)
            .into_iter()
            .map(BudgetAlertView::from)
            .collect();
        Self {
            summary: slo.into(),
            description,
            parts,
            tiers,
            fast_page,
            budget_alerts,
            evidence_gate,
        }
    }
}

/// Of nothing counted there is no rate.
fn burn_rate(burn: &read::Burn) -> Option<f64> {
    (burn.counts.total() > 0).then(|| number(burn.burn_rate))
}

impl From<read::Burn> for BurnView {
    fn from(burn: read::Burn) -> Self {
        Self {
            window_seconds: burn.window.as_secs(),
            burn_rate: burn_rate(&burn),
            good: burn.counts.good,
            bad: burn.counts.bad,
            coverage: coverage(&burn.counts),
        }
    }
}

impl TierView {
    /// `burn` has the windows of all tiers.
    fn new(tier: read::TierState, burn: &[read::Burn]) -> Self {
        let over = |window| burn.iter().find(|burn| burn.window == window);
        Self {
            name: tier.name.to_string(),
            severity: tier.severity.to_string(),
            long_seconds: tier.long.as_secs(),
            short_seconds: tier.short.as_secs(),
            burn_rate_threshold: number(tier.threshold.value()),
            burn_rate_long: over(tier.long).and_then(burn_rate),
            burn_rate_short: over(tier.short).and_then(burn_rate),
            state: state_word(tier.state, tier.frozen_since),
            frozen_since: tier.frozen_since,
        }
    }
}

fn state_word(state: Option<AlertState>, frozen_since: Option<DateTime<Utc>>) -> String {
    match (frozen_since, state) {
        (Some(_), _) => "frozen",
        (None, Some(state)) => state.as_str(),
        (None, None) => "ok",
    }
    .to_owned()
}

impl From<read::BudgetAlertState> for BudgetAlertView {
    fn from(alert: read::BudgetAlertState) -> Self {
        Self {
            name: alert.name.to_string(),
            severity: alert.severity.to_string(),
            spending: alert.spending.into(),
            state: state_word(alert.state, alert.frozen_since),
            frozen_since: alert.frozen_since,
        }
    }
}

impl From<read::FastPageState> for FastPageView {
    fn from(state: read::FastPageState) -> Self {
        Self {
            burn_rate: number(state.page.burn_rate.value()),
            false_pages_a_year: number(state.page.false_pages_a_year),
            rate_min: number(state.page.rate_min),
            bad_needed: state.bad_needed,
            evidence: state.evidence,
            state: state.state.map_or("ok", |state| state.as_str()).to_owned(),
        }
    }
}

impl SloSeriesView {
    pub fn new(course: read::SloCourse, step_seconds: u64) -> Self {
        let numbers = |column: Vec<Option<_>>| column.into_iter().map(|value| value.map(number)).collect();
        Self {
            step_seconds,
            at: epoch_seconds(&course.at),
            budget_remaining: numbers(course.budget_remaining),
            burn_rate: numbers(course.burn_rate),
            good: course.good,
            bad: course.bad,
            coverage: numbers(course.coverage),
        }
    }
}

impl From<read::SloKind> for SloKind {
    fn from(kind: read::SloKind) -> Self {
        match kind {
            read::SloKind::Availability => Self::Availability,
            read::SloKind::Latency => Self::Latency,
            read::SloKind::Ratio => Self::Ratio,
            read::SloKind::Retransmits => Self::Retransmits,
            read::SloKind::Composite => Self::Composite,
        }
    }
}

impl From<read::SloState> for SloState {
    fn from(state: read::SloState) -> Self {
        match state {
            read::SloState::Ok => Self::Ok,
            read::SloState::NoData => Self::NoData,
            read::SloState::Burning => Self::Burning,
            read::SloState::Exhausted => Self::Exhausted,
            read::SloState::Firing => Self::Firing,
        }
    }
}
