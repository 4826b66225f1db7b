//! How long what is left of a budget lasts. What is left of it, SQL's `error_budget` says.

use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// What a budget is a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// All that is counted in a period of this length.
    Period(Duration),
    /// What was counted so far, in this time: the budget grows with it.
    SoFar(Duration),
}

/// When a budget of which `remaining` is left is spent at a steady burn rate; `None` when it never is, or when
/// nothing is left. The rest counts, not the whole budget.
#[must_use]
pub fn exhausted_in(remaining: Decimal, burn_rate: Decimal, whole: Whole) -> Option<Duration> {
    let (length, spends) = match whole {
        Whole::Period(length) => (length, burn_rate),
        Whole::SoFar(elapsed) => (elapsed, burn_rate - Decimal::ONE),
    };
    if spends <= Decimal::ZERO || remaining <= Decimal::ZERO {
        return None;
    }
    let left = remaining * Decimal::from(length.as_secs()) / spends;
    left.to_u64().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn days(remaining: i64, burn_rate: i64, whole: fn(Duration) -> Whole) -> Option<u64> {
        let length = Duration::from_secs(30 * DAY);
        let remaining = Decimal::new(remaining, 1);
        exhausted_in(remaining, Decimal::from(burn_rate), whole(length)).map(|left| left.as_secs() / DAY)
    }

    #[test]
    fn what_remains_is_spent_and_not_the_whole_budget() {
        assert_eq!(days(10, 10, Whole::Period), Some(3));
        assert_eq!(days(5, 10, Whole::Period), Some(1));
        assert_eq!(days(5, 0, Whole::Period), None);
        assert_eq!(days(-5, 10, Whole::Period), None, "what is gone ends no more");
    }

    #[test]
    fn a_budget_that_grows_with_the_requests_lasts_for_ever_at_a_burn_rate_of_one() {
        assert_eq!(days(5, 1, Whole::SoFar), None);
        // After 30 days at half the budget, 16 times as fast: 15 days' worth is gone in one.
        assert_eq!(days(5, 16, Whole::SoFar), Some(1));
    }
}
