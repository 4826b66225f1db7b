//! Missing data and spent budgets are told and never acted on, and what is acted on meanwhile is.

mod support;

use remediation::run::RunState;
use rust_decimal::Decimal;
use slo_engine::alert::{AlertState, Evidence, Spending, Transition, Watched};
use slo_engine::objective::{Severity, TierName};
use slo_engine::window::WindowCounts;
use sqlx::PgPool;

use support::{at, bench, happen, playbook, transition};

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
        lacks.contains("lacks data (20 % of the time was watched): nothing else of it fires or resolves"),
        "{lacks}"
    );
    assert!(
        lacks_no_longer.ends_with("lacks data no longer"),
        "{lacks_no_longer}"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_is_left_of_a_budget_is_told_and_never_acted_on(pool: PgPool) {
    let bench = bench(&pool);
    let mut little_left = transition(1, AlertState::Firing, at(0));
    little_left.tier = "budget-remaining-20".parse().unwrap();
    little_left.evidence = Evidence::Budget(Spending {
        rule: "remaining 20%".parse().unwrap(),
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
    });
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
