//! What the engine knows, shaped for reading.
//!
//! In: a pool and the time to look from. Out: plain values, without JSON: the face decides on that.
//! Numbers come from the same SQL functions that `psql` has.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::alert::{Acknowledgement, AlertId, AlertState, Evidence, Spending};
use crate::annotation::{AnnotationId, AnnotationKind};
use crate::composite::Part;
use crate::correction::{CorrectionId, CorrectionKind};
use crate::evaluate::EvidenceGate;
use crate::measurement::{Role, Route, ServiceName, SourceId};
use crate::objective::{BurnRate, ObjectiveName, Severity, Target, TierName};
use crate::ownership::Ownership;
use crate::sequential::FastPage;
use crate::silence::SilenceId;
use crate::window::WindowCounts;

mod alert;
mod correction;
mod estimate;
mod event;
mod ownership;
mod service;
mod service_counts;
mod silence;
mod slo;
mod tcp;

pub use alert::{alert, alerts};
pub use correction::{annotations, correction, corrections, left_out};
pub use event::events;
pub use ownership::ownerships;
pub use service::{service, services, sources};
pub(crate) use silence::active_silences;
pub use silence::{Alerting, alerting, silence, silences};
pub use slo::{COURSE_MAX, slo, slo_series, slos};
pub use tcp::{Tcp, TcpTotals, tcp_totals};

/// Who counts, and how far behind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub host: String,
    pub first_contact_at: DateTime<Utc>,
    /// When the newest batch was measured that is booked as a whole: where many counters move, those that are calm are booked once
    /// a slot.
    pub last_at: DateTime<Utc>,
    pub lag_ms: i64,
    /// It is silent when it is further behind.
    pub patience_ms: i64,
    /// Its clock is ahead of ours by this much.
    pub offset_ms: i64,
    pub state: SourceState,
}

crate::measurement::words!(
    SourceState, "source state", {
        /// Its silence is a gap.
        Expected => "expected",
        /// It left in an orderly way.
        Goodbye => "goodbye",
        /// It was silent for too long, or another source took its host.
        Retired => "retired",
    }
);

/// A service over one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: ServiceName,
    /// Why its latest endpoint carries this name.
    pub because: Option<String>,
    pub endpoints: Vec<Endpoint>,
    pub requests: u64,
    /// 5xx, resets, closes without an answer, timeouts.
    pub errors: u64,
    pub requests_per_second: f64,
    pub error_ratio: Option<f64>,
    /// Turnaround, server role; client role for a service that is only called.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub retransmits_per_second: f64,
    pub rtt_ms: Option<f64>,
    pub in_flight: Option<f64>,
    pub overdue: Option<f64>,
    pub coverage: Option<Decimal>,
    pub objectives: Vec<ObjectiveName>,
    pub worst_state: SloState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub port: u16,
    pub cgroup: String,
    pub executable: Option<String>,
    pub source: SourceId,
    pub because: String,
    pub first_seen_at: DateTime<Utc>,
    /// To the minute.
    pub last_seen_at: DateTime<Utc>,
    /// When its source looked and nobody listened there any more.
    pub gone_at: Option<DateTime<Utc>>,
}

/// A service with its course over the window and its routes.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceDetail {
    pub service: Service,
    /// What requests waited until the server read them, of all routes; `None` where no kernel tells.
    pub queue_p50_ms: Option<f64>,
    pub queue_p99_ms: Option<f64>,
    /// From the first byte of a request to the last of its answer; `None` unless an objective is on that clock.
    pub last_byte_p50_ms: Option<f64>,
    pub last_byte_p99_ms: Option<f64>,
    pub course: ServiceCourse,
    pub routes: Vec<RouteCounts>,
    /// Its connections: as a server those it accepts, as a client those it opens to others.
    pub tcp: BTreeMap<Role, Tcp>,
}

/// An alert on the budget, and what it looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetAlertState {
    pub name: TierName,
    pub severity: Severity,
    pub spending: Spending,
    /// The open alert's; `None` when none is open.
    pub state: Option<AlertState>,
    pub frozen_since: Option<DateTime<Utc>>,
}

/// Columns of equal length; `at` is the end of each step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceCourse {
    pub step: Duration,
    pub at: Vec<DateTime<Utc>>,
    pub requests: Vec<u64>,
    pub errors: Vec<u64>,
    pub p50_ms: Vec<Option<f64>>,
    pub p99_ms: Vec<Option<f64>>,
    /// Of what requests waited until the server read them.
    pub queue_p99_ms: Vec<Option<f64>>,
    pub retransmits: Vec<u64>,
    /// `None`: nobody was expected to watch.
    pub coverage: Vec<Option<f64>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RouteCounts {
    pub route: Route,
    pub requests: u64,
    pub errors: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// By exact status code.
    pub statuses: Vec<(u16, u64)>,
}

/// An objective over its period.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    pub name: ObjectiveName,
    pub display_name: String,
    pub description: String,
    pub service: ServiceName,
    pub kind: SloKind,
    /// Of a composite.
    pub parts: Vec<Part>,
    /// The composite that this objective is a part of.
    pub part_of: Option<ObjectiveName>,
    pub target: Target,
    pub threshold: Option<Duration>,
    /// Nominal where a calendar says otherwise.
    pub period: Duration,
    /// The period that the numbers are of; one of a calendar is not over yet.
    pub period_from: DateTime<Utc>,
    pub period_to: DateTime<Utc>,
    /// While the SLI is counted back from what was measured before it was defined.
    pub backfill: Option<Backfill>,
    /// The part of the period that lies before its counts begin, where histograms tell of it.
    pub estimated: Option<Estimate>,
    /// OpenSLO's budgeting method, or `Composite`.
    pub method: String,
    /// What all counts here count: 1, requests or slices; else the parts of a slice, or of the whole.
    pub unit: u64,
    pub slice: Option<Duration>,
    /// Of the period.
    pub counts: WindowCounts,
    /// Share of good events; `None` when nothing was counted.
    pub sli: Option<Decimal>,
    /// 1: all left. Below 0: overspent.
    pub budget_remaining: Decimal,
    pub budget_spent_events: u64,
    pub budget_total_events: Decimal,
    /// Every window of the tiers, short before long.
    pub burn: Vec<Burn>,
    pub state: SloState,
    /// At the burn rate of the first tier's long window; `None` when that does not spend the budget
    /// within a period, or when nothing of it is left.
    pub exhausts_at: Option<DateTime<Utc>>,
    pub tiers: Vec<TierState>,
    pub fast_page: Option<FastPageState>,
    pub budget_alerts: Vec<BudgetAlertState>,
    pub ownership: Ownership,
    /// What tiers and alerts on the budget take.
    pub evidence: EvidenceGate,
}

crate::measurement::words!(
    SloKind, "kind of SLO", {
        Availability => "availability",
        Latency => "latency",
        Ratio => "ratio",
        Retransmits => "retransmits",
        /// What its parts burn.
        Composite => "composite",
    }
);

crate::measurement::words!(
    /// Worst last.
    SloState, "SLO state", {
        Ok => "ok",
        NoData => "no_data",
        /// The first tier's long window spends faster than the period allows.
        Burning => "burning",
        /// The period's budget is spent.
        Exhausted => "exhausted",
        Firing => "firing",
    }
);

/// How far an SLI is counted back. The newest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    pub from: DateTime<Utc>,
    /// Later than this all is counted.
    pub done_to: DateTime<Utc>,
    /// When the SLI was defined.
    pub to: DateTime<Utc>,
}

impl Backfill {
    /// Of the time between, the share that is counted.
    #[must_use]
    pub fn share(&self) -> Decimal {
        let span = |from: DateTime<Utc>| Decimal::from((self.to - from).num_seconds().max(0));
        span(self.done_to)
            .checked_div(span(self.from))
            .map_or(Decimal::ONE, |share| {
                share.min(Decimal::ONE).round_dp(4).normalize()
            })
    }
}

/// What a threshold that is younger than the period would have counted before it was counted, told from histograms: the
/// truth lies between. Nothing decides on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub good_min: u64,
    pub good_max: u64,
    pub bad_min: u64,
    pub bad_max: u64,
    /// `None` when it may be that nothing was counted.
    pub sli_min: Option<Decimal>,
    pub sli_max: Option<Decimal>,
    /// Of the whole period: with what was counted.
    pub budget_remaining_min: Decimal,
    pub budget_remaining_max: Decimal,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    pub window: Duration,
    pub burn_rate: Decimal,
    pub counts: WindowCounts,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TierState {
    pub name: TierName,
    pub severity: Severity,
    pub long: Duration,
    pub short: Duration,
    pub threshold: BurnRate,
    pub burn_rate_long: Decimal,
    pub burn_rate_short: Decimal,
    /// The open alert's; `None` when none is open.
    pub state: Option<AlertState>,
    pub frozen_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FastPageState {
    pub page: FastPage,
    /// The fewest bad events that page.
    pub bad_needed: u64,
    /// How far the statistic is on its way to a page: 0 on a calm day, 1 pages.
    pub evidence: f64,
    /// The open alert's; `None` when none is open.
    pub state: Option<AlertState>,
}

/// Columns of equal length; `at` is the end of each step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SloCourse {
    pub at: Vec<DateTime<Utc>>,
    /// Of the period that ends at the step's end.
    pub budget_remaining: Vec<Option<Decimal>>,
    /// Of the step.
    pub burn_rate: Vec<Option<Decimal>>,
    pub good: Vec<u64>,
    pub bad: Vec<u64>,
    pub coverage: Vec<Option<Decimal>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub id: AlertId,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub tier: TierName,
    pub severity: Severity,
    pub state: AlertState,
    pub opened_at: DateTime<Utc>,
    pub fired_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// Of the latest transition.
    pub evidence: Evidence,
    /// Of the transition to firing, also when it is over. `None`: it never fired, or did before this was kept.
    pub fired_on: Option<Evidence>,
    /// What silences it, or did when it resolved.
    pub silenced_by: Option<SilenceId>,
    /// The page of a dependency that inhibits it, or did when it resolved.
    pub inhibited_by: Option<AlertId>,
    pub acknowledged: Option<Acknowledgement>,
    pub traceparent: Option<String>,
    /// As the objective's definition says now.
    pub ownership: Ownership,
    /// What one event is in the counts of its evidence.
    pub unit: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    pub id: i64,
    pub at: DateTime<Utc>,
    /// An [`EventKind`](crate::event::EventKind), or one that only a newer release knows.
    pub kind: String,
    pub subject: String,
    pub message: String,
    pub data: serde_json::Value,
    pub traceparent: Option<String>,
}

/// Time that an objective does not count, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    pub id: CorrectionId,
    pub objective: ObjectiveName,
    pub kind: CorrectionKind,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub recurs: Option<Recurs>,
    pub author: String,
    pub comment: String,
    pub created_at: DateTime<Utc>,
    /// When and by whom it was undone: then it leaves out nothing.
    pub undone: Option<(DateTime<Utc>, String)>,
    /// When it holds, in the time that was asked for.
    pub spans: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

/// How a correction recurs, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurs {
    pub rule: String,
    pub zone: String,
    pub exdate: Vec<String>,
    pub rdate: Vec<String>,
}

/// What corrections leave out, overlaps counted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// The rows of the ledger that the edges stand for; `None` before the first.
    pub counted_from: Option<DateTime<Utc>>,
    pub counted_to: Option<DateTime<Utc>>,
    pub good: i64,
    pub bad: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub id: AnnotationId,
    pub service: ServiceName,
    pub at: DateTime<Utc>,
    pub kind: AnnotationKind,
    pub text: String,
    pub author: String,
    pub created_at: DateTime<Utc>,
}
