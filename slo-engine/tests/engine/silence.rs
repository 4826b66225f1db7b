//! Silences hold back what is done about alerts, not the alerts; and acknowledging says who has one.

use chrono::{DateTime, Utc};
use slo_engine::alert::{AcknowledgeError, AlertState, Transition};
use slo_engine::objective::Severity;
use slo_engine::read;
use slo_engine::silence::{NewSilence, SilenceError, SilenceId};
use slo_engine::{Engine, Settings};

use crate::support::{MINUTE, World, at, availability, evaluate, tier, without_evidence};

/// One page over a minute and ten seconds, in slots of a second, and a minute without errors.
async fn quiet() -> World {
    let mut objective = availability("web-availability", "web");
    objective.tiers = vec![tier("page-1m", Severity::Page, MINUTE, 10, "14.4")];
    let settings = Settings {
        slot: std::time::Duration::from_secs(1),
        ..without_evidence()
    };
    let world = World::with(settings, vec![objective]).await;
    for second in 1..=60 {
        world.counted(at(second), 600, 0).await;
    }
    world
}

/// Every request fails, from the 61st second on.
async fn fail(world: &World, second: i64) {
    let bad = u64::try_from(10 * (second - 60)).unwrap();
    world.counted(at(second), 600, bad).await;
}

async fn silence(world: &World, matcher: &str, from: i64, to: i64) -> SilenceId {
    let new = NewSilence {
        matchers: vec![matcher.parse().unwrap()],
        starts_at: at(from),
        ends_at: at(to),
        author: "ann".to_owned(),
        comment: "a new release".to_owned(),
    };
    world.engine.silence(&new, at(from)).await.unwrap()
}

/// What anything may be done about, as the judge asks.
async fn told(engine: &Engine, now: DateTime<Utc>) -> Vec<Transition> {
    let evaluations = evaluate(engine, now).await;
    let mut transaction = engine.pool().begin().await.unwrap();
    let transitions = engine
        .record(&mut transaction, &evaluations, None, now)
        .await
        .unwrap();
    let told = engine
        .hold_back(&mut transaction, transitions, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    told
}

fn states(told: &[Transition]) -> Vec<(Option<AlertState>, AlertState)> {
    told.iter().map(|one| (one.from, one.to)).collect()
}

const FIRING: AlertState = AlertState::Firing;

#[tokio::test]
async fn a_silenced_alert_fires_and_is_told_once_when_the_silence_ends() {
    let world = quiet().await;
    let id = silence(&world, "service=web", 60, 70).await;
    fail(&world, 61).await;
    assert_eq!(told(&world.engine, at(61)).await, []);
    let alerts = read::alerts(&world.database.pool, None, 10).await.unwrap();
    assert_eq!((alerts[0].state, alerts[0].silenced_by), (FIRING, Some(id)));

    // Another engine, as after a restart, holds it back as well.
    let restarted = Engine::new(world.database.pool.clone(), world.engine.settings().clone());
    for second in 62..70 {
        fail(&world, second).await;
        assert_eq!(told(&restarted, at(second)).await, [], "{second}");
    }
    fail(&world, 70).await;
    let released = told(&restarted, at(70)).await;
    assert_eq!(states(&released), [(Some(FIRING), FIRING)]);
    assert_eq!(released[0].alert_id, alerts[0].id);
    assert_eq!(released[0].evidence, alerts[0].evidence);
    for engine in [&world.engine, &restarted] {
        assert_eq!(told(engine, at(70)).await, [], "once");
    }
    let alerts = read::alerts(&world.database.pool, None, 10).await.unwrap();
    assert_eq!((alerts[0].state, alerts[0].silenced_by), (FIRING, None));
    let events = read::events(&world.database.pool, None, None, 100).await.unwrap();
    let kinds: Vec<&str> = events.iter().rev().map(|event| event.kind.as_str()).collect();
    let last = &kinds[kinds.len() - 4..];
    assert_eq!(
        last,
        [
            "silence_made",
            "alert_firing",
            "alert_silenced",
            "alert_unsilenced"
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn who_was_told_before_the_silence_is_not_told_again_and_hears_the_end() {
    let world = quiet().await;
    fail(&world, 61).await;
    assert_eq!(states(&told(&world.engine, at(61)).await), [(None, FIRING)]);
    let id = silence(&world, "tier=~page-.*", 62, 600).await;
    fail(&world, 62).await;
    assert_eq!(told(&world.engine, at(62)).await, []);
    let alerts = read::alerts(&world.database.pool, None, 10).await.unwrap();
    assert_eq!(alerts[0].silenced_by, Some(id));
    world.engine.end_silence(id, "bob", at(63)).await.unwrap();
    fail(&world, 63).await;
    assert_eq!(told(&world.engine, at(63)).await, [], "they know already");

    silence(&world, "service=web", 64, 600).await;
    for second in 64_i64..=90 {
        world
            .counted(at(second), 600 + 10 * u64::try_from(second).unwrap(), 30)
            .await;
    }
    let resolved = told(&world.engine, at(90)).await;
    assert_eq!(states(&resolved), [(Some(FIRING), AlertState::Resolved)]);
    world.database.drop().await;
}

#[tokio::test]
async fn a_silence_of_others_or_of_another_time_holds_nothing_back() {
    let world = quiet().await;
    silence(&world, "service=shop", 60, 600).await;
    silence(&world, "severity=ticket", 60, 600).await;
    silence(&world, "service=web", 300, 600).await;
    let ended = silence(&world, "service=web", 60, 600).await;
    world.engine.end_silence(ended, "bob", at(61)).await.unwrap();
    fail(&world, 61).await;
    assert_eq!(states(&told(&world.engine, at(61)).await), [(None, FIRING)]);

    let again = world.engine.end_silence(ended, "bob", at(62)).await;
    assert!(matches!(again, Err(SilenceError::Ended(_))), "{again:?}");
    let nobody = world.engine.end_silence(SilenceId(999), "bob", at(62)).await;
    assert!(matches!(nobody, Err(SilenceError::Unknown(_))), "{nobody:?}");
    let standing = read::silences(&world.database.pool, false, at(62), 10)
        .await
        .unwrap();
    assert_eq!(standing.len(), 3);
    let all = read::silences(&world.database.pool, true, at(62), 10)
        .await
        .unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!((all[0].id, all[0].ended_by.as_deref()), (ended, Some("bob")));
    world.database.drop().await;
}

#[tokio::test]
async fn one_silence_after_another_lets_nothing_through_between() {
    let world = quiet().await;
    silence(&world, "service=web", 60, 65).await;
    let second = silence(&world, "service=web", 60, 80).await;
    for now in 61..80 {
        fail(&world, now).await;
        assert_eq!(told(&world.engine, at(now)).await, [], "{now}");
    }
    let alerts = read::alerts(&world.database.pool, None, 10).await.unwrap();
    assert_eq!(alerts[0].silenced_by, Some(second));
    fail(&world, 80).await;
    assert_eq!(
        states(&told(&world.engine, at(80)).await),
        [(Some(FIRING), FIRING)]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn an_open_alert_is_acknowledged_by_the_last_who_says_so() {
    let world = quiet().await;
    fail(&world, 61).await;
    let id = told(&world.engine, at(61)).await[0].alert_id;
    let mut connection = world.database.pool.acquire().await.unwrap();
    for (by, note, now) in [("ann", "", at(62)), ("bob", "rolling back", at(63))] {
        world
            .engine
            .acknowledge(&mut connection, id, by, note, now)
            .await
            .unwrap();
    }
    let alert = read::alert(&world.database.pool, id).await.unwrap().unwrap();
    let said = alert.acknowledged.unwrap();
    assert_eq!(
        (said.at, said.by.as_str(), said.note.as_str()),
        (at(63), "bob", "rolling back")
    );
    assert_eq!(alert.state, FIRING, "it fires on");

    for second in 64_i64..=90 {
        world
            .counted(at(second), 600 + 10 * u64::try_from(second).unwrap(), 10)
            .await;
    }
    assert_eq!(told(&world.engine, at(90)).await.len(), 1);
    let late = world
        .engine
        .acknowledge(&mut connection, id, "ann", "", at(91))
        .await;
    assert!(matches!(late, Err(AcknowledgeError::Resolved(_))), "{late:?}");
    drop(connection);
    world.database.drop().await;
}
