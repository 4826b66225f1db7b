//! The life of an alert: one per objective and tier at a time.
//!
//! In: what evaluation found. Out: the next state, and the fact to record. Nothing here does anything
//! about an alert: whoever records a [`Transition`] decides that.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::budget_alert::BudgetRule;
use crate::composite::Weight;
use crate::duration;
use crate::engine::EngineError;
use crate::measurement::{ServiceName, words};
use crate::objective::{BurnRate, ObjectiveName, Severity, TierName};
use crate::text::UnfitText;
use crate::window::WindowCounts;

/// Identity of an alert in the database; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertId(pub i64);

impl std::fmt::Display for AlertId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

words!(
    AlertState, "alert state", {
        /// Burning, but the counts are too few to tell from chance, or not for as long as its tier waits.
        Pending => "pending",
        /// Burning, and the counts say so.
        Firing => "firing",
        /// Over.
        Resolved => "resolved",
    }
);

/// A change of an alert's state, as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub alert_id: AlertId,
    pub objective: ObjectiveName,
    pub service: ServiceName,
    pub tier: TierName,
    pub severity: Severity,
    /// `None`: the alert is new.
    pub from: Option<AlertState>,
    pub to: AlertState,
    pub at: DateTime<Utc>,
    pub evidence: Evidence,
    /// The trace that the alert opened, or joined.
    pub traceparent: Option<String>,
}

/// Who takes care of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    pub at: DateTime<Utc>,
    pub by: String,
    pub note: String,
}

/// Why an alert cannot be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    #[error(transparent)]
    Text(#[from] UnfitText),
    #[error("there is no alert {0}")]
    Unknown(AlertId),
    #[error("alert {0} is resolved")]
    Resolved(AlertId),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for AcknowledgeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// What a decision rests on, kept with the alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The burn rates of two windows.
    Windows(Burning),
    /// Every count as it came in, since errors began: both windows are that span.
    Sequential(Burning),
    /// How much of the time was watched.
    Coverage(Watched),
    /// What is left of the budget.
    Budget(Spending),
}

/// How fast two windows burn, and whether their counts tell that from chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Burning {
    pub long: WindowCounts,
    pub short: WindowCounts,
    pub burn_rate_long: Decimal,
    pub burn_rate_short: Decimal,
    pub threshold: BurnRate,
    /// Chance of at least this many bad events in the long window if it burned at the threshold
    /// exactly. `None` when the tier asks for no evidence, or the decision needed none.
    pub chance: Option<f64>,
    /// Bad events in the long window that would be evidence enough. `None` as above.
    pub bad_needed: Option<u64>,
    /// What one event is in the counts: 1, or the billionths of a slice, or the parts of a composite's whole.
    pub unit: u64,
    /// Of a composite that counts shares of a whole: what each of its parts counted, which is what was weighed.
    pub parts: Vec<PartOfEvidence>,
}

/// What one part of a composite adds to the evidence of the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PartOfEvidence {
    pub objective: ObjectiveName,
    pub weight: Weight,
    /// How fast the part itself burns over the long window; the whole burns so much of it as it weighs.
    pub burn_rate: Decimal,
    pub good: u64,
    pub bad: u64,
    /// Bad events of this part that would be evidence enough beside what the others counted; 0: theirs are already. `None`: not
    /// even all of its events would be, or nothing was to be decided.
    pub bad_needed: Option<u64>,
    /// What one event is in its counts: 1, or the billionths of a slice.
    pub unit: u64,
}

impl Burning {
    /// How much of a window was bad, as people count: events where they are counted, else their share.
    #[must_use]
    pub fn bad_of(&self, window: &WindowCounts) -> String {
        if self.unit == 1 {
            return format!("{} of {} events", window.bad, window.total());
        }
        let share = window.error_ratio().unwrap_or_default() * Decimal::ONE_HUNDRED;
        format!("{} %", share.round_sf(3).unwrap_or(share).normalize())
    }
}

/// How much of a window was watched, and how much of it is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    pub window: WindowCounts,
    /// The least coverage that is enough.
    pub least: Decimal,
    /// Who should watch it and is silent, the longest silent first.
    pub silent: Vec<Silent>,
}

/// A source that is expected and has not been heard of for longer than patience lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The source's id.
    pub source: String,
    /// The host it runs on, for people.
    pub host: String,
}

/// What is left of a budget, and what a window spent of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    pub rule: BudgetRule,
    /// The share of the period's budget that is left; below 0 it is overspent.
    pub remaining: Decimal,
    /// The share of it that the window spent.
    pub spent: Decimal,
    /// What the rule looks back on.
    pub window: WindowCounts,
    /// Fires at more bad events in the window.
    pub limit: Decimal,
    /// As of [`Burning`], with the limit for a threshold; `None` also where what was spent is known.
    pub chance: Option<f64>,
    pub bad_needed: Option<u64>,
    /// When nothing is left at the window's pace, of a rule that looks ahead; `None` also where nothing is left now.
    pub exhausts_at: Option<DateTime<Utc>>,
    /// No definition states the rule any more: the rest is as it was when one last did.
    pub is_withdrawn: bool,
}

impl Spending {
    /// What is said of the objective when the alert is over.
    #[must_use]
    pub fn over(&self) -> String {
        let says = match self.rule {
            _ if self.is_withdrawn => return format!("no longer states an alert at `{}`", self.rule),
            BudgetRule::Remaining(_) => "has budget again",
            BudgetRule::Drop { .. } => "no longer spends its budget so fast",
            BudgetRule::Exhausted(_) => "no longer runs out of budget so soon",
        };
        format!("{says}: {self}")
    }
}

impl Evidence {
    /// The counts of the widest window that was looked at.
    #[must_use]
    pub fn counts(&self) -> &WindowCounts {
        match self {
            Self::Windows(burning) | Self::Sequential(burning) => &burning.long,
            Self::Coverage(watched) => &watched.window,
            Self::Budget(spending) => &spending.window,
        }
    }

    /// `None` when burn rates were not what was decided on.
    #[must_use]
    pub fn burning(&self) -> Option<&Burning> {
        match self {
            Self::Windows(burning) | Self::Sequential(burning) => Some(burning),
            Self::Coverage(_) | Self::Budget(_) => None,
        }
    }
}

/// For people, such as `20 % of the time was watched`.
impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.window.coverage() {
            Some(coverage) => write!(f, "{} of the time was watched", percent(coverage)),
            None => f.write_str("nobody is expected to watch it"),
        }
    }
}

/// For people, such as `12 % of the error budget is left, fires below 20 %`.
impl std::fmt::Display for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (left, spent) = (percent(self.remaining), percent(self.spent));
        match (self.rule, self.exhausts_at) {
            (BudgetRule::Remaining(share), _) => {
                write!(
                    f,
                    "{left} of the error budget is left, fires below {}",
                    percent(share)
                )
            }
            (BudgetRule::Drop { share, within }, _) => write!(
                f,
                "{spent} of the error budget was spent within {}, fires above {}; {left} is left",
                duration::format(within),
                percent(share)
            ),
            (BudgetRule::Exhausted(_), _) if self.remaining <= Decimal::ZERO => {
                write!(f, "the error budget is spent; {left} is left")
            }
            (BudgetRule::Exhausted(_), Some(at)) => write!(
                f,
                "at its present pace the error budget is spent by {}; {left} is left",
                at.format("%F %R UTC")
            ),
            (BudgetRule::Exhausted(within), None) => write!(
                f,
                "at its present pace the error budget lasts longer than {}; {left} is left",
                duration::format(within)
            ),
        }
    }
}

fn percent(share: Decimal) -> String {
    format!("{} %", (share * Decimal::ONE_HUNDRED).round_dp(1).normalize())
}
