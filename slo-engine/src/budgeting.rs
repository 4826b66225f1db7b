//! How a budget is counted, and which calendar its period follows.
//!
//! In: definitions make these. Out: the store keeps them beside the generation and the definition; the
//! counting itself is SQL (`judge_slice`, `calendar_period`), so that psql and API agree.

use std::fmt;
use std::time::Duration;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use rust_decimal::Decimal;

/// What an objective's budget is a share of: OpenSLO's budgeting method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budgeting {
    /// Requests.
    Occurrences,
    /// Slices of time, each good when `target` of its requests are.
    Timeslices { slice: Duration, target: Decimal },
    /// Slices of time, each as good as its requests are: a slice with few weighs as one with many.
    RatioTimeslices { slice: Duration },
}

impl Budgeting {
    /// OpenSLO's spelling, which is the stored one, too.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Occurrences => "Occurrences",
            Self::Timeslices { .. } => "Timeslices",
            Self::RatioTimeslices { .. } => "RatioTimeslices",
        }
    }

    #[must_use]
    pub fn slice(self) -> Option<Duration> {
        match self {
            Self::Occurrences => None,
            Self::Timeslices { slice, .. } | Self::RatioTimeslices { slice } => Some(slice),
        }
    }

    /// The share of good requests that makes a slice good.
    #[must_use]
    pub fn slice_target(self) -> Option<Decimal> {
        match self {
            Self::Timeslices { target, .. } => Some(target),
            Self::Occurrences | Self::RatioTimeslices { .. } => None,
        }
    }
}

/// A calendar of periods: each is `every` long, the first from `starts` on the clocks of `zone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Calendar {
    pub starts: NaiveDateTime,
    pub zone: Tz,
    pub every: CalendarStep,
}

/// Days are as long as the clocks make them, months as long as the calendar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CalendarStep {
    Days(u16),
    Months(u16),
}

impl CalendarStep {
    /// The nominal length, by which alert tiers are scaled: 30 days a month, 90 a quarter, 365 a year.
    #[must_use]
    pub fn nominal(self) -> Duration {
        let days = match self {
            Self::Days(days) => u64::from(days),
            Self::Months(months) => {
                let (years, months) = (u64::from(months / 12), u64::from(months % 12));
                years * 365 + months * 30
            }
        };
        Duration::from_secs(days * 86_400)
    }
}

/// OpenSLO's shorthand.
impl fmt::Display for CalendarStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) if days % 7 == 0 => write!(f, "{}w", days / 7),
            Self::Days(days) => write!(f, "{days}d"),
            Self::Months(months) if months % 12 == 0 => write!(f, "{}Y", months / 12),
            Self::Months(months) if months % 3 == 0 => write!(f, "{}Q", months / 3),
            Self::Months(months) => write!(f, "{months}M"),
        }
    }
}
