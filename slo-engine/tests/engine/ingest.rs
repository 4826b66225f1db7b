//! Exactly once (DESIGN rule 9), and what belongs to which slot.

use chrono::TimeDelta;
use rust_decimal::Decimal;
use slo_engine::alert::Evidence;
use slo_engine::measurement::{Clock, Loss, LossReason, Signal};
use slo_engine::objective::{Objective, Severity, SliKind};
use slo_engine::{Engine, IngestError, Ingested, Settings};

use crate::order::pack;
use crate::support::{
    World, at, at_ms, availability, batch, books, budgets_of_all_are_each_ones, definitions, evaluate, noon,
    reading, seconds, series, source, status, tier, without_evidence,
};

const fn outcome(applied: u64, ignored: u64, refused: u64) -> Ingested {
    Ingested {
        applied,
        ignored,
        refused,
    }
}

#[tokio::test]
async fn a_batch_is_booked_once_however_often_it_comes() {
    let world = World::new(Settings::default()).await;
    assert_eq!(world.counted(at(1), 10, 1).await, outcome(2, 0, 0));
    let booked = books(&world.database.pool).await;
    assert_eq!(world.counted(at(1), 10, 1).await, outcome(0, 2, 0));
    assert_eq!(books(&world.database.pool).await, booked);
    world.counted(at(2), 15, 1).await;
    world.counted(at(1), 10, 1).await;
    assert_eq!(world.window(60, at(2)).await, (15, 1));
    world.database.drop().await;
}

#[tokio::test]
async fn an_older_batch_of_the_same_source_changes_nothing() {
    let world = World::new(Settings::default()).await;
    world.counted(at(20), 20, 2).await;
    let booked = books(&world.database.pool).await;
    assert_eq!(world.counted(at(10), 10, 1).await, outcome(0, 2, 0));
    assert_eq!(books(&world.database.pool).await, booked);
    world.database.drop().await;
}

#[tokio::test]
async fn a_new_start_counts_from_zero() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 100, 0).await;
    let anew = reading(status("web", 200), at(11), 7);
    assert_eq!(
        world.ingest(&batch(&world.source, at(20), vec![anew])).await,
        outcome(1, 0, 0)
    );
    assert_eq!(world.window(60, at(20)).await, (107, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn what_was_counted_before_the_first_contact_is_a_baseline() {
    let world = World::new(Settings::default()).await;
    let before = noon() - TimeDelta::hours(1);
    for (second, value, in_books) in [(1, 1000, 0), (2, 1004, 4)] {
        let old = reading(status("web", 200), before, value);
        world.ingest(&batch(&world.source, at(second), vec![old])).await;
        assert_eq!(world.window(60, at(second)).await, (in_books, 0));
    }
    world.database.drop().await;
}

#[tokio::test]
async fn a_source_without_a_greeting_is_first_met_with_its_first_batch() {
    let world = World::new(Settings::default()).await;
    let stranger = source("stranger");
    for (second, value, in_books) in [(5, 1000, 0), (6, 1001, 1)] {
        let counted = reading(status("web", 200), noon(), value);
        world.ingest(&batch(&stranger, at(second), vec![counted])).await;
        assert_eq!(world.window(60, at(second)).await, (in_books, 0));
    }
    world.database.drop().await;
}

#[tokio::test]
async fn a_value_that_fell_is_refused() {
    let world = World::new(Settings::default()).await;
    world.counted(at(1), 10, 5).await;
    assert_eq!(world.counted(at(2), 9, 6).await, outcome(1, 0, 1));
    assert_eq!(world.window(60, at(2)).await, (10, 6));
    assert_eq!(world.counted(at(3), 12, 6).await, outcome(2, 0, 0));
    assert_eq!(world.window(60, at(3)).await, (12, 6));
    world.database.drop().await;
}

#[tokio::test]
async fn a_start_before_the_last_one_is_refused() {
    let world = World::new(Settings::default()).await;
    let started = |second, value| reading(status("web", 200), at(second), value);
    world
        .ingest(&batch(&world.source, at(10), vec![started(5, 10)]))
        .await;
    let refused = world
        .ingest(&batch(&world.source, at(11), vec![started(4, 90)]))
        .await;
    assert_eq!(refused, outcome(0, 0, 1));
    assert_eq!(world.window(60, at(11)).await, (10, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn what_rests_is_booked_once_whoever_books_it() {
    let world = World::new(Settings::default()).await;
    let other = Engine::new(world.database.pool.clone(), Settings::default());
    let by_other = async |second, good| {
        let counted = batch(
            &world.source,
            at(second),
            vec![reading(status("web", 200), noon(), good)],
        );
        other.ingest_at(&counted, at(second)).await.unwrap()
    };
    world.counted(at(1), 10, 1).await;
    assert_eq!(world.counted(at(2), 10, 1).await, outcome(2, 0, 0));
    assert_eq!(by_other(3, 15).await, outcome(1, 0, 0));
    // The first engine remembers 10.
    assert_eq!(world.counted(at(4), 15, 1).await, outcome(2, 0, 0));
    assert_eq!(world.window(60, at(4)).await, (15, 1));
    assert_eq!(world.counted(at(5), 16, 1).await, outcome(2, 0, 0));
    assert_eq!(by_other(6, 16).await, outcome(1, 0, 0));
    assert_eq!(world.counted(at(6), 16, 1).await, outcome(0, 2, 0));
    assert_eq!(world.counted(at(7), 15, 2).await, outcome(1, 0, 1));
    assert_eq!(world.window(60, at(7)).await, (16, 2));
    world.database.drop().await;
}

#[tokio::test]
async fn a_batch_from_the_future_is_refused_whole() {
    let world = World::new(Settings::default()).await;
    let mut early = batch(
        &world.source,
        at(10),
        vec![reading(status("web", 200), noon(), 1)],
    );
    early.sent_at = at(5);
    let error = world.engine.ingest_at(&early, at(5)).await.unwrap_err();
    assert!(
        matches!(error, IngestError::FromTheFuture { ahead_ms: 5000, .. }),
        "{error}"
    );
    assert_eq!(books(&world.database.pool).await, Vec::<String>::new());
    world.database.drop().await;
}

#[tokio::test]
async fn a_clock_that_is_off_is_shifted_and_shown() {
    let world = World::new(Settings::default()).await;
    // The source believes it is an hour later, and says so in both of its times.
    let theirs = |second| at(second) + TimeDelta::hours(1);
    for (second, value) in [(30, 5), (31, 6)] {
        let counted = reading(status("web", 200), theirs(1), value);
        let batch = batch(&world.source, theirs(second), vec![counted]);
        world.engine.ingest_at(&batch, at(second)).await.unwrap();
    }
    assert_eq!(world.window(60, at(31)).await, (6, 0));
    let sources = slo_engine::read::sources(&world.database.pool, at(31))
        .await
        .unwrap();
    assert_eq!((sources[0].offset_ms, sources[0].lag_ms), (3_600_000, 0));
    let events = slo_engine::read::events(&world.database.pool, None, Some("host1"), 10)
        .await
        .unwrap();
    assert_eq!(
        events[0].message,
        "clock of `host1` is off by -3600000 ms: its times are shifted by as much"
    );
    assert_eq!(events.len(), 2, "one greeting, one shift: {events:?}");
    world.database.drop().await;
}

#[tokio::test]
async fn a_late_batch_is_booked_to_its_own_slot_and_moves_what_follows() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    for second in [10, 20, 30] {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    let counted = |value| vec![reading(status("web", 500), noon(), value)];
    let mut late = batch(&source("host2"), at(15), counted(3));
    late.sent_at = at(33);
    world.engine.ingest_at(&late, at(33)).await.unwrap();
    assert_eq!(world.window(60, at(10)).await, (10, 0));
    assert_eq!(world.window(60, at(20)).await, (20, 3));
    assert_eq!(world.window(60, at(30)).await, (30, 3));
    assert_eq!(world.window(10, at(30)).await, (10, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn a_late_batch_moves_the_bases_of_the_days_after_it() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    let hour = 3600;
    for (hours, good) in [(1, 10), (11, 20), (12, 30), (13, 40), (37, 50), (70, 60)] {
        world.counted(at(hours * hour), good, 0).await;
    }
    let before = books(&world.database.pool).await;
    let mut late = batch(
        &source("host2"),
        at(11 * hour + 5),
        vec![reading(status("web", 500), noon(), 7)],
    );
    late.sent_at = at(71 * hour);
    world.engine.ingest_at(&late, at(71 * hour)).await.unwrap();
    assert_eq!(before.len(), 6);
    for (hours, bad) in [(1, 0), (11, 0), (12, 7), (13, 7), (37, 7), (70, 7)] {
        let (_, counted) = world.window(90 * 3600, at(hours * hour)).await;
        assert_eq!(counted, bad, "after {hours} h");
    }
    // Windows that do not hold the slot do not see it, in whichever day they lie.
    assert_eq!(world.window(3600, at(13 * hour)).await, (10, 0));
    assert_eq!(world.window(33 * 3600, at(70 * hour)).await, (10, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn a_day_can_be_booked_before_the_day_that_precedes_it() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    world.counted(at(40 * 3600), 100, 0).await;
    let mut late = batch(
        &source("host2"),
        at(3600),
        vec![reading(status("web", 500), noon(), 7)],
    );
    late.sent_at = at(40 * 3600);
    world.engine.ingest_at(&late, at(40 * 3600)).await.unwrap();
    assert_eq!(world.window(3600, at(3600)).await, (0, 7));
    assert_eq!(world.window(41 * 3600, at(40 * 3600)).await, (100, 7));
    assert_eq!(world.window(3600, at(40 * 3600)).await, (100, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn the_open_slot_is_updated_in_place() {
    let world = World::new(Settings::default()).await;
    for second in 1..=10 {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
        assert_eq!(books(&world.database.pool).await.len(), 1, "second {second}");
    }
    world.counted(at_ms(10_001), 11, 0).await;
    assert_eq!(books(&world.database.pool).await.len(), 2);
    world.database.drop().await;
}

#[tokio::test]
async fn an_engine_that_restarts_goes_on_where_it_was() {
    let world = World::new(Settings::default()).await;
    world.counted(at(1), 10, 1).await;
    let restarted = Engine::new(world.database.pool.clone(), Settings::default());
    let known = vec![
        reading(status("web", 200), noon(), 12),
        reading(status("web", 500), noon(), 1),
        reading(status("web", 404), noon(), 5),
    ];
    let batch = batch(&world.source, at(2), known);
    assert_eq!(
        restarted.ingest_at(&batch, at(2)).await.unwrap(),
        outcome(3, 0, 0)
    );
    assert_eq!(world.window(60, at(2)).await, (17, 1));
    // The first engine learns what the second one created.
    assert_eq!(
        world.engine.ingest_at(&batch, at(2)).await.unwrap(),
        outcome(0, 3, 0)
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_service_is_the_sum_over_its_sources() {
    let world = World::new(Settings::default()).await;
    for host in ["host1", "host2", "host3"] {
        world.hello(host, noon()).await;
        let counted = vec![reading(status("web", 200), noon(), 5)];
        world.ingest(&batch(&source(host), at(1), counted)).await;
    }
    assert_eq!(world.window(60, at(1)).await, (15, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn only_what_an_sli_counts_is_booked_to_it() {
    let world = World::new(Settings::default()).await;
    let value = |signal, value| reading(series("web", signal), noon(), value);
    let readings = vec![
        value(Signal::Status(200), 1),
        value(Signal::Status(404), 2),
        value(Signal::Status(503), 4),
        value(Signal::ResetByServer, 8),
        value(Signal::ClosedUnanswered, 16),
        value(Signal::TimedOut, 32),
        value(Signal::ClientGaveUp, 64),
        value(Signal::Unknown, 128),
        value(Signal::Retransmits, 256),
        reading(status("other", 200), noon(), 512),
    ];
    world.ingest(&batch(&world.source, at(1), readings)).await;
    assert_eq!(world.window(60, at(1)).await, (3, 60));
    world.database.drop().await;
}

#[tokio::test]
async fn losses_travel_with_the_counts() {
    let world = World::new(Settings::default()).await;
    let loss = |service: Option<&str>, reason, value| Loss {
        service: service.map(|name| name.parse().unwrap()),
        reason,
        value,
        start_time: noon(),
    };
    let mut lossy = batch(&world.source, at(1), vec![reading(status("web", 200), noon(), 1)]);
    lossy.losses = vec![
        loss(Some("web"), LossReason::Unparsable, 3),
        loss(Some("other"), LossReason::Unparsable, 50),
        loss(None, LossReason::MapFull, 4),
        loss(None, LossReason::Unnamed, 900),
    ];
    assert_eq!(world.ingest(&lossy).await, outcome(5, 0, 0));
    assert_eq!(world.ingest(&lossy).await, outcome(0, 5, 0));
    let name = "web-availability".parse().unwrap();
    let counts = world.engine.burn(&name, seconds(60), at(1)).await.unwrap();
    assert_eq!(counts.lost, 7);
    world.database.drop().await;
}

/// Of a second in which nine of ten requests were lost a tenth was watched, and of the host's losses each service lost
/// as large a share. What was counted of no route is lost to those that count one, and what was of no time to latencies.
#[tokio::test]
async fn lost_requests_are_time_that_nobody_watched() {
    let mut routed = availability("web-routed", "web");
    routed.sli.route = Some("GET *".parse().unwrap());
    let mut timed = availability("web-timed", "web");
    timed.sli.kind = SliKind::Latency {
        clock: Clock::Turnaround,
        threshold: seconds(1),
    };
    let objectives = vec![
        availability("shop-availability", "shop"),
        availability("web-availability", "web"),
        routed,
        timed,
    ];
    let world = World::with(Settings::default(), objectives).await;
    let coverage = async |now| {
        let mut coverage = Vec::new();
        for name in ["shop-availability", "web-availability", "web-routed", "web-timed"] {
            let counts = world.engine.burn(&name.parse().unwrap(), seconds(10), now).await;
            coverage.push((counts.unwrap().coverage().unwrap() * Decimal::from(100)).round_dp(1));
        }
        coverage
    };
    let loss = |service: Option<&str>, reason, value| Loss {
        service: service.map(|name| name.parse().unwrap()),
        reason,
        value,
        start_time: noon(),
    };
    for (n, of_web, of_host, unrouted, untimed, expected) in [
        (1, 0, 0, 0, 0, [100, 100, 100, 100]),
        (2, 900, 0, 0, 0, [100, 10, 10, 10]),
        (3, 0, 200, 0, 0, [50, 50, 50, 50]),
        (4, 0, 0, 75, 0, [100, 100, 25, 100]),
        // All that there was of it.
        (5, 0, 0, 100, 0, [100, 100, 0, 100]),
        (6, 0, 0, 0, 75, [100, 100, 100, 25]),
    ] {
        let now = at(10 * n);
        let total = 100 * n.unsigned_abs();
        let readings = ["shop", "web"].map(|service| reading(status(service, 200), noon(), total));
        let mut lossy = batch(&world.source, now, readings.to_vec());
        lossy.losses = vec![
            loss(Some("web"), LossReason::MapFull, of_web),
            loss(Some("web"), LossReason::Reduced, unrouted),
            loss(Some("web"), LossReason::Untimed, untimed),
            loss(None, LossReason::GapInSequence, of_host),
            loss(None, LossReason::ProbeAbsent, 3),
        ];
        // Each loss begins anew, so that what it counts is of this batch.
        for each in &mut lossy.losses {
            each.start_time = at(10 * n - 5);
        }
        world.ingest(&lossy).await;
        assert_eq!(coverage(now).await, expected.map(Decimal::from), "batch {n}");
    }
    world.database.drop().await;
}

#[tokio::test]
async fn a_longer_slot_counts_on_from_the_rows_of_a_shorter_one() {
    let world = World::new(Settings::default()).await;
    for (second, good) in [(10, 10), (20, 20), (30, 30), (40, 40)] {
        world.counted(at(second), good, good / 10).await;
    }
    // Restarted with `--slot 30s`: the slot that ends at 60 has rows of its own before its end, and none where the
    // window of a minute begins.
    let longer = Settings {
        slot: seconds(30),
        patience: seconds(90),
        ..without_evidence()
    };
    let engine = Engine::new(world.database.pool.clone(), longer);
    let defined = definitions(vec![Objective {
        tiers: vec![tier("fast", Severity::Page, 120, 60, "1")],
        ..availability("web-availability", "web")
    }]);
    engine.apply(&defined, at(41)).await.unwrap();
    let counted = |good| {
        vec![
            reading(status("web", 200), noon(), good),
            reading(status("web", 500), noon(), good / 10),
        ]
    };
    for (second, good) in [(45, 50), (60, 60), (90, 70)] {
        let batch = batch(&world.source, at(second), counted(good));
        engine.ingest_at(&batch, at(second)).await.unwrap();
    }
    let whole = engine
        .burn(&defined.objectives[0].name, seconds(3600), at(90))
        .await
        .unwrap();
    assert_eq!((whole.good, whole.bad), (70, 7));
    for now in [60, 75, 90, 95, 100, 110] {
        let evaluations = evaluate(&engine, at(now)).await;
        let burn = engine
            .burn(&defined.objectives[0].name, seconds(60), at(now))
            .await
            .unwrap();
        let Evidence::Windows(burning) = &evaluations[0].evidence else {
            panic!("{evaluations:?}");
        };
        assert_eq!(burning.short, burn, "at {now} s");
    }
    world.database.drop().await;
}

/// Rows of the slots before stand between those of the new ones: after them as before, and in the past once they are packed.
#[tokio::test]
async fn a_shorter_slot_counts_on_from_the_rows_of_a_longer_one() {
    let settings = |slot| Settings {
        slot: seconds(slot),
        ..without_evidence()
    };
    let world = World::new(settings(15)).await;
    for (second, good) in [(15, 10), (30, 20), (33, 30)] {
        world.counted(at(second), good, good / 10).await;
    }
    let engine = Engine::new(world.database.pool.clone(), settings(10));
    let defined = definitions(vec![Objective {
        tiers: vec![tier("fast", Severity::Page, 120, 60, "1")],
        ..availability("web-availability", "web")
    }]);
    engine.apply(&defined, at(33)).await.unwrap();
    for (second, good) in [(34, 40), (38, 50), (42, 60)] {
        let counted = vec![
            reading(status("web", 200), noon(), good),
            reading(status("web", 500), noon(), good / 10),
        ];
        let batch = batch(&world.source, at(second), counted);
        engine.ingest_at(&batch, at(second)).await.unwrap();
    }
    for is_packed in [false, true] {
        for now in 33..60 {
            let evaluations = evaluate(&engine, at(now)).await;
            let burn = engine
                .burn(&defined.objectives[0].name, seconds(60), at(now))
                .await
                .unwrap();
            let Evidence::Windows(burning) = &evaluations[0].evidence else {
                panic!("{evaluations:?}");
            };
            assert_eq!(burning.short, burn, "at {now} s, packed: {is_packed}");
            budgets_of_all_are_each_ones(&world.database.pool, &[at(now)]).await;
        }
        if !is_packed {
            pack(&world, 2).await;
        }
    }
    world.database.drop().await;
}
