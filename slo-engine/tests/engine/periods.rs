//! Tiers of other periods, as they come to by shares of the budget and as others publish them (facts 3d): a total outage at 99.9 %,
//! replayed as the Workbook's are, is detected when their shares are spent.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use slo_engine::alert::AlertState;
use slo_engine::objective::{BurnRate, Severity, Tier};

use crate::support::{DAY, HOUR, MINUTE, decimal, seconds, tier};
use crate::workbook::{CLEAN, FOREVER, Instants, Step, around, came, replay};

/// A share of the budget in percent, the windows that it is spent in, and the burn rate that this comes to, as published.
type Published = (&'static str, u64, u64, &'static str);

/// The shares and windows of table 5-8.
const SHARES: [(&str, u64, u64); 4] = [
    ("2", HOUR, 5 * MINUTE),
    ("5", 6 * HOUR, 30 * MINUTE),
    ("10", DAY, 2 * HOUR),
    ("10", 3 * DAY, 6 * HOUR),
];

/// By days of the period.
const BY_SHARE: [(&str, u64, [&str; 4]); 4] = [
    ("computed", 7, ["3.36", "1.4", "0.7", "0.233"]),
    ("sloth", 28, ["13.44", "5.6", "2.8", "0.9333"]),
    ("workbook", 30, ["14.4", "6", "3", "1"]),
    ("computed", 90, ["43.2", "18", "9", "3"]),
];

/// Shares, or windows, of their own.
#[rustfmt::skip]
const OF_THEIR_OWN: [(&str, u64, &[Published]); 6] = [
    ("datadog", 7, &[
        ("10", HOUR, 5 * MINUTE, "16.8"), ("20", 6 * HOUR, 30 * MINUTE, "5.6"), ("40", DAY, 2 * HOUR, "2.8"),
    ]),
    ("datadog", 90, &[
        ("1", HOUR, 5 * MINUTE, "21.6"), ("3", 6 * HOUR, 30 * MINUTE, "10.8"), ("5", DAY, 2 * HOUR, "4.5"),
    ]),
    ("sloth", 7, &[
        ("8", HOUR, 5 * MINUTE, "13.44"), ("12.5", 6 * HOUR, 30 * MINUTE, "3.5"),
        ("20", DAY, 2 * HOUR, "1.4"), ("42", 3 * DAY, 6 * HOUR, "0.98"),
    ]),
    ("sloth", 30, &[
        ("1", 30 * MINUTE, 150, "14.4"), ("2", 3 * HOUR, 15 * MINUTE, "4.8"),
        ("5", 12 * HOUR, HOUR, "3"), ("5", 36 * HOUR, 3 * HOUR, "1"),
    ]),
    // It keeps its burn rates and scales the windows, to whole minutes.
    ("pyrra", 28, &[
        ("2.083333333", HOUR, 5 * MINUTE, "14"), ("6.25", 6 * HOUR, 30 * MINUTE, "7"),
        ("7.142857143", DAY, 2 * HOUR, "2"), ("14.285714286", 4 * DAY, 6 * HOUR, "1"),
    ]),
    ("pyrra", 30, &[
        ("2.083333333", 64 * MINUTE, 5 * MINUTE, "14"), ("6.25", 386 * MINUTE, 32 * MINUTE, "7"),
        ("7.142857143", 1543 * MINUTE, 129 * MINUTE, "2"), ("14.285714286", 6171 * MINUTE, 386 * MINUTE, "1"),
    ]),
];

fn columns() -> Vec<(String, u64, Vec<Published>)> {
    let by_share = BY_SHARE.into_iter().map(|(who, days, burn_rates)| {
        let published = SHARES.into_iter().zip(burn_rates);
        let published = published.map(|((share, long, short), rate)| (share, long, short, rate));
        (format!("{who}-{days}d"), days, published.collect())
    });
    let own = OF_THEIR_OWN
        .into_iter()
        .map(|(who, days, published)| (format!("{who}s-own-{days}d"), days, published.to_vec()));
    by_share.chain(own).collect()
}

/// The tier, and when it detects: once its share of what an outage may take of the period, a thousandth, is over.
fn tier_of(days: u64, (number, published): (usize, Published)) -> (Tier, f64) {
    let (percent, long, short, burn_rate) = published;
    let share = decimal(percent) / Decimal::ONE_HUNDRED;
    let found = BurnRate::from_share(share, seconds(days * DAY), seconds(long)).unwrap();
    let expected = decimal(burn_rate);
    let rounded = found.value().round_dp(expected.scale());
    assert_eq!(rounded, expected, "{percent} % of {days} d in {long} s");
    let mut tier = tier(&format!("tier-{number}"), Severity::Page, long, short, burn_rate);
    tier.burn_rate = found;
    let detected = share * Decimal::from(days * DAY) * decimal("0.001");
    (tier, detected.to_f64().unwrap())
}

#[tokio::test]
async fn tiers_of_any_period_burn_when_their_shares_say() {
    let mut instants = Instants::default();
    let mut steps = Vec::new();
    let mut detections = Vec::new();
    for (name, days, published) in columns() {
        let (tiers, detected): (Vec<_>, Vec<_>) = (1..)
            .zip(published)
            .map(|numbered| tier_of(days, numbered))
            .unzip();
        for detected in &detected {
            let (before, after) = around(*detected);
            instants.judged.extend([CLEAN + before, CLEAN + after]);
        }
        steps.push(Step::new(&name, "100", FOREVER, tiers));
        detections.push(detected);
    }
    let life = replay(&steps, instants, false).await;
    for (step, detections) in steps.iter().zip(detections) {
        let service = step.objective.service.as_str();
        for (tier, detected) in step.objective.tiers.iter().zip(detections) {
            let (before, after) = around(detected);
            let between = (CLEAN + before, CLEAN + after);
            came(&life, service, tier, AlertState::Firing, between);
        }
    }
}
