//! Composites through the real SQL: what they burn is what their parts burn, each times its weight, whatever comes late,
//! is left out or begins anew.

use proptest::prelude::*;
use rust_decimal::Decimal;
use slo_engine::alert::AlertState;
use slo_engine::budgeting::Budgeting;
use slo_engine::composite::{self, Part, Weight};
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::measurement::{Clock, Signal};
use slo_engine::objective::{Objective, Severity, Sli, SliKind, Target};
use slo_engine::read::{SloKind, SloState};
use slo_engine::{Settings, read};

use crate::support::{
    DAY, HOUR, MINUTE, World, at, availability, batch, books, decimal, definitions, evaluate, few, noon,
    reading, run, seconds, series, source, tier,
};

pub const WHOLE: &str = "web";
pub const ANSWERS: &str = "web-answers";
pub const LATENCY: &str = "web-latency";

/// An objective and its parts, as definitions have them: parts alert nobody.
pub fn composite(parts: [(Objective, &str); 2]) -> Vec<Objective> {
    let weighed = parts.map(|(objective, weight)| {
        let objective = Objective {
            tiers: Vec::new(),
            ..objective
        };
        (objective, Weight::try_from(decimal(weight)).unwrap())
    });
    let targets: Vec<_> = weighed
        .iter()
        .map(|(part, weight)| (*weight, part.target))
        .collect();
    let of = weighed.iter().map(|(part, weight)| Part {
        objective: part.name.clone(),
        weight: *weight,
    });
    let whole = Objective {
        target: composite::target(&targets).unwrap(),
        budgeting: weighed[0].0.budgeting,
        tiers: vec![tier("page-1h", Severity::Page, HOUR, 5 * MINUTE, "2")],
        sli: Sli {
            kind: SliKind::Composite(of.collect()),
            ..Sli::availability()
        },
        ..availability(WHOLE, "web")
    };
    let [(first, _), (second, _)] = weighed;
    vec![first, second, whole]
}

pub fn answers(target: &str) -> Objective {
    Objective {
        target: Target::try_from(decimal(target)).unwrap(),
        ..availability(ANSWERS, "web")
    }
}

pub fn latency(target: &str) -> Objective {
    let kind = SliKind::Latency {
        clock: Clock::Turnaround,
        threshold: std::time::Duration::from_millis(250),
    };
    Objective {
        target: Target::try_from(decimal(target)).unwrap(),
        sli: Sli {
            kind,
            ..Sli::availability()
        },
        ..availability(LATENCY, "web")
    }
}

/// Answers are twice as dear as latency: 2 * (bad / total / 0.01) + bad / total / 0.1.
pub fn usual() -> Vec<Objective> {
    composite([(answers("0.99"), "2"), (latency("0.9"), "1")])
}

/// Running totals of what was answered well and badly, soon and late.
pub async fn counted(world: &World, host: &str, seconds: i64, totals: [u64; 4]) {
    let (clock, threshold) = (Clock::Turnaround, std::time::Duration::from_millis(250));
    let signals = [
        Signal::Status(200),
        Signal::Status(500),
        Signal::Within { clock, threshold },
        Signal::Over { clock, threshold },
    ];
    let readings = signals.into_iter().zip(totals);
    let readings = readings.map(|(signal, total)| reading(series("web", signal), noon(), total));
    let batch = batch(&source(host), at(seconds), readings.collect());
    world.engine.ingest_at(&batch, at(seconds)).await.unwrap();
}

/// Burn rate (0 where nothing was counted), good and bad of a window, as psql has it.
pub async fn burn(world: &World, name: &str, length: u64, now: i64) -> (Decimal, i64, i64) {
    sqlx::query_as(
        "select coalesce(burn_rate, 0), good, bad from burn_rate($1, make_interval(secs => $2), $3)",
    )
    .bind(name)
    .bind(f64::from(u32::try_from(length).unwrap()))
    .bind(at(now))
    .fetch_one(&world.database.pool)
    .await
    .unwrap()
}

async fn remaining(world: &World, now: i64) -> Decimal {
    let slo = read::slo(&world.database.pool, &WHOLE.parse().unwrap(), at(now)).await;
    slo.unwrap().unwrap().budget_remaining
}

#[tokio::test]
async fn a_composite_burns_what_its_parts_burn_each_times_its_weight() {
    let world = World::with(Settings::default(), usual()).await;
    // 1 % and 5 % bad: burn rates 1 and 0.5.
    counted(&world, "host1", 10, [990, 10, 95, 5]).await;
    assert_eq!(burn(&world, ANSWERS, 60, 10).await.0, decimal("1"));
    assert_eq!(burn(&world, LATENCY, 60, 10).await.0, decimal("0.5"));
    let (rate, good, bad) = burn(&world, WHOLE, 60, 10).await;
    assert_eq!(rate, decimal("2.5"));
    assert_eq!(good + bad, 1_000_000_000_000);
    assert_eq!(remaining(&world, 10).await, decimal("-1.5"));
    // What few requests say weighs as much as what many do: a million good answers do not thin out latency.
    counted(&world, "host1", 20, [1_000_990, 10, 95, 105]).await;
    assert_eq!(burn(&world, WHOLE, 10, 20).await.0, decimal("10"));
    // All of it gone is all of the whole.
    counted(&world, "host1", 30, [1_000_990, 1010, 95, 205]).await;
    let (rate, good, bad) = burn(&world, WHOLE, 10, 30).await;
    assert_eq!(rate.round_dp(3), decimal("210"));
    assert!(
        good < 1_000_000 && good + bad == 1_000_000_000_000,
        "{good} {bad}"
    );
    // A part that counted nothing burns nothing.
    counted(&world, "host1", 40, [1_001_090, 1010, 95, 205]).await;
    assert_eq!(
        burn(&world, WHOLE, 10, 40).await,
        (decimal("0"), 1_000_000_000_000, 0)
    );
    counted(&world, "host1", 50, [1_001_090, 1010, 95, 205]).await;
    assert_eq!(burn(&world, WHOLE, 10, 50).await, (decimal("0"), 0, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn its_page_names_its_parts_and_theirs_names_it() {
    let world = World::with(Settings::default(), usual()).await;
    counted(&world, "host1", 10, [990, 10, 95, 5]).await;
    let slos = read::slos(&world.database.pool, at(10)).await.unwrap();
    let [whole, answers, latency] = slos.as_slice() else {
        panic!("{slos:#?}")
    };
    assert_eq!(
        (whole.kind, whole.state),
        (SloKind::Composite, SloState::Exhausted)
    );
    assert_eq!(
        (whole.method.as_str(), whole.unit),
        ("Composite", 1_000_000_000_000)
    );
    let parts: Vec<String> = whole.parts.iter().map(ToString::to_string).collect();
    assert_eq!(parts, ["2*web-answers", "1*web-latency"]);
    assert_eq!(whole.part_of, None);
    for part in [answers, latency] {
        assert_eq!(part.part_of.as_ref().map(|name| name.as_str()), Some(WHOLE));
        assert!(part.tiers.is_empty() && part.parts.is_empty());
        // The same, asked for alone.
        let alone = read::slo(&world.database.pool, &part.name, at(10)).await;
        assert_eq!(alone.unwrap().as_ref(), Some(part));
    }
    // A part burns over the windows that its whole looks at.
    let burns = |slo: &read::Slo| -> Vec<_> {
        let of = |burn: &read::Burn| (burn.window, burn.burn_rate.normalize(), burn.counts.bad);
        slo.burn.iter().map(of).collect()
    };
    assert_eq!(burns(answers), [(seconds(HOUR), decimal("1"), 10)]);
    assert_eq!(burns(latency), [(seconds(HOUR), decimal("0.5"), 5)]);
    let requests = world.engine.requests(&whole.name, seconds(60), at(10)).await;
    assert_eq!(requests.unwrap(), 1_100, "all of them are evidence of the whole");
    let course = read::slo_series(&world.database.pool, &whole.name, at(0), at(10), seconds(10));
    let course = course.await.unwrap().unwrap();
    assert_eq!(course.burn_rate, [Some(decimal("2.5"))]);
    assert_eq!(course.budget_remaining, [Some(decimal("-1.5"))]);
    world.database.drop().await;
}

#[tokio::test]
async fn a_fresh_composite_is_calm_and_one_that_nobody_watches_is_not_judged() {
    let world = World::with(Settings::default(), usual()).await;
    world.engine.goodbye(&source("host1"), at(0)).await.unwrap();
    let frozen = async || -> i64 {
        let query = sqlx::query_scalar("select count(*) from event where kind = 'evaluation_frozen'");
        query.fetch_one(&world.database.pool).await.unwrap()
    };
    for second in [1, 10, 25] {
        world.step(at(second)).await;
        assert_eq!(frozen().await, 0, "{second}");
    }
    world.step(at(60)).await;
    assert_eq!(frozen().await, 1);
    world.database.drop().await;
}

#[tokio::test]
async fn counts_that_come_late_land_where_they_belong() {
    let world = World::with(Settings::default(), usual()).await;
    world.hello("host2", noon()).await;
    counted(&world, "host1", 10, [500, 5, 50, 5]).await;
    counted(&world, "host1", 20, [1000, 10, 100, 5]).await;
    let before = [
        burn(&world, WHOLE, 10, 10).await,
        burn(&world, WHOLE, 10, 20).await,
    ];
    assert_eq!(before[1].0, decimal("1.98019802"));
    // The other host tells of the first slot when the second is over: 495 good and 45 late answers.
    let mut late = batch(
        &source("host2"),
        at(10),
        vec![
            reading(series("web", Signal::Status(200)), noon(), 495),
            reading(
                series("web", "over:turnaround:250ms".parse().unwrap()),
                noon(),
                45,
            ),
        ],
    );
    late.sent_at = at(25);
    world.engine.ingest_at(&late, at(25)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 10, 10).await.0, decimal("6"));
    assert_eq!(burn(&world, WHOLE, 10, 20).await, before[1]);
    // And once more changes nothing.
    let kept = books(&world.database.pool).await;
    late.sent_at = at(26);
    world.engine.ingest_at(&late, at(26)).await.unwrap();
    assert_eq!(books(&world.database.pool).await, kept);
    world.database.drop().await;
}

#[tokio::test]
async fn a_correction_of_a_part_or_of_the_whole_is_left_out_and_undone() {
    let world = World::with(Settings::default(), usual()).await;
    counted(&world, "host1", 10, [100, 0, 100, 0]).await;
    counted(&world, "host1", 20, [150, 50, 150, 50]).await;
    counted(&world, "host1", 30, [250, 50, 250, 50]).await;
    let names = [WHOLE, ANSWERS, LATENCY];
    let mut before = Vec::new();
    for name in names {
        before.push(burn(&world, name, 60, 30).await);
    }
    // A sixth is bad: 2 * 16.67 + 1.67.
    assert_eq!(before[0].0.round_dp(6), decimal("35"));
    let correction = |objective: &str| NewCorrection {
        objective: objective.parse().unwrap(),
        kind: CorrectionKind::Deployment,
        starts_at: at(12),
        ends_at: at(18),
        recurrence: None,
        author: "ann".to_owned(),
        comment: "new version".to_owned(),
    };
    for (corrected, left) in [
        (ANSWERS, ["1.666667", "0"]),
        (LATENCY, ["33.333333", "16.666667"]),
        (WHOLE, ["0", "0"]),
    ] {
        let id = world
            .engine
            .correct(&correction(corrected), at(31))
            .await
            .unwrap();
        assert_eq!(
            burn(&world, WHOLE, 60, 30).await.0.round_dp(6),
            decimal(left[0]),
            "{corrected}"
        );
        assert_eq!(
            burn(&world, ANSWERS, 60, 30).await.0.round_dp(6),
            decimal(left[1]),
            "{corrected}"
        );
        let [evaluation] = &world.engine.evaluate_all(at(30)).await.unwrap()[..] else {
            panic!("one tier")
        };
        assert_eq!(
            evaluation.evidence.burning().unwrap().burn_rate_long.round_dp(6),
            decimal(left[0])
        );
        world.engine.undo_correction(id, "ann", at(32)).await.unwrap();
        for (name, before) in names.iter().zip(&before) {
            assert_eq!(burn(&world, name, 60, 30).await, *before, "{name}");
        }
    }
    world.database.drop().await;
}

#[tokio::test]
async fn another_target_of_a_part_reads_the_same_ledger_and_another_sli_begins_anew() {
    let world = World::with(Settings::default(), usual()).await;
    counted(&world, "host1", 10, [990, 10, 95, 5]).await;
    // Answers are held to 98 %: they burn at half the rate.
    let easier = composite([(answers("0.98"), "2"), (latency("0.9"), "1")]);
    world.engine.apply(&definitions(easier), at(20)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 60, 20).await.0, decimal("1.5"));
    // What was said before, stays said.
    assert_eq!(burn(&world, WHOLE, 60, 15).await.0, decimal("2.5"));
    // The part counts other events, so the whole begins with it, and does not read what the other part counted before.
    let mut other = answers("0.98");
    other.sli.route = Some("GET *".parse().unwrap());
    let other = composite([(other, "2"), (latency("0.9"), "1")]);
    world
        .engine
        .apply(&definitions(other.clone()), at(30))
        .await
        .unwrap();
    assert_eq!(burn(&world, WHOLE, 60, 30).await, (decimal("0"), 0, 0));
    counted(&world, "host1", 40, [1090, 10, 145, 55]).await;
    // Latency: 50 of 100 bad since.
    assert_eq!(burn(&world, WHOLE, 60, 40).await.0, decimal("5"));
    assert_eq!(burn(&world, LATENCY, 60, 40).await.0, decimal("2.75"));
    // The same again changes nothing; nor does a restart.
    world.engine.apply(&definitions(other), at(50)).await.unwrap();
    assert_eq!(burn(&world, WHOLE, 60, 50).await.0, decimal("5"));
    // Withdrawn, it is gone, and its parts stay objectives.
    world
        .engine
        .apply(&definitions(vec![answers("0.98")]), at(60))
        .await
        .unwrap();
    let slos = read::slos(&world.database.pool, at(60)).await.unwrap();
    assert_eq!(
        slos.iter().map(|slo| slo.name.as_str()).collect::<Vec<_>>(),
        [ANSWERS]
    );
    assert_eq!(slos[0].part_of, None);
    world.database.drop().await;
}

#[tokio::test]
async fn partly_good_slices_are_weighed_alike() {
    let slice = seconds(MINUTE);
    let sliced = |objective: Objective| Objective {
        budgeting: Budgeting::RatioTimeslices { slice },
        ..objective
    };
    let objectives = composite([(sliced(answers("0.9")), "1"), (sliced(latency("0.8")), "0.5")]);
    let world = World::with(Settings::default(), objectives.clone()).await;
    // A busy minute with a tenth bad, and a quiet one with half: 0.3 on average, whatever the requests.
    counted(&world, "host1", 60, [900, 100, 80, 20]).await;
    counted(&world, "host1", 120, [901, 101, 81, 21]).await;
    world.engine.judge_slices(at(180)).await.unwrap();
    assert_eq!(burn(&world, ANSWERS, 120, 120).await.0, decimal("3"));
    assert_eq!(burn(&world, LATENCY, 120, 120).await.0, decimal("1.75"));
    assert_eq!(burn(&world, WHOLE, 120, 120).await.0, decimal("3.875"));
    // Two slices of each, and what is known of them is known by 1,104 requests.
    for (name, expected) in [(ANSWERS, 1_002), (LATENCY, 102), (WHOLE, 1_104)] {
        let requests = world
            .engine
            .requests(&name.parse().unwrap(), seconds(120), at(120))
            .await;
        assert_eq!(requests.unwrap(), expected, "{name}");
    }
    // The same again changes nothing: the budget goes on.
    world
        .engine
        .apply(&definitions(objectives), at(180))
        .await
        .unwrap();
    let generation: i32 = sqlx::query_scalar("select generation from objective where name = $1")
        .bind(WHOLE)
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(generation, 1);
    // It has no slices of its own.
    let slices: i64 =
        sqlx::query_scalar("select count(*) from slice join objective using (objective_id) where name = $1")
            .bind(WHOLE)
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(slices, 0);
    world.database.drop().await;
}

proptest! {
    #![proptest_config(few(12))]

    /// Whatever was counted, in whatever window: the whole is the sum, to the nine decimals that a burn rate has.
    #[test]
    fn every_window_is_the_sum_of_its_parts(
        slots in proptest::collection::vec((0..1000_u64, 0..50_u64, 0..1000_u64, 0..50_u64), 2..12),
        weights in (1..2000_u32, 1..2000_u32),
        length in 1..12_u64,
    ) {
        run(async {
            let weight = |hundredths: u32| Decimal::new(i64::from(hundredths), 2).to_string();
            let (first, second) = (weight(weights.0), weight(weights.1));
            let objectives = composite([(answers("0.999"), &first), (latency("0.95"), &second)]);
            let world = World::with(Settings::default(), objectives).await;
            let mut totals = [0; 4];
            for (slot, (good, bad, soon, late)) in (1..).zip(&slots) {
                for (total, more) in totals.iter_mut().zip([good, bad, soon, late]) {
                    *total += more;
                }
                counted(&world, "host1", slot * 10, totals).await;
            }
            let now = i64::try_from(slots.len()).unwrap() * 10;
            for length in [length * 10, DAY] {
                let whole = burn(&world, WHOLE, length, now).await.0;
                let parts = decimal(&first) * burn(&world, ANSWERS, length, now).await.0
                    + decimal(&second) * burn(&world, LATENCY, length, now).await.0;
                let off = (whole - parts).abs();
                assert!(off <= decimal("0.00000006"), "{whole} is not {parts}");
            }
            world.database.drop().await;
        });
    }
}

#[tokio::test]
async fn a_silent_host_is_one_data_outage_of_the_whole_and_none_of_its_parts() {
    let world = World::with(Settings::default(), usual()).await;
    let mut told = Vec::new();
    for second in (10..=1000).step_by(10) {
        if second <= 600 {
            let total = u64::try_from(second).unwrap();
            counted(&world, "host1", second, [total, 0, total, 0]).await;
        }
        let mut evaluations = evaluate(&world.engine, at(second)).await;
        evaluations.extend(world.engine.evaluate_data_outages(at(second)).await.unwrap());
        let mut transaction = world.database.pool.begin().await.unwrap();
        let recorded = world
            .engine
            .record(&mut transaction, &evaluations, None, at(second))
            .await;
        transaction.commit().await.unwrap();
        let of = |one: slo_engine::alert::Transition| {
            (second, one.objective.to_string(), one.tier.to_string(), one.to)
        };
        told.extend(recorded.unwrap().into_iter().map(of));
    }
    let of_whole = |second, state| (second, WHOLE.to_owned(), "data-outage".to_owned(), state);
    assert_eq!(
        told,
        [
            of_whole(650, AlertState::Pending),
            of_whole(950, AlertState::Firing)
        ]
    );
    // What was counted before says nothing of now, of the whole or of its parts.
    let slos = read::slos(&world.database.pool, at(1000)).await.unwrap();
    assert_eq!(
        slos.iter().map(|slo| slo.state).collect::<Vec<_>>(),
        [SloState::NoData; 3]
    );
    world.database.drop().await;
}
