//! Batches in any order, any number of times: the books are the same.

use proptest::prelude::*;
use slo_engine::Settings;
use slo_engine::measurement::Batch;

use crate::support::{World, at_ms, batch, books, few, noon, reading, run, source, status};

pub const HOSTS: [&str; 3] = ["host1", "host2", "host3"];

/// What each host reads: how long after the reading before, and what was counted since.
fn readings() -> impl Strategy<Value = Vec<Vec<(i64, u64, u64)>>> {
    readings_apart(40_000)
}

pub fn readings_apart(most_ms: i64) -> impl Strategy<Value = Vec<Vec<(i64, u64, u64)>>> {
    prop::collection::vec(
        prop::collection::vec((200..most_ms, 0_u64..50, 0_u64..5), 1..8),
        HOSTS.len(),
    )
}

/// One cumulative batch a reading, by host and in the order they were read.
pub fn batches(readings: &[Vec<(i64, u64, u64)>]) -> Vec<Vec<Batch>> {
    HOSTS
        .iter()
        .zip(readings)
        .map(|(host, readings)| {
            let (mut millis, mut good, mut bad) = (0, 0, 0);
            readings
                .iter()
                .map(|(later, more_good, more_bad)| {
                    millis += later;
                    good += more_good;
                    bad += more_bad;
                    let counted = vec![
                        reading(status("web", 200), noon(), good),
                        reading(status("web", 500), noon(), bad),
                    ];
                    batch(&source(host), at_ms(millis), counted)
                })
                .collect()
        })
        .collect()
}

/// Deals the hosts' batches into one order that keeps each host's own, as picked, and sends some of
/// what was sent before again.
pub fn deal(mut hosts: Vec<Vec<Batch>>, picks: &[(usize, bool)]) -> Vec<Batch> {
    for host in &mut hosts {
        host.reverse();
    }
    let mut dealt: Vec<Batch> = Vec::new();
    let mut picks = picks.iter().cycle();
    while hosts.iter().any(|host| !host.is_empty()) {
        let Some((pick, again)) = picks.next() else { break };
        if *again && !dealt.is_empty() {
            dealt.push(dealt[pick % dealt.len()].clone());
        }
        let waiting: Vec<usize> = (0..hosts.len()).filter(|host| !hosts[*host].is_empty()).collect();
        dealt.extend(hosts[waiting[pick % waiting.len()]].pop());
    }
    dealt
}

async fn booked(batches: &[Batch]) -> (World, Vec<String>) {
    let world = World::new(Settings::default()).await;
    for host in HOSTS {
        world.hello(host, noon()).await;
    }
    for batch in batches {
        world.ingest(batch).await;
    }
    let booked = books(&world.database.pool).await;
    (world, booked)
}

/// Packs up to so many stretches of twenty minutes after noon, as the engine does when an hour has passed.
pub async fn pack(world: &World, stretches: i64) {
    let to = at_ms(stretches * 1_200_000);
    for statement in [
        "update engine_state set packed_to = greatest(packed_to, $1)",
        "select pack_ledger(array_agg(objective_id), array_agg(generation), $1 - interval '12 hours', $1, null, '20 min')
         from objective_generation",
    ] {
        sqlx::query(statement)
            .bind(to)
            .execute(&world.database.pool)
            .await
            .unwrap();
    }
}

proptest! {
    #![proptest_config(few(8))]

    #[test]
    fn what_is_booked_to_packed_time_finds_its_place_in_it(
        readings in readings_apart(900_000),
        picks in prop::collection::vec((0_usize..1000, any::<bool>()), 1..40),
        packs in prop::collection::vec((0_usize..24, 1_i64..6), 1..6),
    ) {
        run(async {
            let (one, expected) = booked(&deal(batches(&readings), &picks)).await;
            let other = World::new(Settings::default()).await;
            for host in HOSTS {
                other.hello(host, noon()).await;
            }
            for (position, batch) in deal(batches(&readings), &picks).iter().enumerate() {
                for (_, stretches) in packs.iter().filter(|(before, _)| *before == position) {
                    pack(&other, *stretches).await;
                }
                other.ingest(batch).await;
            }
            assert_eq!(books(&other.database.pool).await, expected);
            // Packing itself changes nothing, and does not when it is repeated.
            for _ in 0..2 {
                pack(&other, 30).await;
                assert_eq!(books(&other.database.pool).await, expected);
            }
            for minutes in [7, 31, 200] {
                let window = minutes * 60;
                for end in [400_000, 2_000_000, 7_000_000] {
                    assert_eq!(other.window(window, at_ms(end)).await, one.window(window, at_ms(end)).await);
                }
            }
            one.database.drop().await;
            other.database.drop().await;
        });
    }

    #[test]
    fn hosts_in_any_order_and_batches_twice_give_the_same_ledger(
        readings in readings(),
        picks in prop::collection::vec((0_usize..1000, any::<bool>()), 1..40),
    ) {
        run(async {
            let in_time = {
                let mut all: Vec<Batch> = batches(&readings).into_iter().flatten().collect();
                all.sort_by_key(|batch| batch.at);
                all
            };
            let (one, expected) = booked(&in_time).await;
            let (other, found) = booked(&deal(batches(&readings), &picks)).await;
            assert_eq!(found, expected);
            one.database.drop().await;
            other.database.drop().await;
        });
    }

    #[test]
    fn batches_of_one_host_in_any_order_give_the_same_totals(
        readings in readings(),
        picks in prop::collection::vec(0_usize..1000, 1..30),
    ) {
        run(async {
            let mut waiting: Vec<Batch> = batches(&readings).into_iter().flatten().collect();
            let good: u64 = readings.iter().flatten().map(|(_, good, _)| good).sum();
            let bad: u64 = readings.iter().flatten().map(|(.., bad)| bad).sum();
            let mut shuffled = Vec::new();
            let mut picks = picks.iter().cycle();
            while !waiting.is_empty() {
                let pick = picks.next().unwrap() % waiting.len();
                shuffled.push(waiting.swap_remove(pick));
            }
            let (world, _) = booked(&shuffled).await;
            assert_eq!(world.window(3600, at_ms(400_000)).await, (good, bad));
            world.database.drop().await;
        });
    }

    #[test]
    fn a_window_is_the_sum_of_its_parts(
        readings in readings(),
        edges in prop::collection::vec(0_i64..350_000, 2..6),
    ) {
        run(async {
            let all: Vec<Batch> = batches(&readings).into_iter().flatten().collect();
            let (world, _) = booked(&all).await;
            let name = "web-availability".parse().unwrap();
            let mut edges = edges;
            edges.sort_unstable();
            edges.dedup();
            let mut parts = (0, 0, 0, 0);
            let part = async |from: i64, to: i64| {
                let length = std::time::Duration::from_millis(u64::try_from(to - from).unwrap());
                let counts = world.engine.burn(&name, length, at_ms(to)).await.unwrap();
                (counts.good, counts.bad, counts.covered_ms, counts.lost)
            };
            for pair in edges.windows(2) {
                let (good, bad, covered, lost) = part(pair[0], pair[1]).await;
                parts = (parts.0 + good, parts.1 + bad, parts.2 + covered, parts.3 + lost);
            }
            let whole = part(edges[0], edges[edges.len() - 1]).await;
            assert_eq!(parts, whole);
            world.database.drop().await;
        });
    }
}
