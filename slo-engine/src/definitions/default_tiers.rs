//! The alert tiers of an objective that states none.
//!
//! A tier fires when `share` of the period's budget is spent within its long window, which is a burn
//! rate of `share * period / long` (Google SRE Workbook, chapter 5). The default shares are the
//! Workbook's: 2 % in 1 h and 5 % in 6 h page, 10 % in 1 d and 10 % in 3 d open tickets. Short
//! windows are a twelfth of the long ones; they let an alert end soon after its cause.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::duration;
use crate::measurement::NameError;
use crate::objective::{BurnRate, Severity, Target, Tier, TierChange, TierName, TierNote};

const HOUR: u64 = 3600;
/// Severity, long and short window in seconds, share in percent.
const DEFAULTS: [(Severity, u64, u64, i64); 4] = [
    (Severity::Page, HOUR, HOUR / 12, 2),
    (Severity::Page, 6 * HOUR, HOUR / 2, 5),
    (Severity::Ticket, 24 * HOUR, 2 * HOUR, 10),
    (Severity::Ticket, 72 * HOUR, 6 * HOUR, 10),
];

/// The default tiers for a target and a period, and what became of those that do not suit them.
#[must_use]
pub fn default_tiers(target: Target, period: Duration) -> (Vec<Tier>, Vec<TierNote>) {
    let (mut tiers, mut notes) = (Vec::new(), Vec::new());
    for (severity, long, short, percent) in DEFAULTS {
        let (long, short) = (Duration::from_secs(long), Duration::from_secs(short));
        let budget_share = Decimal::new(percent, 2).normalize();
        let (Ok(name), Ok(computed)) = (
            default_name(severity, long),
            BurnRate::from_share(budget_share, period, long),
        ) else {
            continue;
        };
        let mut tier = Tier {
            name,
            severity,
            long,
            short,
            burn_rate: computed,
            budget_share: Some(budget_share),
            after: Duration::ZERO,
        };
        let mut note = |change| {
            notes.push(TierNote {
                tier: tier.name.clone(),
                computed,
                change,
            });
        };
        if long > period {
            note(TierChange::LeftOutLongerThanPeriod);
            continue;
        }
        if computed.value() < Decimal::ONE {
            note(TierChange::ClampedToOne);
            let Ok(one) = BurnRate::try_from(Decimal::ONE) else {
                continue;
            };
            tier.burn_rate = one;
            tier.budget_share = Some(spent_share(one, period, long));
        }
        if target.reaches(tier.burn_rate) {
            tiers.push(tier);
        } else {
            note(TierChange::LeftOutUnreachable {
                max_burn_rate: target.max_burn_rate(),
            });
        }
    }
    (tiers, notes)
}

/// The share of the budget that a burn rate spends in a window: `rate * long / period`.
fn spent_share(rate: BurnRate, period: Duration, long: Duration) -> Decimal {
    let seconds = |span: Duration| Decimal::from(span.as_secs().max(1));
    (rate.value() * seconds(long) / seconds(period))
        .round_dp(9)
        .normalize()
}

pub(super) fn default_name(severity: Severity, long: Duration) -> Result<TierName, NameError> {
    format!("{severity}-{}", duration::format(long)).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn defaults(target: &str, days: u64) -> (Vec<(String, String)>, Vec<String>) {
        let (tiers, notes) = default_tiers(target.parse().unwrap(), Duration::from_secs(days * DAY));
        let tiers = tiers
            .iter()
            .map(|t| (t.name.to_string(), t.burn_rate.to_string()))
            .collect();
        (tiers, notes.iter().map(ToString::to_string).collect())
    }

    fn named(rates: [&str; 4]) -> Vec<(String, String)> {
        let names = ["page-1h", "page-6h", "ticket-1d", "ticket-3d"];
        names
            .iter()
            .zip(rates)
            .map(|(name, rate)| ((*name).to_owned(), rate.to_owned()))
            .collect()
    }

    #[test]
    fn the_defaults_for_30_days_are_the_workbooks() {
        let (tiers, notes) = defaults("0.999", 30);
        assert_eq!(tiers, named(["14.4", "6", "3", "1"]));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn the_defaults_scale_with_the_period() {
        assert_eq!(defaults("0.999", 90).0, named(["43.2", "18", "9", "3"]));
        // 28 d: 0.9333; 7 d: 0.7 and 0.2333. Raised to 1, or they fire while the objective is met.
        let (tiers, notes) = defaults("0.999", 28);
        assert_eq!(tiers, named(["13.44", "5.6", "2.8", "1"]));
        assert_eq!(
            notes,
            [
                "default tier `ticket-3d` raised from burn rate 0.9333 to 1: below 1 it fires while the objective is met"
            ]
        );
        let (tiers, notes) = defaults("0.999", 7);
        assert_eq!(tiers, named(["3.36", "1.4", "1", "1"]));
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn the_burn_rate_is_exact_and_so_is_the_share_of_a_raised_tier() {
        let (tiers, notes) = default_tiers("0.999".parse().unwrap(), Duration::from_secs(28 * DAY));
        assert_eq!(notes[0].computed.to_string(), "0.933333333");
        assert_eq!(tiers[0].budget_share, Some(Decimal::new(2, 2)));
        assert_eq!(tiers[3].budget_share.unwrap().to_string(), "0.107142857");
    }

    #[test]
    fn a_default_that_a_total_outage_does_not_exceed_is_left_out() {
        // Ceilings of the 30 d defaults: 93.06 %, 83.33 %, 66.67 %.
        for (target, left) in [
            ("0.9306", 4),
            ("0.93", 3),
            ("0.8334", 3),
            ("0.8333", 2),
            ("0.6667", 2),
            ("0.6666", 1),
        ] {
            assert_eq!(defaults(target, 30).0.len(), left, "{target}");
        }
        assert_eq!(
            defaults("0.9", 30).1,
            [
                "default tier `page-1h` left out: its burn rate 14.4 cannot be exceeded, a total outage burns at 10"
            ]
        );
    }

    #[test]
    fn a_default_longer_than_the_period_is_left_out() {
        let (tiers, notes) = default_tiers("0.999".parse().unwrap(), Duration::from_secs(DAY));
        let names: Vec<&str> = tiers.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["page-1h", "page-6h", "ticket-1d"]);
        assert_eq!(
            notes.last().unwrap().to_string(),
            "default tier `ticket-3d` left out: its window is longer than the period"
        );
    }
}
