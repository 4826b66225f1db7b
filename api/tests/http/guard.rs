//! Foreign pages and rebound names change nothing.

use axum::body::Body;
use http::request::Builder;
use http::{Request, StatusCode};
use sqlx::PgPool;

use crate::shop::{Answer, Shop, start};

async fn clear(shop: &Shop, headers: &[(&str, &str)]) -> Answer {
    send(shop, Request::delete("/api/v1/limits"), headers).await
}

async fn send(shop: &Shop, mut request: Builder, headers: &[(&str, &str)]) -> Answer {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_name_rebound_to_our_address_changes_nothing(pool: PgPool) {
    let shop = Shop::open(pool).await;
    shop.limiter.hold(7, start());
    // What a browser sends from a page of evil.example once its name resolves to 127.0.0.1: the
    // page's own origin, and same-origin as far as it can tell.
    let rebound = clear(
        &shop,
        &[
            ("host", "evil.example:8420"),
            ("origin", "http://evil.example:8420"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ],
    )
    .await;
    assert_eq!(rebound.status, StatusCode::FORBIDDEN);
    insta::assert_json_snapshot!(rebound.json());
    assert_eq!(shop.limiter.live.lock().unwrap().len(), 1);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_foreign_page_or_a_form_changes_nothing(pool: PgPool) {
    let shop = Shop::open(pool).await;
    shop.limiter.hold(7, start());
    let (host, json) = (("host", "127.0.0.1:8420"), ("content-type", "application/json"));
    for refused in [
        &[host, json, ("origin", "https://evil.example")][..],
        &[host, json, ("origin", "null")],
        &[host, json, ("sec-fetch-site", "cross-site")],
        &[json],
    ] {
        let answer = clear(&shop, refused).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{refused:?}");
        assert_eq!(answer.json()["error"]["code"], "forbidden");
    }
    // A foreign one is refused as that, whatever its form.
    let foreign = [
        host,
        ("content-type", "text/plain"),
        ("origin", "https://evil.example"),
    ];
    let answer = send(&shop, Request::post("/api/v1/silences"), &foreign).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    for form in [&[host, ("content-type", "text/plain")][..], &[host]] {
        let answer = send(&shop, Request::post("/api/v1/silences"), form).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{form:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "unsupported_media_type");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("`Content-Type: application/json`"), "{hint}");
    }
    assert_eq!(
        shop.get("/api/v1/silences").await.json()["items"],
        serde_json::json!([])
    );
    assert_eq!(shop.limiter.live.lock().unwrap().len(), 1);
    // Even an unknown path is not answered before the guard has looked.
    let unknown = Request::post("/api/v1/nothing").body(Body::empty()).unwrap();
    assert_eq!(shop.send(unknown).await.status, StatusCode::FORBIDDEN);
    let ours = clear(
        &shop,
        &[("host", "slo.example.org"), ("origin", "https://slo.example.org")],
    )
    .await;
    assert_eq!(
        (ours.status, ours.json()["cleared"].as_u64()),
        (StatusCode::OK, Some(1))
    );
    assert!(shop.limiter.live.lock().unwrap().is_empty());
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn no_answer_may_be_framed_sniffed_or_read_by_others(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for path in ["/", "/api/v1/limits", "/metrics", "/nothing.js"] {
        let headers = shop.get(path).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'self';"),
            "{path}"
        );
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
    }
}
