//! Budgets that count slices of time: OpenSLO's published numbers (facts 2d), and what late, missing and
//! repeated data do to them. Everything goes through intake, judgement and the SQL that people ask.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::evaluate::{MissingData, OutageRule};
use slo_engine::measurement::{Hello, SourceId};
use slo_engine::objective::{Objective, Target};
use slo_engine::{Settings, read};

use crate::support::{
    DAY, HOUR, MINUTE, World, at, availability, batch, decimal, definitions, noon, reading, seconds, source,
    status, step, tier,
};

fn counted(name: &str, budgeting: Budgeting, target: &str, period: u64) -> Objective {
    Objective {
        target: Target::try_from(decimal(target)).unwrap(),
        period: seconds(period),
        budgeting,
        tiers: Vec::new(),
        ..availability(name, name)
    }
}

fn timeslices(slice: u64, target: &str) -> Budgeting {
    Budgeting::Timeslices {
        slice: seconds(slice),
        target: decimal(target),
    }
}

/// Remaining, allowed, good and bad, as psql shows them.
async fn budget(world: &World, name: &str, now: DateTime<Utc>) -> (Decimal, Decimal, i64, i64) {
    sqlx::query_as("select remaining, allowed, good, bad from error_budget($1, $2)")
        .bind(name)
        .bind(now)
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

/// Good and bad requests of services, running totals.
async fn read_totals(world: &World, now: DateTime<Utc>, totals: &[(&str, u64, u64)]) {
    let readings = totals
        .iter()
        .flat_map(|(service, good, bad)| {
            [
                reading(status(service, 200), noon(), *good),
                reading(status(service, 500), noon(), *bad),
            ]
        })
        .collect();
    world.ingest(&batch(&world.source, now, readings)).await;
}

/// OpenSLO's `examples/budgeting-method`: two weeks, 24,000 requests a day of which 99 % succeed, target 95 %,
/// then an attack of which 1 % succeeds. Slices of an hour instead of a minute leave every span as it is.
#[tokio::test]
async fn an_attack_spends_the_budgets_of_slices_in_the_published_time() {
    const WEEKS: u64 = 14 * DAY;
    let slice = seconds(HOUR);
    let objectives = vec![
        counted("slices", timeslices(HOUR, "0.95"), "0.95", WEEKS),
        counted("ratios", Budgeting::RatioTimeslices { slice }, "0.95", WEEKS),
    ];
    let world = World::with(Settings::default(), objectives).await;
    let (mut good, mut bad) = (0, 0);
    let mut left = Vec::new();
    for hour in 1..=336 + 17_u64 {
        let is_attack = hour > 336;
        good += if is_attack { 10 } else { 990 };
        bad += if is_attack { 990 } else { 10 };
        let now = at(i64::try_from(hour * HOUR).unwrap());
        read_totals(&world, now, &[("slices", good, bad), ("ratios", good, bad)]).await;
        if hour >= 336 {
            world
                .engine
                .judge_slices(now + Duration::from_secs(30))
                .await
                .unwrap();
            left.push((
                budget(&world, "slices", now).await,
                budget(&world, "ratios", now).await,
            ));
        }
    }
    // 1,008 slices of a minute are 16.8 hours: 16 h 48 min.
    let (slices, ratios) = left[0];
    assert_eq!(slices, (Decimal::ONE, decimal("16.8"), 336, 0));
    let billion = 1_000_000_000;
    assert_eq!(ratios.1, decimal("16.8") * Decimal::from(billion));
    assert_eq!(
        (ratios.2, ratios.3),
        (336 * billion * 99 / 100, 336 * billion / 100)
    );
    assert!(left[16].0.0 > Decimal::ZERO && left[17].0.0 < Decimal::ZERO);
    assert_eq!(left[16].0.3, 16);
    // The mean of ratios is spent after 13 h 42 min 51 s, which is 822.86 slices of a minute.
    assert!(left[13].1.0 > Decimal::ZERO && left[14].1.0 < Decimal::ZERO);
    let an_hour = left[0].1.0 - left[1].1.0;
    let minutes = (left[0].1.0 / an_hour * Decimal::from(60)).round_dp(2);
    assert_eq!(minutes, decimal("822.86"));
    world.database.drop().await;
}

/// The example in slices of a minute, in two weeks of a calendar that begin with the attack.
#[tokio::test]
async fn the_attack_spends_1008_minutes_or_822_and_86_hundredths_of_partly_good_ones() {
    const WEEKS: i64 = 14 * 24 * 60;
    let slice = seconds(MINUTE);
    let objectives = [
        ("slices", timeslices(MINUTE, "0.95")),
        ("ratios", Budgeting::RatioTimeslices { slice }),
    ];
    let objectives = objectives.map(|(name, budgeting)| Objective {
        calendar: Some(Calendar {
            starts: noon().naive_utc(),
            zone: "UTC".parse().unwrap(),
            every: CalendarStep::Days(14),
        }),
        ..counted(name, budgeting, "0.95", 14 * DAY)
    });
    let world = World::with(Settings::default(), objectives.into()).await;
    for minute in 1..=1009 {
        let (good, bad) = (10 * minute, 990 * minute);
        let now = at(i64::try_from(minute * MINUTE).unwrap());
        read_totals(&world, now, &[("slices", good, bad), ("ratios", good, bad)]).await;
    }
    assert_eq!(world.engine.judge_slices(at(1010 * 60)).await.unwrap(), 2 * 1009);
    let after = async |name, minutes: i64| budget(&world, name, at(minutes * 60)).await;
    let (nothing, whole) = (Decimal::ZERO, decimal("1008"));
    assert_eq!(after("slices", 0).await, (Decimal::ONE, whole, 0, 0));
    assert!(after("slices", 1007).await.0 > nothing);
    assert_eq!(after("slices", 1008).await, (nothing, whole, 0, 1008));
    assert!(after("slices", 1009).await.0 < nothing);

    // A hundredth of each minute that is not attacked is spent, too. Nothing else is left after so many:
    let mut left = Vec::new();
    for minutes in [822, 823] {
        let (_, allowed, _, bad) = after("ratios", minutes).await;
        let billion = Decimal::from(1_000_000_000);
        let spent = (Decimal::from(bad) / billion, Decimal::new(WEEKS - minutes, 2));
        left.push(allowed / billion - spent.0 - spent.1);
    }
    assert!(left[0] > nothing && left[1] < nothing, "{left:?}");
    let minutes = Decimal::from(822) + left[0] / (left[0] - left[1]);
    assert_eq!(minutes.round_dp(2), decimal("822.86"));
    world.database.drop().await;
}

/// The same example's requests: the attack enlarges the number that the budget is a share of.
#[tokio::test]
async fn an_attack_of_14_297_requests_leaves_the_budget_of_requests_and_one_more_spends_it() {
    let world = World::with(
        Settings::default(),
        vec![counted("requests", Budgeting::Occurrences, "0.95", 14 * DAY)],
    )
    .await;
    let (good, bad) = (336_000 - 3360, 3360);
    for (second, attack, failed) in [(10, 14_297, 14_154), (20, 14_298, 14_155)] {
        let totals = [("requests", good + attack - failed, bad + failed)];
        read_totals(&world, at(second), &totals).await;
        let (remaining, ..) = budget(&world, "requests", at(second)).await;
        assert_eq!(remaining >= Decimal::ZERO, second == 10, "{remaining}");
    }
    world.database.drop().await;
}

/// OpenSLO's `examples/treat-low-traffic`: a week of the calendar, 99.95 %, slices of a minute.
#[tokio::test]
async fn five_bad_minutes_of_a_week_comply_and_the_sixth_violates() {
    let starts = NaiveDate::from_ymd_opt(2026, 11, 2)
        .unwrap()
        .and_hms_opt(0, 0, 0)
        .unwrap();
    let objective = Objective {
        calendar: Some(Calendar {
            starts,
            zone: "UTC".parse().unwrap(),
            every: CalendarStep::Days(7),
        }),
        ..counted("quiet", timeslices(MINUTE, "0.5"), "0.9995", 7 * DAY)
    };
    let world = World::with(Settings::default(), vec![objective]).await;
    for minute in 1..=6_u64 {
        let now = at(i64::try_from(minute * MINUTE).unwrap());
        read_totals(&world, now, &[("quiet", 0, minute)]).await;
        world
            .engine
            .judge_slices(now + Duration::from_secs(30))
            .await
            .unwrap();
        let (remaining, allowed, _, bad) = budget(&world, "quiet", now).await;
        assert_eq!((allowed, bad), (decimal("5.04"), i64::try_from(minute).unwrap()));
        assert_eq!(remaining >= Decimal::ZERO, minute <= 5, "{minute}: {remaining}");
    }
    let slo = read::slo(&world.database.pool, &"quiet".parse().unwrap(), at(360))
        .await
        .unwrap()
        .unwrap();
    let (remaining, allowed, ..) = budget(&world, "quiet", at(360)).await;
    assert_eq!(
        (slo.budget_remaining, slo.budget_total_events),
        (remaining, allowed)
    );
    assert_eq!(
        (slo.method.as_str(), slo.unit, slo.slice),
        ("Timeslices", 1, Some(seconds(60)))
    );
    assert_eq!(slo.period_to - slo.period_from, chrono::TimeDelta::days(7));
    world.database.drop().await;
}

#[tokio::test]
async fn a_watched_minute_without_requests_is_good_and_an_unwatched_one_is_in_neither() {
    let world = World::with(
        Settings::default(),
        vec![counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)],
    )
    .await;
    let totals = async |second, good, bad| read_totals(&world, at(second), &[("web", good, bad)]).await;
    totals(60, 9, 1).await;
    totals(120, 9, 1).await;
    totals(180, 17, 3).await;
    // Nothing is said for three minutes by a source that restarted: nobody watched.
    world.engine.goodbye(&world.source, at(180)).await.unwrap();
    world.hello("host1", at(360)).await;
    totals(420, 17, 3).await;
    let judged = world.engine.judge_slices(at(450)).await.unwrap();
    assert!(judged >= 4, "{judged}");
    let (.., good, bad) = budget(&world, "web", at(420)).await;
    assert_eq!((good, bad), (3, 1));
    assert_eq!(world.engine.judge_slices(at(460)).await.unwrap(), 0);
    world.database.drop().await;
}

#[tokio::test]
async fn a_minute_of_which_too_little_was_watched_is_in_neither_whatever_it_counted() {
    for (watched, good, bad) in [(53, 2, 0), (54, 2, 1)] {
        let world = World::with(
            Settings::default(),
            vec![counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)],
        )
        .await;
        let totals = async |second, good, bad| read_totals(&world, at(second), &[("web", good, bad)]).await;
        totals(60, 10, 0).await;
        totals(60 + watched, 10, 5).await;
        // The kernel counted on, so that the third minute was watched whole.
        totals(180, 12, 5).await;
        world.engine.judge_slices(at(210)).await.unwrap();
        let (.., found_good, found_bad) = budget(&world, "web", at(180)).await;
        assert_eq!((found_good, found_bad), (good, bad), "{watched} s");
        world.database.drop().await;
    }
}

#[tokio::test]
async fn how_much_of_a_minute_has_to_be_watched_is_what_its_definition_says_of_missing_data() {
    let stated = |least: &str| Objective {
        missing_data: Some(MissingData {
            coverage_min: decimal(least),
            outage: Some(OutageRule::default()),
        }),
        ..counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)
    };
    for (least, watched, counts) in [
        ("0.5", 29, (2, 0)),
        ("0.5", 30, (2, 1)),
        ("1", 59, (2, 0)),
        ("1", 60, (2, 1)),
    ] {
        let world = World::with(Settings::default(), vec![stated(least)]).await;
        let totals = async |second, good, bad| read_totals(&world, at(second), &[("web", good, bad)]).await;
        totals(60, 10, 0).await;
        totals(60 + watched, 10, 5).await;
        totals(180, 12, 5).await;
        world.engine.judge_slices(at(210)).await.unwrap();
        let (.., good, bad) = budget(&world, "web", at(180)).await;
        assert_eq!((good, bad), counts, "{watched} s of which {least}");
        // What is judged again goes by what was said at the time, what was before all of it by the first.
        let changed = definitions(vec![stated("0.7")]);
        world.engine.apply(&changed, at(300)).await.unwrap();
        for (second, expected) in [(-60, least), (299, least), (300, "0.7")] {
            let found: Decimal = sqlx::query_scalar("select slice_coverage_min(1, 1, $1)")
                .bind(at(second))
                .fetch_one(&world.database.pool)
                .await
                .unwrap();
            assert_eq!(found, decimal(expected), "{second}");
        }
        world.database.drop().await;
    }
}

/// As a restart is: the kernel counts on, and what it counted comes behind the minute's end.
#[tokio::test]
async fn a_short_absence_over_the_end_of_a_minute_leaves_it_watched() {
    let world = World::with(
        Settings::default(),
        vec![counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)],
    )
    .await;
    for (second, good, bad) in [
        (60, 10, 0),
        (100, 10, 5),
        (125, 10, 5),
        (150, 12, 5),
        (180, 12, 5),
    ] {
        read_totals(&world, at(second), &[("web", good, bad)]).await;
    }
    world.engine.judge_slices(at(210)).await.unwrap();
    let (.., good, bad) = budget(&world, "web", at(180)).await;
    assert_eq!((good, bad), (2, 1));
    world.database.drop().await;
}

#[tokio::test]
async fn an_open_slice_waits_and_a_late_batch_moves_the_ledger_by_a_slice() {
    let world = World::with(
        Settings::default(),
        vec![counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)],
    )
    .await;
    world.hello("host2", noon()).await;
    read_totals(&world, at(60), &[("web", 100, 0)]).await;
    assert_eq!(world.engine.judge_slices(at(89)).await.unwrap(), 0);
    assert_eq!(world.engine.judge_slices(at(90)).await.unwrap(), 1);
    let (.., good, bad) = budget(&world, "web", at(90)).await;
    assert_eq!((good, bad), (1, 0));
    // Another host saw that minute fail, and says so minutes later; what it says twice counts once.
    for _ in 0..2 {
        let late = batch(
            &source("host2"),
            at(60),
            vec![reading(status("web", 500), noon(), 50)],
        );
        world.engine.ingest_at(&late, at(61)).await.unwrap();
        world.engine.judge_slices(at(300)).await.unwrap();
        let (.., good, bad) = budget(&world, "web", at(300)).await;
        assert_eq!((good, bad), (0, 1));
    }
    world.database.drop().await;
}

/// A batch takes the partitions' lock before the services'; who holds the latter never waits for the former.
#[tokio::test]
async fn judging_and_giving_up_a_source_wait_for_no_partition() {
    let world = World::with(
        Settings::default(),
        vec![counted("web", timeslices(MINUTE, "0.9"), "0.9", DAY)],
    )
    .await;
    read_totals(&world, at(60), &[("web", 100, 0)]).await;
    let mut partitions = world.database.pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtext('slowburn.partition'))")
        .execute(&mut *partitions)
        .await
        .unwrap();
    let judged = tokio::time::timeout(seconds(30), world.engine.judge_slices(at(90))).await;
    assert_eq!(judged.expect("it waits for nobody").unwrap(), 1);
    // Another source of its machine: the first is given up, and owes its silence.
    let taken = Hello {
        source: SourceId::new("host1", "boot2", 1).unwrap(),
        host: "host1".to_owned(),
        at: at(120),
    };
    let greeted = tokio::time::timeout(seconds(30), world.engine.hello(&taken)).await;
    greeted.expect("it waits for nobody").unwrap();
    partitions.rollback().await.unwrap();
    world.database.drop().await;
}

#[tokio::test]
async fn tiers_fire_on_bad_slices_and_another_slice_target_starts_anew() {
    let objective = |slice_target| Objective {
        tiers: vec![tier(
            "page-1h",
            slo_engine::objective::Severity::Page,
            HOUR,
            5 * MINUTE,
            "2",
        )],
        ..counted("web", timeslices(MINUTE, slice_target), "0.9", DAY)
    };
    let world = World::with(Settings::default(), vec![objective("0.9")]).await;
    let mut fired = None;
    for minute in 1..=30_u64 {
        let now = at(i64::try_from(minute * MINUTE).unwrap());
        // From the eleventh minute on every minute is bad, though four of five requests succeed.
        let bad = minute.saturating_sub(10) * 20;
        read_totals(&world, now, &[("web", minute * 100 - bad, bad)]).await;
        let transitions = step(&world.engine, now + Duration::from_secs(30), None).await;
        if fired.is_none() && transitions.iter().any(|t| t.to.to_string() == "firing") {
            fired = Some(minute);
        }
    }
    // Burning at 2 is 20 % of the slices, 3 of 13; evidence that it is more than chance takes 7 of 17.
    let fired = fired.expect("the tier fires");
    assert!((13..=20).contains(&fired), "{fired}");
    let generation = async || -> i32 {
        sqlx::query_scalar("select generation from objective where name = 'web'")
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    for (slice_target, expected) in [("0.9", 1), ("0.8", 2), ("0.80", 2)] {
        let changed = definitions(vec![objective(slice_target)]);
        world.engine.apply(&changed, at(2000)).await.unwrap();
        assert_eq!(generation().await, expected, "{slice_target}");
    }
    world.database.drop().await;
}
