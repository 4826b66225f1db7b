//! Gaps: what nobody watched is neither good nor bad, and what the kernel counted meanwhile lands at
//! the return.

use rust_decimal::Decimal;
use slo_engine::Settings;
use slo_engine::evaluate::{Decision, Freeze};
use slo_engine::measurement::{Hello, SourceId};
use slo_engine::objective::Severity;
use slo_engine::service::Discovered;
use slo_engine::window::WindowCounts;

use crate::support::{
    World, at, availability, batch, decimal, evaluate, noon, reading, seconds, source, status, tier,
};

async fn window(world: &World, length: u64, now: i64) -> WindowCounts {
    let name = "web-availability".parse().unwrap();
    world.engine.burn(&name, seconds(length), at(now)).await.unwrap()
}

#[tokio::test]
async fn idle_is_covered_with_nothing_counted() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 5, 0).await;
    for second in (20..=600).step_by(10) {
        world.ingest(&batch(&world.source, at(second), Vec::new())).await;
    }
    let counts = window(&world, 300, 600).await;
    assert_eq!(
        (counts.total(), counts.expected_ms, counts.covered_ms),
        (0, 300_000, 300_000)
    );
    world.database.drop().await;
}

#[tokio::test]
async fn silent_is_not_covered_and_lands_at_the_return() {
    let world = World::new(Settings::default()).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    // Within patience nothing is missing yet.
    assert_eq!(window(&world, 300, 630).await.coverage(), Some(Decimal::ONE));
    let gap = window(&world, 300, 900).await;
    assert_eq!((gap.total(), gap.coverage()), (0, Some(Decimal::ZERO)));
    let half = window(&world, 600, 900).await;
    assert_eq!(half.coverage(), Some(decimal("0.5")));
    assert_eq!((half.expected_ms, half.covered_ms), (600_000, 300_000));

    // It returns after 10 minutes, and the kernel went on counting.
    world.counted(at(1200), 160, 6).await;
    let back = window(&world, 1200, 1200).await;
    assert_eq!((back.good, back.bad), (160, 6));
    assert_eq!((back.expected_ms, back.covered_ms), (1_200_000, 1_200_000));
    // An edge inside the gap takes the row before it, and says so.
    let from_inside = window(&world, 300, 1200).await;
    assert_eq!((from_inside.good, from_inside.bad), (60, 6));
    assert_eq!((from_inside.from, from_inside.to), (at(600), at(1200)));
    world.database.drop().await;
}

#[tokio::test]
async fn a_gap_does_not_refill_the_budget_and_does_not_spend_it() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 900, 100).await;
    let name = "web-availability".parse().unwrap();
    let budget = async |now| {
        let slo = slo_engine::read::slo(&world.database.pool, &name, at(now))
            .await
            .unwrap()
            .unwrap();
        (slo.budget_remaining, slo.budget_spent_events)
    };
    let before = budget(10).await;
    assert_eq!(before, (decimal("-99"), 100));
    for later in [40, 3600, 86_400] {
        assert_eq!(budget(later).await, before, "after {later} s");
    }
    world.database.drop().await;
}

#[tokio::test]
async fn a_gap_freezes_evaluation_and_the_return_thaws_it() {
    let world = World::new(Settings::default()).await;
    for second in (10..=3600).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    let decision = async |now| {
        let evaluations = world.engine.evaluate_all(at(now)).await.unwrap();
        evaluations
            .into_iter()
            .find(|one| one.tier.as_str() == "page-1h")
            .unwrap()
            .decision
    };
    assert_eq!(decision(3600).await, Decision::Quiet);
    assert!(matches!(
        decision(3660).await,
        Decision::Freeze(Freeze::Coverage(_))
    ));
    world.step(at(3660)).await;
    world.step(at(3670)).await;
    world.counted(at(3680), 3600, 0).await;
    world.step(at(3680)).await;
    let events = slo_engine::read::events(&world.database.pool, None, Some("web-availability"), 50)
        .await
        .unwrap();
    let frozen: Vec<&str> = events
        .iter()
        .rev()
        .map(|event| event.message.as_str())
        .filter(|message| message.contains("`page-1h`"))
        .collect();
    assert_eq!(
        frozen,
        [
            "`web-availability` tier `page-1h` is frozen, neither firing nor resolving: only 80 % of the time was watched",
            "`web-availability` tier `page-1h` is watched again",
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_source_that_said_goodbye_is_not_missed() {
    let world = World::new(Settings::default()).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    world.engine.goodbye(&world.source, at(600)).await.unwrap();
    assert_eq!(window(&world, 600, 900).await.coverage(), Some(Decimal::ONE));
    assert_eq!(window(&world, 200, 900).await.coverage(), None);
    // It comes back with everything counted in between.
    world.hello("host1", at(1200)).await;
    world.counted(at(1201), 150, 0).await;
    let back = window(&world, 1300, 1201).await;
    assert_eq!((back.good, back.coverage()), (150, Some(Decimal::ONE)));
    world.database.drop().await;
}

#[tokio::test]
async fn a_reboot_leaves_a_gap_that_is_expected_and_never_covered() {
    let world = World::new(Settings::default()).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    let rebooted = SourceId::new("host1", "boot2", 1).unwrap();
    let hello = Hello {
        source: rebooted.clone(),
        host: "host1".to_owned(),
        at: at(700),
    };
    world.engine.hello(&hello).await.unwrap();
    for second in (710..=1200).step_by(10) {
        let counted = vec![reading(status("web", 200), at(700), 40)];
        world.ingest(&batch(&rebooted, at(second), counted)).await;
    }
    let over_both = window(&world, 1200, 1200).await;
    assert_eq!((over_both.good, over_both.bad), (140, 0));
    assert_eq!(
        (over_both.expected_ms, over_both.covered_ms),
        (1_200_000, 1_100_000)
    );
    assert_eq!(window(&world, 300, 1200).await.coverage(), Some(Decimal::ONE));
    world.database.drop().await;
}

#[tokio::test]
async fn a_calm_tier_is_left_out_unless_time_is_missing_from_its_windows() {
    let mut objective = availability("web-availability", "web");
    objective.tiers = vec![tier("page", Severity::Page, 300, 60, "14.4")];
    let world = World::with(Settings::default(), vec![objective]).await;
    let stated = async |second| evaluate(&world.engine, at(second)).await.len();
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    assert_eq!(stated(600).await, 0);
    assert_eq!(stated(700).await, 1, "its source is silent");
    let rebooted = SourceId::new("host1", "boot2", 1).unwrap();
    let hello = Hello {
        source: rebooted.clone(),
        host: "host1".to_owned(),
        at: at(700),
    };
    world.engine.hello(&hello).await.unwrap();
    let counted = async |second, bad| {
        let readings = vec![
            reading(status("web", 200), at(700), 40),
            reading(status("web", 500), at(700), bad),
        ];
        world.ingest(&batch(&rebooted, at(second), readings)).await;
    };
    for second in (710..=1200).step_by(10) {
        counted(second, 0).await;
    }
    assert_eq!(
        stated(1200).await,
        1,
        "a row of a thinned day may be far from its edge"
    );
    counted(4900, 0).await;
    assert_eq!(stated(4900).await, 0);
    counted(4910, 1).await;
    assert_eq!(stated(4910).await, 1, "its short window burns");
    world.database.drop().await;
}

#[tokio::test]
async fn a_source_that_is_silent_for_an_hour_is_expected_no_more() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", noon()).await;
    let both = async |second: i64, hosts: &[&str]| {
        for host in hosts {
            let counted = vec![reading(
                status("web", 200),
                noon(),
                u64::try_from(second).unwrap(),
            )];
            world.ingest(&batch(&source(host), at(second), counted)).await;
        }
    };
    both(600, &["host1", "host2"]).await;
    for minute in 11..=80 {
        both(minute * 60, &["host1"]).await;
    }
    assert_eq!(window(&world, 300, 4200).await.coverage(), Some(decimal("0.5")));
    assert_eq!(world.engine.maintain(at(4200)).await.unwrap().sources_retired, 0);
    assert_eq!(world.engine.maintain(at(4260)).await.unwrap().sources_retired, 1);
    assert_eq!(world.engine.maintain(at(4260)).await.unwrap().sources_retired, 0);
    // The hour it was missed in stays half watched; afterwards it is not missed.
    assert_eq!(window(&world, 300, 3600).await.coverage(), Some(decimal("0.5")));
    assert_eq!(window(&world, 300, 4800).await.coverage(), Some(Decimal::ONE));
    // When it comes back after all, it is counted again.
    both(4860, &["host1", "host2"]).await;
    let back = window(&world, 4860, 4860).await;
    assert_eq!((back.good, back.coverage()), (2 * 4860, Some(Decimal::ONE)));
    world.database.drop().await;
}

#[tokio::test]
async fn an_endpoint_is_watched_from_when_it_was_found() {
    let world = World::new(Settings::default()).await;
    let found = |service: &str, because: &str| Discovered {
        service: service.parse().unwrap(),
        port: 8080,
        cgroup: "system.slice/web.service".to_owned(),
        executable: Some("/usr/bin/web".to_owned()),
        because: because.to_owned(),
    };
    world
        .engine
        .discovered(
            &world.source,
            &[found("web", "port 8080 is matched by `web`")],
            at(10),
        )
        .await
        .unwrap();
    for second in [20, 30, 40] {
        world.ingest(&batch(&world.source, at(second), Vec::new())).await;
    }
    let idle = window(&world, 60, 40).await;
    assert_eq!(
        (idle.total(), idle.expected_ms, idle.covered_ms),
        (0, 30_000, 30_000)
    );

    world
        .engine
        .discovered(&world.source, &[found("shop", "renamed")], at(50))
        .await
        .unwrap();
    let services = slo_engine::read::services(&world.database.pool, seconds(60), at(50))
        .await
        .unwrap();
    let names: Vec<_> = services
        .iter()
        .map(|one| (one.name.as_str(), one.because.as_deref()))
        .collect();
    assert_eq!(names, [("shop", Some("renamed")), ("web", None)]);
    world.database.drop().await;
}

#[tokio::test]
async fn an_endpoint_is_gone_as_soon_as_its_source_finds_it_no_longer_and_until_it_does_again() {
    let world = World::new(Settings::default()).await;
    let web = Discovered {
        service: "web".parse().unwrap(),
        port: 8080,
        cgroup: "system.slice/web.service".to_owned(),
        executable: None,
        because: "found".to_owned(),
    };
    let beside = Discovered {
        port: 8081,
        ..web.clone()
    };
    let tell = async |found: &[&Discovered], second: i64| {
        let found: Vec<_> = found.iter().map(|found| (*found).clone()).collect();
        let told = world.engine.discovered(&world.source, &found, at(second));
        told.await.unwrap();
        let services = slo_engine::read::services(&world.database.pool, seconds(60), at(second));
        let mut endpoints = services.await.unwrap().pop().unwrap().endpoints;
        endpoints.sort_by_key(|endpoint| endpoint.port);
        let gone = endpoints.iter().map(|endpoint| (endpoint.port, endpoint.gone_at));
        gone.collect::<Vec<_>>()
    };
    assert_eq!(tell(&[&web, &beside], 10).await, [(8080, None), (8081, None)]);
    assert_eq!(tell(&[&web], 11).await, [(8080, None), (8081, Some(at(11)))]);
    assert_eq!(tell(&[], 12).await, [(8080, Some(at(12))), (8081, Some(at(11)))]);
    // What another source does not find says nothing of this one's.
    let other = source("host2");
    world.engine.discovered(&other, &[], at(13)).await.unwrap();
    assert_eq!(tell(&[&beside], 13).await, [(8080, Some(at(12))), (8081, None)]);
    world.database.drop().await;
}

/// What the event list says, oldest first.
async fn told(world: &World, subject: &str) -> Vec<String> {
    let events = slo_engine::read::events(&world.database.pool, None, Some(subject), 100)
        .await
        .unwrap();
    events.into_iter().rev().map(|event| event.message).collect()
}

#[tokio::test]
async fn a_fresh_start_is_calm() {
    let world = World::new(Settings::default()).await;
    // The loop judges before the first batch is there.
    world.step(at(0)).await;
    world.counted(at(2), 50, 0).await;
    world.step(at(10)).await;
    assert_eq!(
        told(&world, "web-availability").await,
        ["objective `web-availability` is kept from now on"]
    );
    assert_eq!(window(&world, 3600, 10).await.coverage(), Some(Decimal::ONE));
    world.database.drop().await;
}

#[tokio::test]
async fn where_nobody_comes_to_watch_patience_ends() {
    let world = World::new(Settings::default()).await;
    world.step(at(29)).await;
    assert_eq!(told(&world, "web-availability").await.len(), 1);
    world.step(at(31)).await;
    assert_eq!(told(&world, "web-availability").await.len(), 1 + 4);
    world.database.drop().await;
}

#[tokio::test]
async fn a_start_after_a_pause_is_calm() {
    let world = World::new(Settings::default()).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    // Stopped for two hours; the kernel went on counting.
    let start = 600 + 7200;
    world.hello("host1", at(start)).await;
    world.engine.maintain(at(start)).await.unwrap();
    world.step(at(start)).await;
    assert_eq!(
        window(&world, 3 * 3600, start).await.coverage(),
        Some(Decimal::ONE)
    );
    world.counted(at(start + 1), 150, 0).await;
    world.step(at(start + 10)).await;
    assert_eq!(told(&world, "web-availability").await.len(), 1);
    assert_eq!(
        told(&world, "host1").await,
        ["source on `host1` reported for the first time"]
    );
    let whole = window(&world, 3 * 3600, start + 1).await;
    assert_eq!(
        (whole.good, whole.expected_ms, whole.covered_ms),
        (150, 7_801_000, 7_801_000)
    );

    // A greeting that no batch follows is a gap after all.
    world.hello("host1", at(start + 600)).await;
    assert_eq!(window(&world, 300, start + 629).await.expected_ms, 0);
    assert_eq!(
        window(&world, 300, start + 631).await.coverage(),
        Some(Decimal::ZERO)
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_reboot_after_days_owes_the_hour_that_was_expected() {
    let world = World::new(Settings::default()).await;
    world.engine.maintain(at(0)).await.unwrap();
    for second in (10..=600).step_by(10) {
        world.counted(at(second), 100, 0).await;
    }
    // Five days later: no partition is there yet, and nobody was expected for all but an hour of it.
    let back = 5 * 86_400;
    let rebooted = SourceId::new("host1", "boot2", 1).unwrap();
    let hello = Hello {
        source: rebooted.clone(),
        host: "host1".to_owned(),
        at: at(back),
    };
    world.engine.hello(&hello).await.unwrap();
    for second in (10..=60).step_by(10) {
        let counted = vec![reading(status("web", 200), at(back), 40)];
        world.ingest(&batch(&rebooted, at(back + second), counted)).await;
    }
    let now = back + 60;
    assert_eq!(window(&world, 3600, now).await.coverage(), Some(Decimal::ONE));
    let all = window(&world, 6 * 86_400, now).await;
    assert_eq!(
        (all.good, all.expected_ms, all.covered_ms),
        (140, 4_260_000, 660_000)
    );
    world.database.drop().await;
}
