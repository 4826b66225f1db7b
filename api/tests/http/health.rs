//! Liveness and readiness.

use std::io::Write;
use std::sync::{Arc, Mutex};

use api::{Part, Readiness};
use http::StatusCode;
use sqlx::PgPool;
use tracing::Level;
use tracing::instrument::WithSubscriber as _;

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
    // What is lacking is told, and takes nothing out of service.
    shop.readiness.send_replace(Readiness {
        definitions: Part::Lacking {
            reason: "nobody can be told by `on-call`".to_owned(),
        },
        ..Readiness::ready()
    });
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json()["checks"][2]["reason"],
        "nobody can be told by `on-call`"
    );
    let alive = shop.get("/healthz").await;
    assert_eq!((alive.status, alive.text.as_str()), (StatusCode::OK, "ok\n"));
}

/// What is logged, as a line each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_answer_of_not_ready_is_no_error_in_the_log_and_a_failure_is(pool: PgPool) {
    let shop = Shop::open(pool).await;
    shop.readiness.send_replace(Readiness {
        database: Part::NotReady {
            reason: "postgres is unreachable since 12:00".to_owned(),
        },
        ..Readiness::ready()
    });
    let log = Log::default();
    let asked = async |path: &str| {
        let log = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_writer(move || log.clone())
            .finish();
        shop.get(path).with_subscriber(subscriber).await.status
    };
    let logged = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(asked("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(logged(), "");
    shop.pool.close().await;
    assert!(asked("/api/v1/slos").await.is_server_error());
    assert!(logged().contains("ERROR"), "{}", logged());
}
