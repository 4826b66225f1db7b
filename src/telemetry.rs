//! Logs and traces about slowburn itself.
//!
//! Logs go to standard error. Traces go over OTLP when the standard variables name an endpoint: protocol
//! (gRPC or HTTP), headers, timeout, sampler and resource are taken from `OTEL_*` by the SDK.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use opentelemetry::propagation::{Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Sends what is left when shut down; keep it until the end of `main`.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Must be called inside a tokio runtime: the gRPC exporter lives on it.
    pub fn start(filter: &str, format: LogFormat) -> Result<Telemetry> {
        let provider = provider()?;
        let spans = provider.as_ref().map(|provider| {
            // Our own spans only: those of libraries would bury the story in noise.
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("slowburn"))
                .with_filter(EnvFilter::new(
                    "off,slowburn=info,slo_engine=info,remediation=info,probes=info,api=info",
                ))
        });
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let logs = match format {
            LogFormat::Text => logs.with_target(false).boxed(),
            LogFormat::Json => logs.json().boxed(),
        };
        let filter = EnvFilter::try_new(filter).with_context(|| {
            format!("`{filter}` is not a log filter; write for example `info` or `slowburn=debug`")
        })?;
        tracing_subscriber::registry()
            .with(spans)
            .with(logs.with_filter(filter))
            .try_init()?;
        Ok(Telemetry { provider })
    }

    pub fn shutdown(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some spans were not delivered");
        }
    }
}

/// The span we are in, in the form that is stored on rows and sent to peers. None when nothing is traced.
pub fn traceparent() -> Option<String> {
    struct Header(Option<String>);
    impl Injector for Header {
        fn set(&mut self, key: &str, value: String) {
            if key == "traceparent" {
                self.0 = Some(value);
            }
        }
    }
    let mut header = Header(None);
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut header);
    header.0
}

fn provider() -> Result<Option<SdkTracerProvider>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let named = set("OTEL_EXPORTER_OTLP_ENDPOINT")
        .or_else(|| set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        .is_some();
    if disabled || !named {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .build()
        .context("set up the OTLP exporter from `OTEL_*`")?;
    let mut resource = Resource::builder();
    if set("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("slowburn");
    }
    let resource = resource
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build();
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build(),
    ))
}
