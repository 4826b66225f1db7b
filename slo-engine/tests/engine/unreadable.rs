//! A row that cannot be read, of another release or changed by hand, hinders no objective but its own, and is told.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use slo_engine::alert::{AlertState, Transition};
use slo_engine::budget_alert::{BudgetAlert, BudgetRule};
use slo_engine::evaluate::{Decision, Evaluation, MissingData, OutageRule};
use slo_engine::objective::{Objective, Severity};
use slo_engine::sequential::FastPage;
use slo_engine::silence::NewSilence;
use slo_engine::{Partly, Settings, Unreadable, read};

use crate::composite::{WHOLE, counted, usual};
use crate::support::{
    DAY, MINUTE, World, at, availability, decimal, definitions, seconds, tier, without_evidence,
};

/// With an alert of every kind.
fn objective(name: &str) -> Objective {
    let rule: BudgetRule = "remaining 20%".parse().unwrap();
    Objective {
        tiers: vec![tier("page-1m", Severity::Page, MINUTE, 10, "14.4")],
        fast_page: Some(FastPage::for_period(seconds(30 * DAY)).unwrap()),
        budget_alerts: vec![BudgetAlert {
            name: rule.default_name().parse().unwrap(),
            severity: Severity::Ticket,
            rule,
        }],
        missing_data: Some(MissingData {
            coverage_min: decimal("0.9"),
            outage: Some(OutageRule::lasting(Severity::Ticket, seconds(60))),
        }),
        ..availability(name, "web")
    }
}

/// Three objectives that count the same: a minute without errors, and six seconds of nothing else.
async fn outage() -> World {
    let settings = Settings {
        slot: Duration::from_secs(1),
        ..without_evidence()
    };
    let world = World::with(settings, ["one", "three", "two"].map(objective).to_vec()).await;
    for second in 1..=66 {
        let bad = 20_u64 * u64::try_from(second).unwrap().saturating_sub(60);
        world
            .counted(at(second), 20 * second.min(60).unsigned_abs(), bad)
            .await;
    }
    world
}

async fn sql(world: &World, statement: &'static str) {
    sqlx::raw_sql(statement)
        .execute(&world.database.pool)
        .await
        .unwrap();
}

/// What there is is recorded, as the judge does: whose alerts are open then, and what was left out.
async fn recorded(
    world: &World,
    second: i64,
    outcome: Result<Vec<Evaluation>, Partly<Evaluation>>,
) -> (Vec<String>, String) {
    let (evaluations, left_out) = Partly::apart(outcome).unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = world
        .engine
        .record(&mut transaction, &evaluations, None, at(second))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let left_out = left_out.map_or_else(String::new, |error| {
        format!("{error}: {}", error.source().unwrap())
    });
    (whose(&transitions), left_out)
}

fn whose(transitions: &[Transition]) -> Vec<String> {
    let mut whose: Vec<_> = (transitions.iter())
        .filter(|one| one.to != AlertState::Resolved)
        .map(|one| one.objective.to_string())
        .collect();
    whose.sort();
    whose
}

fn others(cause: &str) -> (Vec<String>, String) {
    let said = format!("what is kept of `two` was left out: {cause}");
    (vec!["one".to_owned(), "three".to_owned()], said)
}

fn two_of(table: &str, change: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "update {table} set {change} where objective_id = (select objective_id from objective where name = 'two')"
    ))
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_other_objective() {
    let world = outage().await;
    for statement in [
        two_of("objective_tier", "severity = 'urgent'"),
        two_of("objective_fast_page", "burn_rate = 0"),
        two_of("objective_budget_alert", "rule = 'doubled'"),
        two_of("objective_missing_data", "severity = 'urgent'"),
    ] {
        sqlx::raw_sql(statement)
            .execute(&world.database.pool)
            .await
            .unwrap();
    }
    let engine = &world.engine;
    for (second, outcome, cause) in [
        (
            66,
            engine.evaluate(at(66)).await,
            "`urgent` in column `severity` cannot be read",
        ),
        (
            66,
            engine.evaluate_fast_pages(at(66)).await,
            "`0` in column `objective_fast_page.burn_rate` cannot be read",
        ),
        (
            66,
            engine.evaluate_budgets(at(66)).await,
            "`doubled` in column `objective_budget_alert.rule` cannot be read",
        ),
        // Nothing was counted since.
        (
            300,
            engine.evaluate_data_outages(at(300)).await,
            "`urgent` in column `objective_missing_data.severity` cannot be read",
        ),
    ] {
        assert_eq!(recorded(&world, second, outcome).await, others(cause));
    }

    // As soon as it can be read, it is judged.
    sqlx::raw_sql(two_of("objective_tier", "severity = 'page'"))
        .execute(&world.database.pool)
        .await
        .unwrap();
    let outcome = engine.evaluate(at(66)).await;
    assert_eq!(
        recorded(&world, 66, outcome).await,
        (vec!["two".to_owned()], String::new())
    );
    world.database.drop().await;
}

#[tokio::test]
async fn an_alert_that_cannot_be_read_stops_no_other() {
    let world = outage().await;
    let engine = &world.engine;
    let outcome = engine.evaluate(at(66)).await;
    let all = ["one", "three", "two"].map(String::from).to_vec();
    assert_eq!(recorded(&world, 66, outcome).await, (all, String::new()));
    sql(&world, "alter table alert drop constraint alert_state_known").await;
    sqlx::raw_sql(two_of("alert", "state = 'shouting'"))
        .execute(&world.database.pool)
        .await
        .unwrap();
    // The others resolve.
    for second in 67..=90_i64 {
        let good = 1200 + 20 * (second - 66).unsigned_abs();
        world.counted(at(second), good, 120).await;
    }
    let (evaluations, left_out) = Partly::apart(engine.evaluate(at(90)).await).unwrap();
    let left_out = left_out.unwrap();
    assert_eq!(left_out.to_string(), "what is kept of `two` was left out");
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = engine
        .record(&mut transaction, &evaluations, None, at(90))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let resolved: Vec<_> = (transitions.iter())
        .map(|one| (one.objective.as_str(), one.to))
        .collect();
    assert_eq!(
        resolved,
        [("one", AlertState::Resolved), ("three", AlertState::Resolved)]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn neither_a_silence_nor_an_alert_that_cannot_be_read_keeps_anybody_from_being_told() {
    let world = outage().await;
    let silence = |matcher: &str| NewSilence {
        matchers: vec![matcher.parse().unwrap()],
        starts_at: at(60),
        ends_at: at(600),
        author: "ann".to_owned(),
        comment: "a new release".to_owned(),
    };
    for matcher in ["objective=one", "service=shop"] {
        world.engine.silence(&silence(matcher), at(60)).await.unwrap();
    }
    sql(
        &world,
        "update silence set matchers = '{newer than this}' where matchers = '{service=shop}'",
    )
    .await;
    let told = async |transitions: Vec<Transition>, second| {
        let mut transaction = world.database.pool.begin().await.unwrap();
        let outcome = world
            .engine
            .hold_back(&mut transaction, transitions, at(second))
            .await;
        let (told, left_out) = Partly::apart(outcome).unwrap();
        transaction.commit().await.unwrap();
        (whose(&told), left_out.map(|error| error.to_string()))
    };
    let evaluations = world.engine.evaluate(at(66)).await.unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = world
        .engine
        .record(&mut transaction, &evaluations, None, at(66))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(whose(&transitions), ["one", "three", "two"]);
    let silence = Some("what is kept of `silence 2` was left out".to_owned());
    let (told_of, left_out) = told(transitions, 66).await;
    assert_eq!(told_of, ["three", "two"]);
    assert_eq!(left_out, silence);

    // The end of the silence is told of the one that was held back.
    sql(&world, "delete from silence where silence_id = 2").await;
    sqlx::raw_sql(two_of("alert", "severity = 'urgent'"))
        .execute(&world.database.pool)
        .await
        .unwrap();
    let (told_of, left_out) = told(Vec::new(), 600).await;
    assert_eq!(told_of, ["one"]);
    assert_eq!(left_out, Some("what is kept of `two` was left out".to_owned()));
    world.database.drop().await;
}

#[tokio::test]
async fn a_part_that_cannot_be_read_stops_its_composite_and_no_other_objective() {
    let mut objectives = usual();
    objectives.push(Objective {
        tiers: vec![tier("page-1m", Severity::Page, MINUTE, 10, "14.4")],
        ..availability("other", "web")
    });
    let world = World::with(without_evidence(), objectives).await;
    for second in (10_i64..=60).step_by(10) {
        let total = second.unsigned_abs();
        counted(&world, "host1", second, [0, total, total, 0]).await;
    }
    sql(&world, "update objective_part set weight = 0.33333333333").await;
    let (evaluations, left_out) = Partly::apart(world.engine.evaluate(at(60)).await).unwrap();
    let names: Vec<_> = evaluations.iter().map(|one| one.objective.as_str()).collect();
    assert_eq!(names, ["other"]);
    let said = left_out.unwrap().to_string();
    assert_eq!(said, format!("what is kept of `{WHOLE}` was left out"));
    world.database.drop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_missing_from_the_lists_by_its_name() {
    let world = outage().await;
    let evaluations = world.engine.evaluate(at(66)).await;
    let all = ["one", "three", "two"].map(String::from).to_vec();
    assert_eq!(recorded(&world, 66, evaluations).await, (all, String::new()));
    let pool = &world.database.pool;
    let lists = async || {
        let (slos, missing) = Partly::named(read::slos(pool, at(66)).await).unwrap();
        let slos: Vec<_> = slos.iter().map(|one| one.name.to_string()).collect();
        let (alerts, of_alerts) = Partly::named(read::alerts(pool, None, 10).await).unwrap();
        let alerts: BTreeSet<_> = alerts.iter().map(|one| one.objective.to_string()).collect();
        let (services, of_services) = Partly::named(read::services(pool, seconds(60), at(66)).await).unwrap();
        assert_eq!(of_services, missing);
        let names: Vec<_> = services[0].objectives.iter().map(ToString::to_string).collect();
        assert_eq!(names, slos);
        let whose =
            |found: Vec<Unreadable>| found.into_iter().map(|one| format!("{}: {}", one.name, one.why));
        (
            slos,
            missing,
            Vec::from_iter(alerts),
            Vec::from_iter(whose(of_alerts)),
        )
    };
    let two = |why: &str| Unreadable {
        name: "two".to_owned(),
        why: why.to_owned(),
    };
    for (statement, why) in [
        (
            two_of("objective_tier", "severity = 'urgent'"),
            "`urgent` in column `severity` cannot be read",
        ),
        (
            two_of("objective_budget_alert", "rule = 'doubled'"),
            "`urgent` in column `severity` cannot be read",
        ),
        (
            two_of("objective_tier", "severity = 'page'"),
            "`doubled` in column `objective_budget_alert.rule` cannot be read",
        ),
    ] {
        sqlx::raw_sql(statement).execute(pool).await.unwrap();
        let (slos, missing, alerts, of_alerts) = lists().await;
        assert_eq!(
            (slos, missing),
            (vec!["one".to_owned(), "three".to_owned()], vec![two(why)])
        );
        assert_eq!((alerts.len(), of_alerts.len()), (3, 0));
    }
    sqlx::raw_sql(two_of("objective_budget_alert", "rule = 'remaining 20%'"))
        .execute(pool)
        .await
        .unwrap();
    sqlx::raw_sql(two_of("alert", "severity = 'urgent'"))
        .execute(pool)
        .await
        .unwrap();
    let (slos, missing, alerts, of_alerts) = lists().await;
    assert_eq!((slos.len(), missing), (3, Vec::new()));
    assert_eq!(alerts, ["one", "three"]);
    assert_eq!(
        of_alerts,
        ["two: `urgent` in column `alert.severity` cannot be read"]
    );
    // Whoever asks for that one alone is told that it is there and cannot be read.
    sqlx::raw_sql(two_of("objective_tier", "severity = 'urgent'"))
        .execute(pool)
        .await
        .unwrap();
    assert!(read::slo(pool, &"two".parse().unwrap(), at(66)).await.is_err());
    assert!(read::slo(pool, &"one".parse().unwrap(), at(66)).await.is_ok());
    world.database.drop().await;
}

#[tokio::test]
async fn numbers_that_nobody_could_read_are_not_taken() {
    let world = outage().await;
    let pool = &world.database.pool;
    sqlx::raw_sql(two_of(
        "objective_generation",
        "method = 'Timeslices', slice = '1 minute', slice_target = 0.9",
    ))
    .execute(pool)
    .await
    .unwrap();
    let digits = format!("0.{}1", "0".repeat(40));
    for (table, column) in [
        ("objective_definition", "target"),
        ("objective_generation", "slice_target"),
        ("objective_tier", "burn_rate"),
        ("objective_tier", "budget_share"),
        ("objective_fast_page", "burn_rate"),
        ("objective_fast_page", "false_pages_a_year"),
        ("objective_fast_page", "rate_min"),
        ("objective_missing_data", "coverage_min"),
        ("excursion", "statistic"),
    ] {
        let numbers = ["'NaN'", "'infinity'", "1e40", &digits];
        // A float has no more digits than it has.
        let numbers = if table == "excursion" {
            &numbers[..2]
        } else {
            &numbers[..]
        };
        for number in numbers {
            let outcome = sqlx::raw_sql(two_of(table, &format!("{column} = {number}")))
                .execute(pool)
                .await;
            let refused = outcome.expect_err(&format!("{table}.{column} took {number}"));
            let constraint = refused.as_database_error().unwrap().constraint().unwrap();
            assert!(
                constraint.starts_with(&format!("{table}_{column}_")),
                "{constraint}"
            );
        }
    }
    world.database.drop().await;
}

#[tokio::test]
async fn an_alert_whose_evidence_holds_no_number_stops_no_other() {
    for number in ["NaN", "high", "1e40"] {
        let world = outage().await;
        let engine = &world.engine;
        let outcome = engine.evaluate(at(66)).await;
        let all = ["one", "three", "two"].map(String::from).to_vec();
        assert_eq!(recorded(&world, 66, outcome).await, (all, String::new()));
        let change = format!("evidence = jsonb_set(evidence, '{{threshold}}', '\"{number}\"')");
        sqlx::raw_sql(two_of("alert", &change))
            .execute(&world.database.pool)
            .await
            .unwrap();
        // No tier is defined any more: what is open is told by its evidence.
        let changed = ["one", "three", "two"].map(|name| Objective {
            tiers: vec![tier("page-2m", Severity::Page, 2 * MINUTE, 10, "14.4")],
            ..objective(name)
        });
        engine
            .apply(&definitions(changed.to_vec()), at(67))
            .await
            .unwrap();
        let (evaluations, left_out) = Partly::apart(engine.evaluate(at(67)).await).unwrap();
        let over: Vec<_> = (evaluations.iter())
            .filter(|one| one.tier.as_str() == "page-1m")
            .map(|one| (one.objective.as_str(), one.decision))
            .collect();
        assert_eq!(
            over,
            [("one", Decision::Resolve), ("three", Decision::Resolve)],
            "{number}"
        );
        assert_eq!(
            left_out.unwrap().to_string(),
            "what is kept of `two` was left out"
        );
        world.database.drop().await;
    }
}
