//! The fast page: a sequential test on every count as it arrives.
//!
//! In: good and bad events since the last intake. Out: a statistic, and whether it is evidence. It is
//! Page's CUSUM test (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954): each event
//! adds the logarithm of how much likelier it is under the alternative, an outage that burns at
//! `burn_rate`, than at the objective; the sum never falls below zero. One bad event adds
//! `ln(p1 / p0)`, one good one takes away `ln((1 - p0) / (1 - p1))`, with `p0 = 1 - target`.
//!
//! The false-page rate follows without simulation. From any start, the likelihood ratio is a
//! martingale of mean 1 while the objective is just met, so it ever reaches `e^limit` with a chance of
//! at most `e^-limit` (Ville's inequality). A false page needs one such start, there is one a count
//! taken in, and `limit = ln(intakes a year / false pages a year)`. The bound holds for events that
//! are independent, at any traffic and however it is batched; errors that come in clusters page more
//! often, and how much more is measured in `tests/false_pages.rs`.

use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::objective::{BurnRate, RatioError, Target};

/// The fast page of one objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastPage {
    /// Of the outage that it looks for. A worse one is found sooner.
    pub burn_rate: BurnRate,
    /// At most so many while the objective is just met and errors are independent.
    pub false_pages_a_year: Decimal,
    /// Events a second, over the hour before, below which it keeps quiet.
    pub rate_min: Decimal,
}

/// What its alerts are called; no tier of windows is.
pub const FAST_PAGE: &str = "page-fast";
/// Share of the budget, and the time in which a default fast page looks for it to be spent.
const SHARE: Decimal = Decimal::from_parts(2, 0, 0, false, 2);
const HOUR: Duration = Duration::from_secs(3600);
/// The least burn rate that can be told from a met objective within reasonable counts.
pub const BURN_RATE_MIN: Decimal = Decimal::TWO;

impl FastPage {
    /// Looks for the outage of the first default tier: 2 % of the budget in an hour.
    ///
    /// # Errors
    /// When the period is so short or long that the burn rate is none.
    pub fn for_period(period: Duration) -> Result<Self, RatioError> {
        let burn_rate = BurnRate::from_share(SHARE, period, HOUR)?
            .value()
            .max(BURN_RATE_MIN);
        Ok(Self {
            burn_rate: burn_rate.try_into()?,
            false_pages_a_year: Decimal::ONE,
            rate_min: Decimal::ONE,
        })
    }

    /// The same, of which no more than halfway to a total outage: that is where the test looks at most. None of a target so
    /// loose that this is too near to the objective being met.
    #[must_use]
    pub fn for_objective(period: Duration, target: Target) -> Option<Self> {
        let page = Self::for_period(period).ok()?;
        let halfway = (Decimal::ONE + target.max_burn_rate()) / Decimal::TWO;
        if halfway < BURN_RATE_MIN {
            return None;
        }
        let burn_rate = page.burn_rate.value().min(halfway.round_dp(2).normalize());
        Some(Self {
            burn_rate: burn_rate.try_into().ok()?,
            ..page
        })
    }
}

/// Counts are taken in once a second.
const INTAKES_A_YEAR: f64 = 365.25 * 86_400.0;
/// Errors in fewer intakes than this are no outage yet.
const INTAKES_NEEDED: f64 = 4.0;

/// What one event adds, and when the sum is evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequential {
    /// Added by a bad event.
    pub bad: f64,
    /// Taken away by a good event.
    pub good: f64,
    /// The sum at which it pages. It rises no higher, so that recovery is seen as soon.
    pub limit: f64,
}

impl Sequential {
    #[must_use]
    pub fn new(target: Target, page: &FastPage) -> Self {
        let float = |value: Decimal| value.to_f64().unwrap_or(f64::NAN);
        let met = float(target.budget());
        // An outage cannot be worse than total. Definitions say so; what is stored from before they did is halfway there.
        let burning = float(target.budget() * page.burn_rate.value()).min(f64::midpoint(met, 1.0));
        Self {
            bad: (burning / met).ln(),
            good: ((1.0 - met) / (1.0 - burning)).ln(),
            limit: (INTAKES_A_YEAR / float(page.false_pages_a_year)).ln(),
        }
    }

    /// The statistic after more events. `queries/book_excursion.sql` does the same.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of one intake")]
    pub fn step(&self, statistic: f64, good: u64, bad: u64) -> f64 {
        let evidence = bad as f64 * self.bad - good as f64 * self.good;
        (statistic + evidence.min(self.most())).clamp(0.0, self.limit)
    }

    /// What one intake adds at most.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.limit / INTAKES_NEEDED
    }

    /// The fewest bad events that page.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive count"
    )]
    pub fn bad_needed(&self) -> u64 {
        (self.limit / self.bad).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(target: &str, burn_rate: &str) -> Sequential {
        let page = FastPage {
            burn_rate: burn_rate.parse().unwrap(),
            ..FastPage::for_period(30 * 24 * HOUR).unwrap()
        };
        Sequential::new(target.parse().unwrap(), &page)
    }

    #[test]
    fn the_default_looks_for_the_first_tiers_outage() {
        for (days, burn_rate) in [(30, "14.4"), (28, "13.44"), (7, "3.36"), (1, "2")] {
            let page = FastPage::for_period(days * 24 * HOUR).unwrap();
            assert_eq!(page.burn_rate.to_string(), burn_rate, "{days} d");
        }
    }

    #[test]
    fn a_loose_target_looks_halfway_to_a_total_outage() {
        for (target, burn_rate) in [
            ("0.999", "14.4"),
            ("0.97", "14.4"),
            ("0.95", "10.5"),
            ("0.9", "5.5"),
            ("0.67", "2.02"),
        ] {
            let target = target.parse().unwrap();
            let page = FastPage::for_objective(30 * 24 * HOUR, target).unwrap();
            assert_eq!(page.burn_rate.to_string(), burn_rate);
            // As the test has it.
            let as_before = FastPage::for_period(30 * 24 * HOUR).unwrap();
            assert_eq!(
                Sequential::new(target, &page).bad_needed(),
                Sequential::new(target, &as_before).bad_needed()
            );
        }
    }

    #[test]
    fn an_outage_is_told_by_the_fewest_errors() {
        // ln(31 557 600) / ln(14.4) = 6.47
        assert_eq!(test("0.999", "14.4").bad_needed(), 7);
        assert_eq!(test("0.99", "14.4").bad_needed(), 7);
        // 99.9999 %: the alternative is still 14.4 times the allowed errors.
        assert_eq!(test("0.999999", "14.4").bad_needed(), 7);
        // 90 %: 14.4 times its errors is more than all; halfway to all is 55 %.
        assert_eq!(test("0.9", "14.4").bad_needed(), 11);
    }

    #[test]
    fn the_statistic_stays_between_nothing_and_evidence() {
        let test = test("0.999", "14.4");
        assert!(test.step(0.0, 1_000_000, 0).abs() < f64::EPSILON);
        // A second of errors, however many, is no outage yet; four are.
        assert!((test.step(0.0, 0, 1_000_000) - test.limit / 4.0).abs() < f64::EPSILON);
        let after_four = (0..4).fold(0.0, |statistic, _| test.step(statistic, 0, 1_000_000));
        assert!((after_four - test.limit).abs() < f64::EPSILON);
        // A service that errs at the allowed rate drifts down.
        assert!(test.step(5.0, 999, 1) < 5.0);
        // One that burns at the alternative drifts up.
        assert!(test.step(5.0, 9_856, 144) > 5.0);
    }
}
