//! Notifications to receivers on real sockets: what is sent, how often, and when not again.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "delivery/acknowledged.rs"]
mod acknowledged;
#[path = "delivery/owned.rs"]
mod owned;
mod support;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use remediation::outbox::{NoticeAction, Outbox};
use remediation::{Delivered, Playbook};
use serde_json::Value;
use sha2::Sha256;
use slo_engine::alert::{AlertState, Transition};
use slo_engine::objective::Severity;
use sqlx::PgPool;
use support::{Receiver, Seen, at, happen, playbook, start, transition};

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const SIGNING_KEY: &[u8; 24] = b"a key of 24 bytes, 0to23";

/// A playbook whose only runbook pages one target, with the secret in a file.
fn paging(target: &str, secret: &str) -> (Arc<Playbook>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    let target = target.replace("FILE", &format!("{{file: {}}}", path.display()));
    let text = format!(
        "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {{name: tell}}\nspec:\n  on: {{}}\n  \
         steps: [{{page: {{target: people, summary: \"<!channel> & all\"}}}}]\n---\n\
         apiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {{name: people}}\nspec:\n  {target}\n"
    );
    (playbook(&text), directory)
}

fn outbox(pool: &PgPool, playbook: &Arc<Playbook>) -> Outbox {
    let http = remediation::outgoing::client().unwrap();
    Outbox::new(
        pool.clone(),
        tokio::sync::watch::channel(playbook.clone()).1,
        http,
        "test",
    )
    .with_dashboard("http://127.0.0.1:8420/")
}

fn webhook(receiver: &Receiver) -> (Arc<Playbook>, tempfile::TempDir) {
    let secret = format!("whsec_{}", STANDARD.encode(SIGNING_KEY));
    paging(
        &format!(
            "webhook: {{url: \"{}\", secretFrom: FILE}}",
            receiver.url("/hook")
        ),
        &secret,
    )
}

fn sent(action: NoticeAction) -> Delivered {
    Delivered::Sent {
        target: "people".to_owned(),
        action,
    }
}

/// The body with the run's random key replaced by a word.
async fn stable(pool: &PgPool, seen: &Seen) -> Value {
    let key: String = sqlx::query_scalar("select public_key from run")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(key.len(), 36);
    let text = std::str::from_utf8(&seen.body).unwrap().replace(&key, "KEY");
    serde_json::from_str(&text).unwrap()
}

async fn everything_stored(pool: &PgPool) -> String {
    sqlx::query_scalar(
        "select coalesce((select string_agg(outbox::text, ' ') from outbox), '')
             || coalesce((select string_agg(event::text, ' ') from event), '')
             || coalesce((select string_agg(step::text, ' ') from step), '')",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn pagerduty_gets_a_trigger_and_a_resolve(pool: PgPool) {
    let receiver = Receiver::start().await;
    let target = format!(
        "pagerduty: {{routingKeyFrom: FILE, url: \"{}\"}}",
        receiver.url("/v2/enqueue")
    );
    let (playbook, _directory) = paging(&target, ROUTING_KEY);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    happen(&pool, transition(1, AlertState::Resolved, at(1)), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    assert_eq!(
        outbox.deliver_once(at(2)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );
    assert_eq!(
        outbox.deliver_once(at(2)).await.unwrap(),
        sent(NoticeAction::Resolve)
    );
    assert_eq!(outbox.deliver_once(at(2)).await.unwrap(), Delivered::Idle);
    let seen = receiver.seen();
    assert_eq!(seen[0].uri.path(), "/v2/enqueue");
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert!(
        seen[0]
            .header("traceparent")
            .starts_with("00-0af7651916cd43dd8448eb211c80319c-")
    );
    insta::assert_json_snapshot!(
        "pagerduty",
        [stable(&pool, &seen[0]).await, stable(&pool, &seen[1]).await]
    );
    assert!(
        !everything_stored(&pool).await.contains(ROUTING_KEY),
        "the secret is in a row"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_page_that_joins_a_ticket_wakes_somebody(pool: PgPool) {
    let receiver = Receiver::start().await;
    let target = format!(
        "pagerduty: {{routingKeyFrom: FILE, url: \"{}\"}}",
        receiver.url("/v2/enqueue")
    );
    let (playbook, _directory) = paging(&target, ROUTING_KEY);
    let ticket = Transition {
        severity: Severity::Ticket,
        ..transition(1, AlertState::Firing, start())
    };
    happen(&pool, ticket, &playbook).await;
    for alert in [2, 3] {
        happen(&pool, transition(alert, AlertState::Firing, at(1)), &playbook).await;
    }
    for alert in [1, 2, 3] {
        happen(&pool, transition(alert, AlertState::Resolved, at(2)), &playbook).await;
    }
    let outbox = outbox(&pool, &playbook);
    while outbox.deliver_once(at(3)).await.unwrap() != Delivered::Idle {}
    let events: Vec<Value> = receiver.seen().iter().map(Seen::json).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["event_action"].as_str().unwrap(),
                event["payload"]["severity"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("trigger", Some("warning")),
            ("trigger", Some("critical")),
            ("resolve", None),
            ("resolve", None)
        ]
    );
    assert_ne!(
        events[0]["dedup_key"], events[1]["dedup_key"],
        "an incident of its own"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn slack_gets_escaped_blocks(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(200, &[], "ok");
    let (playbook, _directory) = paging(
        "slack: {urlFrom: FILE}",
        &receiver.url("/services/T0/B0/secretpart"),
    );
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    assert_eq!(
        outbox.deliver_once(at(1)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );
    let seen = receiver.seen();
    assert_eq!(seen[0].uri.path(), "/services/T0/B0/secretpart");
    insta::assert_json_snapshot!("slack", stable(&pool, &seen[0]).await);
    assert!(
        !everything_stored(&pool).await.contains("secretpart"),
        "the secret is in a row"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn slack_that_is_gone_is_not_asked_again_and_its_address_stays_secret(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(404, &[], "no_service");
    let (playbook, _directory) = paging("slack: {urlFrom: FILE}", &receiver.url("/services/secretpart"));
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let gone = outbox(&pool, &playbook).deliver_once(at(1)).await.unwrap();
    let error = "answered 404 Not Found: no_service".to_owned();
    let target = "people".to_owned();
    assert_eq!(gone, Delivered::GivenUp { target, error });
    assert!(!everything_stored(&pool).await.contains("secretpart"));
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_webhook_is_signed_and_keeps_its_identity_over_attempts(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(500, &[], "no");
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    let Delivered::Later { at: again, error, .. } = outbox.deliver_once(at(1)).await.unwrap() else {
        panic!("500 is worth another attempt")
    };
    assert_eq!(error, "answered 500 Internal Server Error");
    assert!(again > at(1) && again < at(5), "{again}");
    assert_eq!(outbox.deliver_once(at(1)).await.unwrap(), Delivered::Idle);
    assert_eq!(
        outbox.deliver_once(at(60)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );

    let seen = receiver.seen();
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(
        seen[1].header("webhook-timestamp"),
        at(60).timestamp().to_string()
    );
    for seen in &seen {
        let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_KEY).unwrap();
        mac.update(
            format!(
                "{}.{}.",
                seen.header("webhook-id"),
                seen.header("webhook-timestamp")
            )
            .as_bytes(),
        );
        mac.update(&seen.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(seen.header("webhook-signature"), expected);
    }
    insta::assert_json_snapshot!("webhook", stable(&pool, &seen[0]).await);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn retry_after_is_honoured_exactly_and_for_the_whole_target(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(429, &[("retry-after", "40")], "");
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    let Delivered::Later { at: again, .. } = outbox.deliver_once(at(1)).await.unwrap() else {
        panic!("429 is worth another attempt")
    };
    assert_eq!((again - at(1)).num_seconds(), 40);
    // Another notification for the same target has to wait, too.
    remediation::cancel(&pool, remediation::RunId(1), at(2))
        .await
        .unwrap();
    happen(&pool, transition(2, AlertState::Firing, at(3)), &playbook).await;
    assert_eq!(outbox.deliver_once(at(40)).await.unwrap(), Delivered::Idle);
    assert_eq!(receiver.seen().len(), 1);
    assert_eq!(
        outbox.deliver_once(at(42)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );
    assert_eq!(
        outbox.deliver_once(at(42)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn no_answer_silences_a_target_for_long(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(503, &[("retry-after", "86400")], "");
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    let Delivered::Later { at: again, .. } = outbox.deliver_once(at(1)).await.unwrap() else {
        panic!("503 is worth another attempt")
    };
    assert_eq!((again - at(1)).num_minutes(), 15);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_refusal_is_final_and_a_redirect_is_one(pool: PgPool) {
    let receiver = Receiver::start().await;
    let elsewhere = receiver.url("/elsewhere");
    receiver
        .then(400, &[], "bad")
        .then(307, &[("location", elsewhere.as_str())], "");
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    happen(&pool, transition(1, AlertState::Resolved, at(1)), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    for error in ["answered 400 Bad Request", "answered 307 Temporary Redirect"] {
        let given_up = Delivered::GivenUp {
            target: "people".to_owned(),
            error: error.to_owned(),
        };
        assert_eq!(outbox.deliver_once(at(2)).await.unwrap(), given_up);
    }
    assert_eq!(outbox.deliver_once(at(90_000)).await.unwrap(), Delivered::Idle);
    assert_eq!(receiver.seen().len(), 2, "the redirect was not followed");
    let depth = remediation::read::outbox_depth(&pool).await.unwrap();
    assert_eq!((depth.pending, depth.failed), (0, 2));
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_resolve_never_overtakes_its_trigger(pool: PgPool) {
    let receiver = Receiver::start().await;
    receiver.then(503, &[], "");
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    assert!(matches!(
        outbox.deliver_once(at(1)).await.unwrap(),
        Delivered::Later { .. }
    ));
    happen(&pool, transition(1, AlertState::Resolved, at(1)), &playbook).await;
    assert_eq!(outbox.deliver_once(at(1)).await.unwrap(), Delivered::Idle);
    assert_eq!(
        outbox.deliver_once(at(10)).await.unwrap(),
        sent(NoticeAction::Trigger)
    );
    assert_eq!(
        outbox.deliver_once(at(10)).await.unwrap(),
        sent(NoticeAction::Resolve)
    );
    let kinds: Vec<Value> = receiver
        .seen()
        .iter()
        .map(|seen| seen.json()["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "slowburn.alert.firing",
            "slowburn.alert.firing",
            "slowburn.alert.resolved"
        ]
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_receiver_that_is_down_is_asked_until_the_deadline(pool: PgPool) {
    let target = "webhook: {url: \"http://127.0.0.1:9/\", secretFrom: FILE}";
    let (playbook, _directory) = paging(target, &format!("whsec_{}", STANDARD.encode(SIGNING_KEY)));
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    let first = outbox.deliver_once(at(1)).await.unwrap();
    assert!(
        matches!(&first, Delivered::Later { error, .. } if error == "could not connect"),
        "{first:?}"
    );
    let last = outbox.deliver_once(at(86_399)).await.unwrap();
    assert!(
        matches!(&last, Delivered::GivenUp { error, .. } if error == "could not connect"),
        "{last:?}"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn two_workers_deliver_once(pool: PgPool) {
    let receiver = Receiver::start().await;
    let (playbook, _directory) = webhook(&receiver);
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let outbox = outbox.clone();
            tokio::spawn(async move { outbox.deliver_once(at(1)).await.unwrap() })
        })
        .collect();
    let mut delivered = 0;
    for worker in workers {
        delivered += usize::from(worker.await.unwrap() != Delivered::Idle);
    }
    assert_eq!((delivered, receiver.seen().len()), (1, 1));
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_missing_secret_is_waited_for(pool: PgPool) {
    let receiver = Receiver::start().await;
    let (playbook, directory) = webhook(&receiver);
    std::fs::remove_file(directory.path().join("secret")).unwrap();
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let later = outbox(&pool, &playbook).deliver_once(at(1)).await.unwrap();
    assert!(
        matches!(&later, Delivered::Later { error, .. } if error.starts_with("read file")),
        "{later:?}"
    );
    assert!(receiver.seen().is_empty());
}
