//! Reads what an indicator counts: OpenSLO SLIs over metric sources of type `slowburn`.
//!
//! In: the spec of an SLI, or an inline indicator. Out: an [`Indicator`]: an [`Sli`], or a latency
//! whose threshold the objective still has to name.

use super::draft::IndicatorDraft;
use super::metric_source::{Segments, Selection, Sources};
use super::node::{Fields, Node, Position, Report};
use crate::measurement::{Clock, Role, Route, ServiceName};
use crate::objective::{Sli, SliKind, StatusSet};

/// What an indicator counts, as far as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indicator {
    /// The service its metric sources name, if they do.
    pub service: Option<(ServiceName, Position)>,
    pub role: Role,
    pub route: Option<Route>,
    pub counts: Counts,
    pub at: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Counts {
    Known(SliKind),
    /// A threshold metric: the objective's `value` is the threshold.
    LatencyOf(Clock),
}

impl Indicator {
    pub fn sli(&self, kind: SliKind) -> Sli {
        Sli {
            role: self.role,
            route: self.route.clone(),
            kind,
        }
    }
}

/// `indicator` and `indicatorRef` of an SLO, or of an objective, with the places of their keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndicatorKeys<'a> {
    inline: Option<(&'a Node, Position)>,
    named: Option<(&'a Node, Position)>,
}

impl<'a> IndicatorKeys<'a> {
    pub fn take(fields: &mut Fields<'a>) -> Self {
        let mut key = |name| {
            fields
                .optional(name)
                .map(|node| (node, fields.key_at(name).unwrap_or(node.at)))
        };
        Self {
            inline: key("indicator"),
            named: key("indicatorRef"),
        }
    }

    /// Where the first of them stands.
    pub fn at(&self) -> Option<Position> {
        self.inline.or(self.named).map(|(_, at)| at)
    }

    /// `None` where there is none or a mistake; whether one is missing is for the caller to say.
    pub fn draft(self, title: &str, sources: &Sources<'_>, report: &mut Report) -> Option<IndicatorDraft> {
        match (self.inline, self.named) {
            (Some((inline, _)), None) => {
                inline_indicator(inline, sources, report).map(IndicatorDraft::Inline)
            }
            (None, Some((named, _))) => {
                let name = named.text("indicatorRef", report)?;
                Some(IndicatorDraft::Named(name.to_owned(), named.at))
            }
            (Some(_), Some((named, _))) => {
                report.error(
                    named.at,
                    format!("{title} has both `indicator` and `indicatorRef`"),
                    Some("remove one".to_owned()),
                );
                None
            }
            (None, None) => None,
        }
    }
}

fn inline_indicator(node: &Node, sources: &Sources<'_>, report: &mut Report) -> Option<Indicator> {
    let mut fields = node.fields("indicator", report)?;
    let metadata = fields
        .optional("metadata")
        .and_then(|n| n.fields("metadata", report));
    if let Some(mut metadata) = metadata {
        for key in ["name", "displayName", "labels", "annotations"] {
            metadata.optional(key);
        }
        metadata.finish(report);
    }
    // An inline indicator may be a whole SLI that was moved here.
    for key in ["apiVersion", "kind"] {
        fields.optional(key);
    }
    let spec = fields.required("spec", report);
    fields.finish(report);
    read(spec?, "indicator", sources, report)
}

/// Reads the spec of an SLI. `sources` are the data sources of type `slowburn` that refs may name.
pub(super) fn read(
    spec: &Node,
    title: &str,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Option<Indicator> {
    let mut fields = spec.fields(title, report)?;
    let ratio = fields.optional("ratioMetric");
    let threshold = fields.optional("thresholdMetric");
    let description = fields.optional("description");
    fields.finish(report);
    if let Some(description) = description {
        description.text("description", report);
    }
    match (ratio, threshold) {
        (Some(ratio), None) => ratio_metric(ratio, sources, report),
        (None, Some(threshold)) => threshold_metric(threshold, sources, report),
        (Some(_), Some(second)) => {
            report.error(
                second.at,
                format!("{title} has both `ratioMetric` and `thresholdMetric`"),
                Some("write an SLO for each".to_owned()),
            );
            None
        }
        (None, None) => {
            let hint = "expected `ratioMetric` with `good` (or `bad`) and `total`, or `thresholdMetric`";
            report.error(
                spec.at,
                format!("{title} measures nothing"),
                Some(hint.to_owned()),
            );
            None
        }
    }
}

fn ratio_metric(node: &Node, sources: &Sources<'_>, report: &mut Report) -> Option<Indicator> {
    let mut fields = node.fields("ratioMetric", report)?;
    if let Some(counter) = fields.optional("counter")
        && counter.boolean("counter", report) == Some(false)
    {
        report.warning(
            counter.at,
            "`counter: false` is ignored: slowburn's counts are cumulative",
            None,
        );
    }
    let raw = fields.optional("raw");
    let raw_type = fields.optional("rawType");
    let good = fields
        .optional("good")
        .map(|n| (n, Selection::read(n, "good", sources, report)));
    let bad = fields
        .optional("bad")
        .map(|n| (n, Selection::read(n, "bad", sources, report)));
    let total = fields
        .optional("total")
        .map(|n| (n, Selection::read(n, "total", sources, report)));
    if raw.or(raw_type).is_some() {
        for (key, also) in [
            ("good", good.is_some()),
            ("bad", bad.is_some()),
            ("total", total.is_some()),
        ] {
            if also {
                let hint = format!("remove `{key}`, or write `good` (or `bad`) and `total` and nothing raw");
                let at = fields.key_at(key).unwrap_or(node.at);
                report.error(at, format!("a raw ratio has no `{key}`"), Some(hint));
            }
        }
        let raw = fields.required("raw", report);
        let raw_type = fields.required_such_as("rawType", "rawType: success", report);
        let known = fields.finish(report);
        let found = raw_ratio(raw, raw_type, sources, report);
        return found.filter(|_| known && good.is_none() && bad.is_none() && total.is_none());
    }
    if total.is_none() {
        fields.required("total", report);
    }
    fields.finish(report);
    let (is_good, (part_node, part)) = match (good, bad) {
        (Some(good), None) => (true, good),
        (None, Some(bad)) => (false, bad),
        (Some(_), Some((bad, _))) => {
            report.error(
                bad.at,
                "`ratioMetric` has both `good` and `bad`",
                Some("remove one: the other follows from `total`".to_owned()),
            );
            return None;
        }
        (None, None) => {
            let hint = "such as `bad: {metricSource: {type: slowburn, spec: {status: [5xx]}}}`".to_owned();
            report.error(node.at, "`ratioMetric` has neither `good` nor `bad`", Some(hint));
            return None;
        }
    };
    let word = if is_good { "good" } else { "bad" };
    combine((word, is_good), part_node.at, part?, total?.1?, report)
}

/// A raw ratio is one that its source has divided already. What is booked are counts, so it is the share that the
/// source's keys select of what is counted at all: `success` of good events, `failure` of bad ones.
fn raw_ratio(
    raw: Option<&Node>,
    raw_type: Option<&Node>,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Option<Indicator> {
    let part = raw.map(|n| (n.at, Selection::read(n, "raw", sources, report)));
    let is_good = raw_type.and_then(|n| match n.text("rawType", report)? {
        "success" => Some(true),
        "failure" => Some(false),
        _ => {
            n.wrong("rawType", "`success` or `failure`", None, report);
            None
        }
    });
    let (at, part) = part?;
    let part = part?;
    let total = part.everything();
    combine(("raw", is_good?), at, part, total, report)
}

/// Makes one indicator of what is good (or bad) and what is counted at all. `word` is the key of the former.
fn combine(
    (word, is_good): (&str, bool),
    at: Position,
    part: Selection,
    total: Selection,
    report: &mut Report,
) -> Option<Indicator> {
    let services = (
        part.service.as_ref().map(|s| &s.0),
        total.service.as_ref().map(|s| &s.0),
    );
    let differs = match services {
        (Some(a), Some(b)) if a != b => Some("service"),
        _ if part.role != total.role => Some("role"),
        _ if part.route != total.route => Some("route"),
        _ => None,
    };
    if let Some(key) = differs {
        let hint = format!("write the same `{key}` in both");
        report.error(at, format!("`{word}` and `total` differ in `{key}`"), Some(hint));
    }
    if let Some((_, at)) = total.below {
        report.error(
            at,
            "`below` in `total` would leave slow requests out",
            Some(format!("write it in `{word}` only")),
        );
        return None;
    }
    if part.segments.or(total.segments).is_some() {
        return segments((word, is_good), at, part, &total, report);
    }
    let service = part.service.or(total.service);
    let (role, route) = (part.role, part.route);
    let counts = match part.below {
        Some((threshold, below_at)) => {
            if !is_good {
                let instead = if word == "raw" {
                    "`rawType: success`"
                } else {
                    "`below` in `good`"
                };
                report.error(
                    below_at,
                    format!("`below` in `{word}` would call fast requests bad"),
                    Some(format!("write {instead}: what is past it is bad")),
                );
                return None;
            }
            if let Some((_, at)) = part.status.or(total.status) {
                let hint = "leave `status` out (5xx within the threshold are left out), and state availability as an objective of its own";
                report.error(
                    at,
                    "`status` and `below` cannot be combined: the kernel counts them apart",
                    Some(hint.to_owned()),
                );
                return None;
            }
            let clock = part.clock.map_or(Clock::Turnaround, |(clock, _)| clock);
            if let Some((other, at)) = total.clock.filter(|(other, _)| *other != clock) {
                report.error(
                    at,
                    format!("`total` says the clock `{other}`, `good` says `{clock}`"),
                    Some("remove `clock` from `total`".to_owned()),
                );
                return None;
            }
            SliKind::Latency { clock, threshold }
        }
        None => {
            if let Some((_, at)) = part.clock.or(total.clock) {
                let slow = if word == "bad" { "good" } else { word };
                let hint = format!("add `below: 250ms` to `{slow}`, or remove `clock`");
                report.error(
                    at,
                    "`clock` says how to time requests, but no `below` says what is good",
                    Some(hint),
                );
                return None;
            }
            ratio((word, is_good), at, part.status, total.status, report)?
        }
    };
    Some(Indicator {
        service,
        role,
        route,
        counts: Counts::Known(counts),
        at,
    })
}

/// The share of segments that were sent again.
fn segments(
    (word, is_good): (&str, bool),
    at: Position,
    part: Selection,
    total: &Selection,
    report: &mut Report,
) -> Option<Indicator> {
    let of_requests = [&part, total].into_iter().find_map(|selection| {
        let status = selection.status.map(|(_, at)| ("status", at));
        let clock = selection.clock.map(|(_, at)| ("clock", at));
        let below = selection.below.map(|(_, at)| ("below", at));
        let route = selection.route.is_some().then_some(("route", at));
        status.or(clock).or(below).or(route)
    });
    if let Some((key, at)) = of_requests {
        let message = format!("`{key}` and `segments` cannot be combined: TCP knows no requests");
        let hint = format!("leave `{key}` out, or state it as an objective of its own");
        report.error(at, message, Some(hint));
        return None;
    }
    let which = |selection: &Selection| selection.segments.map(|(which, _)| which);
    let is_share = (which(&part), which(total)) == (Some(Segments::Retransmitted), Some(Segments::Sent));
    if is_good || !is_share {
        let instead = if word == "raw" {
            "`rawType: failure` and `segments: retransmitted`"
        } else {
            "`segments: retransmitted` in `bad` and `segments: sent` in `total`"
        };
        report.error(
            part.segments.or(total.segments).map_or(at, |(_, at)| at),
            "of segments, those that were retransmitted are bad and those that were sent are all",
            Some(format!("write {instead}")),
        );
        return None;
    }
    Some(Indicator {
        service: part.service.or_else(|| total.service.clone()),
        role: part.role,
        route: None,
        counts: Counts::Known(SliKind::Retransmits),
        at,
    })
}

fn ratio(
    (word, is_good): (&str, bool),
    at: Position,
    part: Option<(StatusSet, Position)>,
    total: Option<(StatusSet, Position)>,
    report: &mut Report,
) -> Option<SliKind> {
    let Some((part, part_at)) = part else {
        let example = if is_good {
            "[1xx, 2xx, 3xx, 4xx]"
        } else {
            "[5xx, unanswered]"
        };
        let slow = if word == "bad" { "good" } else { word };
        let hint = format!("add `status: {example}`, or `below: 250ms` to `{slow}` for a latency objective");
        report.error(
            at,
            format!("`{word}` has no `status`, so it is everything"),
            Some(hint),
        );
        return None;
    };
    let everything = total.is_none();
    let part = if everything && !is_good {
        part.with_grpc_errors()
    } else {
        part
    };
    let total = total.map_or_else(|| StatusSet::all_beside(&part, is_good), |(total, _)| total);
    let extra = part.without(&total);
    if !extra.is_empty() {
        let hint = "what is counted good or bad must be counted at all: add it to the `status` of `total`"
            .to_owned();
        report.error(
            part_at,
            format!("`{word}` has `{extra}`, which `total` has not"),
            Some(hint),
        );
        return None;
    }
    if part == total {
        let message = format!("`{word}` and `total` are the same, so every request is {word}");
        let hint = format!(
            "select fewer in `{word}`, such as `status: [{}]`",
            if is_good { "2xx, 3xx" } else { "5xx" }
        );
        report.error(part_at, message, Some(hint));
        return None;
    }
    let good = if is_good { part } else { total.without(&part) };
    let unanswered: StatusSet = "unanswered".parse().ok()?;
    if everything && !is_good && unanswered.is_within(&good) {
        let hint = format!("add `unanswered` to the `status` of `{word}`");
        report.warning(
            part_at,
            "requests that die unanswered count as good here",
            Some(hint),
        );
    }
    Some(SliKind::Ratio { good, total })
}

fn threshold_metric(node: &Node, sources: &Sources<'_>, report: &mut Report) -> Option<Indicator> {
    let found = Selection::read(node, "thresholdMetric", sources, report)?;
    if let Some((_, at)) = found.below {
        let hint =
            "remove it: the objective's `op: lte` and `value` (in seconds) are the threshold".to_owned();
        report.error(
            at,
            "`below` in a `thresholdMetric` states the threshold twice",
            Some(hint),
        );
        return None;
    }
    if let Some((_, at)) = found.status {
        report.error(
            at,
            "`status` and a latency threshold cannot be combined: the kernel counts them apart",
            Some("write an SLO for each".to_owned()),
        );
        return None;
    }
    if let Some((_, at)) = found.segments {
        let hint =
            "write a `ratioMetric` with `segments: retransmitted` in `bad` and `segments: sent` in `total`"
                .to_owned();
        report.error(at, "`segments` have no latency", Some(hint));
        return None;
    }
    let clock = found.clock.map_or(Clock::Turnaround, |(clock, _)| clock);
    let Selection {
        service, role, route, ..
    } = found;
    Some(Indicator {
        service,
        role,
        route,
        counts: Counts::LatencyOf(clock),
        at: node.at,
    })
}
