//! Composites: objectives whose budget other objectives, their parts, spend.
//!
//! A composite burns what its parts burn, each times its weight. That is a share of good events like any other: the
//! mean of the parts' error ratios, each weighing `weight / (1 - target)`, against a budget of one over the sum of
//! those. So a composite has a [`Target`], and burn rates, tiers and budgets mean what they mean everywhere. The sum
//! itself is SQL over the parts' ledgers (`composite_window`).

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::objective::{ObjectiveName, Target};

/// One objective of a composite, and how many times its burn counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    pub objective: ObjectiveName,
    pub weight: Weight,
}

/// How many times a part's burn counts in the whole. Above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(Decimal);

impl Weight {
    pub const MAX: Decimal = Decimal::ONE_THOUSAND;

    #[must_use]
    pub fn value(self) -> Decimal {
        self.0
    }
}

/// OpenSLO's default.
impl Default for Weight {
    fn default() -> Self {
        Self(Decimal::ONE)
    }
}

/// Why a number weighs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("weight is `{0}`, expected a number above 0 and at most 1000, with at most 9 decimals")]
pub struct WeightError(Decimal);

impl TryFrom<Decimal> for Weight {
    type Error = WeightError;

    fn try_from(weight: Decimal) -> Result<Self, WeightError> {
        let weight = weight.normalize();
        if weight > Decimal::ZERO && weight <= Self::MAX && weight.scale() <= 9 {
            Ok(Self(weight))
        } else {
            Err(WeightError(weight))
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The stored spelling: `2*web-availability`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.weight, self.objective)
    }
}

impl FromStr for Part {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (weight, objective) = text.split_once('*').ok_or(())?;
        Ok(Self {
            objective: objective.parse().map_err(|_| ())?,
            weight: weight
                .parse::<Decimal>()
                .ok()
                .and_then(|weight| weight.try_into().ok())
                .ok_or(())?,
        })
    }
}

/// What the whole is held against: at a total outage of every part it burns at the sum of their highest burn rates.
/// `None` when that sum is 1 or less, so that nothing could spend its budget. The budget is rounded down to what a
/// target can say, which no burn rate depends on: the SQL multiplies by it what it divides by later.
#[must_use]
pub fn target(parts: &[(Weight, Target)]) -> Option<Target> {
    let most: Decimal = parts
        .iter()
        .map(|(weight, target)| weight.0 / target.budget())
        .sum();
    if most <= Decimal::ONE {
        return None;
    }
    let budget = (Decimal::ONE / most).round_dp_with_strategy(9, RoundingStrategy::ToZero);
    Target::try_from(Decimal::ONE - budget).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(weight: &str, target: &str) -> (Weight, Target) {
        let decimal = |text| Decimal::from_str_exact(text).unwrap();
        (
            decimal(weight).try_into().unwrap(),
            decimal(target).try_into().unwrap(),
        )
    }

    #[test]
    fn the_whole_burns_as_fast_as_its_parts_together() {
        for (parts, expected) in [
            (vec![part("1", "0.99")], Some("0.99")),
            (vec![part("1", "0.99"), part("1", "0.99")], Some("0.995")),
            (vec![part("3", "0.99"), part("1", "0.9")], Some("0.996774194")),
            // All of it gone burns at 0.5: nothing to budget for.
            (vec![part("0.25", "0.5")], None),
            (vec![part("1000", "0.999999999"), part("1", "0.9")], None),
        ] {
            let found = target(&parts).map(|target| target.ratio().to_string());
            assert_eq!(found.as_deref(), expected, "{parts:?}");
        }
    }

    #[test]
    fn a_part_reads_back_from_its_stored_spelling() {
        let text = "2.5*web-availability";
        assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        for wrong in ["web", "0*web", "1001*web", "1*", "1*Web", "x*web", "-1*web"] {
            assert_eq!(wrong.parse::<Part>(), Err(()), "{wrong}");
        }
    }
}
