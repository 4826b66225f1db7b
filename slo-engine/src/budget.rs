//! What may still fail.
//!
//! In: the counts of an objective's period. Out: the budget they allow, and what is left of it.

use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::objective::Target;
use crate::window::WindowCounts;

/// The error budget of one objective over its period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub target: Target,
    pub counts: WindowCounts,
}

impl Budget {
    /// Bad events that the period's total allows.
    #[must_use]
    pub fn allowed(&self) -> Decimal {
        self.target.budget() * Decimal::from(self.counts.total())
    }

    /// Share of the budget left: 1 untouched, below 0 overspent. 1 when nothing was counted.
    #[must_use]
    pub fn remaining(&self) -> Decimal {
        Decimal::ONE - self.spent()
    }

    /// Share of the budget spent.
    #[must_use]
    pub fn spent(&self) -> Decimal {
        self.counts.burn_rate(self.target)
    }

    /// How long the rest of the budget lasts at a burn rate; `None` when it lasts for ever. The rest
    /// counts, not the whole budget: `remaining * period / burn rate`.
    #[must_use]
    pub fn exhausted_in(&self, burn_rate: Decimal, period: Duration) -> Option<Duration> {
        if burn_rate <= Decimal::ZERO {
            return None;
        }
        let seconds = self.remaining().max(Decimal::ZERO) * Decimal::from(period.as_secs()) / burn_rate;
        seconds.to_u64().map(Duration::from_secs)
    }
}
