//! Liveness and readiness.

use api::{Part, Readiness};
use http::StatusCode;
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn readiness_follows_the_process_and_says_why(pool: PgPool) {
    let shop = Shop::open(pool).await;
    assert_eq!(shop.get("/readyz").await.status, StatusCode::OK);
    shop.readiness.send_replace(Readiness {
        database: Part::NotReady {
            reason: "postgres is unreachable since 12:00".to_owned(),
        },
        probes: Part::Absent {
            reason: "`slowburn serve` has no probes".to_owned(),
        },
        ..Readiness::ready()
    });
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_json_snapshot!(answer.json());
    let alive = shop.get("/healthz").await;
    assert_eq!((alive.status, alive.text.as_str()), (StatusCode::OK, "ok\n"));
}
