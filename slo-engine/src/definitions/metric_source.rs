//! Reads metric sources of type `slowburn`, and the words in them.

use std::collections::HashSet;
use std::time::Duration;

use rust_decimal::Decimal;

use super::node::{Fields, Node, Position, Report, quoted, shorten};
use crate::duration;
use crate::measurement::{Clock, Role, Route, ServiceName, words};
use crate::objective::StatusSet;

/// The DataSources of type `slowburn`, by name.
pub(super) type Sources<'a> = HashSet<&'a str>;

/// Longest latency threshold that can be asked for.
const THRESHOLD_MAX: Duration = Duration::from_secs(3600);

/// The keys of one metric source, ANDed.
pub(super) struct Selection {
    pub service: Option<(ServiceName, Position)>,
    pub role: Role,
    pub route: Option<Route>,
    pub status: Option<(StatusSet, Position)>,
    pub clock: Option<(Clock, Position)>,
    pub below: Option<(Duration, Position)>,
    pub segments: Option<(Segments, Position)>,
}

words!(
    /// Segments with data, of a service's connections.
    Segments, "segments", {
        /// Each as often as it was.
        Sent => "sent",
        Retransmitted => "retransmitted",
    }
);

impl Selection {
    /// Reads `{metricSource: {type, metricSourceRef, spec}}`.
    pub fn read(node: &Node, what: &str, sources: &Sources<'_>, report: &mut Report) -> Option<Self> {
        let mut fields = node.fields(what, report)?;
        let source = fields.required("metricSource", report);
        fields.finish(report);
        let mut fields = source?.fields("metricSource", report)?;
        let reference = fields.optional("metricSourceRef");
        let kind = fields.optional("type");
        let spec = fields.required("spec", report);
        let known = match (kind, reference) {
            (Some(kind), _) => check_type(kind, report),
            (None, Some(reference)) => check_reference(reference, sources, report),
            (None, None) => {
                report.error(
                    fields.at(),
                    "metricSource has no `type`",
                    Some("write `type: slowburn`".to_owned()),
                );
                Some(())
            }
        };
        fields.finish(report);
        known?;
        Self::spec(spec?.fields("metricSource of type `slowburn`", report)?, report)
    }

    /// All that this is a part of.
    pub fn everything(&self) -> Self {
        Self {
            service: self.service.clone(),
            role: self.role,
            route: self.route.clone(),
            status: None,
            clock: None,
            below: None,
            segments: self.segments.map(|(_, at)| (Segments::Sent, at)),
        }
    }

    fn spec(mut fields: Fields<'_>, report: &mut Report) -> Option<Self> {
        let service = fields
            .optional("service")
            .map(|n| n.parse("service", report).map(|name| (name, n.at)));
        let role = fields
            .optional("role")
            .map(|n| word(n, "role", Role::ALL, report));
        let route = fields.optional("route").map(|n| n.parse("route", report));
        let status = fields
            .optional("status")
            .map(|n| status(n, report).map(|set| (set, n.at)));
        let clock = fields
            .optional("clock")
            .map(|n| word(n, "clock", Clock::OF_REQUESTS, report).map(|c| (c, n.at)));
        let below = fields
            .optional("below")
            .map(|n| below(n, report).map(|d| (d, n.at)));
        let segments = fields
            .optional("segments")
            .map(|n| word(n, "segments", Segments::ALL, report).map(|s| (s, n.at)));
        // An unknown key may be a misspelt one, so what the others mean is not judged.
        if !fields.finish(report) {
            return None;
        }
        Some(Self {
            service: service.map_or(Some(None), |s| s.map(Some))?,
            role: role.unwrap_or(Some(Role::Server))?,
            route: route.map_or(Some(None), |r| r.map(Some))?,
            status: status.map_or(Some(None), |s| s.map(Some))?,
            clock: clock.map_or(Some(None), |c| c.map(Some))?,
            below: below.map_or(Some(None), |b| b.map(Some))?,
            segments: segments.map_or(Some(None), |s| s.map(Some))?,
        })
    }
}

fn check_type(kind: &Node, report: &mut Report) -> Option<()> {
    let text = kind.text("type", report)?;
    if text == "slowburn" {
        return Some(());
    }
    let hint = "write `type: slowburn` with `spec: {service, role, route, status, clock, below, segments}`"
        .to_owned();
    let message = format!(
        "metric sources of type `{}` are not read: slowburn measures in the kernel",
        shorten(text)
    );
    report.error(kind.at, message, Some(hint));
    None
}

fn check_reference(reference: &Node, sources: &Sources<'_>, report: &mut Report) -> Option<()> {
    let name = reference.text("metricSourceRef", report)?;
    if sources.contains(name) || report.may_be("DataSource", name) {
        return Some(());
    }
    let hint = "write `type: slowburn` instead".to_owned();
    let message = format!(
        "`metricSourceRef` is `{}`, but no DataSource of type `slowburn` has that name",
        shorten(name)
    );
    report.error(reference.at, message, Some(hint));
    None
}

/// Reads one of a few words.
pub(super) fn word<T>(node: &Node, what: &str, all: &[T], report: &mut Report) -> Option<T>
where
    T: std::fmt::Display + Copy,
{
    let text = node.text(what, report)?;
    let found = all.iter().find(|word| word.to_string() == text);
    if found.is_none() {
        let words: Vec<String> = all.iter().map(ToString::to_string).collect();
        let near = report.nearest(text, words.iter().map(String::as_str));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        node.wrong(what, &format!("one of {}", quoted(&words)), hint, report);
    }
    found.copied()
}

/// Reads `2xx`, `404` or a list of such.
fn status(node: &Node, report: &mut Report) -> Option<StatusSet> {
    let mut set = StatusSet::default();
    let mut good = true;
    for item in node.one_or_many() {
        let added = item.scalar().map(|word| set.add_word(&word));
        if !matches!(added, Some(Ok(()))) {
            let expected = "a status code from 100 to 599, a class such as `2xx`, a gRPC code such as `grpc:UNAVAILABLE`, `unanswered`, `reset_by_server`, \
                            `closed_unanswered`, `timed_out`, `client_gave_up`, `unknown` or `answered`";
            item.wrong("status", expected, None, report);
            good = false;
        }
    }
    if good && set.is_empty() {
        node.wrong("status", "at least one status", None, report);
        good = false;
    }
    good.then_some(set)
}

/// Reads a latency threshold.
pub(super) fn below(node: &Node, report: &mut Report) -> Option<Duration> {
    let span = node.duration("below", report)?;
    check_threshold(span, node.at, "below", report)
}

/// The threshold a `value` in seconds states.
pub(super) fn seconds(value: Decimal, at: Position, report: &mut Report) -> Option<Duration> {
    let micros = value.checked_mul(Decimal::from(1_000_000)).map(|n| n.normalize());
    let micros = micros
        .filter(|n| n.scale() == 0)
        .and_then(|n| u64::try_from(n).ok());
    match micros {
        Some(micros) => check_threshold(Duration::from_micros(micros), at, "value", report),
        None => {
            let message = format!("`value` is `{value}`, expected seconds above 0, to the microsecond");
            report.error(at, message, None);
            None
        }
    }
}

fn check_threshold(span: Duration, at: Position, what: &str, report: &mut Report) -> Option<Duration> {
    if span <= THRESHOLD_MAX && !span.is_zero() && span.subsec_nanos().is_multiple_of(1000) {
        return Some(span);
    }
    report.error(
        at,
        format!(
            "`{what}` is `{}`, expected whole microseconds from `1us` to `1h`",
            duration::format(span)
        ),
        None,
    );
    None
}
