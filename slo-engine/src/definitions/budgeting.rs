//! Reads how an OpenSLO SLO's budget is counted, and over which period.
//!
//! In: `budgetingMethod`, the slices of its objective, `timeWindow`. Out: a [`Budgeting`] and a [`Period`].

use std::time::Duration;

use chrono::NaiveDateTime;
use chrono_tz::{TZ_VARIANTS, Tz};
use rust_decimal::Decimal;

use super::draft::{PERIOD_MAX, check_period};
use super::node::{Fields, Node, Position, Report, Value, nearest, shorten};
use super::ratio;
use crate::budgeting::{Budgeting, Calendar, CalendarStep};
use crate::duration;

/// Rolling, or following a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// Nominal where a calendar says otherwise.
    pub length: Duration,
    pub calendar: Option<Calendar>,
}

impl Period {
    pub fn rolling(length: Duration) -> Self {
        Self {
            length,
            calendar: None,
        }
    }

    fn following(every: CalendarStep, (starts, zone): (NaiveDateTime, Tz)) -> Self {
        Self {
            length: every.nominal(),
            calendar: Some(Calendar { starts, zone, every }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

const METHODS: [(&str, Method); 3] = [
    ("Occurrences", Method::Occurrences),
    ("Timeslices", Method::Timeslices),
    ("RatioTimeslices", Method::RatioTimeslices),
];

pub(super) fn method(node: &Node, report: &mut Report) -> Option<Method> {
    let text = node.text("budgetingMethod", report)?;
    let found = METHODS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names = METHODS.map(|(name, _)| name);
        let hint = nearest(text, &names).map(|near| format!("did you mean `{near}`?"));
        node.wrong(
            "budgetingMethod",
            "`Occurrences`, `Timeslices` or `RatioTimeslices`",
            hint,
            report,
        );
    }
    found.map(|(_, method)| *method)
}

/// The slices that one objective states. What is asked for beside a mistake is judged by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slices<'a> {
    window: Option<(&'a Node, Position)>,
    target: Option<(&'a Node, Position)>,
    objective_at: Option<Position>,
}

impl<'a> Slices<'a> {
    pub fn take(fields: &mut Fields<'a>) -> Self {
        let mut key = |name| {
            fields
                .optional(name)
                .map(|node| (node, fields.key_at(name).unwrap_or(node.at)))
        };
        Self {
            window: key("timeSliceWindow"),
            target: key("timeSliceTarget"),
            objective_at: Some(fields.at()),
        }
    }

    pub fn budgeting(self, method: Method, report: &mut Report) -> Option<Budgeting> {
        let refuse = |found: Option<(&Node, Position)>, key: &str, whose: &str, report: &mut Report| {
            let Some((_, at)) = found else { return true };
            let hint = format!("remove it, or write `budgetingMethod: {whose}`");
            report.error(at, format!("`{key}` belongs to the method {whose}"), Some(hint));
            false
        };
        match method {
            Method::Occurrences => {
                let window = refuse(self.window, "timeSliceWindow", "Timeslices", report);
                let target = refuse(self.target, "timeSliceTarget", "Timeslices", report);
                (window && target).then_some(Budgeting::Occurrences)
            }
            Method::Timeslices => {
                let slice = self.slice("Timeslices", report);
                let target = self.target(report);
                Some(Budgeting::Timeslices {
                    slice: slice?,
                    target: target?,
                })
            }
            Method::RatioTimeslices => {
                let target = refuse(self.target, "timeSliceTarget", "Timeslices", report);
                let slice = self.slice("RatioTimeslices", report);
                target.then_some(Budgeting::RatioTimeslices { slice: slice? })
            }
        }
    }

    fn missing(&self, key: &str, method: &str, example: &str, report: &mut Report) {
        let at = self.objective_at.unwrap_or(Position { line: 0, column: 0 });
        let message = format!("the objective has no `{key}`, which {method} needs");
        report.error(at, message, Some(format!("write `{key}: {example}`")));
    }

    fn slice(&self, method: &str, report: &mut Report) -> Option<Duration> {
        let Some((node, _)) = self.window else {
            self.missing("timeSliceWindow", method, "1m", report);
            return None;
        };
        slice_of(node, "timeSliceWindow", report)
    }

    fn target(&self, report: &mut Report) -> Option<Decimal> {
        let Some((node, _)) = self.target else {
            self.missing("timeSliceTarget", "Timeslices", "0.99", report);
            return None;
        };
        let target = node.decimal("timeSliceTarget", report)?;
        slice_target(target, "timeSliceTarget", node.at, report)
    }
}

/// Reads the slices of the short form: `{window: 5m, target: 99%}` are good or bad, `{window: 5m}` partly good.
pub(super) fn short_slices(node: &Node, report: &mut Report) -> Option<Budgeting> {
    let mut fields = node.fields("timeSlices", report)?;
    let window = fields.required_such_as("window", "window: 5m", report);
    let target = fields.optional("target");
    fields.finish(report);
    let slice = window.and_then(|n| slice_of(n, "window", report));
    let target = target.map(|n| slice_target(ratio::share(n, "target", report)?, "target", n.at, report));
    match target {
        Some(target) => Some(Budgeting::Timeslices {
            slice: slice?,
            target: target?,
        }),
        None => Some(Budgeting::RatioTimeslices { slice: slice? }),
    }
}

/// A slice lies within a day of UTC. A bare number means minutes, as the specification's text says.
fn slice_of(node: &Node, what: &str, report: &mut Report) -> Option<Duration> {
    let text = match &node.value {
        Value::Number(text) => format!("{text}m"),
        _ => node.text(what, report)?.to_owned(),
    };
    let span = match duration::parse_openslo(&text) {
        Ok(span) => span,
        Err(error) => {
            report.error(node.at, format!("`{what}`: {error}"), None);
            return None;
        }
    };
    let seconds = span.as_secs();
    if span.subsec_nanos() == 0 && seconds >= 60 && seconds % 60 == 0 && 86_400 % seconds == 0 {
        return Some(span);
    }
    let message = format!(
        "`{what}` is `{}`, expected whole minutes that divide a day, from `1m` to `1d`",
        shorten(&text)
    );
    let hint = "such as `1m`, `5m`, `15m` or `1h`: slices begin with the day of UTC".to_owned();
    report.error(node.at, message, Some(hint));
    None
}

fn slice_target(target: Decimal, what: &str, at: Position, report: &mut Report) -> Option<Decimal> {
    let target = target.normalize();
    if target > Decimal::ZERO && target <= Decimal::ONE && target.scale() <= 9 {
        return Some(target);
    }
    let message =
        format!("`{what}` is `{target}`, expected a ratio above 0 and at most 1, with at most 9 decimals");
    let hint = (target > Decimal::TEN && target <= Decimal::ONE_HUNDRED)
        .then(|| format!("write `{}`", (target / Decimal::ONE_HUNDRED).normalize()));
    report.error(at, message, hint);
    None
}

/// Reads the window of the short form: `30d`, or `{duration: 1M, calendar: {startTime, timeZone}}`.
pub(super) fn short_window(node: &Node, report: &mut Report) -> Option<Period> {
    if !matches!(node.value, Value::Map(_)) {
        let text = node.scalar().unwrap_or_default();
        if text.ends_with(['M', 'Q', 'Y']) && step_of(&text).is_some() {
            let message =
                format!("`window` is `{text}`, which is a calendar's: rolling ones are days and less");
            let hint = format!(
                "write `window: 30d`, or `window: {{duration: {text}, calendar: {{startTime: 2026-01-01 00:00:00, timeZone: UTC}}}}`"
            );
            report.error(node.at, message, Some(hint));
            return None;
        }
        let length = node.duration("window", report)?;
        return check_period(length, "window", node.at, report).map(Period::rolling);
    }
    let mut fields = node.fields("window", report)?;
    let length = fields.required_such_as("duration", "duration: 30d", report);
    let calendar = fields.optional("calendar");
    let at = fields.at();
    fields.finish(report);
    if calendar.is_none() {
        let hint = "add `calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}`, or write `window: 28d`";
        report.error(at, "window has no `calendar`", Some(hint.to_owned()));
    }
    let every = length.and_then(|n| step(n, report));
    let calendar = calendar.and_then(|n| calendar_of(n, report));
    Some(Period::following(every?, calendar?))
}

/// Reads the one item of `timeWindow`: `{duration, isRolling: true}`, or
/// `{duration, isRolling: false, calendar: {startTime, timeZone}}`.
pub(super) fn time_window(node: &Node, report: &mut Report) -> Option<Period> {
    let windows = node.list("timeWindow", report)?;
    let [window] = windows else {
        let message = format!("`timeWindow` has {} items, expected one", windows.len());
        report.error(node.at, message, Some("write one SLO for each window".to_owned()));
        return None;
    };
    let mut fields = window.fields("timeWindow", report)?;
    let length = fields.required_such_as("duration", "duration: 30d", report);
    let rolling = fields.required_such_as("isRolling", "isRolling: true", report);
    let calendar = fields.optional("calendar");
    let calendar_at = fields.key_at("calendar");
    let at = fields.at();
    fields.finish(report);
    let rolling = rolling.and_then(|n| n.boolean("isRolling", report));
    let Some(rolling) = rolling else {
        length.and_then(|n| rolling_length(n, report));
        return None;
    };
    match (rolling, calendar) {
        (true, Some(calendar)) => {
            report.error(
                calendar_at.unwrap_or(calendar.at),
                "a rolling window has no `calendar`",
                Some("remove it, or write `isRolling: false`".to_owned()),
            );
            None
        }
        (true, None) => rolling_length(length?, report).map(Period::rolling),
        (false, None) => {
            let hint =
                "add `calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}`, or write `isRolling: true`";
            let message = "a window that is not rolling needs a `calendar`";
            report.error(at, message, Some(hint.to_owned()));
            None
        }
        (false, Some(calendar)) => {
            let every = length.and_then(|n| step(n, report));
            let calendar = calendar_of(calendar, report);
            Some(Period::following(every?, calendar?))
        }
    }
}

fn rolling_length(node: &Node, report: &mut Report) -> Option<Duration> {
    match duration::parse_openslo(&node.scalar().unwrap_or_default()) {
        Ok(period) => check_period(period, "duration", node.at, report),
        Err(error) => {
            report.error(node.at, format!("`duration`: {error}"), None);
            None
        }
    }
}

fn calendar_of(node: &Node, report: &mut Report) -> Option<(NaiveDateTime, Tz)> {
    let mut fields = node.fields("calendar", report)?;
    let starts = fields
        .required_such_as("startTime", "startTime: 2026-01-01 00:00:00", report)
        .and_then(|n| start_time(n, report));
    let zone = fields
        .required_such_as("timeZone", "timeZone: Europe/Berlin", report)
        .and_then(|n| time_zone(n, report));
    fields.finish(report);
    Some((starts?, zone?))
}

fn start_time(node: &Node, report: &mut Report) -> Option<NaiveDateTime> {
    let text = node.text("startTime", report)?;
    let found = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    let found = found.filter(|at| (1970..2100).contains(&chrono::Datelike::year(at)));
    if found.is_none() {
        let hint = if text.contains(['T', 'Z', '+']) {
            "write it without `T` and zone: `timeZone` says whose clocks these are"
        } else {
            "such as `2026-01-01 00:00:00`, from 1970 to 2099"
        };
        node.wrong(
            "startTime",
            "a time `YYYY-MM-DD hh:mm:ss`",
            Some(hint.to_owned()),
            report,
        );
    }
    found
}

pub(super) fn time_zone(node: &Node, report: &mut Report) -> Option<Tz> {
    let text = node.text("timeZone", report)?;
    let found = text.parse::<Tz>().ok();
    if found.is_none() {
        let names: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        let hint = match nearest(text, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "abbreviations and offsets have no daylight saving: name a place".to_owned(),
        };
        node.wrong(
            "timeZone",
            "an IANA zone such as `Europe/Berlin` or `UTC`",
            Some(hint),
            report,
        );
    }
    found
}

/// One number of `d`, `w`, `M`, `Q` or `Y`, at most a year.
fn step_of(text: &str) -> Option<CalendarStep> {
    let unit = text.chars().next_back();
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|number| (1..=366).contains(number));
    let step = match (number, unit) {
        (Some(days), Some('d')) => Some(CalendarStep::Days(days)),
        (Some(weeks), Some('w')) => Some(CalendarStep::Days(weeks * 7)),
        (Some(months), Some('M')) => Some(CalendarStep::Months(months)),
        (Some(quarters), Some('Q')) => Some(CalendarStep::Months(quarters * 3)),
        (Some(years), Some('Y')) => Some(CalendarStep::Months(years * 12)),
        _ => None,
    };
    step.filter(|step| step.nominal() <= PERIOD_MAX)
}

fn step(node: &Node, report: &mut Report) -> Option<CalendarStep> {
    let text = node.scalar().unwrap_or_default();
    let step = step_of(&text);
    if step.is_none() {
        let hint = match text.chars().next_back() {
            Some('m') => format!(
                "`m` are minutes: write `{}M` for months",
                text.trim_end_matches('m')
            ),
            _ => "such as `1d`, `1w`, `1M`, `1Q` or `1Y`".to_owned(),
        };
        let expected = "whole days, weeks, months (`M`), quarters (`Q`) or a year (`Y`), at most a year";
        node.wrong("duration", expected, Some(hint), report);
    }
    step
}
