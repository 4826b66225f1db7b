//! Undoing corrections, made in any number, anywhere and over each other, restores every number there is: of requests, of
//! slices, of a calendar's period and of a composite, as psql, the API and the tiers have them.

use proptest::prelude::*;
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::composite::{Part, Weight};
use slo_engine::correction::{CorrectionId, CorrectionKind, NewCorrection, Recurrence};
use slo_engine::objective::{Objective, Severity, Sli, SliKind, Target};
use slo_engine::{Settings, read};

use crate::backfill_property::{sliced, timeslices};
use crate::support::{
    HOUR, MINUTE, World, at, availability, budgets_of_all_are_each_ones, decimal, few, run, seconds, source,
    tier,
};

const NAMES: [&str; 5] = [
    "web-requests",
    "web-slices",
    "web-ratios",
    "web-calendar",
    "whole",
];

fn objective(name: &str, budgeting: Budgeting) -> Objective {
    Objective {
        target: Target::try_from(decimal("0.9")).unwrap(),
        tiers: vec![
            tier("page", Severity::Page, HOUR, 5 * MINUTE, "2"),
            tier("ticket", Severity::Ticket, 6 * HOUR, 30 * MINUTE, "1"),
        ],
        budget_alerts: vec![BudgetAlert {
            name: "left".parse().unwrap(),
            severity: Severity::Ticket,
            rule: "remaining 50%".parse().unwrap(),
        }],
        ..sliced(availability(name, "web"), budgeting)
    }
}

fn objectives() -> Vec<Objective> {
    let slices = timeslices(MINUTE, "0.9");
    let ratios = Budgeting::RatioTimeslices {
        slice: seconds(5 * MINUTE),
    };
    let day = Calendar {
        starts: "2026-11-01T00:00:00".parse().unwrap(),
        zone: chrono_tz::Europe::Berlin,
        every: CalendarStep::Days(1),
    };
    let mut all = vec![
        objective(NAMES[0], Budgeting::Occurrences),
        objective(NAMES[1], slices),
        objective(NAMES[2], ratios),
        Objective {
            calendar: Some(day),
            ..objective(NAMES[3], slices)
        },
    ];
    let parts = [NAMES[1], NAMES[3]].map(|name| Part {
        objective: name.parse().unwrap(),
        weight: Weight::try_from(decimal("1")).unwrap(),
    });
    all.push(Objective {
        sli: Sli {
            kind: SliKind::Composite(parts.to_vec()),
            ..Sli::availability()
        },
        ..objective(NAMES[4], slices)
    });
    all
}

/// How long after the one before, good and bad. Some come after silence.
fn intakes() -> impl Strategy<Value = Vec<(i64, u64, u64)>> {
    let later = prop_oneof![12 => 5_i64..60, 2 => 60_i64..900, 1 => 900_i64..20_000];
    prop::collection::vec((later, 0_u64..50, 0_u64..12), 30..70)
}

#[derive(Debug, Clone)]
struct Correct {
    objective: usize,
    /// From and length, in thousandths of all.
    from: i64,
    length: i64,
    recurs: bool,
}

fn corrections() -> impl Strategy<Value = Vec<Correct>> {
    let one = (
        0_usize..NAMES.len(),
        -200_i64..1100,
        1_i64..400,
        prop::bool::weighted(0.2),
    );
    let one = one.prop_map(|(objective, from, length, recurs)| Correct {
        objective,
        from,
        length,
        recurs,
    });
    prop::collection::vec(one, 1..6)
}

/// Every function that people ask, of every objective, at some moments.
async fn asked(world: &World, moments: &[i64]) -> Vec<String> {
    let moments: Vec<_> = moments.iter().map(|moment| at(*moment)).collect();
    sqlx::query_scalar(
        "select format('%s %s burn %s: %s', o.name, m, length, r)
         from objective o cross join unnest($1::timestamptz[]) m
         cross join unnest('{5 min, 1 h, 7 h, 30 days}'::interval[]) length
         cross join lateral burn_rate(o.name, length, m) r
         union all
         select format('%s %s budget: %s', o.name, m, b)
         from objective o cross join unnest($1::timestamptz[]) m cross join lateral error_budget(o.name, m) b
         union all
         select format('%s course: %s', o.name, s)
         from objective o cross join lateral budget_series(o.name, $1[1], $1[2], ($1[2] - $1[1]) / 7) s
         union all
         select format('%s %s out: %s', o.name, m, x)
         from objective o cross join unnest($1::timestamptz[]) m
         cross join lateral left_out(o.name, m - interval '1 day', m) x
         union all
         select format('%s %s exhausts: %s', o.name, m, budget_exhausts_at(o.name, m, interval '1 h'))
         from objective o cross join unnest($1::timestamptz[]) m
         union all
         select format('%s %s estimate: %s', o.name, m, e)
         from objective o cross join unnest($1::timestamptz[]) m cross join lateral error_budget_estimate(o.name, m) e
         union all
         select format('%s ledger: %s', o.name, w)
         from objective o cross join lateral ledger_window(o.objective_id, o.generation, $1[1], $1[2]) w
         order by 1",
    )
    .bind(moments)
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

/// All of that, and what the engine makes of it.
async fn everything(world: &World, moments: &[i64]) -> Vec<String> {
    let times: Vec<_> = moments.iter().map(|moment| at(*moment)).collect();
    budgets_of_all_are_each_ones(&world.database.pool, &times).await;
    let mut all = asked(world, moments).await;
    let now = at(*moments.last().unwrap());
    for one in world.engine.evaluate_all(now).await.unwrap() {
        all.push(format!("{one:?}"));
    }
    for one in world.engine.evaluate_budgets(now).await.unwrap() {
        all.push(format!("{one:?}"));
    }
    for name in NAMES {
        let slo = read::slo(&world.database.pool, &name.parse().unwrap(), now)
            .await
            .unwrap();
        all.push(format!("{slo:?}"));
    }
    all
}

async fn correct(world: &World, one: &Correct, end: i64) -> CorrectionId {
    let from = end * one.from / 1000;
    let new = NewCorrection {
        objective: NAMES[one.objective].parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(from),
        ends_at: at(from + 1 + end * one.length / 1000),
        recurrence: one
            .recurs
            .then(|| Recurrence::new("FREQ=DAILY", "Europe/Berlin").unwrap()),
        author: "ann".to_owned(),
        comment: String::new(),
    };
    world.engine.correct(&new, at(end)).await.unwrap()
}

async fn undone_is_as_never_made(
    intakes: Vec<(i64, u64, u64)>,
    corrections: Vec<Correct>,
    is_thinned: bool,
    order: Vec<usize>,
) {
    let world = World::with(Settings::default(), objectives()).await;
    let (mut end, mut good, mut bad) = (0, 0, 0);
    for (later, more_good, more_bad) in intakes {
        (end, good, bad) = (end + later, good + more_good, bad + more_bad);
        world.counted(at(end), good, bad).await;
    }
    world.engine.judge_slices(at(end + 400)).await.unwrap();
    if is_thinned {
        world.engine.goodbye(&source("host1"), at(end)).await.unwrap();
        world.engine.maintain(at(end + 2 * 86_400)).await.unwrap();
    }
    let moments = [end / 3, end, end + 400];
    let before = everything(&world, &moments).await;
    // Each leaves what those before it left, once it is undone.
    let mut made = Vec::new();
    for one in &corrections {
        made.push((
            correct(&world, one, end).await,
            everything(&world, &moments).await,
        ));
    }
    let whole = Correct {
        objective: 0,
        from: 0,
        length: 1000,
        recurs: false,
    };
    let id = correct(&world, &whole, end).await;
    assert_ne!(
        everything(&world, &moments).await,
        made.last().unwrap().1,
        "all is left out"
    );
    world.engine.undo_correction(id, "bob", at(end)).await.unwrap();
    while let Some((id, with)) = made.pop() {
        assert_eq!(everything(&world, &moments).await, with);
        world.engine.undo_correction(id, "bob", at(end)).await.unwrap();
    }
    assert_eq!(everything(&world, &moments).await, before);
    // And in any other order.
    let mut ids = Vec::new();
    for one in &corrections {
        ids.push(correct(&world, one, end).await);
    }
    for pick in order.iter().cycle() {
        if ids.is_empty() {
            break;
        }
        let id = ids.swap_remove(pick % ids.len());
        world.engine.undo_correction(id, "bob", at(end)).await.unwrap();
    }
    assert_eq!(everything(&world, &moments).await, before);
    world.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn undoing_corrections_restores_every_number(
        intakes in intakes(),
        corrections in corrections(),
        is_thinned: bool,
        order in prop::collection::vec(any::<usize>(), 1..6),
    ) {
        run(undone_is_as_never_made(intakes, corrections, is_thinned, order));
    }
}
