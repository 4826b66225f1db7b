//! The live stream delivers what happens after, and resumes from what was seen.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use chrono::Utc;
use futures::StreamExt;
use http::{Request, StatusCode};
use serde_json::Value;
use slo_engine::event::{self, Event, EventKind};
use sqlx::PgPool;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(20);

struct Watcher {
    body: BodyDataStream,
    text: String,
}

struct Message {
    event: String,
    id: Option<i64>,
    data: Value,
}

impl Watcher {
    async fn open(shop: &Shop, last_id: Option<i64>) -> Self {
        let mut request = Request::get("/api/v1/stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = shop
            .app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    message
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim_start().to_owned())
                };
                let parsed = field("data:").map(|data| Message {
                    event: field("event:").unwrap(),
                    id: field("id:").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(&data).unwrap(),
                });
                self.text = rest.to_owned();
                if parsed.is_some() {
                    return parsed;
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.body.next())
                .await
                .expect("the stream is silent")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn next_event(&mut self) -> (i64, Value) {
        loop {
            let message = self.next().await.expect("the stream ended");
            if message.event == "event" {
                return (message.id.unwrap(), message.data);
            }
            assert_eq!(message.event, "tick");
            assert!(
                message.id.is_none(),
                "a tick must not move the place to resume from"
            );
            assert!(message.data["at"].is_string());
        }
    }
}

async fn happen(shop: &Shop, message: &str) -> i64 {
    happen_often(shop, 1, message).await[0]
}

/// In one transaction, as an evaluation with many transitions would.
async fn happen_often(shop: &Shop, times: usize, message: &str) -> Vec<i64> {
    let mut transaction = shop.pool.begin().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..times {
        let event = Event {
            at: Utc::now(),
            kind: EventKind::Report,
            subject: "checkout".to_owned(),
            message: message.to_owned(),
            data: serde_json::json!({}),
            traceparent: None,
        };
        ids.push(event::record(&mut transaction, &event).await.unwrap());
    }
    transaction.commit().await.unwrap();
    ids
}

/// Until the listener listens, nothing is delivered live. A watcher that sees an event proves it.
async fn listening(shop: &Shop) -> Watcher {
    let mut watcher = Watcher::open(shop, None).await;
    loop {
        let sent = happen(shop, "is anybody there").await;
        let heard = async {
            loop {
                if watcher.next_event().await.0 == sent {
                    break;
                }
            }
        };
        if timeout(Duration::from_secs(1), heard).await.is_ok() {
            return watcher;
        }
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_event_recorded_after_subscribing_arrives(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut watcher = listening(&shop).await;
    let id = happen(&shop, "hello").await;
    let (heard, data) = watcher.next_event().await;
    assert_eq!(
        (heard, data["message"].as_str(), data["id"].as_i64()),
        (id, Some("hello"), Some(id))
    );
    // The same view as the journal's.
    let journal = shop.get("/api/v1/events?limit=1").await.json();
    assert_eq!(journal["items"][0], data);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_watcher_that_comes_back_misses_nothing_and_hears_nothing_twice(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let seen = happen(&shop, "seen").await;
    // More than one page of the journal.
    let missed = happen_often(&shop, 620, "missed").await;
    let mut watcher = Watcher::open(&shop, Some(seen)).await;
    for id in missed {
        assert_eq!(watcher.next_event().await.0, id);
    }
    let mut live = listening(&shop).await;
    let next = happen(&shop, "next").await;
    assert_eq!(live.next_event().await.0, next);
    let mut last = 0;
    while last != next {
        let (id, _) = watcher.next_event().await;
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_slow_watcher_is_served_from_the_journal(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut slow = listening(&shop).await;
    let mut quick = Watcher::open(&shop, None).await;
    // Twice what is kept for a watcher that is behind.
    let recorded = happen_often(&shop, 2_100, "quickly").await;
    while quick.next_event().await.0 != *recorded.last().unwrap() {}
    for id in recorded {
        assert_eq!(slow.next_event().await.0, id);
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn the_stream_outlives_its_database_connection(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut watcher = listening(&shop).await;
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query ilike 'listen%'")
        .execute(&shop.pool)
        .await
        .unwrap();
    // Recorded while nobody listens: read from the journal when the connection is there again.
    let id = happen(&shop, "in the dark").await;
    let (heard, data) = watcher.next_event().await;
    assert_eq!((heard, data["message"].as_str()), (id, Some("in the dark")));
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn streams_end_when_the_process_stops(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut watcher = Watcher::open(&shop, None).await;
    shop.stopping.cancel();
    while watcher.next().await.is_some() {}
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_last_id_that_is_none_is_refused(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let request = Request::get("/api/v1/stream")
        .header("last-event-id", "x")
        .body(Body::empty())
        .unwrap();
    let answer = shop.send(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"]["code"], "bad_request");
}
