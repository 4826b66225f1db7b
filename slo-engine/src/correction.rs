//! Corrections: time that an objective does not count.
//!
//! In: what somebody asks for. Out: the same, checked; `recurrence` says when one that recurs begins. Nothing in the ledger is
//! rewritten: what corrections leave out is subtracted by SQL (`ledger_window`, `left_out`) where windows are read.

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::EngineError;
use crate::measurement::words;
use crate::objective::ObjectiveName;
use crate::text::{self, UnfitText};

mod recurrence;

pub(crate) use recurrence::DATES_MAX;
pub use recurrence::{Recurrence, RecurrenceDate};

words!(
    CorrectionKind, "correction kind", {
        Maintenance => "maintenance",
        Deployment => "deployment",
        OutsideBusinessHours => "outside_business_hours",
        Other => "other",
    }
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CorrectionId(pub i64);

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCorrection {
    pub objective: ObjectiveName,
    pub kind: CorrectionKind,
    /// The one time, or the first of those that recur.
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub recurrence: Option<Recurrence>,
    pub author: String,
    pub comment: String,
}

/// Why a correction cannot be.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    #[error(transparent)]
    Text(#[from] UnfitText),
    #[error("the correction ends before it begins, or as it begins")]
    Backwards,
    #[error(
        "the correction is longer than {LENGTH_MAX_DAYS} days, or begins more than {AHEAD_MAX_DAYS} days from now"
    )]
    TooLong,
    #[error("there is no time zone `{0}`")]
    Zone(String),
    #[error("the rule `{rule}` cannot be read: {problem}")]
    Rule { rule: String, problem: String },
    #[error(
        "`{0}` is neither a day such as `2026-12-27` nor a time of RFC 3339 such as `2026-12-27T02:00:00+01:00`"
    )]
    Date(String),
    #[error("nothing begins at `{0}` that could be left out")]
    NothingBegins(RecurrenceDate),
    #[error("`{0}` is before the first time")]
    BeforeFirst(RecurrenceDate),
    #[error("more than {DATES_MAX} dates are left out or added")]
    ManyDates,
    #[error("the rule begins more than {SPANS_MAX} times until {AHEAD_MAX_DAYS} days from now")]
    TooMany,
    #[error("`{0}` has {CORRECTIONS_MAX} corrections that stand")]
    Full(ObjectiveName),
    #[error("there is no correction {}", .0.0)]
    Unknown(CorrectionId),
    #[error("correction {} is undone already", .0.0)]
    Undone(CorrectionId),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for CorrectionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

const LENGTH_MAX_DAYS: i64 = 366;
/// Recurring corrections are written down so far ahead, which is longer than any calendar's period.
const AHEAD_MAX_DAYS: i64 = 400;
/// Times that one rule may begin until then: once a day for longer than the ledger is kept, or five times a day.
const SPANS_MAX: u16 = 2_000;
/// Of one objective, that are not undone.
pub(crate) const CORRECTIONS_MAX: i64 = 200;

/// How far ahead the spans of a recurring correction are written.
pub(crate) fn horizon(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::days(AHEAD_MAX_DAYS)
}

/// How far back the spans of one that a file states are written: as far as any budget looks.
pub(crate) fn looks_back(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(AHEAD_MAX_DAYS)
}

impl NewCorrection {
    /// # Errors
    /// With the first thing that cannot be.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), CorrectionError> {
        text::check("author", &self.author, 1, 100)?;
        text::check("comment", &self.comment, 0, 1_000)?;
        if self.ends_at <= self.starts_at {
            return Err(CorrectionError::Backwards);
        }
        if self.ends_at - self.starts_at > TimeDelta::days(LENGTH_MAX_DAYS) || self.starts_at > horizon(now) {
            return Err(CorrectionError::TooLong);
        }
        if let Some(recurrence) = &self.recurrence {
            recurrence.check_dates(self.starts_at)?;
        }
        Ok(())
    }
}
