//! Housekeeping: thinning takes no count with it.

use chrono::Days;
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::service::Discovered;
use slo_engine::{Keep, Settings};
use sqlx::{Postgres, Transaction};

use crate::support::{DAY, World, at, batch, books, noon, reading, seconds, source, status};

#[tokio::test]
async fn partitions_are_there_before_they_are_needed() {
    let world = World::new(Settings::default()).await;
    let first = world.engine.maintain(at(0)).await.unwrap();
    assert_eq!(first.partitions_added, 6);
    assert_eq!(world.engine.maintain(at(60)).await.unwrap().partitions_added, 0);
    assert_eq!(
        world.engine.maintain(at(86_400)).await.unwrap().partitions_added,
        2
    );
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_kept_no_longer_is_in_no_window_however_long() {
    let keep = Keep {
        ledger: seconds(3 * DAY),
        ..Settings::default().keep
    };
    let world = World::new(Settings {
        keep,
        ..Settings::default()
    })
    .await;
    let day = i64::try_from(DAY).unwrap();
    for days in 0..=5 {
        let seen = u64::try_from(days + 1).unwrap();
        world.counted(at(days * day + 10), 100 * seen, 10 * seen).await;
        world.engine.maintain(at(days * day + 20)).await.unwrap();
    }
    let now = at(5 * day + 20);
    let found = world
        .engine
        .burn(&"web-availability".parse().unwrap(), seconds(9 * DAY), now)
        .await
        .unwrap();
    // The days that were over for three days when the last housekeeping came are gone.
    assert_eq!((found.good, found.bad), (400, 40));
    assert_eq!(found.from, at(day + day / 2));
    // Also where a correction goes over the beginning of what is kept: 400 and 40 less nothing.
    let correction = NewCorrection {
        objective: "web-availability".parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(day + day / 2 - 1800),
        ends_at: at(day + day / 2 + 1800),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    world.engine.correct(&correction, now).await.unwrap();
    assert_eq!(world.window(9 * DAY, now).await, (400, 40));
    let days = sqlx::query_scalar::<_, i64>("select count(distinct day) from ledger_day")
        .fetch_one(&world.database.pool);
    assert_eq!(days.await.unwrap(), 4);
    world.database.drop().await;
}

#[tokio::test]
async fn days_before_the_first_count_are_not_thinned() {
    let world = World::new(Settings::default()).await;
    let pool = &world.database.pool;
    let thinned = || sqlx::query_scalar::<_, i64>("select count(*) from ledger_thinned").fetch_one(pool);
    world.engine.maintain(at(0)).await.unwrap();
    assert_eq!(thinned().await.unwrap(), 0);
    world.database.drop().await;
}

#[tokio::test]
async fn thinning_takes_no_count_with_it() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    // Ten minutes before midnight and ten after, every ten seconds.
    let midnight = 12 * 3600;
    for second in (midnight - 600..=midnight + 600).step_by(10) {
        let value = u64::try_from(second).unwrap();
        world.counted(at(second), value, value / 100).await;
    }
    let now = midnight + 600;
    let windows = [600, 900, 1200, 3600];
    let read = async || {
        let mut found = Vec::new();
        for minutes in [0, 5, 10] {
            for window in windows {
                found.push(world.window(window, at(now - minutes * 60)).await);
            }
        }
        found
    };
    let before = read().await;
    let rows = books(&world.database.pool).await.len();
    assert_eq!(rows, 121);

    for host in ["host1", "host2"] {
        world.engine.goodbye(&source(host), at(now)).await.unwrap();
    }
    // The first day is a day old: one row a minute is left of it.
    let done = world.engine.maintain(at(midnight + 86_400)).await.unwrap();
    assert_eq!(done.days_thinned, 1);
    // Ten minutes with six rows each and the row that opens them become eleven.
    assert_eq!(books(&world.database.pool).await.len(), 11 + 60);
    assert_eq!(read().await, before);
    let again = world.engine.maintain(at(midnight + 86_400)).await.unwrap();
    assert_eq!(again.days_thinned, 0);

    // A late batch still finds its place in it.
    let mut late = batch(
        &source("host2"),
        at(midnight - 295),
        vec![reading(status("web", 500), noon(), 9)],
    );
    late.sent_at = at(midnight + 86_400);
    world.engine.ingest_at(&late, late.sent_at).await.unwrap();
    let (_, bad) = world.window(1200, at(now)).await;
    assert_eq!(bad, before[2].1 + 9);

    world
        .engine
        .goodbye(&source("host2"), late.sent_at)
        .await
        .unwrap();
    // A week later one row every five minutes is left, of both days.
    let done = world.engine.maintain(at(midnight + 9 * 86_400)).await.unwrap();
    assert_eq!(done.days_thinned, 2);
    let (_, bad) = world.window(1200, at(now)).await;
    assert_eq!(bad, before[2].1 + 9);
    assert_eq!(books(&world.database.pool).await.len(), 3 + 2);
    world.database.drop().await;
}

#[tokio::test]
async fn what_comes_late_to_a_thinned_minute_is_counted_with_all_of_it() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    for second in (0_i64..=120).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    let leave = async |now| {
        for host in ["host1", "host2"] {
            world.engine.goodbye(&source(host), at(now)).await.unwrap();
        }
    };
    leave(120).await;
    let later = 36 * 3600;
    world.engine.maintain(at(later)).await.unwrap();
    let rows = books(&world.database.pool).await.len();
    let mut late = batch(
        &source("host2"),
        at(35),
        vec![reading(status("web", 500), noon(), 9)],
    );
    late.sent_at = at(later);
    world.ingest(&late).await;
    leave(later).await;
    // What was counted before it in its minute is known no more, so no window begins in there, but where the objective did.
    assert_eq!(books(&world.database.pool).await.len(), rows);
    let name = "web-availability".parse().unwrap();
    let window = world.engine.burn(&name, seconds(80), at(120)).await.unwrap();
    assert_eq!((window.from, window.good, window.bad), (at(-2), 120, 9));
    assert_eq!(world.window(60, at(120)).await, (60, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn a_batch_that_lands_late_while_packing_waits_for_it_hides_nothing() {
    let world = World::new(Settings::default()).await;
    for second in (1230_i64..2400).step_by(10) {
        let value = u64::try_from(second).unwrap();
        world.counted(at(second), value, value / 100).await;
    }
    world.counted(at(6010), 7000, 70).await;
    let before = world.window(600, at(2400)).await;
    assert_ne!(before, (0, 0));
    // Of an earlier time than all that is there to be packed, and not seen until its locks are free.
    let mut late = world.database.pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(20741, service_id::int) from service")
        .execute(&mut *late)
        .await
        .unwrap();
    sqlx::query(
        "insert into ledger select objective_id, generation, $1, 0, 0, 0, 0, 0 from objective_generation",
    )
    .bind(at(300))
    .execute(&mut *late)
    .await
    .unwrap();
    let packing = {
        let engine = world.engine.clone();
        tokio::spawn(async move { engine.maintain(at(6060)).await })
    };
    somebody_waits(&world).await;
    late.commit().await.unwrap();
    packing.await.unwrap().unwrap();
    let packed: i64 = sqlx::query_scalar("select count(*) from ledger_chunk")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert!(packed > 0);
    assert_eq!(world.window(600, at(2400)).await, before);
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_too_old_goes_and_the_budget_of_the_period_stays() {
    let settings = Settings {
        keep: Keep {
            measurements: seconds(2 * DAY),
            ledger: seconds(40 * DAY),
            ..Settings::default().keep
        },
        ..Settings::default()
    };
    let world = World::new(settings).await;
    world.counted(at(10), 100, 10).await;
    let in_days = |days| noon().checked_add_days(Days::new(days)).unwrap();
    let done = world.engine.maintain(in_days(3)).await.unwrap();
    assert_eq!(
        done.partitions_dropped, 2,
        "a day of measurements and of histograms"
    );
    assert_eq!(world.window(30 * DAY, in_days(3)).await, (100, 10));
    // A batch for a day that went away is still booked.
    world.counted(at(20), 101, 10).await;
    assert_eq!(world.window(30 * DAY, in_days(3)).await, (101, 10));
    let done = world.engine.maintain(in_days(42)).await.unwrap();
    assert!(done.partitions_dropped > 2, "{done:?}");
    world.counted(in_days(43), 105, 11).await;
    assert_eq!(world.window(30 * DAY, in_days(43)).await, (4, 1));
    world.database.drop().await;
}

#[tokio::test]
async fn events_go_with_the_ledger_of_their_time() {
    let world = World::new(Settings::default()).await;
    let count = async || {
        slo_engine::read::events(&world.database.pool, None, None, 10)
            .await
            .unwrap()
            .len()
    };
    let before = count().await;
    assert!(before > 0);
    world.engine.maintain(at(399 * 86_400)).await.unwrap();
    assert!(count().await >= before);
    let later = at(401 * 86_400);
    world.engine.maintain(later).await.unwrap();
    let left = slo_engine::read::events(&world.database.pool, None, None, 10)
        .await
        .unwrap();
    assert!(left.iter().all(|event| event.at > at(86_400)), "{left:?}");
    world.database.drop().await;
}

/// Another transaction that books a batch of this source, and takes its time.
async fn busy(world: &World, host: &str) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool.begin().await.unwrap();
    sqlx::query("select from source where name = $1 for no key update")
        .bind(source(host).as_str())
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Until somebody waits for a row that another transaction holds.
async fn somebody_waits(world: &World) {
    let waits = "select exists (select from pg_stat_activity
                                where datname = current_database() and wait_event_type = 'Lock')";
    for _ in 0..1000 {
        if sqlx::query_scalar(waits)
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody waits");
}

#[tokio::test]
async fn a_source_given_up_holds_no_books_while_the_next_is_waited_for() {
    let world = World::new(Settings::default()).await;
    for host in ["host2", "host3"] {
        world.hello(host, noon()).await;
    }
    let of = |host: &str, second, value| {
        batch(
            &source(host),
            at(second),
            vec![reading(status("web", 200), noon(), value)],
        )
    };
    for host in ["host1", "host2", "host3"] {
        world.ingest(&of(host, 10, 1)).await;
    }
    world.ingest(&of("host3", 3700, 2)).await;
    let held = busy(&world, "host2").await;
    let maintaining = {
        let engine = world.engine.clone();
        tokio::spawn(async move { engine.maintain(at(3700)).await })
    };
    somebody_waits(&world).await;
    // host1 is given up by now, host2 is waited for: batches for the same service go on.
    let booked = tokio::time::timeout(seconds(5), world.ingest(&of("host3", 3710, 3))).await;
    assert_eq!(booked.expect("the batch does not wait").applied, 1);
    held.rollback().await.unwrap();
    assert_eq!(maintaining.await.unwrap().unwrap().sources_retired, 2);
    world.database.drop().await;
}

#[tokio::test]
async fn discovery_waits_for_a_source_before_it_names_a_service() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 1, 0).await;
    let held = busy(&world, "host1").await;
    let found = Discovered {
        service: "shop".parse().unwrap(),
        port: 8080,
        cgroup: String::new(),
        executable: None,
        because: "found".to_owned(),
    };
    let finding = {
        let (engine, source) = (world.engine.clone(), world.source.clone());
        tokio::spawn(async move {
            let found = [found.clone(), found];
            engine.discovered(&source, &found, at(11)).await
        })
    };
    somebody_waits(&world).await;
    // The batch that holds the source may name the service, too.
    let mut held = held;
    sqlx::query("set local lock_timeout = '1s'")
        .execute(&mut *held)
        .await
        .unwrap();
    sqlx::query("insert into service (name, first_seen_at) values ('shop', now())")
        .execute(&mut *held)
        .await
        .expect("the name is free");
    held.commit().await.unwrap();
    finding.await.unwrap().unwrap();
    world.database.drop().await;
}
