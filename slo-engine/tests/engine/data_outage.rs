//! Missing data is an alert of its own: pending, firing, resolved; never for what nobody is expected to watch.

use slo_engine::Settings;
use slo_engine::alert::{AlertState, Evidence, Transition};
use slo_engine::evaluate::{MissingData, OutageRule};
use slo_engine::objective::{Severity, SliKind, TierName};

use crate::support::{
    World, at, availability, batch, decimal, definitions, evaluate, reading, seconds, source, status,
};

/// Evaluates and records everything, as the loop does.
async fn judge(world: &World, second: i64) -> Vec<Transition> {
    let mut evaluations = evaluate(&world.engine, at(second)).await;
    evaluations.extend(world.engine.evaluate_data_outages(at(second)).await.unwrap());
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = world
        .engine
        .record(&mut transaction, &evaluations, None, at(second))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    transitions
}

/// What became of the alert in these seconds: when, and into what state.
async fn life(world: &World, seconds: std::ops::RangeInclusive<i64>) -> Vec<(i64, AlertState)> {
    let mut life = Vec::new();
    for second in seconds.step_by(10) {
        for one in judge(world, second).await {
            assert_eq!(one.tier, TierName::data_outage());
            assert_eq!(one.severity, Severity::Ticket);
            assert!(matches!(one.evidence, Evidence::Coverage(_)));
            life.push((second, one.to));
        }
    }
    life
}

/// Ten minutes of one good request a second, and nothing to tell.
async fn calm() -> World {
    let world = World::new(Settings::default()).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    assert_eq!(judge(&world, 600).await, []);
    world
}

#[tokio::test]
async fn missing_data_pends_fires_once_and_resolves_when_it_is_back() {
    let world = calm().await;
    // Silent beyond patience: at 640 40 of 300 s are missing, and the tier freezes first.
    assert_eq!(
        life(&world, 610..=1200).await,
        [(650, AlertState::Pending), (950, AlertState::Firing)]
    );
    // A restart remembers nothing and changes nothing.
    let restarted = slo_engine::Engine::new(world.database.pool.clone(), Settings::default());
    let again = restarted.evaluate_data_outages(at(1210)).await.unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let told = restarted
        .record(&mut transaction, &again, None, at(1210))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((again.len(), told), (1, Vec::new()));

    // The kernel counted on, so nothing was missed after all; it is over once that holds.
    let mut over = Vec::new();
    for second in (1220..=1400).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
        over.extend(
            judge(&world, second)
                .await
                .into_iter()
                .map(|one| (second, one.to)),
        );
    }
    assert_eq!(over, [(1250, AlertState::Resolved)]);
    let events = slo_engine::read::events(&world.database.pool, None, Some("web-availability"), 100)
        .await
        .unwrap();
    let told: Vec<String> = events
        .into_iter()
        .rev()
        .map(|event| event.message)
        .filter(|message| message.contains("data-outage"))
        .collect();
    assert_eq!(
        told,
        [
            "`web-availability` lacks data (`data-outage`): 83.3 % of the time was watched",
            "`web-availability` lacks data, nothing else of it resolves, and only a fast page fires (`data-outage`): 0 % of the time was watched",
            "`web-availability` lacks data no longer (`data-outage`): 100 % of the time was watched",
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_short_gap_pends_and_never_fires() {
    let world = calm().await;
    assert_eq!(life(&world, 610..=800).await, [(650, AlertState::Pending)]);
    let mut over = Vec::new();
    for second in (810..=1200).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
        over.extend(
            judge(&world, second)
                .await
                .into_iter()
                .map(|one| (second, one.to)),
        );
    }
    assert_eq!(over, [(840, AlertState::Resolved)]);
    world.database.drop().await;
}

#[tokio::test]
async fn what_was_never_measured_is_no_outage() {
    // Greeted and never heard of: expected, not covered, and nothing to lose.
    let world = World::new(Settings::default()).await;
    assert_eq!(life(&world, 10..=1200).await, []);
    world.database.drop().await;
}

#[tokio::test]
async fn a_source_that_left_or_an_objective_that_is_withdrawn_is_no_outage() {
    let world = calm().await;
    world.engine.goodbye(&world.source, at(600)).await.unwrap();
    assert_eq!(life(&world, 610..=1800).await, []);
    world.database.drop().await;

    // Whose last words come late had left all the same.
    let world = calm().await;
    assert_eq!(life(&world, 610..=1000).await.len(), 2);
    world.engine.goodbye(&world.source, at(1005)).await.unwrap();
    assert_eq!(states(&life(&world, 1010..=1400).await), [AlertState::Resolved]);
    world.database.drop().await;

    let world = calm().await;
    assert_eq!(life(&world, 610..=1000).await.len(), 2);
    let others = definitions(vec![availability("shop-availability", "shop")]);
    world.engine.apply(&others, at(1005)).await.unwrap();
    assert_eq!(life(&world, 1010..=1100).await, [(1010, AlertState::Resolved)]);
    world.database.drop().await;
}

fn states(life: &[(i64, AlertState)]) -> Vec<AlertState> {
    life.iter().map(|(_, to)| *to).collect()
}

#[tokio::test]
async fn an_outage_whose_last_source_is_given_up_lasts_until_it_is_watched_again() {
    let world = calm().await;
    assert_eq!(life(&world, 610..=1000).await.len(), 2);
    assert_eq!(world.engine.maintain(at(4300)).await.unwrap().sources_retired, 1);
    assert_eq!(life(&world, 4300..=5000).await, []);
    let given_up = slo_engine::read::events(&world.database.pool, None, Some("host1"), 1)
        .await
        .unwrap();
    assert_eq!(
        given_up[0].message,
        "source on `host1` retired: it was silent for too long"
    );
    // A greeting is no measurement yet.
    world.hello("host1", at(5005)).await;
    assert_eq!(life(&world, 5010..=5030).await, []);
    let mut over = Vec::new();
    for second in (5040..=5400).step_by(10) {
        world.counted(at(second), second.unsigned_abs(), 0).await;
        over.extend(life(&world, second..=second).await);
    }
    assert_eq!(states(&over), [AlertState::Resolved]);
    world.database.drop().await;
}

#[tokio::test]
async fn a_host_that_is_gone_for_ever_ends_its_outage_where_another_watches() {
    let world = World::new(Settings::default()).await;
    world.hello("host2", at(0)).await;
    let on_the_second = async |second: i64| {
        let counted = reading(status("web", 200), at(0), second.unsigned_abs());
        world
            .ingest(&batch(&source("host2"), at(second), vec![counted]))
            .await;
    };
    for second in (10..=600).step_by(10) {
        world.counted(at(second), second.unsigned_abs(), 0).await;
        on_the_second(second).await;
    }
    let mut told = Vec::new();
    for second in (610..=1000).step_by(10) {
        on_the_second(second).await;
        told.extend(life(&world, second..=second).await);
    }
    for second in (1020..=4300).step_by(20) {
        on_the_second(second).await;
    }
    assert_eq!(world.engine.maintain(at(4300)).await.unwrap().sources_retired, 1);
    for second in (4310..=4600).step_by(10) {
        on_the_second(second).await;
        told.extend(life(&world, second..=second).await);
    }
    assert_eq!(
        states(&told),
        [AlertState::Pending, AlertState::Firing, AlertState::Resolved]
    );
    assert!(told[2].0 > 4300, "{told:?}");
    world.database.drop().await;
}

#[tokio::test]
async fn an_outage_says_whose_silence_it_is() {
    let objectives = ["shop-availability", "web-availability"]
        .map(|name| availability(name, name.split('-').next().unwrap()))
        .to_vec();
    let world = World::with(Settings::default(), objectives).await;
    world.hello("host2", at(0)).await;
    let reading =
        |service: &str, second: i64| reading(status(service, 200), at(0), u64::try_from(second).unwrap());
    for second in (10..=600).step_by(10) {
        let both = vec![reading("shop", second), reading("web", second)];
        world.ingest(&batch(&world.source, at(second), both)).await;
        world
            .ingest(&batch(&source("host2"), at(second), vec![reading("web", second)]))
            .await;
    }
    // The first host dies; the other watches one of its two services on.
    let mut firing = Vec::new();
    for second in (610..=1000).step_by(10) {
        world
            .ingest(&batch(&source("host2"), at(second), vec![reading("web", second)]))
            .await;
        for one in judge(&world, second).await {
            let Evidence::Coverage(watched) = &one.evidence else {
                panic!("{one:?}")
            };
            let silent: Vec<_> = watched.silent.iter().map(|silent| silent.host.clone()).collect();
            assert_eq!(silent, ["host1"]);
            assert_eq!(watched.silent[0].source, world.source.to_string());
            if one.to == AlertState::Firing {
                firing.push((second, one.objective.to_string()));
            }
        }
    }
    // Half of what was expected of `web` is missing, so it takes twice as long until it is a tenth.
    assert_eq!(
        firing,
        [
            (950, "shop-availability".to_owned()),
            (980, "web-availability".to_owned())
        ]
    );
    world.database.drop().await;
}

/// Both hosts watch the service, and only one answered anything that `web-answers` counts.
#[tokio::test]
async fn an_outage_names_those_that_what_it_counts_comes_from() {
    let mut answers = availability("web-answers", "web");
    answers.sli.kind = SliKind::Ratio {
        good: "2xx".parse().unwrap(),
        total: "2xx,5xx".parse().unwrap(),
    };
    let world = World::with(
        Settings::default(),
        vec![answers, availability("web-availability", "web")],
    )
    .await;
    world.hello("host2", at(0)).await;
    for second in (10..=600).step_by(10) {
        let counted = |status_code| {
            let total = u64::try_from(second).unwrap();
            vec![reading(status("web", status_code), at(0), total)]
        };
        // The first host is silent sooner.
        if second <= 590 {
            world
                .ingest(&batch(&world.source, at(second), counted(404)))
                .await;
        }
        let answered = batch(&source("host2"), at(second), counted(200));
        world.ingest(&answered).await;
    }
    let mut named = Vec::new();
    for second in (610..=680).step_by(10) {
        for one in judge(&world, second).await {
            let Evidence::Coverage(watched) = &one.evidence else {
                panic!("{one:?}")
            };
            let hosts: Vec<_> = watched.silent.iter().map(|silent| silent.host.as_str()).collect();
            named.push(format!("{} {} {}", one.objective, one.to, hosts.join(" ")));
        }
    }
    assert_eq!(
        named,
        [
            "web-answers pending host2",
            "web-availability pending host1 host2"
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_definition_says_how_much_must_be_missing_for_how_long_and_whether_that_is_told() {
    let stated = |coverage: &str, outage| MissingData {
        coverage_min: decimal(coverage),
        outage,
    };
    let page = OutageRule::lasting(Severity::Page, seconds(120));
    let mut early = availability("web-availability", "web");
    early.missing_data = Some(stated("0.5", Some(page)));
    let mut off = availability("web-latency", "web");
    off.missing_data = Some(stated("0.9", None));
    let world = World::with(Settings::default(), vec![early, off.clone()]).await;
    for second in (10..=600).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    let mut life = Vec::new();
    for second in (610..=1200).step_by(10) {
        for one in judge(&world, second).await {
            life.push((second, one.objective.to_string(), one.severity, one.to));
        }
    }
    let of = |second, state| (second, "web-availability".to_owned(), Severity::Page, state);
    // More than half of 120 s are missing from 670 on, long before its tiers freeze.
    assert_eq!(life, [of(670, AlertState::Pending), of(790, AlertState::Firing)]);
    // Turned off, the open alert is over.
    let mut early = availability("web-availability", "web");
    early.missing_data = off.missing_data;
    world
        .engine
        .apply(&definitions(vec![early, off]), at(1205))
        .await
        .unwrap();
    let over = judge(&world, 1210).await;
    assert_eq!(
        over.iter().map(|one| one.to).collect::<Vec<_>>(),
        [AlertState::Resolved]
    );
    world.database.drop().await;
}
