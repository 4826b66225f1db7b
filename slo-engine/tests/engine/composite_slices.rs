//! Composites of Timeslices through the real SQL: a slice of the whole is bad as soon as one of its parts' is.

use rust_decimal::Decimal;
use slo_engine::Settings;
use slo_engine::alert::Evidence;
use slo_engine::budgeting::Budgeting;
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::evaluate::{Decision, MissingData, OutageRule};
use slo_engine::objective::{Objective, SliKind};
use slo_engine::read;

use crate::composite::{ANSWERS, LATENCY, WHOLE, answers, burn, composite, counted, latency};
use crate::support::{MINUTE, World, at, decimal, definitions, noon, seconds};

/// Minutes that are good when 90 % was answered well, and 80 % soon; 99 % of them should be.
fn minutes() -> Vec<Objective> {
    let slice = seconds(MINUTE);
    let sliced = |objective: Objective, target: &str| Objective {
        budgeting: Budgeting::Timeslices {
            slice,
            target: decimal(target),
        },
        ..objective
    };
    let parts = [
        (sliced(answers("0.99"), "0.9"), "1"),
        (sliced(latency("0.99"), "0.8"), "1"),
    ];
    let mut objectives = composite(parts);
    for whole in objectives.iter_mut().filter(|each| each.name.as_str() == WHOLE) {
        whole.target = answers("0.99").target;
        whole.budgeting = Budgeting::Timeslices {
            slice,
            target: decimal("1"),
        };
    }
    objectives
}

/// Four minutes: a good one, one that is answered badly, one that is answered late, and one that is both.
async fn four() -> World {
    let world = World::with(Settings::default(), minutes()).await;
    counted(&world, "host1", 60, [100, 0, 100, 0]).await;
    counted(&world, "host1", 120, [180, 20, 200, 0]).await;
    counted(&world, "host1", 180, [280, 20, 270, 30]).await;
    counted(&world, "host1", 240, [330, 70, 320, 80]).await;
    world
}

#[tokio::test]
async fn a_slice_of_the_whole_is_bad_when_one_of_its_parts_is() {
    let world = four().await;
    // The fourth is not over for as long as anything may come in time.
    world.engine.judge_slices(at(220)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 240, 240).await.1, 1);
    assert_eq!(burn(&world, WHOLE, 240, 240).await.2, 2);
    world.engine.judge_slices(at(300)).await.unwrap();
    assert_eq!(burn(&world, ANSWERS, 240, 240).await, (decimal("50"), 2, 2));
    assert_eq!(burn(&world, LATENCY, 240, 240).await, (decimal("50"), 2, 2));
    assert_eq!(burn(&world, WHOLE, 240, 240).await, (decimal("75"), 1, 3));
    // Judged again, nothing is booked twice; defined again, it goes on.
    world.engine.judge_slices(at(310)).await.unwrap();
    world
        .engine
        .apply(&definitions(minutes()), at(310))
        .await
        .unwrap();
    assert_eq!(burn(&world, WHOLE, 240, 240).await, (decimal("75"), 1, 3));

    let name = WHOLE.parse().unwrap();
    let slo = read::slo(&world.database.pool, &name, at(240))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (slo.method.as_str(), slo.unit, slo.slice),
        ("Timeslices", 1, Some(seconds(MINUTE)))
    );
    assert_eq!((slo.counts.good, slo.counts.bad), (1, 3));
    let requests = world.engine.requests(&name, seconds(240), at(240)).await.unwrap();
    assert_eq!(requests, 800, "what its parts' slices stand on");
    // Its alert weighs slices: three bad ones of four are evidence.
    let evaluations = world.engine.evaluate_all(at(240)).await.unwrap();
    let [whole] = &evaluations[..] else {
        panic!("{evaluations:?}")
    };
    assert_eq!(whole.decision, Decision::Fire);
    let Evidence::Windows(burning) = &whole.evidence else {
        panic!("{whole:?}")
    };
    assert_eq!((burning.long.good, burning.long.bad, burning.unit), (1, 3, 1));
    assert!(
        burning.bad_needed.is_some_and(|needed| needed <= 3),
        "{burning:?}"
    );
    world.database.drop().await;
}

/// Its parts say nothing of missing data: they go by what the whole says.
#[tokio::test]
async fn a_minute_that_was_watched_by_half_counts_where_the_whole_says_so() {
    for (least, bad) in [(None, 0), (Some("0.5"), 1)] {
        let mut objectives = minutes();
        objectives[2].missing_data = least.map(|least| MissingData {
            coverage_min: decimal(least),
            outage: Some(OutageRule::default()),
        });
        let world = World::with(Settings::default(), objectives).await;
        counted(&world, "host1", 60, [100, 0, 100, 0]).await;
        counted(&world, "host1", 90, [100, 20, 120, 0]).await;
        counted(&world, "host1", 180, [200, 20, 220, 0]).await;
        world.engine.judge_slices(at(210)).await.unwrap();
        for name in [ANSWERS, WHOLE] {
            let (_, good, found) = burn(&world, name, 180, 180).await;
            assert_eq!((good, found), (2, bad), "{name} {least:?}");
        }
        world.database.drop().await;
    }
}

/// Part and whole are defined anew, each time as another generation of the whole: the part's stays.
#[tokio::test]
async fn how_much_of_a_parts_minute_has_to_be_watched_is_what_its_whole_says_at_the_time() {
    let stated = |least: &str| MissingData {
        coverage_min: decimal(least),
        outage: Some(OutageRule::default()),
    };
    let whole = |least: Option<&str>| {
        let mut objectives = minutes();
        objectives[2].missing_data = least.map(stated);
        objectives
    };
    // Named in another order, parts are another whole.
    let turned = |least: Option<&str>| {
        let mut objectives = whole(least);
        if let SliKind::Composite(parts) = &mut objectives[2].sli.kind {
            parts.reverse();
        }
        objectives
    };
    let mut alone = minutes();
    alone.truncate(1);
    alone[0].missing_data = Some(stated("0.6"));

    let world = World::with(Settings::default(), whole(Some("0.5"))).await;
    for (second, objectives) in [
        (300, turned(Some("0.7"))),
        (600, whole(None)),
        (900, turned(Some("1"))),
        (1200, alone),
    ] {
        let applied = world.engine.apply(&definitions(objectives), at(second)).await;
        applied.unwrap();
    }
    for (second, expected) in [
        (-60, "0.5"),
        (299, "0.5"),
        (300, "0.7"),
        (599, "0.7"),
        (600, "0.9"),
        (899, "0.9"),
        (900, "1"),
        (1199, "1"),
        (1200, "0.6"),
    ] {
        let found: Decimal = sqlx::query_scalar(
            "select slice_coverage_min(objective_id, 1, $2) from objective where name = $1",
        )
        .bind(ANSWERS)
        .bind(at(second))
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(found, decimal(expected), "{second}");
    }
    // Of the minutes that end at 120, 420 and 720 a half was watched, and nothing then was answered well.
    for (round, start) in [(0, 60), (1, 360), (2, 660)] {
        let (good, bad) = (100 + 200 * round, 20 * round);
        for (second, more) in [(0, [0, 0]), (30, [0, 20]), (120, [100, 20])] {
            let (answered, refused) = (good + more[0], bad + more[1]);
            let totals = [answered, refused, answered + refused, 0];
            counted(&world, "host1", start + second, totals).await;
        }
    }
    world.engine.judge_slices(at(900)).await.unwrap();
    for (ends, bad) in [(120, 1), (420, 0), (720, 0)] {
        assert_eq!(burn(&world, ANSWERS, MINUTE, ends).await.2, bad, "{ends}");
    }
    world.database.drop().await;
}

#[tokio::test]
async fn what_comes_late_judges_the_slice_of_the_whole_again() {
    let world = World::with(Settings::default(), minutes()).await;
    world.hello("host2", noon()).await;
    counted(&world, "host1", 60, [100, 0, 100, 0]).await;
    counted(&world, "host1", 120, [200, 0, 200, 0]).await;
    world.engine.judge_slices(at(180)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 120, 120).await, (decimal("0"), 2, 0));
    // Fifty bad answers of the first minute, and then so many good ones that it was good after all.
    counted(&world, "host2", 50, [0, 50, 50, 0]).await;
    world.engine.judge_slices(at(190)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 120, 120).await, (decimal("50"), 1, 1));
    counted(&world, "host2", 60, [1_000, 50, 1_050, 0]).await;
    world.engine.judge_slices(at(200)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 120, 120).await, (decimal("0"), 2, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn slices_that_a_part_leaves_out_are_left_out_of_the_whole() {
    let world = four().await;
    world.engine.judge_slices(at(300)).await.unwrap();
    let correction = NewCorrection {
        objective: ANSWERS.parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(70),
        ends_at: at(80),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    let id = world.engine.correct(&correction, at(300)).await.unwrap();
    assert_eq!(burn(&world, ANSWERS, 240, 240).await.2, 1);
    let (_, good, bad) = burn(&world, WHOLE, 240, 240).await;
    assert_eq!((good, bad), (1, 2));
    // What alerts look at is the same.
    let evaluations = world.engine.evaluate_all(at(240)).await.unwrap();
    let counts = evaluations[0].evidence.counts();
    assert_eq!((counts.good, counts.bad), (1, 2));
    world.engine.undo_correction(id, "ann", at(310)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 240, 240).await, (decimal("75"), 1, 3));
    world.database.drop().await;
}
