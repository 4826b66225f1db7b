//! `slowburn demo-service`: one of the shop's three HTTP services, `web` -> `checkout` -> `stock`.
//!
//! Real servers with a real weakness: a fixed number of workers, each held while the request works and
//! while the service behind answers, and a bounded queue before them. More arrivals than the workers can
//! do makes everybody wait; a full queue answers 503. Nothing here knows that it is part of a demo.

mod routes;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, on};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use routes::Role;
use routes::Route;

/// How long a service waits for the one behind it.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// Rounds of mixing that stand for the part of a request's work that burns CPU: well below a millisecond.
const ROUNDS_OF_WORK: u32 = 20_000;

#[derive(Debug, clap::Args)]
pub struct ShopArgs {
    name: Role,
    #[arg(long)]
    listen: SocketAddr,
    /// The service behind this one
    #[arg(long)]
    upstream: Option<SocketAddr>,
    /// Requests worked on at the same time
    #[arg(long, default_value_t = 8)]
    workers: u16,
    /// Requests waiting for a worker; more are refused
    #[arg(long, default_value_t = 64)]
    queue: u16,
    /// Waiting that a request of full weight does itself
    #[arg(long, default_value_t = 20)]
    work_ms: u64,
    /// End when standard input closes, so that no service outlives the demo that started it
    #[arg(long)]
    tied: bool,
}

pub async fn run(args: ShopArgs) -> Result<ExitCode> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on `{}`", args.listen))?;
    let address = listener.local_addr().context("read own address")?;
    let app = router(Arc::new(Shop::new(&args)?));
    announce(address)?;
    let serve = axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app);
    tokio::select! {
        outcome = serve => outcome.context("serve")?,
        untied = super::child::untied(args.tied) => untied?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One line on standard output, once requests can be answered.
fn announce(address: SocketAddr) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {address}")
        .and_then(|()| out.flush())
        .context("say that we listen")
}

#[derive(Debug)]
struct Shop {
    role: Role,
    work: Duration,
    /// Places for requests: being worked on or waiting. No place means 503.
    places: Semaphore,
    workers: Semaphore,
    upstream: Option<SocketAddr>,
    client: reqwest::Client,
}

impl Shop {
    fn new(args: &ShopArgs) -> Result<Self> {
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .tcp_nodelay(true)
            .timeout(UPSTREAM_TIMEOUT)
            .build()
            .context("set up the client")?;
        Ok(Self {
            role: args.name,
            work: Duration::from_millis(args.work_ms),
            places: Semaphore::new(usize::from(args.workers) + usize::from(args.queue)),
            workers: Semaphore::new(usize::from(args.workers)),
            upstream: args.upstream,
            client,
        })
    }

    async fn answer(&self, route: Route) -> Response {
        let Ok(_place) = self.places.try_acquire() else {
            return error(StatusCode::SERVICE_UNAVAILABLE, "no place in the queue");
        };
        let Ok(_worker) = self.workers.acquire().await else {
            return error(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
        };
        tokio::time::sleep(self.work.mul_f64(route.weight)).await;
        let stamp = burn(ROUNDS_OF_WORK);
        if let (Some((verb, path)), Some(upstream)) = (route.behind, self.upstream) {
            let request = self
                .client
                .request(verb.method(), format!("http://{upstream}{path}"));
            match request.send().await.map(|response| response.status()) {
                Ok(status) if status.is_success() => {}
                Ok(StatusCode::SERVICE_UNAVAILABLE) => {
                    return error(StatusCode::SERVICE_UNAVAILABLE, "the service behind is full");
                }
                Ok(_) | Err(_) => return error(StatusCode::BAD_GATEWAY, "the service behind did not answer"),
            }
        }
        axum::Json(serde_json::json!({ "service": self.role.name(), "path": route.path, "stamp": stamp }))
            .into_response()
    }
}

fn router(shop: Arc<Shop>) -> Router {
    let mut router = Router::new().route("/healthz", get(async || "ok\n"));
    for &route in shop.role.routes() {
        let shop = Arc::clone(&shop);
        let handler = async move || shop.answer(route).await;
        router = router.route(route.path, on(route.method.filter(), handler));
    }
    router
}

fn error(status: StatusCode, message: &str) -> Response {
    (
        status,
        axum::Json(serde_json::json!({ "error": { "code": status.as_u16(), "message": message } })),
    )
        .into_response()
}

/// A bounded amount of arithmetic whose result is sent, so that it cannot be optimised away.
fn burn(rounds: u32) -> u64 {
    (0..rounds).fold(0x9e37_79b9_7f4a_7c15, |state: u64, round| {
        (state ^ u64::from(round))
            .rotate_left(13)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    })
}
