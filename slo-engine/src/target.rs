//! Targets and burn rates: exact decimals within their ranges.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;

/// Share of good events an objective asks for. Strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(Decimal);

/// How often the allowed error ratio errors occur. 1 spends the budget in exactly the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BurnRate(Decimal);

/// Why a number is no target or burn rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    #[error("`{0}` is not a number")]
    NotANumber(String),
    #[error("target is `{0}`, which leaves no error budget: burn rates divide by 1 - target")]
    NoBudget(Decimal),
    #[error("target is `{0}`, expected a ratio between 0 and 1, both excluded")]
    TargetOutOfRange(Decimal),
    #[error("target is `{0}`, expected at most 9 decimals")]
    TargetTooFine(Decimal),
    #[error("burn rate is `{0}`, expected a number above 0 and below 1000000000")]
    BurnRateOutOfRange(Decimal),
}

impl Target {
    /// The target as a ratio, without trailing zeros.
    #[must_use]
    pub fn ratio(self) -> Decimal {
        self.0
    }

    /// The share of events that may be bad: `1 - target`.
    #[must_use]
    pub fn budget(self) -> Decimal {
        Decimal::ONE - self.0
    }

    /// The burn rate of a total outage, `1 / (1 - target)`: no burn rate is higher.
    #[must_use]
    pub fn max_burn_rate(self) -> Decimal {
        (Decimal::ONE / self.budget()).normalize()
    }

    /// Whether some error ratio of at most 1 exceeds the burn rate.
    #[must_use]
    pub fn reaches(self, burn_rate: BurnRate) -> bool {
        // Multiplied, not divided: 1 / budget may not end.
        burn_rate.0 * self.budget() < Decimal::ONE
    }
}

impl TryFrom<Decimal> for Target {
    type Error = RatioError;

    fn try_from(ratio: Decimal) -> Result<Self, RatioError> {
        let ratio = ratio.normalize();
        if ratio == Decimal::ONE {
            Err(RatioError::NoBudget(ratio))
        } else if ratio <= Decimal::ZERO || ratio > Decimal::ONE {
            Err(RatioError::TargetOutOfRange(ratio))
        } else if ratio.scale() > 9 {
            Err(RatioError::TargetTooFine(ratio))
        } else {
            Ok(Self(ratio))
        }
    }
}

impl BurnRate {
    #[must_use]
    pub fn value(self) -> Decimal {
        self.0
    }

    /// The burn rate that spends `share` of the budget of `period` in `long`: `share * period / long`.
    ///
    /// # Errors
    /// When the outcome is no burn rate.
    pub fn from_share(share: Decimal, period: Duration, long: Duration) -> Result<Self, RatioError> {
        let nanos = |span: Duration| {
            i64::try_from(span.as_nanos())
                .map(Decimal::from)
                .map_err(|_| RatioError::NotANumber(format!("{span:?}")))
        };
        let (period, long) = (nanos(period)?, nanos(long)?);
        let rate = share
            .checked_mul(period)
            .and_then(|spent| spent.checked_div(long))
            .ok_or_else(|| RatioError::NotANumber(share.to_string()))?;
        rate.try_into()
    }
}

impl TryFrom<Decimal> for BurnRate {
    type Error = RatioError;

    /// Kept to 9 decimals: 28 d, 10 %, 3 d is 0.933333333.
    fn try_from(rate: Decimal) -> Result<Self, RatioError> {
        let rate = rate.round_dp(9).normalize();
        if rate > Decimal::ZERO && rate < Decimal::from(1_000_000_000) {
            Ok(Self(rate))
        } else {
            Err(RatioError::BurnRateOutOfRange(rate))
        }
    }
}

macro_rules! decimal_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = RatioError;

            fn from_str(text: &str) -> Result<Self, RatioError> {
                Decimal::from_str_exact(text)
                    .map_err(|_| RatioError::NotANumber(text.to_owned()))?
                    .try_into()
            }
        }
    };
}
decimal_text!(Target);
decimal_text!(BurnRate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_leaves_a_budget() {
        for (text, max) in [("0.999", "1000"), ("0.9", "10"), ("0.5", "2"), ("0.990", "100")] {
            assert_eq!(text.parse::<Target>().unwrap().max_burn_rate().to_string(), max);
        }
        for bad in ["1", "1.0", "0", "-0.5", "99.9", "", "x", "0.9999999999"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert_eq!("0.9900".parse::<Target>().unwrap().to_string(), "0.99");
    }

    #[test]
    fn a_burn_rate_is_reached_only_below_the_ceiling() {
        let target: Target = "0.9".parse().unwrap();
        assert!(target.reaches("9.999999999".parse().unwrap()));
        assert!(!target.reaches("10".parse().unwrap()));
        // 1 / (1 - 0.7) never ends as a decimal.
        let target: Target = "0.7".parse().unwrap();
        assert!(target.reaches("3.333333333".parse().unwrap()));
        assert!(!target.reaches("3.333333334".parse().unwrap()));
    }
}
