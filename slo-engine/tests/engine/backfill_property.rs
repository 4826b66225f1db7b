//! Whatever a budget counts, a generation that is counted back is as one that stood: batches come late, some twice; time is
//! packed and slices are judged; the definition changes, and the engine dies between and within stretches.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use slo_engine::budgeting::Budgeting;
use slo_engine::composite::{Part, Weight};
use slo_engine::objective::{Objective, Sli, SliKind};
use slo_engine::{Engine, Settings};
use sqlx::PgPool;

use crate::order::{HOSTS, batches, deal, pack, readings_apart};
use crate::support::{
    World, at, at_ms, availability, budgets_of_all_are_each_ones, decimal, definitions, few, noon, run,
    seconds,
};

/// What happens before and after a definition changes.
#[derive(Debug, Clone)]
struct Course {
    readings: Vec<Vec<(i64, u64, u64)>>,
    picks: Vec<(usize, bool)>,
    changes: usize,
    steps: Vec<usize>,
    packs: Vec<(usize, i64)>,
    dies_after_ms: Vec<u64>,
}

fn course() -> impl Strategy<Value = Course> {
    (
        readings_apart(900_000),
        prop::collection::vec((0_usize..1000, any::<bool>()), 1..40),
        0_usize..20,
        prop::collection::vec(0_usize..24, 0..8),
        prop::collection::vec((0_usize..24, 1_i64..6), 0..4),
        prop::collection::vec(0_u64..20, 0..4),
    )
        .prop_map(|(readings, picks, changes, steps, packs, dies_after_ms)| Course {
            readings,
            picks,
            changes,
            steps,
            packs,
            dies_after_ms,
        })
}

pub fn counts(name: &str, good: &str, total: &str) -> Objective {
    let mut objective = availability(name, "web");
    objective.sli = Sli {
        kind: SliKind::Ratio {
            good: good.parse().unwrap(),
            total: total.parse().unwrap(),
        },
        ..Sli::availability()
    };
    objective
}

pub fn sliced(objective: Objective, budgeting: Budgeting) -> Objective {
    Objective {
        budgeting,
        ..objective
    }
}

pub fn timeslices(slice: u64, target: &str) -> Budgeting {
    Budgeting::Timeslices {
        slice: seconds(slice),
        target: decimal(target),
    }
}

/// `whole`, of two parts, the first with this SLI's good ones.
fn whole(good: &str, budgeting: Budgeting) -> Vec<Objective> {
    let parts = [
        sliced(counts("first", good, "2xx,5xx"), budgeting),
        sliced(counts("second", "5xx", "2xx,5xx"), budgeting),
    ];
    let of = parts.iter().map(|part| Part {
        objective: part.name.clone(),
        weight: Weight::try_from(decimal("1")).unwrap(),
    });
    let whole = Objective {
        budgeting,
        sli: Sli {
            kind: SliKind::Composite(of.collect()),
            ..Sli::availability()
        },
        ..availability("whole", "web")
    };
    let [first, second] = parts;
    vec![first, second, whole]
}

async fn greeted(settings: Settings, objectives: Vec<Objective>) -> World {
    let world = World::with(settings, objectives).await;
    for host in HOSTS {
        world.hello(host, noon()).await;
    }
    world
}

/// Until there is nothing more; how many stretches that took.
pub async fn backfill(engine: &Engine, now: DateTime<Utc>) -> u32 {
    let mut stretches = 0;
    for _ in 0..1000 {
        while engine.backfill(now).await.unwrap() {
            stretches += 1;
        }
        let open = sqlx::query_scalar::<_, i64>("select count(*) from backfill where finished_at is null");
        if open.fetch_one(engine.pool()).await.unwrap() == 0 {
            return stretches;
        }
        // An engine that died is still at it, as far as Postgres knows.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never counted back whole");
}

/// Every row of the generations that hold, with its base, and every slice.
pub async fn book(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s: %s %s %s %s %s %s', o.name, l.at at time zone 'UTC', l.good + d.good, l.bad + d.bad,
                       l.expected_ms + d.expected_ms, l.covered_ms + d.covered_ms, l.lost + d.lost)
         from objective o
         join ledger_row l using (objective_id, generation)
         join ledger_day d on d.objective_id = l.objective_id and d.generation = l.generation
          and d.day = ledger_day_of(l.at)
         union all
         select format('%s: slice %s: %s %s %s %s %s %s', o.name, s.at at time zone 'UTC', s.good, s.bad, s.covered_ms,
                       s.booked_good, s.booked_bad, s.is_stale)
         from objective o
         join slice s using (objective_id, generation)
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

pub async fn other_books(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s', l) from ledger_row l join objective o using (objective_id)
         where o.generation <> l.generation
         union all
         select format('%s', s) from slice s join objective o using (objective_id)
         where o.generation <> s.generation
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Slices that are counted back know when a source was absent to the slot, those that stood to the millisecond: of a
/// short absence over their edge they take different parts. Where there are slices, no absence is short.
fn settings(mut budgetings: impl Iterator<Item = Budgeting>) -> Settings {
    let patience = if budgetings.any(|budgeting| budgeting != Budgeting::Occurrences) {
        std::time::Duration::ZERO
    } else {
        Settings::default().patience
    };
    Settings {
        patience,
        ..Settings::default()
    }
}

/// Windows of the generations that hold now, also where they end before these were defined.
pub async fn same_windows(one: &World, other: &World, ends: &[DateTime<Utc>]) {
    for world in [one, other] {
        budgets_of_all_are_each_ones(&world.database.pool, ends).await;
    }
    let windows = async |world: &World| -> Vec<String> {
        sqlx::query_scalar(
            "select format('%s %s %s: %s %s %s %s %s %s %s', o.name, edge.at, length, w.good, w.bad, w.expected_ms,
                           w.covered_ms, w.lost,
                           -- Who stood began in the middle of a slot.
                           greatest(w.from_at, $1), greatest(w.to_at, $1))
             from objective o
             cross join unnest($2::timestamptz[]) edge (at)
             cross join unnest('{10 s, 7 min, 31 min, 3 h, 2 days, 30 days}'::interval[]) length
             cross join lateral ledger_window(o.objective_id, o.generation, edge.at - length, edge.at) w
             order by o.name, edge.at, length",
        )
        .bind(noon())
        .bind(ends)
        .fetch_all(&world.database.pool)
        .await
        .unwrap()
    };
    assert_eq!(windows(one).await, windows(other).await);
}

/// Of one world `after` held from the beginning, of the other `before` did.
async fn counted_back_equals_stood(before: Vec<Objective>, after: Vec<Objective>, course: Course) {
    let dealt = deal(batches(&course.readings), &course.picks);
    let changes = course.changes.min(dealt.len() - 1);
    let settings = settings(before.iter().chain(&after).map(|one| one.budgeting));
    let stood = greeted(settings.clone(), after.clone()).await;
    for batch in &dealt {
        stood.ingest(batch).await;
    }
    let world = greeted(settings.clone(), before).await;
    let mut engine = world.engine.clone();
    let now = dealt[..=changes].iter().map(|batch| batch.at).max().unwrap();
    for (position, batch) in dealt.iter().enumerate() {
        for (_, stretches) in course.packs.iter().filter(|(before, _)| *before == position) {
            // A definition changes now, and only what is over is packed by then.
            if position > changes || at(stretches * 1200) <= now {
                pack(&world, *stretches).await;
            }
        }
        engine.ingest_at(batch, batch.sent_at).await.unwrap();
        if position == changes {
            world
                .engine
                .apply(&definitions(after.clone()), now)
                .await
                .unwrap();
        }
        for _ in course.steps.iter().filter(|step| **step == position) {
            engine.judge_slices(now).await.unwrap();
            world.engine.backfill(now).await.unwrap();
            engine = Engine::new(world.database.pool.clone(), settings.clone());
        }
    }
    for millis in course.dies_after_ms {
        let dying = Engine::new(world.database.pool.clone(), settings.clone());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(millis), dying.backfill(now)).await;
    }
    // What was judged of the generation that ended, stays.
    engine.judge_slices(at_ms(9_000_000)).await.unwrap();
    stood.engine.judge_slices(at_ms(9_000_000)).await.unwrap();
    let others = other_books(&world.database.pool).await;
    backfill(&world.engine, now).await;
    world.engine.judge_slices(at_ms(9_000_000)).await.unwrap();
    let pools = [&world.database.pool, &stood.database.pool];
    assert_eq!(book(pools[0]).await, book(pools[1]).await);
    assert_eq!(other_books(pools[0]).await, others);
    same_windows(
        &world,
        &stood,
        &[at_ms(400_000), at_ms(2_000_000), at_ms(7_000_000)],
    )
    .await;
    pack(&world, 30).await;
    assert_eq!(book(pools[0]).await, book(pools[1]).await);
    world.database.drop().await;
    stood.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn a_generation_that_is_counted_back_equals_one_that_stood(course in course()) {
        let of = |total| vec![counts("web-availability", "2xx", total)];
        run(counted_back_equals_stood(of("2xx"), of("2xx,5xx"), course));
    }

    /// From requests to slices, and from slices to others.
    #[test]
    fn slices_that_are_counted_back_equal_those_that_stood(
        course in course(), length in prop::sample::select(vec![60, 300, 2700, 21_600]), was_sliced: bool, are_ratios: bool,
    ) {
        let budgeting = if are_ratios {
            Budgeting::RatioTimeslices { slice: seconds(length) }
        } else {
            timeslices(length, "0.9")
        };
        let before = if was_sliced { timeslices(60, "0.8") } else { Budgeting::Occurrences };
        let after = sliced(availability("web-slices", "web"), budgeting);
        run(counted_back_equals_stood(vec![sliced(availability("web-slices", "web"), before)], vec![after], course));
    }

    /// One of its parts counts other events, so that the whole begins again with it.
    #[test]
    fn a_composite_that_is_counted_back_equals_one_that_stood(course in course(), counts_slices: bool, is_new: bool) {
        let budgeting = if counts_slices { timeslices(300, "0.9") } else { Budgeting::Occurrences };
        let mut before = whole("5xx", budgeting);
        if is_new {
            before.pop();
        }
        run(counted_back_equals_stood(before, whole("2xx", budgeting), course));
    }
}
