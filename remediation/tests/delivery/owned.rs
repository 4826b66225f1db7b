//! Whoever is told hears whose objective it is, and where to read what to do about it.

use std::path::Path;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use slo_engine::alert::{AlertState, Evidence, Silent, Watched};
use slo_engine::window::WindowCounts;
use slo_engine::{Engine, Settings, definitions};
use sqlx::PgPool;

use super::support::{Receiver, Seen, at, happen, happen_together, start, transition};
use super::{ROUTING_KEY, outbox, paging, sent, webhook};
use remediation::outbox::NoticeAction;

const DEFINITION: &str = r#"{apiVersion: slowburn/v1, kind: Service, metadata: {name: web}, spec: {match: {port: 80},
    owner: "Web & <friends>", runbookUrl: "https://wiki.example.com/web?a=1&b=2", objectives: {availability: 99%}}}"#;
const URL: &str = "https://wiki.example.com/web?a=1&b=2";

async fn define(pool: &PgPool) {
    let definitions = definitions::read_text(Path::new("web.yaml"), DEFINITION.as_bytes()).unwrap();
    Engine::new(pool.clone(), Settings::default())
        .apply(&definitions, start())
        .await
        .unwrap();
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn pagerduty_links_the_runbook_and_names_the_owner(pool: PgPool) {
    define(&pool).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/v2/enqueue");
    let target = format!("pagerduty: {{routingKeyFrom: FILE, url: \"{url}\"}}");
    let (playbook, _directory) = paging(&target, ROUTING_KEY);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let told = outbox(&pool, &playbook).deliver_once(at(1)).await.unwrap();
    assert_eq!(told, sent(NoticeAction::Trigger));
    let event = receiver.seen()[0].json();
    assert_eq!(
        event["links"],
        json!([{"href": URL, "text": "Runbook for people"}])
    );
    let details = &event["payload"]["custom_details"];
    assert_eq!(
        (&details["owner"], &details["runbook_url"], &details["runbook"]),
        (&json!("Web & <friends>"), &json!(URL), &json!("tell"))
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn slack_shows_the_owner_and_links_the_runbook(pool: PgPool) {
    define(&pool).await;
    let receiver = Receiver::start().await;
    receiver.then(200, &[], "ok");
    let (playbook, _directory) = paging("slack: {urlFrom: FILE}", &receiver.url("/T/B/secret"));
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let told = outbox(&pool, &playbook).deliver_once(at(1)).await.unwrap();
    assert_eq!(told, sent(NoticeAction::Trigger));
    let message = receiver.seen()[0].json();
    let blocks = message["blocks"].as_array().unwrap();
    let texts: Vec<&Value> = blocks
        .iter()
        .flat_map(|block| [&block["fields"], &block["elements"]])
        .filter_map(Value::as_array)
        .flatten()
        .map(|part| &part["text"])
        .collect();
    assert!(
        texts.contains(&&json!("*Owner*\nWeb &amp; &lt;friends&gt;")),
        "{texts:?}"
    );
    assert!(
        texts.contains(&&json!(
            "<https://wiki.example.com/web?a=1&amp;b=2|Runbook for people>"
        )),
        "{texts:?}"
    );
}

/// Each service states its own owner, one of them none, and two a page for people.
async fn define_three(pool: &PgPool) {
    let service = |name: &str, port: u16, stated: &str| {
        format!(
            "---\n{{apiVersion: slowburn/v1, kind: Service, metadata: {{name: {name}}}, \
             spec: {{match: {{port: {port}}}, {stated} objectives: {{availability: 99%}}}}}}\n"
        )
    };
    let text = [
        service(
            "web",
            80,
            "owner: Web, runbookUrl: 'https://wiki.example.com/web',",
        ),
        service(
            "api",
            81,
            "owner: API, runbookUrl: 'https://wiki.example.com/api',",
        ),
        service("shop", 82, ""),
    ];
    let definitions = definitions::read_text(Path::new("three.yaml"), text.concat().as_bytes()).unwrap();
    Engine::new(pool.clone(), Settings::default())
        .apply(&definitions, start())
        .await
        .unwrap();
}

/// One ticket for all that a silent host watches is everybody's whose objective it is; a page for people of one is none for another.
#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_is_told_of_several_objectives_names_all_their_owners(pool: PgPool) {
    define_three(&pool).await;
    let receiver = Receiver::start().await;
    let (playbook, _directory) = webhook(&receiver);
    let silent = |alert: i64, service: &str| {
        let mut one = transition(alert, AlertState::Firing, start());
        one.service = service.parse().unwrap();
        one.objective = format!("{service}-availability").parse().unwrap();
        one.evidence = Evidence::Coverage(Watched {
            window: WindowCounts::empty(start()),
            least: Decimal::ONE,
            silent: vec![Silent {
                source: "machine/boot/1".to_owned(),
                host: "web-1".to_owned(),
            }],
        });
        one
    };
    for (services, owner, url) in [
        (vec!["web", "api", "shop"], json!("API and Web"), json!(null)),
        (vec!["shop"], json!(null), json!(null)),
        (vec!["web"], json!("Web"), json!("https://wiki.example.com/web")),
    ] {
        sqlx::query("truncate run, outbox cascade")
            .execute(&pool)
            .await
            .unwrap();
        let together: Vec<_> = (1..)
            .zip(&services)
            .map(|(alert, name)| silent(alert, name))
            .collect();
        happen_together(&pool, &together, &playbook).await;
        let told: Value = sqlx::query_scalar("select notice from outbox")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(
            (&told["owner"], &told["runbook_url"]),
            (&owner, &url),
            "{services:?}"
        );
    }
}

/// What resolves an alert says the same.
#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_webhook_carries_both_from_the_first_to_the_last(pool: PgPool) {
    define(&pool).await;
    let receiver = Receiver::start().await;
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    happen(&pool, transition(1, AlertState::Resolved, at(1)), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    for action in [NoticeAction::Trigger, NoticeAction::Resolve] {
        assert_eq!(outbox.deliver_once(at(2)).await.unwrap(), sent(action));
    }
    let bodies: Vec<Value> = receiver.seen().iter().map(Seen::json).collect();
    assert_eq!(bodies.len(), 2);
    for body in bodies {
        assert_eq!(
            (&body["data"]["owner"], &body["data"]["runbook_url"]),
            (&json!("Web & <friends>"), &json!(URL))
        );
    }
}
