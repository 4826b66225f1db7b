//! Who takes care of an alert is told to whoever was told that it fires.

use remediation::Delivered;
use remediation::outbox::NoticeAction;
use serde_json::json;
use slo_engine::alert::{Acknowledgement, AlertId, AlertState};
use sqlx::PgPool;

use super::support::{Receiver, Seen, at, happen, start, transition};
use super::{ROUTING_KEY, outbox, paging, sent, stable, webhook};

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn whoever_was_told_hears_who_takes_care_of_it(pool: PgPool) {
    let receiver = Receiver::start().await;
    let url = receiver.url("/v2/enqueue");
    let (pagerduty, _directory) = paging(
        &format!("pagerduty: {{routingKeyFrom: FILE, url: \"{url}\"}}"),
        ROUTING_KEY,
    );
    happen(&pool, transition(1, AlertState::Firing, start()), &pagerduty).await;
    let said = |by: &str, second| Acknowledgement {
        at: at(second),
        by: by.to_owned(),
        note: "rolling <back>".to_owned(),
    };
    // Of an alert that nobody was told of there is nothing to pass on.
    acknowledge(&pool, 2, &said("ann", 1)).await;
    acknowledge(&pool, 1, &said("ann", 1)).await;
    acknowledge(&pool, 1, &said("ben", 2)).await;
    happen(&pool, transition(1, AlertState::Resolved, at(3)), &pagerduty).await;
    acknowledge(&pool, 1, &said("eve", 4)).await;
    let to_pagerduty = outbox(&pool, &pagerduty);
    for action in [
        NoticeAction::Trigger,
        NoticeAction::Acknowledge,
        NoticeAction::Acknowledge,
        NoticeAction::Resolve,
    ] {
        assert_eq!(to_pagerduty.deliver_once(at(5)).await.unwrap(), sent(action));
    }
    assert_eq!(to_pagerduty.deliver_once(at(5)).await.unwrap(), Delivered::Idle);
    let bodies: Vec<_> = receiver.seen().iter().map(Seen::json).collect();
    let [trigger, ann, ben, _] = bodies.as_slice() else {
        panic!("{bodies:?}")
    };
    for body in [ann, ben] {
        assert_eq!(
            *body,
            json!({"routing_key": ROUTING_KEY, "event_action": "acknowledge", "dedup_key": trigger["dedup_key"]})
        );
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_channel_and_a_webhook_read_who_takes_care_of_it(pool: PgPool) {
    let receiver = Receiver::start().await;
    let said = Acknowledgement {
        at: at(1),
        by: "<ann>".to_owned(),
        note: "rolling back".to_owned(),
    };
    let (slack, _directory) = paging("slack: {urlFrom: FILE}", &receiver.url("/T/B/secret"));
    let (hook, _second) = webhook(&receiver);
    let mut bodies = Vec::new();
    for (alert, playbook) in [(1, slack), (2, hook)] {
        sqlx::query("truncate run cascade").execute(&pool).await.unwrap();
        happen(&pool, transition(alert, AlertState::Firing, start()), &playbook).await;
        acknowledge(&pool, alert, &said).await;
        let outbox = outbox(&pool, &playbook);
        assert_eq!(
            outbox.deliver_once(at(10 * alert)).await.unwrap(),
            sent(NoticeAction::Trigger)
        );
        assert_eq!(
            outbox.deliver_once(at(10 * alert + 2)).await.unwrap(),
            sent(NoticeAction::Acknowledge)
        );
        bodies.push(stable(&pool, receiver.seen().last().unwrap()).await);
    }
    insta::assert_json_snapshot!("acknowledged", bodies);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_was_acknowledged_before_anybody_was_told_is_told_behind_it(pool: PgPool) {
    let receiver = Receiver::start().await;
    let (playbook, _directory) = webhook(&receiver);
    sqlx::query("insert into objective (name, created_at, defined_at, generation) values ('web-availability', $1, $1, 1)")
        .bind(start())
        .execute(&pool)
        .await
        .unwrap();
    let alert: i64 = sqlx::query_scalar(
        "insert into alert (objective_id, generation, tier, severity, state, opened_at, evidence,
                            acknowledged_at, acknowledged_by, acknowledged_note)
         select objective_id, 1, 'page', 'page', 'pending', $1, '{}', $1, 'ann', 'looking'
         from objective returning alert_id",
    )
    .bind(start())
    .fetch_one(&pool)
    .await
    .unwrap();
    happen(&pool, transition(alert, AlertState::Firing, at(1)), &playbook).await;
    let outbox = outbox(&pool, &playbook);
    for action in [NoticeAction::Trigger, NoticeAction::Acknowledge] {
        assert_eq!(outbox.deliver_once(at(2)).await.unwrap(), sent(action));
    }
    assert_eq!(outbox.deliver_once(at(2)).await.unwrap(), Delivered::Idle);
    let last = receiver.seen().last().unwrap().json();
    assert_eq!(
        (&last["type"], &last["data"]["summary"]),
        (
            &json!("slowburn.alert.acknowledged"),
            &json!("ann takes care of `web-availability` of `web`")
        )
    );
}

async fn acknowledge(pool: &PgPool, alert: i64, said: &Acknowledgement) {
    let mut connection = pool.acquire().await.unwrap();
    remediation::acknowledged(&mut connection, AlertId(alert), said)
        .await
        .unwrap();
}
