//! Published budget arithmetic (facts 3a to 3c), through the real SQL.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use slo_engine::objective::{Objective, ObjectiveName, Severity, Target, Tier};
use slo_engine::{Settings, read};

use crate::support::{
    DAY, MINUTE, World, at, availability, batch, decimal, noon, reading, seconds, status, tier,
    workbook_tiers,
};

/// Errors in percent, and when each tier detects them, in seconds: facts 3b. `None`: never.
const DETECTION: [(&str, [Option<f64>; 4]); 11] = [
    ("100", [Some(51.84), Some(129.6), Some(259.2), Some(259.2)]),
    ("50", [Some(103.68), Some(259.2), Some(518.4), Some(518.4)]),
    ("15", [Some(345.6), Some(864.0), Some(1728.0), Some(1728.0)]),
    ("10", [Some(518.4), Some(1296.0), Some(2592.0), Some(2592.0)]),
    ("5", [Some(1036.8), Some(2592.0), Some(5184.0), Some(5184.0)]),
    ("2", [Some(2592.0), Some(6480.0), Some(12_960.0), Some(12_960.0)]),
    ("1", [None, Some(12_960.0), Some(25_920.0), Some(25_920.0)]),
    ("0.5", [None, None, Some(51_840.0), Some(51_840.0)]),
    ("0.3", [None, None, None, Some(86_400.0)]),
    ("0.2", [None, None, None, Some(129_600.0)]),
    ("0.1", [None, None, None, None]),
];

/// A step of errors after four clean days, at a thousand requests a second.
const CLEAN: i64 = 4 * 86_400;
const RATE: i64 = 1000;

/// Services whose errors step up at once, each to its own ratio, and down again at once.
struct Replay {
    world: World,
    /// By service, per thousand.
    errors: BTreeMap<String, i64>,
    until: i64,
}

impl Replay {
    async fn new(ratios: &[&str], until: i64) -> Self {
        let errors: BTreeMap<String, i64> = ratios
            .iter()
            .map(|percent| {
                let per_mille = (decimal(percent) * Decimal::TEN).to_i64().unwrap();
                (format!("e{per_mille}"), per_mille)
            })
            .collect();
        let objectives: Vec<Objective> = errors.keys().map(|name| availability(name, name)).collect();
        let settings = Settings {
            slot: seconds(1),
            ..Settings::default()
        };
        Self {
            world: World::with(settings, objectives).await,
            errors,
            until,
        }
    }

    /// Reads the counters at these seconds, in order.
    async fn read_at(&self, instants: &BTreeSet<i64>) {
        for instant in instants.iter().filter(|instant| **instant > 0) {
            let bad_seconds = (*instant).min(self.until) - CLEAN;
            let readings = self
                .errors
                .iter()
                .flat_map(|(name, per_mille)| {
                    let bad = per_mille * bad_seconds.max(0);
                    let value = |value: i64| u64::try_from(value).unwrap();
                    [
                        reading(status(name, 200), noon(), value(RATE * instant - bad)),
                        reading(status(name, 500), noon(), value(bad)),
                    ]
                })
                .collect();
            self.world
                .ingest(&batch(&self.world.source, at(*instant), readings))
                .await;
        }
    }

    async fn burns(&self, percent: &str, tier: &Tier, now: i64) -> bool {
        let name: ObjectiveName = format!("e{}", (decimal(percent) * Decimal::TEN).normalize())
            .parse()
            .unwrap();
        let target = Target::try_from(decimal("0.999")).unwrap();
        let window = async |length| self.world.engine.burn(&name, length, at(now)).await.unwrap();
        window(tier.long).await.burns_above(tier.burn_rate, target)
            && window(tier.short).await.burns_above(tier.burn_rate, target)
    }
}

fn length(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap()
}

/// The last whole second before an instant, and the first one after it.
fn around(seconds: f64) -> (i64, i64) {
    #[expect(clippy::cast_possible_truncation, reason = "days of seconds")]
    let (before, after) = ((seconds - 0.001).floor() as i64, (seconds + 1.001).floor() as i64);
    (before, after)
}

#[tokio::test]
async fn a_step_of_errors_is_detected_when_the_table_says() {
    let tiers = workbook_tiers();
    let ratios: Vec<&str> = DETECTION.iter().map(|(percent, _)| *percent).collect();
    let replay = Replay::new(&ratios, i64::MAX).await;
    let mut checks = Vec::new();
    for (percent, expected) in DETECTION {
        for (tier, expected) in tiers.iter().zip(expected) {
            if let Some(detected) = expected {
                let (before, after) = around(detected);
                checks.push((percent, tier, CLEAN + before, false));
                checks.push((percent, tier, CLEAN + after, true));
            } else {
                checks.push((percent, tier, CLEAN + 3 * 86_400, false));
            }
        }
    }
    let mut instants = BTreeSet::new();
    for (_, tier, now, _) in &checks {
        instants.extend([*now, now - length(tier.long), now - length(tier.short), CLEAN]);
    }
    replay.read_at(&instants).await;
    for (percent, tier, now, expected) in checks {
        assert_eq!(
            replay.burns(percent, tier, now).await,
            expected,
            "{percent} % errors, {}, {} s after the step",
            tier.name,
            now - CLEAN
        );
    }
    replay.world.database.drop().await;
}

/// Errors in percent, and when each tier's short window is clear again, in minutes: facts 3c.
/// `None`: it never burnt.
const RESET: [(&str, [Option<f64>; 4]); 7] = [
    ("100", [Some(4.93), Some(29.82), Some(119.64), Some(359.64)]),
    ("50", [Some(4.86), Some(29.64), Some(119.28), Some(359.28)]),
    ("15", [Some(4.52), Some(28.8), Some(117.6), Some(357.6)]),
    ("10", [Some(4.28), Some(28.2), Some(116.4), Some(356.4)]),
    ("5", [Some(3.56), Some(26.4), Some(112.8), Some(352.8)]),
    ("2", [Some(1.4), Some(21.0), Some(102.0), Some(342.0)]),
    ("1", [None, Some(12.0), Some(84.0), Some(324.0)]),
];

#[tokio::test]
async fn an_outage_is_over_when_the_table_says() {
    let tiers = workbook_tiers();
    let ratios: Vec<&str> = RESET.iter().map(|(percent, _)| *percent).collect();
    let until = CLEAN + 3 * 86_400;
    let replay = Replay::new(&ratios, until).await;
    let mut checks = Vec::new();
    for (percent, minutes) in RESET {
        for (tier, minutes) in tiers.iter().zip(minutes) {
            let Some(minutes) = minutes else {
                checks.push((percent, tier, until, false));
                continue;
            };
            // The table is rounded to a hundredth of a minute.
            let reset = minutes * 60.0;
            checks.push((percent, tier, until + around(reset - 1.0).0, true));
            checks.push((percent, tier, until + around(reset + 1.0).1, false));
        }
    }
    let mut instants = BTreeSet::new();
    for (_, tier, now, _) in &checks {
        instants.extend([
            *now,
            now - length(tier.long),
            now - length(tier.short),
            CLEAN,
            until,
        ]);
    }
    replay.read_at(&instants).await;
    for (percent, tier, now, expected) in checks {
        assert_eq!(
            replay.burns(percent, tier, now).await,
            expected,
            "{percent} % errors, {}, {} s after their end",
            tier.name,
            now - until
        );
    }
    replay.world.database.drop().await;
}

/// One window at a burn rate: the percentage of errors for so many seconds, and when after their first it burns and when
/// after their last it does no more, in seconds: facts 3a.
const WINDOWS: [(u64, &str, &str, i64, f64, f64); 4] = [
    // Fig 5-6: 15 % for ten minutes.
    (300, "14.4", "15", 600, 28.8, 271.2),
    (3600, "14.4", "15", 600, 345.6, 3254.4),
    // 5 % of 30 days in an hour: an outage that ends when it is detected keeps it burning for 57.84 minutes.
    (3600, "36", "100", 130, 129.6, 3470.4),
    // The same share in 36 hours.
    (36 * 3600, "1", "100", 130, 129.6, 129_470.4),
];

#[tokio::test]
async fn a_window_burns_and_is_calm_again_when_the_book_says() {
    for (window, burn_rate, percent, lasts, burns_after, calm_after) in WINDOWS {
        let until = CLEAN + lasts;
        let replay = Replay::new(&[percent], until).await;
        let tier = tier("window", Severity::Page, window, window, burn_rate);
        let (calm, burning) = around(burns_after);
        let (still, over) = around(calm_after);
        let checks = [
            (CLEAN + calm, false),
            (CLEAN + burning, true),
            (until + still, true),
            (until + over, false),
        ];
        let mut instants = BTreeSet::from([CLEAN, until]);
        for (now, _) in checks {
            instants.extend([now, now - length(tier.long)]);
        }
        replay.read_at(&instants).await;
        for (now, expected) in checks {
            assert_eq!(
                replay.burns(percent, &tier, now).await,
                expected,
                "{window} s, at {}",
                now - CLEAN
            );
        }
        replay.world.database.drop().await;
    }
}

/// What is left of the budget, and the burn rate, after so many good and bad events of a period.
struct Published {
    says: &'static str,
    target: &'static str,
    counts: (u64, u64),
    remaining: &'static str,
    burn_rate: &'static str,
}

const fn published(
    says: &'static str,
    target: &'static str,
    counts: (u64, u64),
    remaining: &'static str,
    burn_rate: &'static str,
) -> Published {
    Published {
        says,
        target,
        counts,
        remaining,
        burn_rate,
    }
}

#[rustfmt::skip]
const PUBLISHED: [Published; 15] = [
    published("43.2 minutes of 43,200 are the budget at 99.9 %", "0.999", (30 * DAY - 2592, 2592), "0", "1"),
    published("25.92 seconds at 99.999 %, or 1 % for 43.2 minutes", "0.99999", (3000 * DAY - 2592, 2592), "0", "1"),
    published("0.6 s of outage spend 0.0231 %", "0.999", (300 * DAY - 6, 6), "0.999768519", "0.000231481"),
    published("an hour of outage spends 138.9 %", "0.999", (30 * DAY - 3600, 3600), "-0.388888889", "1.388888889"),
    published("five minutes of outage spend 11.57 %", "0.999", (30 * DAY - 300, 300), "0.884259259", "0.115740741"),
    published("and three times that 34.7 %", "0.999", (30 * DAY - 900, 900), "0.652777778", "0.347222222"),
    published("ten minutes of which 0.6 s fail burn at 1", "0.999", (5994, 6), "0", "1"),
    published("an hour at a burn rate of 36 spends 5 %", "0.999", (300 * DAY - 1296, 1296), "0.95", "0.05"),
    // One of 7.2 that are allowed in 30 days of 10 requests an hour: 13.9 %.
    published("10 requests an hour, one failed", "0.999", (7199, 1), "0.861111111", "0.138888889"),
    published("Kibana: 0.9 at 0.9", "0.9", (900, 100), "0", "1"),
    published("Kibana: 0.9 at 0.99", "0.99", (900, 100), "-9", "10"),
    published("Kibana: 0.9 at 0.8", "0.8", (900, 100), "0.5", "0.5"),
    published("slo-generator: half at 0.9", "0.9", (3556, 3556), "-4", "5"),
    published("nothing bad", "0.999", (10, 0), "1", "0"),
    published("nothing at all", "0.999", (0, 0), "1", "0"),
];

#[tokio::test]
async fn budgets_come_to_the_published_numbers() {
    let cases: Vec<(String, &Published)> = PUBLISHED
        .iter()
        .enumerate()
        .map(|(index, case)| (format!("case-{index}"), case))
        .collect();
    let objectives = cases
        .iter()
        .map(|(name, case)| Objective {
            target: Target::try_from(decimal(case.target)).unwrap(),
            ..availability(name, name)
        })
        .collect();
    let world = World::with(Settings::default(), objectives).await;
    let readings = cases
        .iter()
        .flat_map(|(name, case)| {
            [
                reading(status(name, 200), noon(), case.counts.0),
                reading(status(name, 500), noon(), case.counts.1),
            ]
        })
        .collect();
    world.ingest(&batch(&world.source, at(10), readings)).await;
    for (name, case) in cases {
        let found: (Decimal, Decimal) = sqlx::query_as(
            "select b.remaining, r.burn_rate
             from error_budget($1, $2) b, burn_rate($1, '30 days', $2) r",
        )
        .bind(name)
        .bind(at(10))
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(
            found,
            (decimal(case.remaining), decimal(case.burn_rate)),
            "{}",
            case.says
        );
    }
    world.database.drop().await;
}

#[tokio::test]
async fn psql_and_the_read_models_show_the_same_numbers() {
    let world = World::new(Settings::default()).await;
    for minute in 1..=60_u64 {
        let now = at(i64::try_from(minute * MINUTE).unwrap());
        world.counted(now, 1000 * minute - minute / 7, minute / 7).await;
    }
    let now = at(3600);
    let slo = read::slo(&world.database.pool, &"web-availability".parse().unwrap(), now)
        .await
        .unwrap()
        .unwrap();
    let (remaining, allowed): (Decimal, Decimal) =
        sqlx::query_as("select remaining, allowed from error_budget('web-availability', $1)")
            .bind(now)
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(
        (slo.budget_remaining, slo.budget_total_events),
        (remaining, allowed)
    );
    for burn in &slo.burn {
        let (rate, bad): (Decimal, i64) = sqlx::query_as(
            "select burn_rate, bad from burn_rate('web-availability', make_interval(secs => $1), $2)",
        )
        .bind(burn.window.as_secs_f64())
        .bind(now)
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(
            (burn.burn_rate, i64::try_from(burn.counts.bad).unwrap()),
            (rate, bad),
            "{:?}",
            burn.window
        );
    }
    // The course's steps add up to the whole.
    let course = read::slo_series(&world.database.pool, &slo.name, at(0), now, seconds(300))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(course.at.len(), 12);
    assert_eq!(course.bad.iter().sum::<u64>(), slo.budget_spent_events);
    assert_eq!(course.good.iter().sum::<u64>(), slo.counts.good);
    assert_eq!(course.budget_remaining.last().unwrap(), &Some(remaining));
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_no_window_or_no_objective_has_no_row() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 9, 1).await;
    for (objective, window, rows) in [
        ("web-availability", "1 hour", 1_i64),
        ("web-availability", "0", 1),
        ("web-availability", "10 years", 1),
        ("web-availability", "-1 hour", 0),
        ("nobody", "1 hour", 0),
        ("'; drop table ledger; --", "1 hour", 0),
    ] {
        let found: i64 = sqlx::query_scalar("select count(*) from burn_rate($1, $2::text::interval, $3)")
            .bind(objective)
            .bind(window)
            .bind(at(10))
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
        assert_eq!(found, rows, "{objective} {window}");
    }
    world.database.drop().await;
}
