//! Thinning at any day: no window changes that starts on a row which is kept, and windows that meet on such rows add up.
//! Definitions change meanwhile, corrections stand, and batches come late.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use slo_engine::Settings;
use slo_engine::correction::{CorrectionKind, NewCorrection};

use crate::backfill_property::counts;
use crate::support::{
    World, at, batch, budgets_of_all_are_each_ones, definitions, few, noon, reading, run, source, status,
};

const WEB: &str = "web-availability";
/// When the day that noon is in is over for two hours, and its rows are a minute apart from then on.
const IS_THINNED: i64 = 14 * 3600;

#[derive(Debug, Clone)]
struct Course {
    /// How long after the one before, good and bad.
    intakes: Vec<(i64, u64, u64)>,
    /// Before which intake something else is counted.
    redefined: usize,
    /// From and length, in thousandths of all.
    corrections: Vec<(i64, i64)>,
    /// Another host's that come after some housekeeping: at which thousandth of the intakes, and after how many rounds of it.
    late: Vec<(usize, usize)>,
    /// Hours between rounds.
    rounds: Vec<i64>,
    picks: Vec<(usize, usize, usize)>,
}

fn course() -> impl Strategy<Value = Course> {
    let later = prop_oneof![20 => 1_i64..40, 6 => 40_i64..600, 1 => 600_i64..50_000];
    (
        prop::collection::vec((later, 0_u64..50, 0_u64..5), 60..140),
        0_usize..140,
        prop::collection::vec((0_i64..1000, 1_i64..200), 0..3),
        prop::collection::vec((0_usize..1000, 0_usize..3), 1..5),
        // After two days more rows are five minutes apart.
        prop::collection::vec(1_i64..100, 3..5),
        prop::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 40),
    )
        .prop_map(|(intakes, redefined, corrections, late, rounds, picks)| {
            // What a host sends after something later is no news.
            let (mut places, mut afters): (Vec<_>, Vec<_>) = late.into_iter().unzip();
            places.sort_unstable();
            afters.sort_unstable();
            Course {
                intakes,
                redefined,
                corrections,
                late: places.into_iter().zip(afters).collect(),
                rounds,
                picks,
            }
        })
}

/// All of the course but housekeeping. When each intake was.
async fn lived(course: &Course) -> (World, Vec<i64>) {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    let mut times = Vec::new();
    let (mut now, mut good, mut bad) = (0, 0, 0);
    for (position, (later, more_good, more_bad)) in course.intakes.iter().enumerate() {
        if position == course.redefined {
            let changed = definitions(vec![counts(WEB, "2xx", "2xx")]);
            world.engine.apply(&changed, at(now)).await.unwrap();
        }
        (now, good, bad) = (now + later, good + more_good, bad + more_bad);
        world.counted(at(now), good, bad).await;
        times.push(now);
    }
    for (from, length) in &course.corrections {
        let correction = NewCorrection {
            objective: WEB.parse().unwrap(),
            kind: CorrectionKind::Maintenance,
            starts_at: at(now * from / 1000),
            ends_at: at(now * from / 1000 + 1 + now * length / 1000),
            recurrence: None,
            author: "ann".to_owned(),
            comment: String::new(),
        };
        world.engine.correct(&correction, at(now)).await.unwrap();
    }
    depart(&world, now).await;
    (world, times)
}

/// Nobody is expected, so that nothing is missed.
async fn depart(world: &World, now: i64) {
    for host in ["host1", "host2"] {
        world.engine.goodbye(&source(host), at(now)).await.unwrap();
    }
}

async fn come_late(world: &World, then: i64, seen: u64, now: i64) {
    let counted = vec![
        reading(status("web", 200), noon(), seen),
        reading(status("web", 500), noon(), seen),
    ];
    let mut late = batch(&source("host2"), at(then), counted);
    late.sent_at = at(now);
    world.engine.ingest_at(&late, at(now)).await.unwrap();
    depart(world, now).await;
}

/// Good, bad, expected, covered and lost.
type Counts = (i64, i64, i64, i64, i64);
type Window = (i32, DateTime<Utc>, DateTime<Utc>);

async fn windows(world: &World, asked: &[Window]) -> Vec<Counts> {
    let generations: Vec<i32> = asked.iter().map(|(generation, ..)| *generation).collect();
    let from: Vec<DateTime<Utc>> = asked.iter().map(|(_, from, _)| *from).collect();
    let to: Vec<DateTime<Utc>> = asked.iter().map(|(.., to)| *to).collect();
    sqlx::query_as(
        "select w.good, w.bad, w.expected_ms, w.covered_ms, w.lost
         from unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) with ordinality t (generation, from_at, to_at, n)
         cross join objective o
         cross join lateral ledger_window(o.objective_id, t.generation, t.from_at, t.to_at) w
         order by n",
    )
    .bind(generations)
    .bind(from)
    .bind(to)
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

/// The rows that are kept, by generation.
async fn kept(world: &World) -> Vec<(i32, Vec<DateTime<Utc>>)> {
    sqlx::query_as(
        "select generation, array_agg(at order by at) from ledger_row group by generation order by generation",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

fn add(one: Counts, other: Counts) -> Counts {
    (
        one.0 + other.0,
        one.1 + other.1,
        one.2 + other.2,
        one.3 + other.3,
        one.4 + other.4,
    )
}

async fn thinned_equals_whole(course: Course) {
    let (whole, times) = lived(&course).await;
    let (thinned, _) = lived(&course).await;
    let mut now = times[times.len() - 1];
    let mut rows: usize = 0;
    for (round, hours) in course.rounds.iter().enumerate() {
        now = (now + hours * 3600).max(IS_THINNED);
        thinned.engine.maintain(at(now)).await.unwrap();
        for (seen, (place, _)) in (1..).zip(course.late.iter().filter(|(_, after)| *after == round)) {
            let seen = u64::try_from(round).unwrap() * 10 + seen;
            for world in [&whole, &thinned] {
                come_late(world, times[times.len() * place / 1000] - 1, seen, now).await;
            }
        }
        let kept = kept(&thinned).await;
        rows = kept.iter().map(|(_, rows)| rows.len()).sum();
        let mut asked = Vec::new();
        for (generation, rows) in &kept {
            for (one, two, three) in &course.picks {
                let mut edges = [one, two, three].map(|pick| rows[pick % rows.len()]);
                edges.sort_unstable();
                let [first, middle, last] = edges;
                asked.extend([
                    (*generation, first, middle),
                    (*generation, middle, last),
                    (*generation, first, last),
                    // To where nothing comes any more.
                    (*generation, first, at(now)),
                ]);
            }
        }
        let moments = [now / 2, times[times.len() / 2], now].map(at);
        budgets_of_all_are_each_ones(&thinned.database.pool, &moments).await;
        let found = windows(&thinned, &asked).await;
        let expected = windows(&whole, &asked).await;
        for ((window, found), expected) in asked.iter().zip(&found).zip(&expected) {
            assert_eq!(found, expected, "round {round}: {window:?}");
        }
        for parts in found.chunks(4) {
            assert_eq!(add(parts[0], parts[1]), parts[2]);
        }
    }
    let whole_rows: usize = kept(&whole).await.iter().map(|(_, rows)| rows.len()).sum();
    assert!(rows < whole_rows, "nothing was thinned: {rows} of {whole_rows}");
    whole.database.drop().await;
    thinned.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn thinning_changes_no_window_that_starts_on_a_kept_row(course in course()) {
        run(thinned_equals_whole(course));
    }
}
