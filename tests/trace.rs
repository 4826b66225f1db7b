//! One trace tells the whole story: from the window that was judged to the notification's HTTP call.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/receiver.rs"]
mod receiver;
mod support;

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use receiver::Receiver;
use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(90);

/// A webhook's secret: 24 bytes, as Standard Webhooks writes them.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

const DEFINITIONS: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 10m
  alerts:
    tiers: [{severity: page, long: 10s, short: 5s, burnRate: 5}]
---
apiVersion: slowburn/v1
kind: NotificationTarget
metadata: {name: oncall}
spec:
  webhook: {url: \"http://RECEIVER/hook\", secretFrom: {env: TEST_WEBHOOK_SECRET}}
---
apiVersion: slowburn/v1
kind: Runbook
metadata: {name: tell}
spec:
  on: {services: [shop]}
  steps:
    - scale: {command: [/bin/true]}
    - page: {target: oncall}
  verify: {within: 20s, every: 2s}
";

fn a_fired_alert_is_one_trace(protocol: &str, endpoint: impl Fn(&Receiver) -> String) {
    let receiver = Receiver::start();
    let network = Network::create();
    let definitions = DEFINITIONS.replace("RECEIVER", &receiver.http.to_string());
    let slowburn = Slowburn::start_with(
        &network,
        &definitions,
        &[],
        &[
            ("TEST_WEBHOOK_SECRET", SECRET),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint(&receiver)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_SCHEDULE_DELAY", "500"),
        ],
    );
    let _nginx = Nginx::start(&network);
    let broken = format!("http://{SERVER}:8080/broken");
    network.output(Side::Client, "wrk", &["-t1", "-c2", "-d4s", &broken]);

    let (headers, body) = eventually("the page", PATIENCE, || receiver.calls().into_iter().next());
    assert!(body.to_string().contains("shop-availability"), "{body}");
    let sent = headers["traceparent"]
        .to_str()
        .unwrap()
        .split('-')
        .nth(1)
        .unwrap()
        .to_string();

    let spans = eventually("the whole trace", PATIENCE, || {
        let spans: Vec<Span> = receiver
            .spans()
            .into_iter()
            .filter(|span| hex(&span.trace_id) == sent)
            .collect();
        let named = |name: &str| spans.iter().any(|span| span.name == name);
        let all = [
            "evaluate",
            "run tell",
            "step scale",
            "step verify",
            "deliver oncall",
            "POST",
        ];
        let judged = spans.iter().any(|span| attribute(span, "verdict").is_some());
        (all.into_iter().all(named) && judged).then_some(spans)
    });
    let by_id: HashMap<&[u8], &Span> = spans.iter().map(|span| (span.span_id.as_slice(), span)).collect();
    // Every span hangs on the evaluation that found the burn.
    for span in &spans {
        let mut at = span;
        while let Some(parent) = by_id.get(at.parent_span_id.as_slice()) {
            at = parent;
        }
        assert_eq!(at.name, "evaluate", "`{}` hangs on `{}`", span.name, at.name);
    }
    // The receiver was called from within the client span of the delivery.
    let caller = headers["traceparent"]
        .to_str()
        .unwrap()
        .split('-')
        .nth(2)
        .unwrap();
    let call = spans
        .iter()
        .find(|span| hex(&span.span_id) == caller)
        .expect("the calling span was exported");
    assert_eq!(attribute(call, "http.request.method"), Some("POST".into()));
    assert_eq!(attribute(call, "server.address"), Some("127.0.0.1".into()));

    // The stored trace is the same, so that people get from the page to the story.
    let runs = slowburn.get("/api/v1/runs");
    assert_eq!(
        runs["items"][0]["trace_id"].as_str(),
        Some(sent.as_str()),
        "{runs}"
    );
}

#[test]
fn over_grpc() {
    a_fired_alert_is_one_trace("grpc", |receiver| format!("http://{}", receiver.grpc));
}

#[test]
fn over_http() {
    a_fired_alert_is_one_trace("http/protobuf", |receiver| format!("http://{}", receiver.http));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .clone()?
        .value?;
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}
