//! Silences and acknowledgements: made, told, ended, refused.

use chrono::{TimeDelta, Utc};
use http::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_silence_is_made_listed_and_ended(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let asked = json!({
        "matchers": ["service=checkout", "tier=~page-.*"],
        "ends_at": Utc::now() + TimeDelta::hours(2),
        "author": "ann",
        "comment": "moving to the new database",
    });
    let made = shop.post("/api/v1/silences", &asked).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    assert_eq!(
        (&made["state"], &made["matchers"]),
        (&json!("active"), &asked["matchers"])
    );
    assert!(made["matches"].as_u64() > Some(0), "{made}");
    assert_eq!(shop.get("/api/v1/silences").await.json()["items"], json!([made]));

    let path = format!("/api/v1/silences/{}?author=bob", made["id"]);
    let ended = shop.change("DELETE", &path).await;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.text);
    let ended = ended.json();
    assert_eq!(
        (&ended["state"], &ended["ended_by"]),
        (&json!("ended"), &json!("bob"))
    );
    assert_eq!(shop.change("DELETE", &path).await.status, StatusCode::CONFLICT);
    assert_eq!(shop.get("/api/v1/silences").await.json()["items"], json!([]));
    // Silenced or not, what it was about is as loud as ever.
    assert_eq!(ended["matches"], json!(null));
    let all = shop.get("/api/v1/silences?ended=true").await.json();
    assert_eq!(all["items"], json!([ended]));
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_silence_says_how_much_that_is_defined_it_is_about(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (matchers, matches) in [
        (json!(["service=chekout"]), 0),
        (json!(["service=checkout", "tier=page-1w"]), 0),
        (json!(["objective=checkout-availability", "tier=page-fast"]), 1),
        (
            json!([
                "objective=checkout-availability",
                "tier=page-fast",
                "severity=ticket"
            ]),
            0,
        ),
        (
            json!([
                "objective=checkout-availability",
                "tier=data-outage",
                "severity=ticket"
            ]),
            1,
        ),
        (json!(["objective=checkout-availability"]), 6),
    ] {
        let asked = json!({
            "matchers": matchers,
            "ends_at": Utc::now() + TimeDelta::hours(2),
            "author": "ann",
            "comment": "moving",
        });
        let made = shop.post("/api/v1/silences", &asked).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert_eq!(made.json()["matches"], matches, "{matchers}");
    }
    let listed = shop.get("/api/v1/silences").await.json();
    let items = listed["items"].as_array().unwrap().iter();
    let told: Vec<_> = items
        .map(|silence| silence["matches"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [6, 1, 0, 1, 0, 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_cannot_be_silenced_is_explained(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut answers = Vec::new();
    for changes in [
        json!({"matchers": []}),
        json!({"matchers": ["checkout"]}),
        json!({"matchers": ["host=a"]}),
        json!({"matchers": ["tier=~(page"]}),
        json!({"matchers": ["service=~.*"]}),
        json!({"ends_at": "2026-01-01T00:00:00Z", "starts_at": "2025-12-31T00:00:00Z"}),
        json!({"ends_at": "2025-12-31T00:00:00Z", "starts_at": "2026-01-01T00:00:00Z"}),
        json!({"ends_at": "tomorrow"}),
        json!({"ends_at": "2096-01-01T00:00:00Z"}),
        json!({"author": ""}),
        json!({"comment": ""}),
        json!({"duration": "2h"}),
    ] {
        let mut asked = json!({
            "matchers": ["service=checkout"],
            "ends_at": Utc::now() + TimeDelta::hours(2),
            "author": "ann",
            "comment": "moving",
        });
        asked
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let answer = shop.post("/api/v1/silences", &asked).await;
        assert!(answer.status.is_client_error(), "{changes}: {}", answer.text);
        answers.push(json!([changes, answer.status.as_u16(), answer.json()]));
    }
    for path in ["/api/v1/silences/1?author=ann", "/api/v1/silences/1"] {
        let answer = shop.change("DELETE", path).await;
        answers.push(json!([path, answer.status.as_u16(), answer.json()]));
    }
    insta::assert_json_snapshot!(answers);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_alert_shows_who_takes_care_of_it(pool: PgPool) {
    let shop = Shop::measured(pool).await;
    shop.evaluate().await;
    let firing = shop.get("/api/v1/alerts?state=firing").await.json();
    let path = format!("/api/v1/alerts/{}", firing["items"][0]["id"]);
    assert_eq!(shop.get(&path).await.json()["acknowledged"], json!(null));
    let said = json!({"author": "ann", "note": "rolling back"});
    let answer = shop.post(&format!("{path}/acknowledge"), &said).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let shown = shop.get(&path).await.json();
    assert_eq!(answer.json(), shown);
    assert_eq!(
        (&shown["acknowledged"]["by"], &shown["acknowledged"]["note"]),
        (&said["author"], &said["note"])
    );
    let nobody = shop
        .post(&format!("{path}/acknowledge"), &json!({"author": ""}))
        .await;
    assert_eq!(nobody.status, StatusCode::BAD_REQUEST, "{}", nobody.text);
    let unknown = shop.post("/api/v1/alerts/999/acknowledge", &said).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
}
