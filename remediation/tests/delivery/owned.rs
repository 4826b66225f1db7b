//! Whoever is told hears whose objective it is, and where to read what to do about it.

use std::path::Path;

use serde_json::{Value, json};
use slo_engine::alert::AlertState;
use slo_engine::{Engine, Settings, definitions};
use sqlx::PgPool;

use super::support::{Receiver, Seen, at, happen, start, transition};
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
