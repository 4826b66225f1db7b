//! Definitions are dated: what changes, and what a change leaves alone.

use rust_decimal::Decimal;
use slo_engine::measurement::Clock;
use slo_engine::objective::{Sli, SliKind, Target};
use slo_engine::{Settings, TakenUp};

use crate::support::{World, at, availability, batch, decimal, definitions, noon, reading, seconds, status};

#[tokio::test]
async fn another_target_counts_the_same_events() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 90, 10).await;
    let mut objective = availability("web-availability", "web");
    objective.target = Target::try_from(decimal("0.8")).unwrap();
    world
        .engine
        .apply(&definitions(vec![objective]), at(100))
        .await
        .unwrap();
    world.counted(at(110), 180, 20).await;
    let burn: Vec<(Decimal, i64)> = sqlx::query_as(
        "select burn_rate, bad from burn_rate('web-availability', '1 hour', $1)
         union all select burn_rate, bad from burn_rate('web-availability', '1 hour', $2)",
    )
    .bind(at(99))
    .bind(at(110))
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    // The past is read with the target of its time.
    assert_eq!(burn, [(decimal("100"), 10), (decimal("0.5"), 20)]);
    world.database.drop().await;
}

#[tokio::test]
async fn no_window_crosses_into_another_sli() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 90, 10).await;
    let mut objective = availability("web-availability", "web");
    objective.sli = Sli {
        kind: SliKind::Ratio {
            good: "2xx".parse().unwrap(),
            total: "2xx,5xx".parse().unwrap(),
        },
        ..Sli::availability()
    };
    world
        .engine
        .apply(&definitions(vec![objective.clone()]), at(100))
        .await
        .unwrap();
    world.counted(at(110), 91, 12).await;
    assert_eq!(world.window(3600, at(110)).await, (1, 2));
    assert_eq!(world.window(3600, at(99)).await, (90, 10));
    // The same definition again changes nothing.
    let version = async || {
        sqlx::query_scalar::<_, i64>("select definition_version from engine_state")
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    let before = version().await;
    world
        .engine
        .apply(&definitions(vec![objective]), at(200))
        .await
        .unwrap();
    assert_eq!(version().await, before);
    world.database.drop().await;
}

#[tokio::test]
async fn an_objective_counts_series_that_were_there_before_it() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 90, 10).await;
    let both = vec![
        availability("web-availability", "web"),
        availability("second", "web"),
    ];
    world.engine.apply(&definitions(both), at(20)).await.unwrap();
    world.counted(at(30), 100, 11).await;
    let second = world
        .engine
        .burn(&"second".parse().unwrap(), seconds(60), at(30))
        .await
        .unwrap();
    assert_eq!((second.good, second.bad), (10, 1));
    assert_eq!(world.window(60, at(30)).await, (100, 11));
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_withdrawn_comes_back_with_an_untouched_budget() {
    let world = World::new(Settings::default()).await;
    world.counted(at(10), 90, 10).await;
    world
        .engine
        .apply(&definitions(Vec::new()), at(20))
        .await
        .unwrap();
    assert_eq!(
        slo_engine::read::slos(&world.database.pool, at(20))
            .await
            .unwrap(),
        []
    );
    world.counted(at(30), 100, 20).await;
    let again = vec![availability("web-availability", "web")];
    world.engine.apply(&definitions(again), at(40)).await.unwrap();
    world.counted(at(50), 103, 20).await;
    assert_eq!(world.window(3600, at(50)).await, (3, 0));
    world.database.drop().await;
}

#[tokio::test]
async fn a_latency_objective_counts_its_own_threshold() {
    let mut objective = availability("web-availability", "web");
    objective.sli.kind = SliKind::Latency {
        clock: Clock::Turnaround,
        threshold: std::time::Duration::from_millis(250),
    };
    let world = World::with(Settings::default(), vec![objective]).await;
    let signal = |text: &str, value| {
        let mut series = status("web", 200);
        series.signal = text.parse().unwrap();
        reading(series, noon(), value)
    };
    let readings = vec![
        signal("within:turnaround:250ms", 7),
        signal("over:turnaround:250ms", 3),
        signal("within:turnaround:100ms", 50),
        signal("within:first_byte:250ms", 50),
        signal("status:200", 50),
    ];
    world.ingest(&batch(&world.source, at(1), readings)).await;
    assert_eq!(world.window(60, at(1)).await, (7, 3));
    world.database.drop().await;
}

/// It counts all of the slot in which it begins, also where it begins at the slot's very end.
#[tokio::test]
async fn what_is_read_in_the_very_moment_of_a_change_is_in_the_changed_budget() {
    for read in [99, 100, 101] {
        let world = World::new(Settings::default()).await;
        let signal = |text: &str, value| {
            let mut series = status("web", 200);
            series.signal = text.parse().unwrap();
            reading(series, noon(), value)
        };
        let answered = vec![signal("status:200", 20)];
        world.ingest(&batch(&world.source, at(90), answered)).await;
        let mut objective = availability("web-availability", "web");
        objective.sli.kind = SliKind::Latency {
            clock: Clock::Turnaround,
            threshold: std::time::Duration::from_millis(250),
        };
        world
            .engine
            .apply(&definitions(vec![objective]), at(100))
            .await
            .unwrap();
        for (second, soon) in [(read, 5), (110, 9)] {
            let readings = vec![
                signal("within:turnaround:250ms", soon),
                signal("over:turnaround:250ms", 1),
            ];
            world.ingest(&batch(&world.source, at(second), readings)).await;
        }
        assert_eq!(world.window(60, at(110)).await, (9, 1), "{read}");
        world.database.drop().await;
    }
}

#[tokio::test]
async fn an_objective_that_a_second_one_renames_says_where_its_history_stays() {
    let world = World::with(Settings::default(), vec![availability("web", "web")]).await;
    let two = vec![availability("web-fast", "web"), availability("web-slow", "web")];
    world.engine.apply(&definitions(two), at(10)).await.unwrap();
    let message: String =
        sqlx::query_scalar("select message from event where subject = 'web' order by event_id desc limit 1")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert!(
        message.starts_with(
            "objective `web` is no longer kept: `web-fast`, `web-slow` begin with budgets of their own"
        ),
        "{message}"
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_series_first_seen_late_counts_for_the_generation_of_its_time() {
    let world = World::new(Settings::default()).await;
    let counted = |at, readings| batch(&world.source, at, readings);
    world
        .ingest(&counted(at(90), vec![reading(status("web", 200), noon(), 90)]))
        .await;
    let mut objective = availability("web-availability", "web");
    objective.sli.route = Some("GET *".parse().unwrap());
    world
        .engine
        .apply(&definitions(vec![objective]), at(100))
        .await
        .unwrap();
    // The first error was counted before the change, and comes behind it.
    let readings = vec![
        reading(status("web", 200), noon(), 91),
        reading(status("web", 500), noon(), 3),
    ];
    let mut late = counted(at(95), readings);
    late.sent_at = at(105);
    world.ingest(&late).await;
    assert_eq!(world.window(3600, at(99)).await, (91, 3));
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_new_changed_and_withdrawn_is_counted() {
    let world = World::new(Settings::default()).await;
    let take = async |names: &[&str], target: &str, second| {
        let objective = |name: &&str| {
            let mut objective = availability(name, "web");
            objective.target = Target::try_from(decimal(target)).unwrap();
            objective
        };
        let definitions = definitions(names.iter().map(objective).collect());
        let TakenUp {
            new,
            changed,
            withdrawn,
        } = world.engine.apply(&definitions, at(second)).await.unwrap();
        (new, changed, withdrawn)
    };
    let own = "web-availability";
    assert_eq!(take(&[own, "a", "b"], "0.9", 10).await, (2, 1, 0));
    assert_eq!(take(&[own, "a", "b"], "0.9", 20).await, (0, 0, 0));
    assert_eq!(take(&[own, "a", "c"], "0.8", 30).await, (1, 2, 1));
    // What comes back is new, whatever it asks.
    assert_eq!(take(&[own, "a", "b"], "0.8", 40).await, (1, 0, 1));
    world.database.drop().await;
}
