//! OpenSLO's alert policies tell whom they name, of their own tiers, of missing data where they ask for it, and of nothing else.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::path::Path;

use remediation::{Playbook, RunState, read};
use slo_engine::alert::AlertState;
use slo_engine::definitions;
use slo_engine::objective::Severity;
use sqlx::PgPool;
use support::{at, happen, transition};

const FILE: &str = include_str!("../../tests/testdata/good/definitions/alert_policies.yaml");

fn read_text(text: &str) -> definitions::Definitions {
    definitions::read_text(Path::new("policies.yaml"), text.as_bytes()).unwrap()
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_policy_tells_its_targets_of_its_tier(pool: PgPool) {
    let playbook = Playbook::read(&read_text(FILE)).unwrap();
    let mut told = Vec::new();
    for (number, objective, tier) in [
        (1, "by-reference", "fast"),
        (2, "inline", "leak"),
        (6, "by-reference", "slow"),
        // A tier of the policies, of an objective that names none of them.
        (3, "none", "slow"),
        // Missing data: one policy asks for it, the other does not.
        (4, "by-name", "data-outage"),
        (5, "inline", "data-outage"),
    ] {
        let mut alert = transition(number, AlertState::Firing, at(number));
        // Services apart, so that no alert joins the run of another.
        alert.service = format!("service-{number}").parse().unwrap();
        alert.objective = objective.parse().unwrap();
        alert.tier = tier.parse().unwrap();
        alert.severity = Severity::Ticket;
        for id in happen(&pool, alert, &playbook).await {
            let run = read::run(&pool, id).await.unwrap().unwrap().run;
            let target: String = sqlx::query_scalar("select target from outbox where run_id = $1")
                .bind(id.0)
                .fetch_one(&pool)
                .await
                .unwrap();
            told.push((number, run.runbook, target));
        }
    }
    let is = |number, kind: &str, target: &str| (number, format!("{kind}-{target}"), target.to_owned());
    assert_eq!(
        told,
        [
            is(1, "openslo.firing", "on-call"),
            is(2, "openslo", "team"),
            is(6, "openslo", "on-call"),
            is(4, "openslo", "on-call"),
        ]
    );
    let words: Vec<_> = read::runbooks(&playbook)
        .into_iter()
        .map(|runbook| runbook.when)
        .collect();
    let of = |tiers: &str| vec![format!("tier {tiers}")];
    let on_call =
        of("slow of by-reference, data-outage of by-reference, slow of by-name, data-outage of by-name");
    assert_eq!(words, [on_call, of("fast of by-reference"), of("leak of inline")]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn whoever_asks_for_no_end_is_told_of_none(pool: PgPool) {
    let playbook = Playbook::read(&read_text(FILE)).unwrap();
    let mut told = Vec::new();
    for (number, tier) in [(1, "fast"), (2, "slow")] {
        let happens = async |state, second| {
            let mut alert = transition(number, state, at(second));
            alert.objective = "by-reference".parse().unwrap();
            alert.tier = tier.parse().unwrap();
            happen(&pool, alert, &playbook).await
        };
        let id = happens(AlertState::Firing, number).await[0];
        happens(AlertState::Resolved, number + 10).await;
        let run = read::run(&pool, id).await.unwrap().unwrap().run;
        assert_eq!(run.state, RunState::Done, "the run of `{tier}` is over");
        let actions: Vec<String> =
            sqlx::query_scalar("select action from outbox where run_id = $1 order by outbox_id")
                .bind(id.0)
                .fetch_all(&pool)
                .await
                .unwrap();
        told.push((tier, actions));
    }
    let actions = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(
        told,
        [
            ("fast", actions(&["trigger"])),
            ("slow", actions(&["trigger", "resolve"]))
        ]
    );
}

#[test]
fn a_runbook_of_that_name_is_refused() {
    let text = format!(
        "{FILE}---\napiVersion: slowburn/v1\nkind: Runbook\nmetadata: {{name: openslo-team}}\nspec: {{on: {{severity: page}}, \
         steps: [{{page: {{target: team}}}}]}}\n"
    );
    let refused = Playbook::read(&read_text(&text)).unwrap_err().to_string();
    let says = "runbook `openslo-team` has the name of what alert policies make for `team`";
    assert!(refused.contains(says), "{refused}");
}
