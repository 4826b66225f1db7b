//! Published budget arithmetic (facts 3a and 3f), through the real SQL.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use slo_engine::objective::{Objective, Target};
use slo_engine::{Settings, read};

use crate::support::{DAY, MINUTE, World, at, availability, batch, decimal, noon, reading, seconds, status};

/// What is left of the budget, and the burn rate, if there is one, after so many good and bad events of a period.
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
    published("nothing at all", "0.999", (0, 0), "1", ""),
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
        let found: (Decimal, Option<Decimal>) = sqlx::query_as(
            "select b.remaining, r.burn_rate
             from error_budget($1, $2) b, burn_rate($1, '30 days', $2) r",
        )
        .bind(name)
        .bind(at(10))
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        let burn_rate = (!case.burn_rate.is_empty()).then(|| decimal(case.burn_rate));
        assert_eq!(found, (decimal(case.remaining), burn_rate), "{}", case.says);
    }
    world.database.drop().await;
}

/// Table 5-4 and the text beside it: burn rate, errors of a thousand requests, and after how many seconds of them nothing is left
/// of the budget of 30 days: 30, 15 and 3 days, 20.57 hours, 43.2 minutes.
const EXHAUSTION: [(&str, u64, i64); 5] = [
    ("1", 1, 2_592_000),
    ("2", 2, 1_296_000),
    ("10", 10, 259_200),
    ("35", 35, 74_057),
    ("1000", 1000, 2592),
];

#[tokio::test]
async fn a_budget_is_exhausted_when_the_table_says() {
    const PERIOD: i64 = 30 * 86_400;
    const RATE: i64 = 1000;
    let name = |burn_rate: &str| format!("burns-at-{burn_rate}");
    let objectives = EXHAUSTION
        .iter()
        .map(|(burn_rate, ..)| Objective {
            tiers: Vec::new(),
            ..availability(&name(burn_rate), &name(burn_rate))
        })
        .collect();
    let settings = Settings {
        slot: seconds(1),
        ..Settings::default()
    };
    let world = World::with(settings, objectives).await;
    // A clean period, then errors. Counters are read where budgets are asked for, and where their periods begin.
    let mut instants = BTreeSet::from([PERIOD]);
    for (_, _, after) in EXHAUSTION {
        for now in [after - 1, after, after + 1, after.max(3600)] {
            instants.extend([PERIOD + now, now, PERIOD + now - 3600]);
        }
    }
    for now in instants {
        let mut readings = Vec::new();
        for (burn_rate, per_mille, _) in EXHAUSTION {
            let bad = per_mille * u64::try_from((now - PERIOD).max(0)).unwrap();
            let total = u64::try_from(RATE * now).unwrap();
            readings.push(reading(status(&name(burn_rate), 200), noon(), total - bad));
            readings.push(reading(status(&name(burn_rate), 500), noon(), bad));
        }
        world.ingest(&batch(&world.source, at(now), readings)).await;
    }
    for (burn_rate, _, after) in EXHAUSTION {
        let remaining = async |now: i64| -> Decimal {
            sqlx::query_scalar("select remaining from error_budget($1, $2)")
                .bind(name(burn_rate))
                .bind(at(PERIOD + now))
                .fetch_one(&world.database.pool)
                .await
                .unwrap()
        };
        assert!(remaining(after - 1).await > Decimal::ZERO, "{burn_rate}");
        // At a burn rate of 1 as much leaves as comes.
        let behind = remaining(after + 1).await;
        assert!(
            behind < Decimal::ZERO || (burn_rate == "1" && behind == Decimal::ZERO),
            "{burn_rate}: {behind}"
        );
        // But for the one that takes 2/7 of a second more.
        assert_eq!(
            remaining(after).await == Decimal::ZERO,
            burn_rate != "35",
            "{burn_rate}"
        );
        let found: Decimal = sqlx::query_scalar("select burn_rate from burn_rate($1, '1 hour', $2)")
            .bind(name(burn_rate))
            .bind(at(PERIOD + after.max(3600)))
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
        assert_eq!(found, decimal(burn_rate));
    }
    world.database.drop().await;
}

/// The book says "1,000x" of it: ten times what it is.
#[tokio::test]
async fn one_failure_of_ten_requests_burns_at_a_hundred_over_its_hour() {
    let world = World::new(Settings::default()).await;
    for minute in 1..=60 {
        let asked = minute / 6;
        let bad = u64::from(asked >= 4);
        let now = at(i64::try_from(minute * MINUTE).unwrap());
        world.counted(now, asked - bad, bad).await;
    }
    let (burn_rate, good, bad): (Decimal, i64, i64) =
        sqlx::query_as("select burn_rate, good, bad from burn_rate('web-availability', '1 hour', $1)")
            .bind(at(3600))
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!((burn_rate, good, bad), (Decimal::ONE_HUNDRED, 9, 1));
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
