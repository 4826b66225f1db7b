//! Carries one trace through rows and over HTTP, as W3C Trace Context spells it.
//!
//! A run lasts for minutes and over restarts, so no span of ours stays open as long: each piece of
//! work is a span of its own whose parent is the `traceparent` that the row keeps.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const HEADER: &str = "traceparent";

/// Makes the stored trace the parent of a span that has not begun.
pub(crate) fn continue_from(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let carrier = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    if !context.span().span_context().is_valid() {
        tracing::warn!(traceparent, "stored traceparent cannot be read");
        return;
    }
    // Refused when no OpenTelemetry layer is installed: then there is no trace to continue.
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "span has no parent");
    }
}

/// What a row or a request carries on: the span's own identity, or what was stored before when
/// nothing records spans.
pub(crate) fn traceparent(span: &Span, stored: Option<&str>) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(HEADER).or_else(|| stored.map(str::to_owned))
}

/// The trace that a `traceparent` belongs to.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_the_second_part() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(parent), Some("0af7651916cd43dd8448eb211c80319c"));
        for bad in ["", "00", "00-xyz-b7ad6b7169203331-01"] {
            assert_eq!(trace_id(bad), None);
        }
    }
}
