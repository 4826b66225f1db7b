//! How much evidence an alert takes is the definition's to say: the same counts fire with one gate and pend with another.

use slo_engine::Settings;
use slo_engine::alert::{AlertState, Evidence, Transition};
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::evaluate::EvidenceGate;
use slo_engine::objective::{BurnRate, Objective, Severity, Target};
use slo_engine::read;
use slo_engine::sequential::FastPage;

use crate::support::{HOUR, MINUTE, World, at, availability, decimal, definitions, seconds, tier};

/// Named `web-` and so; a page and a ticket.
fn objective(name: &str, gate: Option<&str>) -> Objective {
    let mut objective = availability(&format!("web-{name}"), "web");
    objective.tiers = vec![
        tier("page-1h", Severity::Page, HOUR, 5 * MINUTE, "14.4"),
        tier("ticket-1d", Severity::Ticket, 24 * HOUR, 2 * HOUR, "3"),
    ];
    objective.evidence = gate.map(|gate| gate.parse().unwrap());
    objective
}

/// A request in ten seconds, of eleven the last one bad.
async fn one_of_eleven(objectives: Vec<Objective>) -> World {
    let world = World::with(Settings::default(), objectives).await;
    for second in 1..=10 {
        world
            .counted(at(second * 10), u64::try_from(second).unwrap(), 0)
            .await;
    }
    assert_eq!(world.step(at(100)).await, []);
    world.counted(at(110), 10, 1).await;
    world
}

fn life(transitions: &[Transition]) -> Vec<String> {
    let spell = |one: &Transition| format!("{} {} {}", one.objective, one.tier, one.to);
    transitions.iter().map(spell).collect()
}

#[tokio::test]
async fn the_same_counts_fire_with_one_gate_and_pend_with_another() {
    let world = one_of_eleven(vec![
        objective("default", None),
        objective("lax", Some("page 20%")),
        objective("off", Some("off")),
        objective("strict", Some("ticket 1%")),
    ])
    .await;
    let transitions = world.step(at(110)).await;
    // One of eleven or more: 14.8 % at the page's threshold (1.44 % errors), 3.3 % at the ticket's.
    assert_eq!(
        life(&transitions),
        [
            "web-default page-1h pending",
            "web-default ticket-1d firing",
            "web-lax page-1h firing",
            "web-lax ticket-1d firing",
            "web-off page-1h firing",
            "web-off ticket-1d firing",
            "web-strict page-1h pending",
            "web-strict ticket-1d pending",
        ]
    );
    for one in &transitions {
        let Evidence::Windows(burning) = &one.evidence else {
            panic!("{one:?}")
        };
        assert_eq!((burning.long.good, burning.long.bad), (10, 1));
        let is_off = one.objective.as_str() == "web-off";
        assert_eq!(
            (burning.chance.is_none(), burning.bad_needed.is_none()),
            (is_off, is_off)
        );
    }
    let [page, ..] = &transitions[..] else { panic!() };
    let shown = page.evidence.burning().unwrap();
    assert_eq!(shown.bad_needed, Some(3));
    assert!((shown.chance.unwrap() - 0.1475).abs() < 1e-4, "{shown:?}");

    // Its page says what it takes.
    for (name, gate) in [
        ("web-default", "page 1%, ticket 5%"),
        ("web-lax", "page 20%, ticket 5%"),
        ("web-off", "off"),
        ("web-strict", "page 1%, ticket 1%"),
    ] {
        let name = name.parse().unwrap();
        let slo = read::slo(&world.database.pool, &name, at(110)).await.unwrap();
        assert_eq!(slo.unwrap().evidence.to_string(), gate);
    }
    world.database.drop().await;
}

#[tokio::test]
async fn turning_it_off_is_a_dated_definition_that_costs_no_count() {
    let world = one_of_eleven(vec![objective("availability", None)]).await;
    let pending = [
        "web-availability page-1h pending",
        "web-availability ticket-1d firing",
    ];
    assert_eq!(life(&world.step(at(110)).await), pending);
    assert_eq!(world.step(at(111)).await, []);
    let off = definitions(vec![objective("availability", Some("off"))]);
    world.engine.apply(&off, at(115)).await.unwrap();
    assert_eq!(world.window(HOUR, at(116)).await, (10, 1));
    assert_eq!(
        life(&world.step(at(116)).await),
        ["web-availability page-1h firing"]
    );
    // The same again changes nothing; what nothing is said of is as by default once more.
    let dated = async || -> i64 {
        sqlx::query_scalar("select count(*) from objective_definition")
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    world.engine.apply(&off, at(120)).await.unwrap();
    assert_eq!(dated().await, 2);
    let default = definitions(vec![objective("availability", None)]);
    world.engine.apply(&default, at(130)).await.unwrap();
    assert_eq!(dated().await, 3);
    let name = "web-availability".parse().unwrap();
    let slo = read::slo(&world.database.pool, &name, at(130)).await.unwrap();
    assert_eq!(slo.unwrap().evidence, EvidenceGate::default());
    world.database.drop().await;
}

#[tokio::test]
async fn an_alert_on_the_budget_takes_as_much_and_its_page_shows_it() {
    let dropping = |name: &str, gate: Option<&str>| {
        let mut objective = objective(name, gate);
        objective.target = Target::try_from(decimal("0.99")).unwrap();
        objective.period = seconds(HOUR);
        objective.tiers.clear();
        objective.budget_alerts = vec![BudgetAlert {
            name: "drop".parse().unwrap(),
            severity: Severity::Page,
            rule: "drop 10% within 10m".parse().unwrap(),
        }];
        objective
    };
    let world = one_of_eleven(vec![dropping("default", None), dropping("off", Some("off"))]).await;
    let evaluations = world.engine.evaluate_budgets(at(110)).await.unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = world
        .engine
        .record(&mut transaction, &evaluations, None, at(110))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    // At a thousandth of errors, a tenth of what is allowed, one of eleven has a chance of 1.1 %.
    assert_eq!(
        life(&transitions),
        ["web-default drop pending", "web-off drop firing"]
    );
    for (name, needed) in [("web-default", Some(2)), ("web-off", None)] {
        let name = name.parse().unwrap();
        let slo = read::slo(&world.database.pool, &name, at(110)).await.unwrap();
        let [alert] = &slo.unwrap().budget_alerts[..] else {
            panic!()
        };
        assert_eq!(alert.spending.bad_needed, needed);
    }
    world.database.drop().await;
}

#[tokio::test]
async fn the_fast_page_has_its_own() {
    let fast = |name: &str, gate: Option<&str>| {
        let mut objective = objective(name, gate);
        objective.tiers.clear();
        objective.fast_page = Some(FastPage {
            burn_rate: BurnRate::try_from(decimal("14.4")).unwrap(),
            false_pages_a_year: decimal("1"),
            rate_min: decimal("0"),
        });
        objective
    };
    let world = World::with(
        Settings::default(),
        vec![fast("default", None), fast("off", Some("off"))],
    )
    .await;
    let mut paged = Vec::new();
    let mut bad = 0;
    for second in 1..=60 {
        if second > 40 {
            bad += 1;
        }
        world
            .counted(at(second), u64::try_from(second).unwrap() * 10, bad)
            .await;
        let found = world.engine.evaluate_fast_pages(at(second)).await.unwrap();
        let mut transaction = world.database.pool.begin().await.unwrap();
        for one in world
            .engine
            .record(&mut transaction, &found, None, at(second))
            .await
            .unwrap()
        {
            paged.push((second, one.objective.to_string(), one.to));
        }
        transaction.commit().await.unwrap();
    }
    let [(first, _, AlertState::Firing), (second, _, AlertState::Firing)] = &paged[..] else {
        panic!("{paged:?}")
    };
    assert_eq!(first, second);
    // More than one error, which is all that `off` takes of a tier.
    assert!(*first > 43, "{paged:?}");
    world.database.drop().await;
}
