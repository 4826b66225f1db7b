//! A shop that has been measured for a while, and the API over it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{AppState, IngestCounters, Readiness};
use axum::Router;
use axum::body::{Body, to_bytes};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use http::{HeaderMap, Request, StatusCode};
use remediation::{Applied, Limit, LimitId, LimitMode, Limits, LimitsError, LiveLimit, Playbook, SourceRate};
use serde_json::Value;
use slo_engine::definitions::{self, Definitions};
use slo_engine::measurement::{
    Batch, Clock, ConnectError, Gauge, GaugeReading, Hello, HistogramReading, Reading, ResetReason, Role,
    Route, Series, ServiceName, Signal, SourceId,
};
use slo_engine::service::Discovered;
use slo_engine::{Engine, Settings};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const DEFINITIONS: &str = include_str!("shop.yaml");

pub struct Shop {
    /// When measuring began.
    pub start: DateTime<Utc>,
    pub engine: Engine,
    pub pool: PgPool,
    pub limiter: Arc<Limiter>,
    pub readiness: watch::Sender<Readiness>,
    pub ingest: Arc<IngestCounters>,
    pub stopping: CancellationToken,
    pub definitions: Definitions,
    pub app: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }
}

impl Shop {
    /// Defined and watched, with nothing measured yet.
    pub async fn open(pool: PgPool) -> Self {
        let start = start();
        let definitions = definitions::read_text("shop.yaml".as_ref(), DEFINITIONS.as_bytes()).unwrap();
        let engine = Engine::new(pool.clone(), Settings::default());
        engine
            .apply(&definitions, start - TimeDelta::seconds(1))
            .await
            .unwrap();
        let hello = Hello {
            source: source(),
            host: "shop-1".to_owned(),
            at: start,
        };
        engine.hello(&hello).await.unwrap();
        let found = Discovered {
            service: "checkout".parse().unwrap(),
            port: 8080,
            cgroup: "/system.slice/checkout.service".to_owned(),
            executable: Some("/usr/bin/checkout".to_owned()),
            because: "port 8080 is defined as `checkout`".to_owned(),
        };
        engine.discovered(&source(), &[found], start).await.unwrap();
        let limiter = Arc::new(Limiter::default());
        let (readiness, watched) = watch::channel(Readiness::ready());
        let ingest = Arc::new(IngestCounters::default());
        let stopping = CancellationToken::new();
        let app = api::router(AppState {
            engine: engine.clone(),
            pool: pool.clone(),
            limits: limiter.clone(),
            playbook: watch::channel(Arc::new(Playbook::read(&definitions).unwrap())).1,
            ingest: ingest.clone(),
            probes: Arc::default(),
            readiness: watched,
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            names: vec!["slo.example.org".to_owned()],
            stopping: stopping.clone(),
        });
        Self {
            start,
            engine,
            pool,
            limiter,
            readiness,
            ingest,
            stopping,
            definitions,
            app,
        }
    }

    /// Ten minutes of 100 good requests a slot, with 10 bad ones in each of the last two minutes'.
    pub async fn measured(pool: PgPool) -> Self {
        let shop = Self::open(pool).await;
        let (mut good, mut bad) = (0, 0);
        for slot in 0..=60 {
            let at = shop.start + TimeDelta::seconds(10 * slot);
            let outcome = shop.engine.ingest_at(&batch(shop.start, at, good, bad), at).await;
            shop.ingest.count(&outcome);
            outcome.unwrap();
            good += 100;
            bad += if slot < 48 { 0 } else { 10 };
        }
        shop
    }

    /// Evaluates now, records, and lets the runbooks answer: as the binary's loop does.
    pub async fn evaluate(&self) {
        let playbook = Playbook::read(&self.definitions).unwrap();
        let now = Utc::now();
        let evaluations = self.engine.evaluate(now).await.unwrap();
        let mut transaction = self.pool.begin().await.unwrap();
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let transitions = self
            .engine
            .record(&mut transaction, &evaluations, Some(traceparent), now)
            .await
            .unwrap();
        assert!(!transitions.is_empty(), "{evaluations:#?}");
        remediation::enqueue(&mut transaction, &transitions, &playbook, now)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// As our own page would.
    pub async fn change(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8420")
            .header("origin", "http://localhost:8420")
            .header("content-type", "application/json");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header("host", "localhost:8420")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 4 << 20).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }
}

pub fn source() -> SourceId {
    "0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000001:1"
        .parse()
        .unwrap()
}

/// Slot-aligned, so that what windows round to does not depend on when the test runs.
pub fn start() -> DateTime<Utc> {
    (Utc::now() - TimeDelta::minutes(10))
        .duration_trunc(TimeDelta::seconds(10))
        .unwrap()
}

fn batch(start_time: DateTime<Utc>, at: DateTime<Utc>, good: u64, bad: u64) -> Batch {
    let service: ServiceName = "checkout".parse().unwrap();
    let route: Route = "GET /api/".parse().unwrap();
    let reading = |signal, value| Reading {
        series: Series {
            service: service.clone(),
            role: Role::Server,
            route: (!Signal::is_tcp(signal)).then(|| route.clone()),
            signal,
        },
        start_time,
        value,
    };
    let (clock, threshold) = (Clock::Turnaround, Duration::from_millis(250));
    let gauge = |gauge, value| GaugeReading {
        service: service.clone(),
        role: Role::Server,
        gauge,
        value,
    };
    Batch {
        source: source(),
        at,
        sent_at: at,
        readings: vec![
            reading(Signal::Status(200), good),
            reading(Signal::Status(503), bad),
            reading(Signal::Within { clock, threshold }, good),
            reading(Signal::Over { clock, threshold }, 0),
            reading(Signal::SegmentsSent, good * 2),
            reading(Signal::Retransmits, good / 100),
            reading(Signal::Accepted, good / 10),
            reading(Signal::BytesReceived, 200 * good),
            reading(Signal::BytesSent, 1000 * good),
            reading(Signal::ResetsSent, bad / 10),
            reading(Signal::ResetSent(ResetReason::AbortOnClose), bad / 10),
            reading(Signal::ListenDrops, 7),
            Reading {
                series: Series {
                    service: service.clone(),
                    role: Role::Client,
                    route: None,
                    signal: Signal::ConnectFailed(ConnectError::Refused),
                },
                start_time,
                value: 2,
            },
        ],
        // Bucket 318: 0.96 to 1.005 ms.
        histograms: [
            (Role::Server, Some(route.clone()), clock),
            (Role::Server, None, Clock::RoundTrip),
            (Role::Client, None, Clock::Connect),
        ]
        .map(|(role, route, clock)| HistogramReading {
            service: service.clone(),
            role,
            route,
            clock,
            start_time,
            buckets: vec![(318, good + bad)],
            sum: Duration::from_millis(good + bad),
        })
        .to_vec(),
        gauges: vec![
            gauge(Gauge::RttMicros, 120.0),
            gauge(Gauge::InFlight, 3.0),
            gauge(Gauge::Overdue, 0.0),
            gauge(Gauge::OpenConnections, 4.0),
            gauge(Gauge::AcceptQueue, 1.0),
            gauge(Gauge::AcceptBacklog, 128.0),
        ],
        losses: vec![],
    }
}

/// A limiter that keeps its limits in memory: the kernel's is tested where it lives.
#[derive(Default)]
pub struct Limiter {
    pub live: Mutex<Vec<LiveLimit>>,
    pub broken: Mutex<bool>,
}

impl Limiter {
    pub fn hold(&self, id: u32, expires_at: DateTime<Utc>) {
        self.live.lock().unwrap().push(LiveLimit {
            limit: Limit {
                id: LimitId(id),
                service: "checkout".parse().unwrap(),
                source: "10.0.0.9".parse().unwrap(),
                rate_per_second: 50,
                burst: 50,
                expires_at,
            },
            passed: 1_200,
            dropped: 34_000,
            mode: LimitMode::Generic,
        });
    }
}

#[async_trait::async_trait]
impl Limits for Limiter {
    async fn heaviest_sources(&self, _: &ServiceName) -> Result<Vec<SourceRate>, LimitsError> {
        Ok(Vec::new())
    }

    async fn apply(&self, limit: &Limit) -> Result<Applied, LimitsError> {
        let live = LiveLimit {
            limit: limit.clone(),
            passed: 0,
            dropped: 0,
            mode: LimitMode::Generic,
        };
        self.live.lock().unwrap().push(live);
        Ok(Applied::Live {
            mode: LimitMode::Generic,
        })
    }

    async fn release(&self, id: LimitId) -> Result<(), LimitsError> {
        self.live.lock().unwrap().retain(|live| live.limit.id != id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<LiveLimit>, LimitsError> {
        if *self.broken.lock().unwrap() {
            return Err(LimitsError::Failed("map is gone: fd 7".into()));
        }
        Ok(self.live.lock().unwrap().clone())
    }
}
