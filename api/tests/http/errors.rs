//! Whatever goes wrong, the caller reads one envelope.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_is_not_there_is_named(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut answers = serde_json::Map::new();
    for path in [
        "/api/v1/slos/nothing",
        "/api/v1/slos/Not%20a%20name",
        "/api/v1/slos/nothing/series",
        "/api/v1/services/nothing",
        "/api/v1/alerts/1",
        "/api/v1/runs/1",
        "/api/v1/nothing",
        "/assets/nothing.js",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answers.insert(path.to_owned(), answer.json());
    }
    for (method, path) in [("POST", "/api/v1/runs/1/cancel"), ("DELETE", "/api/v1/limits/1")] {
        let answer = shop.change(method, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answers.insert(format!("{method} {path}"), answer.json());
    }
    insta::assert_json_snapshot!(answers);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_cannot_be_read_is_explained(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut answers = serde_json::Map::new();
    for path in [
        "/api/v1/alerts/one",
        "/api/v1/alerts?state=loud",
        "/api/v1/alerts?sate=firing",
        "/api/v1/runs/99999999999999999999",
        "/api/v1/runs?state=won",
        "/api/v1/events?limit=0",
        "/api/v1/events?after=x",
        "/api/v1/services/checkout?window=soon",
        "/api/v1/services/checkout?window=250ms",
        "/api/v1/services?window=90d",
        "/api/v1/slos/checkout-availability/series?from=yesterday",
        "/api/v1/slos/checkout-availability/series?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "/api/v1/slos/checkout-availability/series?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z&step=1s",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text);
        answers.insert(path.to_owned(), answer.json());
    }
    insta::assert_json_snapshot!(answers);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_postgres_cannot_hold_is_the_callers_mistake(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for path in ["/api/v1/runs?service=%00", "/api/v1/events?subject=%00"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text);
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_number_that_no_limit_can_have_is_not_found(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let answer = shop.change("DELETE", "/api/v1/limits/4294967295").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_wrong_method_and_a_long_body_are_refused(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let answer = shop.change("PUT", "/api/v1/slos").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    let long = Request::post("/api/v1/runs/1/cancel")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("content-length", "1000000")
        .body(Body::from(vec![b' '; 1_000_000]))
        .unwrap();
    let answer = shop.send(long).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["error"]["code"], "too_large");
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_outage_is_said_without_its_inside(pool: PgPool) {
    let shop = Shop::open(pool.clone()).await;
    *shop.limiter.broken.lock().unwrap() = true;
    let limits = shop.get("/api/v1/limits").await;
    assert_eq!(limits.status, StatusCode::SERVICE_UNAVAILABLE);
    let message = json!({"error": {"code": "unavailable", "message": "the limiter did not answer"}});
    assert_eq!(limits.json(), message);
    // The rest of the first page is true without the limiter.
    let overview = shop.get("/api/v1/overview").await;
    assert_eq!(overview.status, StatusCode::OK);
    assert_eq!(
        overview.json()["notes"],
        json!(["limits are not known: the limiter did not answer"])
    );
    pool.close().await;
    let slos = shop.get("/api/v1/slos").await;
    assert_eq!(slos.status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_json_snapshot!(slos.json());
    let metrics = shop.get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(
        metrics
            .text
            .contains("slowburn_scrape_ok{part=\"objectives\"} 0\n"),
        "{}",
        metrics.text
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_objective_that_cannot_be_read_is_named_beside_the_others(pool: PgPool) {
    let shop = Shop::measured(pool.clone()).await;
    shop.evaluate().await;
    let all = shop.get("/api/v1/slos").await.json();
    assert_eq!(all.get("unreadable"), None);
    sqlx::query(
        "update objective_tier set severity = 'urgent'
         where objective_id = (select objective_id from objective where name = 'checkout-availability')",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut rest = all["items"].clone();
    let names = |items: &Value| -> Vec<Value> {
        let items = items.as_array().unwrap().iter();
        items.map(|item| item["name"].clone()).collect()
    };
    rest.as_array_mut()
        .unwrap()
        .retain(|item| item["name"] != "checkout-availability");
    assert!(!names(&rest).is_empty());
    let unreadable = json!([{
        "name": "checkout-availability",
        "why": "`urgent` in column `severity` cannot be read",
    }]);
    for path in ["/api/v1/slos", "/api/v1/overview"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert_eq!(names(&answer.json()["items"]), names(&rest), "{path}");
        assert_eq!(answer.json()["unreadable"], unreadable, "{path}");
    }
    // Its alert can be read.
    let alerts = shop.get("/api/v1/overview").await.json()["alerts"].clone();
    assert_eq!(alerts[0]["objective"], "checkout-availability");
    let services = shop.get("/api/v1/services").await;
    assert_eq!(services.status, StatusCode::OK);
    assert_eq!(services.json()["unreadable"], unreadable);
    let service = shop.get("/api/v1/services/checkout").await;
    assert_eq!(service.status, StatusCode::OK);
    let metrics = shop.get("/metrics").await.text;
    for said in [
        "slowburn_scrape_ok{part=\"objectives\"} 0\n".to_owned(),
        format!("objective={}", rest[0]["name"]),
    ] {
        assert!(metrics.contains(&said), "{said}: {metrics}");
    }
}
