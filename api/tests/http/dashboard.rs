//! The dashboard comes out of the binary.

use axum::body::Body;
use http::{Request, StatusCode};
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn pages_are_html_and_wrong_addresses_are_not(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for page in ["/", "/index.html", "/slos/checkout-availability", "/runs/12"] {
        let answer = shop.get(page).await;
        // Without a built dashboard there is no `index.html`, but there are pages.
        if page != "/index.html" || answer.status == StatusCode::OK {
            assert_eq!(answer.status, StatusCode::OK, "{page}");
            assert_eq!(
                answer.headers["content-type"], "text/html; charset=utf-8",
                "{page}"
            );
            assert_eq!(answer.headers["cache-control"], "no-cache", "{page}");
            assert!(answer.text.contains("slowburn"), "{page}");
        }
    }
    // What a page says is for people; what a program reads is the status.
    for nowhere in [
        "/slo",
        "/slos",
        "/slos/a/b",
        "/runs/last",
        "/events/1",
        "/nowhere",
    ] {
        let answer = shop.get(nowhere).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nowhere}");
        assert_eq!(
            answer.headers["content-type"], "text/html; charset=utf-8",
            "{nowhere}"
        );
        assert!(answer.text.contains("slowburn"), "{nowhere}");
    }
    for wrong in [
        "/assets/index-0000.js",
        "/favicon.bmp",
        "/api",
        "/api/v2/slos",
        "/../Cargo.toml",
    ] {
        assert_eq!(shop.get(wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn files_with_a_hash_in_their_name_are_kept_and_others_revalidated(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let index = shop.get("/").await;
    let Some(etag) = index.headers.get("etag") else {
        eprintln!("skipped: this test binary was built without the dashboard");
        return;
    };
    let again = Request::get("/")
        .header("if-none-match", etag)
        .body(Body::empty())
        .unwrap();
    assert_eq!(shop.send(again).await.status, StatusCode::NOT_MODIFIED);
    let scripts: Vec<_> = index
        .text
        .split('"')
        .filter(|text| text.ends_with(".js"))
        .collect();
    assert!(!scripts.is_empty(), "{}", index.text);
    for script in scripts {
        let answer = shop
            .get(&format!(
                "/{}",
                script.trim_start_matches("./").trim_start_matches('/')
            ))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{script}");
        assert_eq!(answer.headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(
            answer.headers["cache-control"],
            "public, max-age=31536000, immutable"
        );
    }
}
