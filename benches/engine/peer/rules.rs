//! What Sloth writes for an objective: eight recordings of its ratio, seven of metadata, and two alerts.

use std::fmt::Write as _;

use crate::peer::{labels, series};
use crate::traffic::{Kind, Traffic};

const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// `(severity, pairs of short and long window with their burn rate)`.
type Alert = (&'static str, [(&'static str, &'static str, &'static str); 2]);

const ALERTS: [Alert; 2] = [
    ("page", [("5m", "1h", "14.4"), ("30m", "6h", "6")]),
    ("ticket", [("2h", "1d", "3"), ("6h", "3d", "1")]),
];

pub fn all(services: usize) -> String {
    let mut text = "groups:\n".to_owned();
    for traffic in (0..services).map(Traffic) {
        for kind in Kind::ALL {
            group(&mut text, "sli", traffic, kind, &ratios(traffic, kind));
            group(&mut text, "meta", traffic, kind, &metadata(traffic, kind));
            group(&mut text, "alerts", traffic, kind, &alerts(traffic, kind));
        }
    }
    text
}

/// What is recorded or alerted (`record: NAME`), its expression, and its labels beside the SLO's.
type Rule = (String, String, String);

fn group(text: &mut String, part: &str, traffic: Traffic, kind: Kind, rules: &[Rule]) {
    let own = labels(traffic, kind).replace('=', ": ");
    let _infallible = writeln!(
        text,
        "- name: {part}-{}-{}\n  rules:",
        traffic.service(),
        kind.name()
    );
    for (what, expression, more) in rules {
        let _infallible = writeln!(
            text,
            "  - {{{what}, expr: '{expression}', labels: {{{own}{more}}}}}"
        );
    }
}

fn ratios(traffic: Traffic, kind: Kind) -> Vec<Rule> {
    let ((bad, total), service) = (series(kind), traffic.service());
    let rate = |name: &str, window: &str| format!("sum(rate({name}{{service=\"{service}\"}}[{window}]))");
    let selector = labels(traffic, kind);
    let recorded = format!("slo:sli_error:ratio_rate5m{{{selector}}}[30d]");
    let record = |window: &str, expression: String| {
        (
            format!("record: 'slo:sli_error:ratio_rate{window}'"),
            expression,
            format!(", sloth_window: {window}"),
        )
    };
    let short =
        WINDOWS.map(|window| record(window, format!("{} / {}", rate(bad, window), rate(total, window))));
    let period = format!("sum_over_time({recorded}) / ignoring (sloth_window) count_over_time({recorded})");
    short.into_iter().chain([record("30d", period)]).collect()
}

fn metadata(traffic: Traffic, kind: Kind) -> Vec<Rule> {
    let (selector, target) = (labels(traffic, kind), target(kind));
    let over_budget = |name: &str| {
        format!(
            "{name}{{{selector}}} / on(sloth_id, sloth_slo, sloth_service) group_left slo:error_budget:ratio{{{selector}}}"
        )
    };
    [
        ("slo:objective:ratio", format!("vector({target})")),
        ("slo:error_budget:ratio", format!("vector(1-{target})")),
        ("slo:time_period:days", "vector(30)".to_owned()),
        (
            "slo:current_burn_rate:ratio",
            over_budget("slo:sli_error:ratio_rate5m"),
        ),
        (
            "slo:period_burn_rate:ratio",
            over_budget("slo:sli_error:ratio_rate30d"),
        ),
        (
            "slo:period_error_budget_remaining:ratio",
            format!("1 - slo:period_burn_rate:ratio{{{selector}}}"),
        ),
        ("sloth_slo_info", "vector(1)".to_owned()),
    ]
    .map(|(name, expression)| (format!("record: '{name}'"), expression, String::new()))
    .to_vec()
}

fn alerts(traffic: Traffic, kind: Kind) -> Vec<Rule> {
    let (selector, target) = (labels(traffic, kind), target(kind));
    let above = |window: &str, rate: &str| {
        format!(
            "max(slo:sli_error:ratio_rate{window}{{{selector}}} > ({rate} * (1-{target}))) without (sloth_window)"
        )
    };
    ALERTS
        .map(|(severity, pairs)| {
            let pairs = pairs
                .map(|(short, long, rate)| format!("({} and {})", above(short, rate), above(long, rate)));
            (
                "alert: HighErrorBudgetBurn".to_owned(),
                pairs.join(" or "),
                format!(", sloth_severity: {severity}"),
            )
        })
        .to_vec()
}

fn target(kind: Kind) -> &'static str {
    match kind {
        Kind::Availability => "0.999",
        Kind::Latency => "0.99",
    }
}
