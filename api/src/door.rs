//! What answers while the process starts: that it does, and what it waits for.
//!
//! In: every request from the first moment on. Out: what the router behind it says, once that is in place; until then 503
//! with what is not ready, since one who is let in and not answered cannot tell a start from a hang.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::readiness::Readiness;
use crate::request_log::IsAnswer;
use crate::routes::health;
use crate::views::ReadinessView;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    readiness: watch::Receiver<Readiness>,
    inside: Arc<OnceLock<Router>>,
}

impl Door {
    #[must_use]
    pub fn new(readiness: watch::Receiver<Readiness>) -> Self {
        Self {
            readiness,
            inside: Arc::default(),
        }
    }

    /// From here on, requests go to this router.
    pub fn open(&self, inside: Router) {
        self.inside.get_or_init(|| inside);
    }

    pub fn router(&self) -> Router {
        Router::new().fallback(enter).with_state(self.clone())
    }
}

async fn enter(State(door): State<Door>, request: Request) -> Response {
    if let Some(inside) = door.inside.get() {
        let answer: Result<_, Infallible> = inside.clone().oneshot(request).await;
        return answer.into_response();
    }
    if request.uri().path() == "/healthz" {
        return health::healthz().await.into_response();
    }
    let mut view = ReadinessView::from(&*door.readiness.borrow());
    view.ready = false;
    let (status, soon) = (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]);
    (status, soon, Extension(IsAnswer), Json(view)).into_response()
}
