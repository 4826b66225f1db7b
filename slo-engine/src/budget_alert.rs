//! Alerts on what is left of a budget, beside the tiers, which watch how fast it goes.
//!
//! In: definitions make these; there are none unless one states them. Out: evaluation asks what each looks at.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::duration;
use crate::objective::{Severity, TierName};

/// One alert on the budget of an objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetAlert {
    /// Among the names of the objective's tiers.
    pub name: TierName,
    pub severity: Severity,
    pub rule: BudgetRule,
}

impl fmt::Display for BudgetAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.severity, self.rule)
    }
}

/// When it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetRule {
    /// Less than this share of the budget is left.
    Remaining(Decimal),
    /// Nothing will be left within this time.
    Exhausted(Duration),
    /// More than this share was spent within this time.
    Drop { share: Decimal, within: Duration },
}

impl BudgetRule {
    /// The time up to now whose counts are looked at; `None`: the whole period. What is to come is told from the
    /// quarter of it before, as Honeycomb does.
    #[must_use]
    pub fn look_back(self) -> Option<Duration> {
        match self {
            Self::Remaining(_) => None,
            Self::Exhausted(within) => Some(Duration::from_secs(within.as_secs() / 4)),
            Self::Drop { within, .. } => Some(within),
        }
    }

    /// How far ahead is looked.
    #[must_use]
    pub fn horizon(self) -> Option<Duration> {
        match self {
            Self::Exhausted(within) => Some(within),
            Self::Remaining(_) | Self::Drop { .. } => None,
        }
    }

    /// What an alert of this rule is called unless it is given a name.
    #[must_use]
    pub fn default_name(self) -> String {
        let number = |share| percent(share).replace('.', "-");
        match self {
            Self::Remaining(share) => format!("budget-remaining-{}", number(share)),
            Self::Exhausted(within) => format!("budget-exhausted-{}", duration::format(within)),
            Self::Drop { share, within } => {
                format!("budget-drop-{}-{}", number(share), duration::format(within))
            }
        }
    }
}

fn percent(share: Decimal) -> String {
    (share * Decimal::ONE_HUNDRED).normalize().to_string()
}

/// As definitions spell it, and as it is stored.
impl fmt::Display for BudgetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Remaining(share) => write!(f, "remaining {}%", percent(share)),
            Self::Exhausted(within) => write!(f, "exhausted within {}", duration::format(within)),
            Self::Drop { share, within } => {
                write!(f, "drop {}% within {}", percent(share), duration::format(within))
            }
        }
    }
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `remaining 20%`, `exhausted within 3d` and `drop 10% within 1d`")]
pub struct NoBudgetRule(pub String);

impl FromStr for BudgetRule {
    type Err = NoBudgetRule;

    fn from_str(text: &str) -> Result<Self, NoBudgetRule> {
        let wrong = || NoBudgetRule(text.to_owned());
        let share = |word: &str| {
            let number = word.strip_suffix('%').ok_or_else(wrong)?;
            let percent = Decimal::from_str_exact(number).map_err(|_| wrong())?;
            percent
                .checked_div(Decimal::ONE_HUNDRED)
                .map(|share| share.normalize())
                .ok_or_else(wrong)
        };
        let span = |word: &str| duration::parse(word).map_err(|_| wrong());
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["remaining", left] => Ok(Self::Remaining(share(left)?)),
            ["exhausted", "within", within] => Ok(Self::Exhausted(span(within)?)),
            ["drop", spent, "within", within] => Ok(Self::Drop {
                share: share(spent)?,
                within: span(within)?,
            }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_from_its_spelling_and_names_its_alert() {
        for (text, name) in [
            ("remaining 20%", "budget-remaining-20"),
            ("remaining 0%", "budget-remaining-0"),
            ("exhausted within 3d", "budget-exhausted-3d"),
            ("drop 2.5% within 12h", "budget-drop-2-5-12h"),
        ] {
            let rule: BudgetRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
            let name_of: TierName = rule.default_name().parse().unwrap();
            assert_eq!(name_of.as_str(), name);
        }
        for wrong in [
            "",
            "remaining",
            "remaining 20",
            "exhausted in 3d",
            "drop 10% 1d",
            "drop x% within 1d",
        ] {
            assert!(wrong.parse::<BudgetRule>().is_err(), "{wrong}");
        }
    }
}
