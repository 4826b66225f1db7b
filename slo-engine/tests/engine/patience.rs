//! Calm counters wait for the end of their slot; once they are booked, the books are as if they had been each second.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use slo_engine::Settings;
use slo_engine::measurement::{Batch, Loss, LossReason};
use slo_engine::objective::{Objective, Sli};
use slo_engine::sequential::FastPage;
use sqlx::PgPool;

use crate::backfill_property::counts;
use crate::support::{
    DAY, World, at, at_ms, availability, batch, books, definitions, few, histogram, noon, reading, run,
    seconds, service, source, status,
};

const SERVICES: [&str; 3] = ["web", "shop", "mail"];

/// What happens to one service between two reads.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Rests,
    Calm(u64),
    Errors(u64),
    /// Its counters start anew.
    Restarts(u64),
    /// It is in no batch until it counts anew.
    Vanishes,
    Loses(u64),
}

/// What else happens.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// Nobody knows whose requests they were.
    Loss(u64),
    /// `web` is defined otherwise.
    Redefined,
    /// The engine starts anew, and remembers nothing.
    Restarted,
}

type Second = (i64, [Turn; SERVICES.len()], Event);

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => Just(Turn::Rests),
        9 => (1_u64..30).prop_map(Turn::Calm),
        2 => (1_u64..5).prop_map(Turn::Errors),
        2 => (0_u64..200).prop_map(Turn::Restarts),
        1 => Just(Turn::Vanishes),
        1 => (1_u64..20).prop_map(Turn::Loses),
    ]
}

fn second() -> impl Strategy<Value = Second> {
    let event = prop_oneof![
        20 => Just(Event::Nothing),
        1 => (1_u64..9).prop_map(Event::Loss),
        1 => Just(Event::Redefined),
        1 => Just(Event::Restarted),
    ];
    (300_i64..2_500, [turn(), turn(), turn()], event)
}

/// Counters of one service.
#[derive(Debug, Clone, Copy)]
struct Counters {
    started_at: DateTime<Utc>,
    good: u64,
    bad: u64,
    lost: u64,
    is_there: bool,
}

impl Counters {
    fn turn(&mut self, turn: Turn, now: DateTime<Utc>) {
        match turn {
            Turn::Rests => {}
            Turn::Calm(good) => self.good += good,
            Turn::Errors(bad) => self.bad += bad,
            Turn::Restarts(good) => {
                (self.started_at, self.good, self.bad) = (now - TimeDelta::milliseconds(100), good, 0);
            }
            Turn::Vanishes => self.is_there = false,
            Turn::Loses(lost) => self.lost += lost,
        }
        if !self.is_there && !matches!(turn, Turn::Rests | Turn::Vanishes) {
            (self.started_at, self.is_there) = (now - TimeDelta::milliseconds(100), true);
            (self.good, self.bad) = (self.good % 7, 0);
        }
    }

    fn read(&self, name: &str, batch: &mut Batch) {
        if self.is_there {
            batch
                .readings
                .push(reading(status(name, 200), self.started_at, self.good));
            batch
                .readings
                .push(reading(status(name, 500), self.started_at, self.bad));
            // One has no latencies.
            if name != "mail" {
                let buckets = [(320, self.good), (400, self.bad)];
                batch.histograms.push(histogram(name, self.started_at, &buckets));
            }
        }
        batch.losses.push(Loss {
            service: Some(service(name)),
            reason: LossReason::Unparsable,
            value: self.lost,
            start_time: noon(),
        });
    }
}

fn objective(name: &str, sli: Sli) -> Objective {
    Objective {
        sli,
        tiers: Vec::new(),
        fast_page: Some(FastPage::for_period(seconds(30 * DAY)).unwrap()),
        ..availability(&format!("{name}-availability"), name)
    }
}

fn objectives(web: Sli) -> Vec<Objective> {
    let slis = [web, Sli::availability(), Sli::availability()];
    SERVICES
        .into_iter()
        .zip(slis)
        .map(|(name, sli)| objective(name, sli))
        .collect()
}

/// Everything that intake writes, by name.
async fn everything(pool: &PgPool) -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::from([("ledger", books(pool).await)]);
    for (name, query) in [
        (
            "measurement",
            "select format('%s %s %s %s', v.name, s.signal, m.at, m.value)
             from measurement m join series s using (series_id) join service v using (service_id) order by 1",
        ),
        (
            "histogram",
            "select format('%s %s %s %s', v.name, b.at, b.bucket, b.count)
             from histogram_bucket b join histogram h using (histogram_id) join service v using (service_id) order by 1",
        ),
        (
            "excursion",
            "select format('%s %s %s %s %s %s', o.name, x.since_at, x.at, x.good, x.bad, round(x.statistic::numeric, 9))
             from excursion x join objective o using (objective_id) order by 1",
        ),
        (
            "loss",
            "select format('%s %s %s', v.name, l.at, l.count) from loss l left join service v using (service_id) order by 1",
        ),
        (
            "watch",
            "select format('%s %s %s', v.name, w.covered_to_at, w.expected_to_at)
             from watch w join service v using (service_id) order by 1",
        ),
    ] {
        found.insert(name, sqlx::query_scalar(query).fetch_all(pool).await.unwrap());
    }
    found
}

proptest! {
    #![proptest_config(few(12))]

    #[test]
    fn what_waits_is_booked_as_if_it_had_not(
        seconds in prop::collection::vec(second(), 5..60),
        looks in 3_usize..20,
    ) {
        run(async {
            let patient = Settings { whole_up_to: 0, ..Settings::default() };
            let defined = objectives(Sli::availability());
            let mut at_once = World::with(Settings::default(), defined.clone()).await;
            let mut waits = World::with(patient.clone(), defined).await;
            let mut counters = [Counters { started_at: noon(), good: 0, bad: 0, lost: 0, is_there: true }; 3];
            let (mut millis, mut lost_of_all) = (0, 0);
            for (index, (later, turns, event)) in seconds.into_iter().enumerate() {
                millis += later;
                let now = at_ms(millis);
                let mut read = batch(&source("host1"), now, Vec::new());
                for ((name, counters), turn) in SERVICES.into_iter().zip(&mut counters).zip(turns) {
                    counters.turn(turn, now);
                    counters.read(name, &mut read);
                }
                match event {
                    Event::Nothing => {}
                    Event::Loss(lost) => lost_of_all += lost,
                    Event::Redefined => {
                        let total = if index % 2 == 0 { "2xx,5xx" } else { "2xx,4xx,5xx" };
                        let changed = definitions(objectives(counts("any", "2xx", total).sli));
                        for world in [&at_once, &waits] {
                            world.engine.apply(&changed, now - TimeDelta::milliseconds(1)).await.unwrap();
                        }
                    }
                    Event::Restarted => {
                        // Its last intake is booked whole, as at an orderly end.
                        waits.engine.settle().await.unwrap();
                        at_once.engine = slo_engine::Engine::new(at_once.database.pool.clone(), Settings::default());
                        waits.engine = slo_engine::Engine::new(waits.database.pool.clone(), patient.clone());
                    }
                }
                read.losses.push(Loss { service: None, reason: LossReason::MapFull, value: lost_of_all, start_time: noon() });
                at_once.ingest(&read).await;
                waits.engine.take_at(&read, now).await.unwrap();
                if index % looks == 0 {
                    // A service of which something bad was counted does not wait.
                    let bad = everything(&waits.database.pool).await;
                    assert_eq!(bad["excursion"], everything(&at_once.database.pool).await["excursion"]);
                }
            }
            waits.engine.settle().await.unwrap();
            assert_eq!(everything(&waits.database.pool).await, everything(&at_once.database.pool).await);
            at_once.database.drop().await;
            waits.database.drop().await;
        });
    }
}

/// Twenty answers a second of each of two services, and what went wrong with one.
fn calm(second: i64, bad: u64) -> Batch {
    let good = 20 * u64::try_from(second).unwrap();
    let readings = [
        reading(status("web", 200), noon(), good),
        reading(status("web", 500), noon(), bad),
        reading(status("shop", 200), noon(), good),
        reading(status("shop", 500), noon(), 0),
    ];
    batch(&source("host1"), at(second), readings.to_vec())
}

async fn counted(world: &World, name: &str, second: i64) -> (u64, u64) {
    let counts = world
        .engine
        .burn(
            &format!("{name}-availability").parse().unwrap(),
            seconds(3600),
            at(second),
        )
        .await
        .unwrap();
    (counts.good, counts.bad)
}

#[tokio::test]
async fn errors_are_in_the_books_at_once_and_the_calm_when_the_slot_is_over() {
    let settings = Settings {
        whole_up_to: 0,
        ..Settings::default()
    };
    let world = World::with(settings, objectives(Sli::availability())).await;
    let take = async |second, bad| {
        world
            .engine
            .take_at(&calm(second, bad), at(second))
            .await
            .unwrap();
    };
    // What is new does not wait.
    take(1, 0).await;
    assert_eq!(counted(&world, "web", 1).await, (20, 0));
    for second in 2..=5 {
        take(second, 0).await;
    }
    assert_eq!(counted(&world, "web", 5).await, (20, 0));
    take(6, 3).await;
    assert_eq!(counted(&world, "web", 6).await, (120, 3));
    assert_eq!(counted(&world, "shop", 6).await, (20, 0));
    // The second before the errors is no part of what they are held against.
    let excursion: (DateTime<Utc>, i64, i64) = sqlx::query_as("select since_at, good, bad from excursion")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(excursion, (at(5), 20, 3));
    for second in 7..=10 {
        take(second, 3).await;
    }
    assert_eq!(
        counted(&world, "web", 10).await,
        (200, 3),
        "its page may come or go"
    );
    take(11, 3).await;
    assert_eq!(counted(&world, "shop", 11).await, (200, 0));
    world.engine.settle().await.unwrap();
    assert_eq!(counted(&world, "shop", 11).await, (220, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn few_counters_do_not_wait() {
    let world = World::with(Settings::default(), objectives(Sli::availability())).await;
    for second in 1..=3 {
        world.engine.take_at(&calm(second, 0), at(second)).await.unwrap();
        assert_eq!(
            counted(&world, "shop", second).await.0,
            20 * u64::try_from(second).unwrap()
        );
    }
    world.database.drop().await;
}
