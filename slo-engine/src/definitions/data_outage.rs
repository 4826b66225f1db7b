//! What a definition says of missing data: in the short form's `alerts`, or in an annotation of OpenSLO.

use std::time::Duration;

use rust_decimal::Decimal;

use super::metric_source::word;
use super::node::{Node, Position, Report, Value, shorten};
use super::ratio::{in_percent, percentage, share};
use crate::duration;
use crate::evaluate::{MissingData, OutageRule, Rules};
use crate::objective::Severity;

const HINT: &str = "write `dataOutage: off`, or some of `dataOutage: {coverage: 90%, for: 5m, severity: ticket}`; what \
                    is left out is as by default";
const LEAST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(86_400);

/// Reads `off`, or `{coverage, for, severity}`.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<MissingData> {
    if !matches!(node.value, Value::Map(_)) {
        if matches!(node.scalar().as_deref(), Some("off" | "false")) {
            return Some(off());
        }
        node.wrong("dataOutage", "`off` or a mapping", Some(HINT.to_owned()), report);
        return None;
    }
    let mut fields = node.fields("dataOutage", report)?;
    let coverage = fields.optional("coverage").map_or(Some(None), |n| {
        let coverage = share(n, "coverage", report)?;
        check_coverage(coverage, n.at, report).map(Some)
    });
    let hold = fields.optional("for").map_or(Some(None), |n| {
        let hold = n.duration("for", report)?;
        check_hold(hold, n.at, report).map(Some)
    });
    let severity = fields.optional("severity").map_or(Some(None), |n| {
        word(n, "severity", Severity::ALL, report).map(Some)
    });
    fields.finish(report);
    Some(stated(coverage?, hold?, severity?))
}

/// Reads the annotation of an OpenSLO SLO: `off`, or some of `ticket below 90% for 5m`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Option<MissingData> {
    if text.trim() == "off" {
        return Some(off());
    }
    let (mut coverage, mut hold, mut severity) = (None, None, None);
    let mut words = text.split_whitespace();
    let mut is_known = true;
    while let Some(word) = words.next().filter(|_| is_known) {
        is_known = match word {
            "page" | "ticket" => set(&mut severity, word.parse().ok()),
            "below" => set(&mut coverage, words.next().and_then(percentage)),
            "for" => set(
                &mut hold,
                words.next().and_then(|word| duration::parse(word).ok()),
            ),
            _ => false,
        };
    }
    if !is_known || (coverage, hold, severity) == (None, None, None) {
        let message = format!("`slowburn/data-outage` is `{}`", shorten(text));
        let hint = "write `off`, or some of `ticket below 90% for 5m`";
        report.error(at, message, Some(hint.to_owned()));
        return None;
    }
    let coverage = coverage.map_or(Some(None), |coverage| {
        check_coverage(coverage, at, report).map(Some)
    });
    let hold = hold.map_or(Some(None), |hold| check_hold(hold, at, report).map(Some));
    Some(stated(coverage?, hold?, severity))
}

/// Whether there is a value, and was none before.
fn set<T>(place: &mut Option<T>, found: Option<T>) -> bool {
    let is_first = place.is_none();
    *place = found;
    is_first && place.is_some()
}

fn off() -> MissingData {
    MissingData {
        coverage_min: Rules::default().coverage_min,
        outage: None,
    }
}

fn stated(coverage: Option<Decimal>, hold: Option<Duration>, severity: Option<Severity>) -> MissingData {
    let default = OutageRule::default();
    MissingData {
        coverage_min: coverage.unwrap_or(Rules::default().coverage_min).normalize(),
        outage: Some(OutageRule::lasting(
            severity.unwrap_or(default.severity),
            hold.unwrap_or(default.hold),
        )),
    }
}

fn check_coverage(coverage: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if coverage > Decimal::ZERO && coverage <= Decimal::ONE {
        return Some(coverage);
    }
    let message = format!(
        "the least coverage is {}, expected above 0 % and at most 100 %",
        in_percent(coverage)
    );
    report.error(
        at,
        message,
        Some("to be told of no missing data, write `off`".to_owned()),
    );
    None
}

fn check_hold(hold: Duration, at: Position, report: &mut Report) -> Option<Duration> {
    if (LEAST..=MOST).contains(&hold) && hold.subsec_nanos() == 0 {
        return Some(hold);
    }
    let message = format!(
        "data is missing `for` `{}`, expected whole seconds from `{}` to `{}`",
        duration::format(hold),
        duration::format(LEAST),
        duration::format(MOST)
    );
    report.error(at, message, None);
    None
}
