//! The fast page: within seconds, once, and not for what is late.

use chrono::{DateTime, Utc};
use slo_engine::alert::{AlertState, Evidence, Transition};
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::objective::{Objective, TierName};
use slo_engine::sequential::{FastPage, Sequential};
use slo_engine::{Engine, Settings};

use crate::support::{
    DAY, World, at, availability, batch, definitions, reading, seconds, source, status, step,
};

/// Without tiers, so that whatever happens is the fast page's doing.
fn objective() -> Objective {
    Objective {
        tiers: Vec::new(),
        fast_page: Some(FastPage::for_period(seconds(30 * DAY)).unwrap()),
        ..availability("web-availability", "web")
    }
}

async fn judge(engine: &Engine, second: i64) -> Vec<Transition> {
    let evaluations = engine.evaluate_fast_pages(at(second)).await.unwrap();
    let mut transaction = engine.pool().begin().await.unwrap();
    let transitions = engine
        .record(&mut transaction, &evaluations, None, at(second))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    transitions
}

/// A minute at 20 requests a second, all good.
async fn calm() -> World {
    calm_at(20).await
}

async fn calm_at(rate: u64) -> World {
    let world = World::with(Settings::default(), vec![objective()]).await;
    for second in 1..=60 {
        let good = rate * u64::try_from(second).unwrap();
        world.counted(at(second), good, 0).await;
        assert_eq!(judge(&world.engine, second).await, []);
    }
    world
}

async fn statistic(world: &World) -> Option<f64> {
    sqlx::query_scalar("select statistic from excursion")
        .fetch_optional(&world.database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_total_outage_at_20_a_second_pages_within_5_seconds_and_its_end_resolves() {
    let world = calm().await;
    let mut life = Vec::new();
    let (mut good, mut bad) = (1200, 0);
    for second in 61_i64..=300 {
        if second <= 90 {
            bad += 20;
        } else {
            good += 20;
        }
        world.counted(at(second), good, bad).await;
        for one in judge(&world.engine, second).await {
            assert_eq!(one.tier, TierName::fast_page());
            assert!(matches!(one.evidence, Evidence::Sequential(_)));
            life.push((second, one.from, one.to, one.evidence.counts().bad));
        }
    }
    let [fired, resolved] = life[..] else {
        panic!("{life:?}")
    };
    assert_eq!(fired, (64, None, AlertState::Firing, 80));
    // 17.27 / 0.0135 good events: 64 s at 20 a second.
    assert_eq!((resolved.0, resolved.2), (154, AlertState::Resolved));
    assert_eq!(statistic(&world).await, None, "a calm day leaves no row");
    world.database.drop().await;
}

/// At 99.9 %, where the Workbook's tiers take 5.8 minutes: in the fourth second, or after seven of 48 requests where little is asked.
#[tokio::test]
async fn errors_of_15_percent_page_within_30_seconds() {
    for (rate, paged_after, failed) in [(20, 4, 12), (2, 24, 7)] {
        let world = calm_at(rate).await;
        let mut fired = None;
        for second in 1_i64..=30 {
            let asked = rate * second.unsigned_abs();
            let bad = asked * 15 / 100;
            world.counted(at(60 + second), rate * 60 + asked - bad, bad).await;
            for one in judge(&world.engine, 60 + second).await {
                assert_eq!((one.tier, one.to), (TierName::fast_page(), AlertState::Firing));
                assert_eq!(fired.replace((second, one.evidence.counts().bad)), None);
            }
        }
        assert_eq!(fired, Some((paged_after, failed)), "at {rate} requests a second");
        world.database.drop().await;
    }
}

#[tokio::test]
async fn sql_and_the_engine_move_the_statistic_alike() {
    let world = calm().await;
    let test = Sequential::new("0.999".parse().unwrap(), &objective().fast_page.unwrap());
    let (mut good, mut bad, mut expected) = (1200, 0, 0.0);
    for (second, more_good, more_bad) in [
        (61, 20, 1),
        (62, 19, 0),
        (63, 0, 2),
        (64, 400, 1),
        (65, 10, 90),
        (66, 0, 50),
        (67, 700, 0),
        (68, 3, 1),
    ] {
        good += more_good;
        bad += more_bad;
        world.counted(at(second), good, bad).await;
        expected = test.step(expected, more_good, more_bad);
        let found = statistic(&world).await.unwrap_or(0.0);
        assert!(
            (found - expected).abs() < 1e-9,
            "at {second}: {found}, not {expected}"
        );
    }
    assert!(expected > 0.0);
    world.database.drop().await;
}

#[tokio::test]
async fn a_page_is_sent_once_over_a_restart_and_ends_when_its_objective_does() {
    let world = calm().await;
    for second in 61_i64..=64 {
        let bad = 20 * u64::try_from(second - 60).unwrap();
        world.counted(at(second), 1200, bad).await;
    }
    assert_eq!(judge(&world.engine, 64).await.len(), 1);
    let restarted = Engine::new(world.database.pool.clone(), world.engine.settings().clone());
    restarted
        .apply(&definitions(vec![objective()]), at(65))
        .await
        .unwrap();
    world.counted(at(65), 1200, 100).await;
    assert_eq!(judge(&restarted, 65).await, []);
    // The tiers' evaluation knows nothing of it, and leaves it alone.
    assert_eq!(step(&restarted, at(65), None).await, []);

    restarted.apply(&definitions(Vec::new()), at(66)).await.unwrap();
    let ended = judge(&restarted, 66).await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].to, AlertState::Resolved);
    assert_eq!(statistic(&world).await, None);
    world.database.drop().await;
}

#[tokio::test]
async fn errors_of_an_absence_are_booked_and_page_nobody() {
    let world = calm().await;
    // Ten minutes without a word, then everything at once.
    world.counted(at(660), 1200, 10_000).await;
    assert_eq!(judge(&world.engine, 660).await, []);
    assert_eq!(statistic(&world).await, None);
    assert_eq!(world.window(DAY, at(660)).await, (1200, 10_000));
    world.database.drop().await;
}

#[tokio::test]
async fn an_outage_without_traffic_after_it_is_over_when_errors_have_stopped_for_five_minutes() {
    let world = calm().await;
    for second in 61_i64..=64 {
        let bad = 20 * u64::try_from(second - 60).unwrap();
        world.counted(at(second), 1200, bad).await;
    }
    assert_eq!(judge(&world.engine, 64).await.len(), 1);
    let mut resolved = Vec::new();
    for second in (70_i64..=400).step_by(10) {
        world.counted(at(second), 1200, 80).await;
        if !judge(&world.engine, second).await.is_empty() {
            resolved.push(second);
        }
    }
    // The last errors lie in the slot that ends at 70.
    assert_eq!(resolved, [370]);
    world.database.drop().await;
}

/// Half of what should be watched is not: what was seen of the other half is evidence, and its end is none.
#[tokio::test]
async fn too_little_watched_a_page_fires_and_does_not_resolve() {
    let world = World::with(Settings::default(), vec![objective()]).await;
    world.hello("host2", at(0)).await;
    let on_the_second = async |second: i64| {
        let counted = reading(status("web", 200), at(0), second.unsigned_abs());
        world
            .ingest(&batch(&source("host2"), at(second), vec![counted]))
            .await;
    };
    on_the_second(10).await;
    let mut life = Vec::new();
    for second in 1_i64..=400 {
        let bad = 20 * (second.clamp(60, 90) - 60).unsigned_abs();
        let good = 20 * second.unsigned_abs() - bad;
        world.counted(at(second), good, bad).await;
        if second == 380 {
            on_the_second(second).await;
        }
        life.extend(
            judge(&world.engine, second)
                .await
                .into_iter()
                .map(|one| (second, one.to)),
        );
        if second == 370 {
            assert_eq!(statistic(&world).await, None, "errors are over for long");
        }
    }
    assert_eq!(life, [(64, AlertState::Firing), (380, AlertState::Resolved)]);
    world.database.drop().await;
}

/// Six of the seven errors that it takes came from a restart that was planned, as is said after it.
#[tokio::test]
async fn what_a_correction_leaves_out_is_no_evidence() {
    for (from, until, pages) in [(61, 65, false), (50, 60, true), (67, 80, true)] {
        let world = calm().await;
        let mut bad = 0;
        for second in 61_i64..=66 {
            bad += 1;
            world.counted(at(second), 1200, bad).await;
            assert_eq!(judge(&world.engine, second).await, []);
        }
        leave_out(&world, from, until, at(66)).await;
        world.counted(at(67), 1200, bad + 1).await;
        assert_eq!(
            judge(&world.engine, 67).await.len(),
            usize::from(pages),
            "{from} to {until}"
        );
        world.database.drop().await;
    }
}

/// Errors that count are over, and somebody watches: that what is counted now is left out changes nothing of either.
#[tokio::test]
async fn an_open_page_is_over_while_a_correction_runs() {
    // Those before it lie in the slot that ends at 70.
    for (from, over) in [(60, 65), (70, 361)] {
        let world = calm().await;
        let mut life = Vec::new();
        for second in 61_i64..=400 {
            world
                .counted(at(second), 1200, 20 * (second - 60).unsigned_abs())
                .await;
            if second == 65 {
                leave_out(&world, from, 7200, at(65)).await;
            }
            life.extend(
                judge(&world.engine, second)
                    .await
                    .into_iter()
                    .map(|one| (second, one.to)),
            );
        }
        assert_eq!(
            life,
            [(64, AlertState::Firing), (over, AlertState::Resolved)],
            "left out from {from}"
        );
        world.database.drop().await;
    }
}

async fn leave_out(world: &World, from: i64, until: i64, now: DateTime<Utc>) {
    let new = NewCorrection {
        objective: "web-availability".parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(from),
        ends_at: at(until),
        recurrence: None,
        author: "jo".to_owned(),
        comment: "a planned restart".to_owned(),
    };
    world.engine.correct(&new, now).await.unwrap();
}

#[tokio::test]
async fn a_service_below_the_least_rate_is_left_to_the_tiers() {
    let mut quiet = objective();
    quiet.fast_page.as_mut().unwrap().rate_min = 50.into();
    let world = World::with(Settings::default(), vec![quiet]).await;
    for second in 1_i64..=30 {
        let bad = 20 * u64::try_from(second).unwrap();
        world.counted(at(second), 0, bad).await;
        assert_eq!(judge(&world.engine, second).await, []);
    }
    world.database.drop().await;
}
