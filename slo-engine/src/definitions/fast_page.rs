//! The fast page that a definition states: in the short form's `alerts`, or in an annotation of OpenSLO.

use std::time::Duration;

use rust_decimal::Decimal;

use super::node::{Node, Position, Report, Value, parse_decimal, shorten};
use crate::objective::{BurnRate, Target};
use crate::sequential::{BURN_RATE_MIN, FastPage};

/// As stated; what is left out is as by default.
#[derive(Debug, Clone, Copy)]
pub(super) enum FastPageDraft {
    Off,
    On(Numbers),
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    burn_rate: Option<BurnRate>,
    false_pages_a_year: Option<Decimal>,
    rate_min: Option<Decimal>,
}

const HINT: &str = "write `fastPage: off`, or `fastPage: {burnRate: 14.4, falsePagesPerYear: 1, minRate: 1}`; \
                    what is left out is as by default";

/// Reads `off`, `on`, or `{burnRate, falsePagesPerYear, minRate}`.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<FastPageDraft> {
    if !matches!(node.value, Value::Map(_)) {
        return match node.scalar().as_deref() {
            Some("off" | "false") => Some(FastPageDraft::Off),
            Some("on" | "true") => Some(FastPageDraft::On(Numbers::default())),
            _ => {
                node.wrong(
                    "fastPage",
                    "`on`, `off` or a mapping",
                    Some(HINT.to_owned()),
                    report,
                );
                None
            }
        };
    }
    let mut fields = node.fields("fastPage", report)?;
    let mut number = |key, check: Check, report: &mut Report| match fields.optional(key) {
        Some(node) => node
            .decimal(key, report)
            .and_then(|value| check(value, node.at, report))
            .map(Some),
        None => Some(None),
    };
    let burn_rate = number("burnRate", check_burn_rate, report);
    let false_pages = number("falsePagesPerYear", check_false_pages, report);
    let rate_min = number("minRate", check_rate, report);
    fields.finish(report);
    Some(FastPageDraft::On(Numbers {
        burn_rate: rate(burn_rate?),
        false_pages_a_year: false_pages?,
        rate_min: rate_min?,
    }))
}

/// Reads the annotation of an OpenSLO SLO: `off`, `on`, or some of `14.4x 1/year 1/s`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Option<FastPageDraft> {
    match text.trim() {
        "off" => return Some(FastPageDraft::Off),
        "on" => return Some(FastPageDraft::On(Numbers::default())),
        _ => {}
    }
    let mut numbers = Numbers::default();
    let mut fits = true;
    for word in text.split_whitespace() {
        let unit = |suffix| word.strip_suffix(suffix).and_then(parse_decimal);
        if let Some(value) = unit("x") {
            numbers.burn_rate = rate(check_burn_rate(value, at, report));
            fits &= numbers.burn_rate.is_some();
        } else if let Some(value) = unit("/year") {
            numbers.false_pages_a_year = check_false_pages(value, at, report);
            fits &= numbers.false_pages_a_year.is_some();
        } else if let Some(value) = unit("/s") {
            numbers.rate_min = check_rate(value, at, report);
            fits &= numbers.rate_min.is_some();
        } else {
            let hint = "such as `off` or `14.4x 1/year 1/s`: burn rate, false pages, least rate of requests";
            report.error(
                at,
                format!("fast page: `{}` is none of its numbers", shorten(word)),
                Some(hint.to_owned()),
            );
            fits = false;
        }
    }
    fits.then_some(FastPageDraft::On(numbers))
}

type Check = fn(Decimal, Position, &mut Report) -> Option<Decimal>;

fn check_burn_rate(value: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if value >= BURN_RATE_MIN && BurnRate::try_from(value).is_ok() {
        return Some(value);
    }
    let message = format!("fast page: burn rate is `{value}`, expected at least {BURN_RATE_MIN}");
    let hint = "a smaller one takes too long to tell from a met objective: that is what tiers are for";
    report.error(at, message, Some(hint.to_owned()));
    None
}

fn check_false_pages(value: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if value >= Decimal::new(1, 3) && value <= Decimal::from(365) {
        return Some(value);
    }
    let message = format!("fast page: `{value}` false pages a year, expected 0.001 to 365");
    report.error(at, message, None);
    None
}

fn check_rate(value: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if value >= Decimal::ZERO && value <= Decimal::from(1_000_000_000) {
        return Some(value);
    }
    let message = format!("fast page: least rate is `{value}`, expected events a second, 0 or more");
    report.error(at, message, None);
    None
}

fn rate(value: Option<Decimal>) -> Option<BurnRate> {
    value.and_then(|value| value.try_into().ok())
}

/// Whether an outage can burn as fast as a fast page is to look for.
pub(super) fn check(
    draft: Option<FastPageDraft>,
    period: Duration,
    target: Target,
    at: Position,
    report: &mut Report,
) {
    let Some(FastPageDraft::On(numbers)) = draft else {
        return;
    };
    let most = target.max_burn_rate().round_dp(4).normalize();
    match numbers.burn_rate {
        Some(burn_rate) if !target.reaches(burn_rate) => {
            let message = format!("fast page: no outage burns at {burn_rate}");
            let hint = format!("a total outage burns at 1 / (1 - {target}) = {most}: look for less");
            report.error(at, message, Some(hint));
        }
        None if FastPage::for_objective(period, target).is_none() => {
            let message =
                format!("fast page: none by default at {target}, where a total outage burns at {most}");
            let hint = "outages are left to the tiers, unless the burn rate to look for is stated".to_owned();
            report.warning(at, message, Some(hint));
        }
        _ => {}
    }
}

/// The fast page of an objective. One that states its tiers, or counts segments, has none by default.
pub(super) fn build(
    draft: Option<FastPageDraft>,
    by_default: bool,
    period: Duration,
    target: Target,
) -> Option<FastPage> {
    let numbers = match draft {
        Some(FastPageDraft::Off) => return None,
        Some(FastPageDraft::On(numbers)) => numbers,
        None if by_default => Numbers::default(),
        None => return None,
    };
    let default = FastPage::for_period(period).ok()?;
    let burn_rate = match numbers.burn_rate {
        Some(stated) => stated,
        None => FastPage::for_objective(period, target)?.burn_rate,
    };
    Some(FastPage {
        burn_rate,
        false_pages_a_year: numbers
            .false_pages_a_year
            .unwrap_or(default.false_pages_a_year)
            .normalize(),
        rate_min: numbers.rate_min.unwrap_or(default.rate_min).normalize(),
    })
}

/// As the annotation spells it.
pub(super) fn spell(page: Option<&FastPage>) -> String {
    match page {
        None => "off".to_owned(),
        Some(page) => format!(
            "{}x {}/year {}/s",
            page.burn_rate, page.false_pages_a_year, page.rate_min
        ),
    }
}
