//! What a window of the ledger holds, and how fast it burns.
//!
//! In: two rows of the ledger, subtracted. Out: counts, the edges that were really used, coverage and
//! the burn rate. Nothing here knows where the rows came from.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::objective::{BurnRate, Target};

/// The counts between two rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowCounts {
    pub good: u64,
    pub bad: u64,
    /// The edges used: the left one is the kept row at or before the edge that was asked for.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Time that sources should have watched, summed over the sources.
    pub expected_ms: u64,
    /// Time that they did watch.
    pub covered_ms: u64,
    /// Counts known to be lost.
    pub lost: u64,
}

impl WindowCounts {
    /// A window without rows.
    #[must_use]
    pub fn empty(at: DateTime<Utc>) -> Self {
        Self::empty_between(at, at)
    }

    /// A span in which nothing was counted, and of whose coverage nothing is known.
    #[must_use]
    pub fn empty_between(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            good: 0,
            bad: 0,
            from,
            to,
            expected_ms: 0,
            covered_ms: 0,
            lost: 0,
        }
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    #[must_use]
    pub fn length(&self) -> TimeDelta {
        self.to - self.from
    }

    /// The share of bad events; `None` when nothing was counted.
    #[must_use]
    pub fn error_ratio(&self) -> Option<Decimal> {
        (self.total() > 0).then(|| Decimal::from(self.bad) / Decimal::from(self.total()))
    }

    /// How often the allowed error ratio errors occurred; 0 when nothing was counted.
    #[must_use]
    pub fn burn_rate(&self, target: Target) -> Decimal {
        // One division, rounded as SQL rounds: `burn_of` gives the same digits.
        let allowed = Decimal::from(self.total()) * target.budget();
        if allowed.is_zero() {
            return Decimal::ZERO;
        }
        (Decimal::from(self.bad) / allowed)
            .round_dp_with_strategy(9, RoundingStrategy::MidpointAwayFromZero)
            .normalize()
    }

    /// Whether the window burns faster than the threshold. Strictly, and without dividing: the
    /// quotient may not end, the products do.
    #[must_use]
    pub fn burns_above(&self, threshold: BurnRate, target: Target) -> bool {
        Decimal::from(self.bad) > threshold.value() * target.budget() * Decimal::from(self.total())
    }

    /// The watched share of the time that should have been watched, at most 1; `None` when no source
    /// is expected to watch. Time of an absence is booked at the return, so that a window may hold
    /// more than it expects.
    #[must_use]
    pub fn coverage(&self) -> Option<Decimal> {
        (self.expected_ms > 0)
            .then(|| (Decimal::from(self.covered_ms) / Decimal::from(self.expected_ms)).min(Decimal::ONE))
    }
}
