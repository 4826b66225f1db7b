//! A receiver shaped like PagerDuty's Events API v2, on the loopback of this machine.
//!
//! In: what slowburn's outbox sends. Out: PagerDuty's answers, and a record of every event it accepted
//! or refused. It validates as strictly as the original says it does, so that a page it accepts is one
//! that would have woken somebody.

mod event;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use event::{Action, Event};

/// As the original: larger bodies are refused.
const BODY_BYTES_MAX: usize = 512 * 1024;
/// More than any demo sends; what comes beyond is answered, and not kept.
const RECORDS_MAX: usize = 1_000;

/// One accepted event.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: DateTime<Utc>,
    pub event: Event,
}

#[derive(Debug, Default)]
struct Book {
    accepted: Vec<Record>,
    /// Why requests were refused.
    refused: Vec<String>,
}

#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    server: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Desk {
    routing_key: Arc<str>,
    book: Arc<Mutex<Book>>,
}

impl Receiver {
    pub async fn start(routing_key: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("listen as the pager on the loopback")?;
        let address = listener.local_addr().context("read the pager's address")?;
        let book = Arc::default();
        let desk = Desk {
            routing_key: routing_key.into(),
            book: Arc::clone(&book),
        };
        let app = Router::new()
            .route("/v2/enqueue", post(enqueue))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(desk);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::warn!(%error, "the demo's pager stopped");
            }
        });
        Ok(Self {
            address,
            book,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/v2/enqueue", self.address)
    }

    /// Accepted events, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Record> {
        lock(&self.book).accepted.clone()
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.book).refused.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn enqueue(State(desk): State<Desk>, body: Bytes) -> Response {
    let mut book = lock(&desk.book);
    match Event::read(&body, &desk.routing_key) {
        Ok(event) => {
            let dedup_key = event.dedup_key.clone();
            if book.accepted.len() < RECORDS_MAX {
                book.accepted.push(Record {
                    at: Utc::now(),
                    event,
                });
            }
            let answer = serde_json::json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key });
            (StatusCode::ACCEPTED, axum::Json(answer)).into_response()
        }
        Err(errors) => {
            if book.refused.len() < RECORDS_MAX {
                book.refused.push(errors.join("; "));
            }
            let answer = serde_json::json!({
                "status": "invalid event", "message": "Event object is invalid", "errors": errors,
            });
            (StatusCode::BAD_REQUEST, axum::Json(answer)).into_response()
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // A panic while holding it leaves at worst one record out.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
