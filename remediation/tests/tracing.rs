//! One trace from the alert to the answer of a receiver, over rows and restarts.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use remediation::Outbox;
use slo_engine::alert::AlertState;
use sqlx::PgPool;
use support::{Receiver, at, bench, happen, playbook, start, transition};
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn the_alert_the_run_its_steps_and_its_calls_are_one_trace(pool: PgPool) {
    let spans = Spans::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // The only test of its binary: the subscriber is the process's.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();

    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "whsec_YSBrZXkgb2YgMjQgYnl0ZXMsIDB0bzIz").unwrap();
    let playbook = playbook(&format!(
        "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {{name: floods}}\nspec:\n  on: {{}}\n  steps:\n    \
         - xdp_limit: {{minShare: 0.3, keep: 2}}\n    - page: {{target: hook}}\n---\n\
         apiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {{name: hook}}\nspec:\n  \
         webhook: {{url: \"{}\", secretFrom: {{file: {}}}}}\n",
        receiver.url("/"),
        secret.display()
    ));
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    // Two workers and an outbox that know of each other through rows only.
    let bench = bench(&pool);
    *bench.counts.0.lock().unwrap() = (1_000, 0);
    bench.work(at(1)).await;
    support::bench(&pool)
        .worker
        .clone()
        .work_once(at(200))
        .await
        .unwrap();
    let http = remediation::outgoing::client().unwrap();
    let (_sender, playbook) = tokio::sync::watch::channel(playbook);
    Outbox::new(pool.clone(), playbook, http, "test")
        .deliver_once(at(1))
        .await
        .unwrap();

    let spans = spans.0.lock().unwrap().clone();
    let find = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        let [span] = found[..] else {
            panic!("{name}: {}", found.len())
        };
        span
    };
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    for span in &spans {
        assert_eq!(
            span.span_context.trace_id().to_string(),
            trace_id,
            "{}",
            span.name
        );
    }
    let (run, step, verify) = (find("run floods"), find("step xdp_limit"), find("step verify"));
    let (deliver, call) = (find("deliver hook"), find("POST"));
    assert_eq!(run.parent_span_id.to_string(), "b7ad6b7169203331");
    for child in [step, verify, deliver] {
        assert_eq!(child.parent_span_id, run.span_context.span_id(), "{}", child.name);
    }
    assert_eq!(call.parent_span_id, deliver.span_context.span_id());
    assert_eq!(call.span_kind, SpanKind::Client);
    let mut attributes: Vec<String> = call
        .attributes
        .iter()
        .filter(|a| a.key.as_str().starts_with("http.") || a.key.as_str().starts_with("server."))
        .map(|a| format!("{}={}", a.key, a.value))
        .collect();
    attributes.sort();
    assert_eq!(
        attributes,
        [
            "http.request.method=POST".to_owned(),
            "http.response.status_code=202".to_owned(),
            "server.address=127.0.0.1".to_owned(),
            format!("server.port={}", receiver.address.port()),
        ]
    );
    let sent = format!("00-{trace_id}-{}-01", call.span_context.span_id());
    assert_eq!(receiver.seen()[0].header("traceparent"), sent);
    let stored = bench.run(runs[0]).await.run.traceparent.unwrap();
    assert_eq!(stored, format!("00-{trace_id}-{}-01", run.span_context.span_id()));
}
