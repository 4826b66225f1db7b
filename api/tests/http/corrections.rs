//! Corrections and annotations: made, told, undone, refused.

use chrono::TimeDelta;
use http::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use crate::shop::Shop;

const SLO: &str = "/api/v1/slos/checkout-availability";

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_correction_is_made_shown_and_undone(pool: PgPool) {
    let shop = Shop::measured(pool).await;
    let bad = async || shop.get(SLO).await.json()["bad"].as_u64().unwrap();
    let before = bad().await;
    // The bad events are in the last two of ten minutes.
    let asked = json!({
        "objective": "checkout-availability",
        "kind": "maintenance",
        "starts_at": shop.start + TimeDelta::seconds(480),
        "ends_at": shop.start + TimeDelta::seconds(540),
        "author": "ann",
        "comment": "a new switch",
    });
    let made = shop.post("/api/v1/corrections", &asked).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    assert_eq!(
        (&made["author"], &made["undone_at"]),
        (&json!("ann"), &json!(null))
    );
    assert_eq!(bad().await, before - 60);
    let list = shop
        .get("/api/v1/corrections?objective=checkout-availability")
        .await
        .json();
    assert_eq!(list["items"], json!([made]));
    assert_eq!(list["left_out"][0]["bad"], 60);
    assert_eq!(list["left_out"][0]["from"], list["left_out"][0]["counted_from"]);

    let path = format!("/api/v1/corrections/{}?author=bob", made["id"]);
    let undone = shop.change("DELETE", &path).await;
    assert_eq!(undone.status, StatusCode::OK, "{}", undone.text);
    assert_eq!(undone.json()["undone_by"], "bob");
    assert_eq!(bad().await, before);
    let again = shop.change("DELETE", &path).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    let list = shop
        .get("/api/v1/corrections?objective=checkout-availability")
        .await
        .json();
    assert_eq!(list["left_out"], json!([]));
    assert_eq!(list["items"][0]["undone_by"], "bob");
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_cannot_be_corrected_is_explained(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let with = |changes: serde_json::Value| {
        let mut asked = json!({
            "objective": "checkout-availability",
            "kind": "maintenance",
            "starts_at": "2026-01-01T00:00:00Z",
            "ends_at": "2026-01-01T01:00:00Z",
            "author": "ann",
        });
        asked
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        asked
    };
    let mut answers = Vec::new();
    for changes in [
        json!({"objective": "nobody"}),
        json!({"kind": "holiday"}),
        json!({"kinds": "maintenance"}),
        json!({"ends_at": "2025-12-31T00:00:00Z"}),
        json!({"ends_at": "tomorrow"}),
        json!({"author": ""}),
        json!({"recurrence": {"rule": "FREQ=MINUTELY", "zone": "UTC"}}),
        json!({"recurrence": {"rule": "FREQ=DAILY", "zone": "Europe/Atlantis"}}),
        json!({"recurrence": {"rule": "FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7,8", "zone": "UTC"}}),
        json!({"recurrence": {"rule": "FREQ=DAILY", "zone": "UTC", "exdate": ["tomorrow"]}}),
        json!({"recurrence": {"rule": "FREQ=WEEKLY", "zone": "UTC", "exdate": ["2026-01-02"]}}),
    ] {
        let answer = shop.post("/api/v1/corrections", &with(changes.clone())).await;
        assert!(answer.status.is_client_error(), "{changes}: {}", answer.text);
        answers.push(json!([changes, answer.status.as_u16(), answer.json()]));
    }
    for (method, path) in [
        ("DELETE", "/api/v1/corrections/1?author=ann"),
        ("DELETE", "/api/v1/corrections/1"),
        (
            "GET",
            "/api/v1/corrections?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        ),
    ] {
        let answer = if method == "GET" {
            shop.get(path).await
        } else {
            shop.change(method, path).await
        };
        answers.push(json!([path, answer.status.as_u16(), answer.json()]));
    }
    insta::assert_json_snapshot!(answers);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_deploy_is_kept_and_told(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let deploy = json!({"service": "checkout", "kind": "deploy", "text": "v1.4.2", "author": "ci"});
    let made = shop.post("/api/v1/annotations", &deploy).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let list = shop.get("/api/v1/annotations?service=checkout").await.json();
    assert_eq!(list["items"], json!([made.json()]));
    let events = shop.get("/api/v1/events?subject=checkout&limit=1").await.json();
    assert_eq!(events["items"][0]["message"], "deploy by ci: v1.4.2");
    for wrong in [
        json!({"service": "nobody", "kind": "deploy", "text": "v1", "author": "ci"}),
        json!({"service": "checkout", "kind": "party", "text": "v1", "author": "ci"}),
        json!({"service": "checkout", "kind": "note", "text": "\u{0}", "author": "ci"}),
    ] {
        let refused = shop.post("/api/v1/annotations", &wrong).await;
        assert!(refused.status.is_client_error(), "{wrong}: {}", refused.text);
    }
}
