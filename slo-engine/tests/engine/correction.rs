//! Corrections: what they leave out of every number, and that undoing them leaves no trace in any.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::correction::{CorrectionId, CorrectionKind, NewCorrection, Recurrence};
use slo_engine::objective::{Objective, Target};
use slo_engine::sequential::FastPage;
use slo_engine::{Settings, read};

use crate::support::{DAY, HOUR, MINUTE, World, at, availability, decimal, few, noon, run, seconds, source};

const WEB: &str = "web-availability";

fn correction(from: i64, to: i64) -> NewCorrection {
    NewCorrection {
        objective: WEB.parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(from),
        ends_at: at(to),
        recurrence: None,
        author: "ann".to_owned(),
        comment: "the switch is replaced".to_owned(),
    }
}

async fn correct(world: &World, from: i64, to: i64) -> CorrectionId {
    world.engine.correct(&correction(from, to), at(0)).await.unwrap()
}

/// Good, bad, expected and covered of a window, as psql has it.
async fn window(world: &World, from: i64, to: i64) -> (i64, i64, i64, i64) {
    sqlx::query_as("select good, bad, expected_ms, covered_ms from burn_rate($1, $2 - $3, $2)")
        .bind(WEB)
        .bind(at(to))
        .bind(at(from))
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

async fn left_out(world: &World, from: i64, to: i64) -> Vec<read::LeftOut> {
    read::left_out(&world.database.pool, &WEB.parse().unwrap(), (at(from), at(to)))
        .await
        .unwrap()
}

/// So many slots, each with a good request more than the slot before, and bad ones in every third.
async fn measured(settings: Settings, objectives: Vec<Objective>, slots: i64) -> World {
    let world = World::with(settings, objectives).await;
    let (mut good, mut bad) = (0, 0);
    for slot in 1..=slots {
        good += u64::try_from(slot).unwrap();
        bad += u64::from(slot % 3 == 0) * 5;
        world.counted(at(slot * 10), good, bad).await;
    }
    world
}

/// Everything that an objective's page shows.
async fn everything(world: &World, now: i64) -> String {
    let slo = read::slo(&world.database.pool, &WEB.parse().unwrap(), at(now))
        .await
        .unwrap();
    let course = read::slo_series(
        &world.database.pool,
        &WEB.parse().unwrap(),
        at(0),
        at(now),
        seconds(30),
    )
    .await
    .unwrap();
    let evaluations = world.engine.evaluate_all(at(now)).await.unwrap();
    format!("{slo:#?} {course:#?} {evaluations:#?}")
}

#[tokio::test]
async fn a_correction_leaves_out_its_slots_and_undoing_it_restores_every_number() {
    let world = measured(Settings::default(), vec![availability(WEB, "web")], 60).await;
    let before = everything(&world, 600).await;
    assert_eq!(window(&world, 0, 600).await, (1830, 100, 600_000, 600_000));
    // It touches the slots that end at 100 to 120.
    let id = correct(&world, 95, 115).await;
    let (out, bad) = (10 + 11 + 12, 5);
    assert_eq!(
        window(&world, 0, 600).await,
        (1830 - out, 100 - bad, 570_000, 570_000)
    );
    assert_eq!(window(&world, 90, 120).await, (0, 0, 0, 0));
    assert_eq!(window(&world, 120, 600).await.0, 1830 - (1..=12).sum::<i64>());
    let span = read::LeftOut {
        from: at(90),
        to: at(120),
        counted_from: Some(at(90)),
        counted_to: Some(at(120)),
        good: out,
        bad,
    };
    assert_eq!(left_out(&world, 0, 600).await, [span]);
    // Tiers, budget and course say the same.
    let evaluations = world.engine.evaluate_all(at(600)).await.unwrap();
    assert!(!evaluations.is_empty());
    for evaluation in &evaluations {
        assert_eq!(
            evaluation.evidence.counts().good,
            u64::try_from(1830 - out).unwrap()
        );
    }
    let pool = &world.database.pool;
    let slo = read::slo(pool, &WEB.parse().unwrap(), at(600))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((slo.counts.bad, slo.budget_spent_events), (95, 95));
    let course = read::slo_series(pool, &WEB.parse().unwrap(), at(0), at(600), seconds(30))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        course.good.iter().sum::<u64>(),
        u64::try_from(1830 - out).unwrap()
    );
    assert_eq!((course.good[3], course.burn_rate[3]), (0, None));

    world.engine.undo_correction(id, "bob", at(700)).await.unwrap();
    assert_eq!(everything(&world, 600).await, before);
    assert_eq!(left_out(&world, 0, 600).await, []);
    // It is still told, with who undid it.
    let told = read::corrections(pool, None, (at(0), at(600)), 10).await.unwrap();
    assert_eq!(told[0].undone, Some((at(700), "bob".to_owned())));
    assert_eq!(told[0].spans, [(at(95), at(115))]);
    let events = read::events(pool, None, Some(WEB), 2).await.unwrap();
    assert_eq!(events[0].message, "maintenance counts again: undone by bob");
    assert_eq!(
        events[1].message,
        "maintenance left out from 2026-11-02T12:01:35Z to 2026-11-02T12:01:55Z by ann"
    );
    world.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    /// Held against the slots themselves, read one at a time before anything was corrected.
    #[test]
    fn what_is_left_is_the_sum_of_the_slots_that_no_correction_touches(
        counts in prop::collection::vec((0_u64..50, 0_u64..5, any::<bool>()), 40),
        corrections in prop::collection::vec((0_i64..400, 1_i64..150), 1..6),
        edges in prop::collection::vec(0_i64..40, 1..6),
    ) {
        run(async {
            let world = World::new(Settings::default()).await;
            let (mut good, mut bad) = (0, 0);
            for (slot, (more_good, more_bad, is_read)) in (1..).zip(&counts) {
                (good, bad) = (good + more_good, bad + more_bad);
                // What is not read comes with the next reading: its slot is not covered yet, or has no row.
                if *is_read {
                    world.counted(at(slot * 10), good, bad).await;
                }
            }
            world.counted(at(410), good, bad).await;
            let mut slots = Vec::new();
            for slot in 0..41 {
                slots.push(window(&world, slot * 10, slot * 10 + 10).await);
            }
            let whole = window(&world, 0, 410).await;
            let mut ids = Vec::new();
            for (from, length) in &corrections {
                ids.push(correct(&world, *from, from + length).await);
            }
            let is_out = |slot: i64| {
                corrections.iter().any(|(from, length)| from / 10 <= slot && slot * 10 < from + length)
            };
            // The edges of corrections are among those of the parts.
            let mut edges: Vec<i64> = edges.iter().map(|edge| edge * 10).chain([0, 410]).collect();
            edges.extend(corrections.iter().flat_map(|(from, length)| [*from, (from + length).min(410)]));
            edges.retain(|edge| *edge <= 410);
            edges.sort_unstable();
            edges.dedup();
            let add = |sum: (i64, i64, i64, i64), part: (i64, i64, i64, i64)| {
                (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2, sum.3 + part.3)
            };
            let mut parts = (0, 0, 0, 0);
            for pair in edges.windows(2) {
                parts = add(parts, window(&world, pair[0], pair[1]).await);
            }
            let corrected = window(&world, 0, 410).await;
            assert_eq!(parts, corrected, "edges {edges:?}");
            let expected = (0_i64..).zip(&slots).filter(|(slot, _)| !is_out(*slot)).fold((0, 0, 0, 0), |sum, (_, slot)| add(sum, *slot));
            assert_eq!(corrected, expected);
            let out = left_out(&world, 0, 410).await;
            assert!(out.windows(2).all(|pair| pair[0].to < pair[1].from), "{out:?}");
            assert_eq!(out.iter().map(|span| span.good).sum::<i64>(), whole.0 - corrected.0);
            for id in ids {
                world.engine.undo_correction(id, "ann", at(500)).await.unwrap();
            }
            assert_eq!(window(&world, 0, 410).await, whole);
            world.database.drop().await;
        });
    }
}

fn counted(name: &str, budgeting: Budgeting, calendar: Option<Calendar>) -> Objective {
    Objective {
        target: Target::try_from(decimal("0.9")).unwrap(),
        period: seconds(DAY),
        calendar,
        budgeting,
        ..availability(name, "web")
    }
}

/// Allowed, good and bad.
async fn budget(world: &World, name: &str, now: i64) -> (Decimal, i64, i64) {
    sqlx::query_as("select allowed, good, bad from error_budget($1, $2)")
        .bind(name)
        .bind(at(now))
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn slices_that_a_correction_touches_are_in_neither_good_nor_total() {
    let slice = seconds(MINUTE);
    let slices = Budgeting::Timeslices {
        slice,
        target: decimal("0.9"),
    };
    let day = Calendar {
        starts: "2026-11-01T00:00:00".parse().unwrap(),
        zone: chrono_tz::UTC,
        every: CalendarStep::Days(1),
    };
    let names = ["rolling", "ratios", "calendar"];
    let objectives = vec![
        counted("rolling", slices, None),
        counted("ratios", Budgeting::RatioTimeslices { slice }, None),
        counted("calendar", slices, Some(day)),
    ];
    let world = World::with(Settings::default(), objectives).await;
    // Ten minutes: the third is all bad, the fifth has nothing.
    let (mut good, mut bad) = (0, 0);
    for second in (10..=600).step_by(10) {
        match (second - 1) / 60 {
            2 => bad += 10,
            4 => {}
            _ => good += 10,
        }
        world.counted(at(second), good, bad).await;
    }
    world.engine.judge_slices(at(640)).await.unwrap();
    let billion = 1_000_000_000;
    let read = async || {
        let mut all = Vec::new();
        for name in names {
            all.push(budget(&world, name, 600).await);
        }
        all
    };
    let before = read().await;
    let day_allows = Decimal::from(144);
    assert_eq!(before[0], (Decimal::ONE, 9, 1));
    assert_eq!(before[1], (Decimal::from(billion), 9 * billion, billion));
    assert_eq!(before[2], (day_allows, 9, 1));
    // From within the third minute to within the fourth; and an hour of the evening that is yet to come.
    let mut ids = Vec::new();
    for name in names {
        for (from, to) in [(150, 181), (6 * 3600, 7 * 3600)] {
            let new = NewCorrection {
                objective: name.parse().unwrap(),
                ..correction(from, to)
            };
            ids.push(world.engine.correct(&new, at(650)).await.unwrap());
        }
    }
    let after = read().await;
    assert_eq!(after[0], (decimal("0.8"), 8, 0));
    assert_eq!(after[1], (Decimal::from(billion * 8 / 10), 8 * billion, 0));
    assert_eq!(
        after[2],
        (day_allows - decimal("6.2"), 8, 0),
        "62 slices of the day are left out"
    );
    for id in ids {
        world.engine.undo_correction(id, "ann", at(660)).await.unwrap();
    }
    assert_eq!(read().await, before);
    world.database.drop().await;
}

#[tokio::test]
async fn what_recurs_is_at_the_same_time_on_the_clocks_and_recurs_on_as_time_goes_by() {
    let world = World::new(Settings::default()).await;
    let utc = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let nightly = NewCorrection {
        starts_at: utc("2026-10-24T00:30:00Z"),
        ends_at: utc("2026-10-24T01:30:00Z"),
        recurrence: Some(Recurrence::new("FREQ=DAILY", "Europe/Berlin").unwrap()),
        ..correction(0, 1)
    };
    let id = world.engine.correct(&nightly, noon()).await.unwrap();
    let told = read::corrections(
        &world.database.pool,
        Some(&WEB.parse().unwrap()),
        (utc("2026-10-24T00:00:00Z"), utc("2026-10-27T00:00:00Z")),
        10,
    )
    .await
    .unwrap();
    // The clocks show half past two twice on the 25th; the later is meant, as calendars have it.
    let starts: Vec<_> = told[0]
        .spans
        .iter()
        .map(|(from, _)| from.format("%dT%H:%M").to_string())
        .collect();
    assert_eq!(starts, ["24T00:30", "25T01:30", "26T01:30"]);
    assert!(
        told[0]
            .spans
            .iter()
            .all(|(from, to)| *to - *from == TimeDelta::hours(1))
    );
    let last = async || -> (DateTime<Utc>, i64) {
        sqlx::query_as("select max(from_at), count(*) from correction_span")
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    let (first_last, first_count) = last().await;
    let ahead = first_last - noon();
    assert!(
        (TimeDelta::days(399)..=TimeDelta::days(400)).contains(&ahead),
        "{ahead}"
    );
    let later = noon() + TimeDelta::days(100);
    world.engine.maintain(later).await.unwrap();
    let (next_last, next_count) = last().await;
    assert_eq!(next_last - first_last, TimeDelta::days(100));
    assert_eq!(next_count - first_count, 100, "each night once");
    world.engine.maintain(later).await.unwrap();
    assert_eq!(last().await, (next_last, next_count));
    world.engine.undo_correction(id, "ann", later).await.unwrap();
    world.engine.maintain(later + TimeDelta::days(100)).await.unwrap();
    assert_eq!(
        last().await,
        (next_last, next_count),
        "what is undone recurs no more"
    );
    world.database.drop().await;
}

#[tokio::test]
async fn thinning_keeps_the_rows_at_the_edges_of_corrections() {
    let world = measured(Settings::default(), vec![availability(WEB, "web")], 120).await;
    correct(&world, 95, 115).await;
    let before = (window(&world, 0, 1200).await, left_out(&world, 0, 1200).await);
    let evening = i64::try_from(12 * HOUR).unwrap();
    world.engine.goodbye(&source("host1"), at(1200)).await.unwrap();
    for days in [1, 2] {
        let later = evening + days * 86_400;
        assert!(world.engine.maintain(at(later)).await.unwrap().days_thinned > 0);
        assert_eq!(
            (window(&world, 0, 1200).await, left_out(&world, 0, 1200).await),
            before
        );
    }
    // One made now finds a row every five minutes: it leaves out what lies between those, and says so.
    correct(&world, 700, 1000).await;
    let out = left_out(&world, 0, 1200).await;
    assert_eq!(out[0], before.1[0]);
    assert_eq!((out[1].from, out[1].to), (at(700), at(1000)));
    assert_eq!(
        (out[1].counted_from, out[1].counted_to),
        (Some(at(600)), Some(at(900)))
    );
    assert_eq!(out[1].good, (61..=90).sum::<i64>());
    assert_eq!(window(&world, 0, 1200).await.0, before.0.0 - out[1].good);
    world.database.drop().await;
}

#[tokio::test]
async fn silence_in_a_correction_is_left_out_and_silence_after_it_is_not() {
    let world = measured(Settings::default(), vec![availability(WEB, "web")], 30).await;
    correct(&world, 300, 400).await;
    // Nothing has come for five minutes, of which the first 100 s are left out.
    assert_eq!(window(&world, 0, 600).await, (465, 50, 500_000, 300_000));
    assert_eq!(window(&world, 300, 400).await, (0, 0, 0, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn errors_of_a_maintenance_do_not_page() {
    let objective = Objective {
        fast_page: Some(FastPage::for_period(seconds(30 * DAY)).unwrap()),
        ..availability(WEB, "web")
    };
    let world = World::with(Settings::default(), vec![objective]).await;
    world.counted(at(1), 20, 0).await;
    correct(&world, 1, 60).await;
    let statistic = async || -> Option<f64> {
        sqlx::query_scalar("select statistic from excursion")
            .fetch_optional(&world.database.pool)
            .await
            .unwrap()
    };
    for second in 2..=60 {
        world
            .counted(at(second), 20, 20 * u64::try_from(second).unwrap())
            .await;
    }
    assert_eq!(statistic().await, None);
    world.counted(at(61), 20, 1220).await;
    assert!(statistic().await.is_some(), "what comes after it counts");
    world.database.drop().await;
}

#[tokio::test]
async fn what_cannot_be_corrected_is_refused_with_the_reason() {
    let world = World::new(Settings::default()).await;
    let wrong = [
        (
            NewCorrection {
                objective: "nobody".parse().unwrap(),
                ..correction(0, 10)
            },
            "no objective is called `nobody`",
        ),
        (
            correction(10, 10),
            "the correction ends before it begins, or as it begins",
        ),
        (correction(0, 400 * 86_400), "longer than 366 days"),
        (
            correction(500 * 86_400, 501 * 86_400),
            "more than 400 days from now",
        ),
        (
            NewCorrection {
                author: " ".to_owned(),
                ..correction(0, 10)
            },
            "`author` is empty",
        ),
        (
            NewCorrection {
                recurrence: Some(Recurrence::new("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "UTC").unwrap()),
                ..correction(0, 10)
            },
            "it never begins",
        ),
    ];
    for (new, says) in wrong {
        let refused = world.engine.correct(&new, at(0)).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}, expected {says}");
    }
    let id = correct(&world, 0, 10).await;
    world.engine.undo_correction(id, "ann", at(0)).await.unwrap();
    let again = world.engine.undo_correction(id, "ann", at(0)).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        format!("correction {} is undone already", id.0)
    );
    let none = world
        .engine
        .undo_correction(CorrectionId(99), "ann", at(0))
        .await
        .unwrap_err();
    assert_eq!(none.to_string(), "there is no correction 99");
    for _ in 0..200 {
        correct(&world, 0, 10).await;
    }
    let full = world.engine.correct(&correction(0, 10), at(0)).await.unwrap_err();
    assert_eq!(
        full.to_string(),
        "`web-availability` has 200 corrections that stand"
    );
    world.database.drop().await;
}
