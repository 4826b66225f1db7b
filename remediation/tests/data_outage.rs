//! Missing data and spent budgets are told and never acted on, and what is acted on meanwhile is.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use remediation::run::RunState;
use rust_decimal::Decimal;
use slo_engine::alert::{AlertId, AlertState, Evidence, Silent, Spending, Transition, Watched};
use slo_engine::objective::{Severity, TierName};
use slo_engine::window::WindowCounts;
use sqlx::PgPool;

use support::{at, bench, happen, happen_together, playbook, transition};

/// Answers to every alert, whatever its severity.
const ANSWERS_ALL: &str = r#"
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: floods}
spec:
  on: {services: [web]}
  steps:
    - xdp_limit: {minShare: 0.3, keep: 2, burst: 20, ttl: 5m, renewals: 1}
    - page: {target: hook}
  verify: {within: 60s, every: 10s}
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: hook}
spec:
  webhook: {url: "http://127.0.0.1:9/", secretFrom: {env: NOT_SET_ANYWHERE}}
"#;

fn outage(to: AlertState, second: i64) -> Transition {
    let mut transition = transition(1, to, at(second));
    transition.tier = TierName::data_outage();
    transition.severity = Severity::Ticket;
    transition.evidence = Evidence::Coverage(Watched {
        window: WindowCounts {
            expected_ms: 300_000,
            covered_ms: 60_000,
            ..WindowCounts::empty(at(second))
        },
        least: Decimal::new(9, 1),
        silent: Vec::new(),
    });
    transition
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn missing_data_is_told_and_never_acted_on(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = playbook(ANSWERS_ALL);
    let refused = happen(&pool, outage(AlertState::Firing, 0), &playbook).await[0];
    let detail = bench.run(refused).await;
    assert_eq!(detail.run.state, RunState::Refused);
    assert_eq!(
        detail.run.reason.as_deref(),
        Some("data is missing, which no action mends")
    );
    // Errors that show all the same find no run in their way, and no cool-down.
    let burning = happen(&pool, transition(2, AlertState::Firing, at(10)), &playbook).await[0];
    assert_ne!(bench.run(burning).await.run.state, RunState::Refused);
    happen(&pool, outage(AlertState::Resolved, 20), &playbook).await;

    let told: Vec<String> =
        sqlx::query_scalar("select notice ->> 'summary' from outbox where run_id = $1 order by outbox_id")
            .bind(refused.0)
            .fetch_all(&pool)
            .await
            .unwrap();
    let [lacks, lacks_no_longer] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(
        lacks.contains("lacks data (20 % of the time was watched): nothing else of it resolves, and only a fast page fires"),
        "{lacks}"
    );
    assert!(
        lacks_no_longer.ends_with("lacks data no longer"),
        "{lacks_no_longer}"
    );
}

fn spending(rule: &str, is_withdrawn: bool) -> Evidence {
    Evidence::Budget(Spending {
        rule: rule.parse().unwrap(),
        remaining: Decimal::new(91, 3),
        spent: Decimal::new(909, 3),
        window: WindowCounts {
            good: 6_540,
            bad: 60,
            ..WindowCounts::empty(at(0))
        },
        limit: Decimal::new(528, 1),
        chance: None,
        bad_needed: None,
        exhausts_at: None,
        is_withdrawn,
    })
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn the_end_of_a_budget_alert_says_what_is_over(pool: PgPool) {
    let playbook = playbook(TELLS_ALL);
    for (alert, rule, is_withdrawn, says) in [
        (
            1,
            "remaining 20%",
            false,
            "has budget again: 9.1 % of the error budget is left, fires below 20 %",
        ),
        (
            2,
            "drop 10% within 1d",
            false,
            "no longer spends its budget so fast: 90.9 % of the error budget was spent within 1d, fires above 10 %; 9.1 % is left",
        ),
        (
            3,
            "exhausted within 3d",
            false,
            "no longer runs out of budget so soon: at its present pace the error budget lasts longer than 3d; 9.1 % is left",
        ),
        (
            4,
            "drop 10% within 1d",
            true,
            "no longer states an alert at `drop 10% within 1d`",
        ),
    ] {
        for (to, second) in [(AlertState::Firing, 0), (AlertState::Resolved, 60)] {
            let mut transition = transition(alert, to, at(10 * alert + second));
            transition.evidence = spending(rule, is_withdrawn && to == AlertState::Resolved);
            happen(&pool, transition, &playbook).await;
        }
        let told: String =
            sqlx::query_scalar("select notice ->> 'summary' from outbox where action = 'resolve'")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(told, format!("`web-availability` of `web` {says}"));
        sqlx::query("truncate run, outbox cascade")
            .execute(&pool)
            .await
            .unwrap();
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_is_left_of_a_budget_is_told_and_never_acted_on(pool: PgPool) {
    let bench = bench(&pool);
    let mut little_left = transition(1, AlertState::Firing, at(0));
    little_left.tier = "budget-remaining-20".parse().unwrap();
    little_left.evidence = spending("remaining 20%", false);
    let run = happen(&pool, little_left, &playbook(ANSWERS_ALL)).await[0];
    let detail = bench.run(run).await;
    assert_eq!(detail.run.state, RunState::Refused);
    assert_eq!(
        detail.run.reason.as_deref(),
        Some("what was spent of a budget no action brings back")
    );
    let told: Vec<String> = sqlx::query_scalar("select notice ->> 'summary' from outbox")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(
        told,
        ["`web-availability` of `web`: 9.1 % of the error budget is left, fires below 20 %"]
    );
}

/// Only tells, whoever it is about.
const TELLS_ALL: &str = r#"
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: tell}
spec:
  on: {}
  steps:
    - page: {target: hook}
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: hook}
spec:
  webhook: {url: "http://127.0.0.1:9/", secretFrom: {env: NOT_SET_ANYWHERE}}
"#;

/// The outage of one of the objectives that `host` should watch.
fn silent(alert: i64, objective: &str, host: &str, to: AlertState, second: i64) -> Transition {
    let mut transition = outage(to, second);
    transition.alert_id = AlertId(alert);
    transition.objective = objective.parse().unwrap();
    transition.service = objective.split('-').next().unwrap().parse().unwrap();
    if let Evidence::Coverage(watched) = &mut transition.evidence
        && to == AlertState::Firing
    {
        watched.silent = vec![Silent {
            source: format!("machine-of-{host}/boot1/1"),
            host: host.to_owned(),
        }];
    }
    transition
}

async fn told(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("select action, notice ->> 'summary' from outbox order by outbox_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn says(action: &str, summary: &str) -> (String, String) {
    (action.to_owned(), summary.to_owned())
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_silent_host_is_one_ticket_whatever_it_watches(pool: PgPool) {
    let firing = |alert, objective| silent(alert, objective, "web-1", AlertState::Firing, 0);
    for runbook in [TELLS_ALL, &ANSWERS_ALL.replace("{services: [web]}", "{}")] {
        sqlx::query("truncate run, outbox cascade")
            .execute(&pool)
            .await
            .unwrap();
        let playbook = playbook(runbook);
        let together = [
            firing(1, "web-availability"),
            firing(2, "web-latency"),
            firing(3, "api-availability"),
        ];
        let runs = happen_together(&pool, &together, &playbook).await;
        assert_eq!(runs.len(), 1, "{runbook}");
        // One that comes later joins, and another host is another cause.
        assert_eq!(
            happen(
                &pool,
                silent(4, "shop-availability", "web-1", AlertState::Firing, 10),
                &playbook
            )
            .await,
            []
        );
        assert_eq!(
            happen(
                &pool,
                silent(5, "cart-availability", "db-1", AlertState::Firing, 10),
                &playbook
            )
            .await
            .len(),
            1
        );
        for alert in 1..=4 {
            happen(
                &pool,
                silent(alert, "web-availability", "web-1", AlertState::Resolved, 20),
                &playbook,
            )
            .await;
        }
        assert_eq!(
            told(&pool).await,
            [
                says(
                    "trigger",
                    "`web-1` is silent: 3 objectives of 2 services lack data, `api-availability`, `web-availability` and \
                     `web-latency`: nothing else of them resolves, and only fast pages fire"
                ),
                says(
                    "trigger",
                    "`db-1` is silent: `cart-availability` of `cart` lacks data (20 % of the time was watched): nothing \
                     else of it resolves, and only a fast page fires"
                ),
                says(
                    "resolve",
                    "`web-1` was silent: no objective lacks data for that any more"
                ),
            ],
            "{runbook}"
        );
        // Silent again, it is told again.
        let again = happen(
            &pool,
            silent(6, "web-availability", "web-1", AlertState::Firing, 30),
            &playbook,
        )
        .await;
        assert_eq!(again.len(), 1);
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_outage_keeps_no_incident_of_its_service_open(pool: PgPool) {
    let playbook = playbook(TELLS_ALL);
    happen(&pool, transition(1, AlertState::Firing, at(0)), &playbook).await;
    let outage = happen(
        &pool,
        silent(2, "web-availability", "web-1", AlertState::Firing, 10),
        &playbook,
    )
    .await;
    assert_eq!(outage.len(), 1);
    happen(&pool, transition(1, AlertState::Resolved, at(20)), &playbook).await;
    let told = told(&pool).await;
    assert_eq!(
        told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
        ["trigger", "trigger", "resolve"]
    );
    assert!(told[2].1.ends_with("recovered"), "{told:?}");
}
