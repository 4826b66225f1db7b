//! Whatever an objective counts next, nothing that is read of it is of two generations: definitions change at any time, and
//! none is counted back further than over the slot it was defined in.

use proptest::prelude::*;
use slo_engine::Settings;
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::evaluate::Evaluation;
use slo_engine::objective::{Objective, Severity};
use slo_engine::sequential::{FastPage, Sequential};

use crate::backfill_property::counts;
use crate::order::pack;
use crate::support::{
    DAY, World, at_ms, batch, budgets_of_all_are_each_ones, definitions, evaluate, few, noon, reading, run,
    seconds, status, tier,
};

const WEB: &str = "web-availability";
const SLOT: i64 = 10_000;
/// What is good, of what.
const SLIS: [(&str, &str); 3] = [
    ("2xx", "2xx,5xx"),
    ("2xx", "2xx,4xx,5xx"),
    ("2xx,4xx", "2xx,4xx,5xx"),
];
const CODES: [u16; 3] = [200, 404, 500];

/// How long after the one before, what it counted of each code, and what is counted from some time before it on.
#[derive(Debug, Clone)]
struct Intake {
    later: i64,
    counted: [u64; 3],
    redefined: Option<(i64, usize)>,
}

fn intakes() -> impl Strategy<Value = Vec<Intake>> {
    let redefined = prop::option::weighted(0.15, (1_i64..200, 0_usize..3));
    let intake = (200_i64..25_000, [0_u64..50, 0..4, 0..3], redefined);
    let intake = intake.prop_map(|(later, counted, redefined)| Intake {
        later,
        counted,
        redefined,
    });
    prop::collection::vec(intake, 20..60)
}

fn objective(sli: usize) -> Objective {
    let (good, total) = SLIS[sli];
    Objective {
        tiers: vec![
            tier("page", Severity::Page, 300, 30, "2"),
            tier("ticket", Severity::Ticket, 7200, 600, "1"),
        ],
        fast_page: Some(FastPage::for_period(seconds(30 * DAY)).unwrap()),
        budget_alerts: vec![BudgetAlert {
            name: "drop".parse().unwrap(),
            severity: Severity::Page,
            rule: "drop 1% within 10m".parse().unwrap(),
        }],
        ..counts(WEB, good, total)
    }
}

/// What each generation is to hold, by hand.
#[derive(Default)]
struct Model {
    /// Since when, and what it counts.
    generations: Vec<(i64, usize)>,
    /// When, and what of each code.
    measured: Vec<(i64, [u64; 3])>,
    statistic: f64,
}

fn slot_end(at: i64) -> i64 {
    (at + SLOT - 1).div_euclid(SLOT) * SLOT
}

/// Good and bad.
fn worth(sli: usize, [ok, missing, failed]: [u64; 3]) -> (u64, u64) {
    match sli {
        0 => (ok, failed),
        1 => (ok, missing + failed),
        _ => (ok + missing, failed),
    }
}

impl Model {
    fn redefine(&mut self, now: i64, sli: usize) {
        if self.generations.last().is_none_or(|(_, before)| *before != sli) {
            self.generations.push((now, sli));
            self.statistic = 0.0;
        }
    }

    fn measure(&mut self, now: i64, counted: [u64; 3]) {
        self.measured.push((now, counted));
        let test = Sequential::new("0.999".parse().unwrap(), &objective(0).fast_page.unwrap());
        let (_, sli) = self.generations[self.generations.len() - 1];
        let (good, bad) = worth(sli, counted);
        self.statistic = test.step(self.statistic, good, bad);
    }

    /// Of the definition that stood when it ends: which, where its ledger begins, and what the window holds of it. The slot in
    /// which it was defined it counts whole, as all that was measured by then, and nothing from its successor's definition on.
    fn window(&self, from: i64, to: i64) -> (usize, i64, u64, u64) {
        let of = self.generations.partition_point(|(since, _)| *since <= to) - 1;
        let (since, sli) = self.generations[of];
        let until = self.generations.get(of + 1).map_or(i64::MAX, |(next, _)| *next);
        // The first began before anything was measured.
        let begins = if of == 0 { since } else { slot_end(since) - SLOT };
        let holds = from + SLOT..to + SLOT;
        let (good, bad) = self
            .measured
            .iter()
            .filter(|(at, _)| *at < until && slot_end(*at) > begins && holds.contains(&slot_end(*at)))
            .map(|(_, counted)| worth(sli, *counted))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (of, begins, good, bad)
    }
}

/// What the tiers, the alert on the budget and the fast page stand on.
async fn judges_by_its_own(world: &World, model: &Model, now: i64) {
    let judged = |evaluations: Vec<Evaluation>, window: i64, which: &str| {
        let (_, begins, good, bad) = model.window(now - window, now);
        let one = evaluations
            .into_iter()
            .find(|one| one.tier.as_str() == which)
            .unwrap();
        let counts = one.evidence.counts();
        assert_eq!((counts.good, counts.bad), (good, bad), "{which} at {now}");
        assert!(counts.from >= at_ms(begins), "{which} at {now}: {counts:?}");
    };
    evaluate(&world.engine, at_ms(now)).await;
    let tiers = world.engine.evaluate_all(at_ms(now)).await.unwrap();
    judged(tiers.clone(), 300_000, "page");
    judged(tiers, 7_200_000, "ticket");
    let budgets = world.engine.evaluate_budgets(at_ms(now)).await.unwrap();
    judged(budgets, 600_000, "drop");
    let statistic: Option<f64> = sqlx::query_scalar("select statistic from excursion")
        .fetch_optional(&world.database.pool)
        .await
        .unwrap();
    let found = statistic.unwrap_or(0.0);
    assert!(
        (found - model.statistic).abs() < 1e-6,
        "at {now}: {found}, not {}",
        model.statistic
    );
}

/// What people ask: a window, the budget, and its course.
async fn tells_its_own(world: &World, model: &Model, from: i64, to: i64) {
    type Row = (i32, i64, i64, chrono::DateTime<chrono::Utc>);
    budgets_of_all_are_each_ones(&world.database.pool, &[at_ms(from), at_ms(to)]).await;
    let asked = "select generation, good, bad, from_at from burn_rate($1, $3 - $2, $3)
                 union all
                 select generation, good, bad, from_at from error_budget($1, $3)
                 union all
                 select 0, s.good, s.bad, s.at from budget_series($1, $2, $3, ($3 - $2) / 4) s";
    let rows: Vec<Row> = sqlx::query_as(asked)
        .bind(WEB)
        .bind(at_ms(from))
        .bind(at_ms(to))
        .fetch_all(&world.database.pool)
        .await
        .unwrap();
    let expect = |row: &Row, from: i64, to: i64| {
        let (generation, begins, good, bad) = model.window(from, to);
        let found = (row.1.unsigned_abs(), row.2.unsigned_abs());
        assert_eq!(found, (good, bad), "{from} to {to} of generation {generation}");
        (i32::try_from(generation).unwrap() + 1, at_ms(begins))
    };
    let month = i64::try_from(30 * DAY).unwrap() * 1000;
    for (row, from) in rows.iter().zip([from, to - month]) {
        let (generation, begins) = expect(row, from, to);
        assert_eq!(row.0, generation);
        assert!(row.3 >= begins, "{row:?} begins before {begins}");
    }
    let step = (to - from) / 4;
    for row in &rows[2..] {
        let end = (row.3 - noon()).num_milliseconds();
        expect(row, end - step, end);
    }
}

async fn stays_apart(intakes: Vec<Intake>, windows: Vec<(i64, i64)>) {
    let world = World::with(Settings::default(), vec![objective(0)]).await;
    let mut model = Model::default();
    // The first begins as early as a clock may be behind.
    model.redefine(-2000, 0);
    let (mut now, mut total) = (0, [0; 3]);
    for (position, intake) in intakes.iter().enumerate() {
        now += intake.later;
        if let Some((before, sli)) = intake.redefined {
            let changed = definitions(vec![objective(sli)]);
            world.engine.apply(&changed, at_ms(now - before)).await.unwrap();
            model.redefine(now - before, sli);
        }
        for (total, counted) in total.iter_mut().zip(intake.counted) {
            *total += counted;
        }
        let readings = CODES.iter().zip(total);
        let readings = readings.map(|(code, total)| reading(status("web", *code), noon(), total));
        world
            .ingest(&batch(&world.source, at_ms(now), readings.collect()))
            .await;
        model.measure(now, intake.counted);
        if position % 7 == 0 || intake.redefined.is_some() {
            judges_by_its_own(&world, &model, now).await;
        }
    }
    for is_packed in [false, true] {
        for (end, length) in &windows {
            let to = end * now / 1000;
            tells_its_own(&world, &model, to - 4 * length, to).await;
        }
        judges_by_its_own(&world, &model, now).await;
        if !is_packed {
            pack(&world, 2).await;
        }
    }
    world.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn no_number_is_of_two_generations(
        intakes in intakes(),
        windows in prop::collection::vec((1_i64..=1000, 1_i64..500_000), 12),
    ) {
        run(stays_apart(intakes, windows));
    }
}
