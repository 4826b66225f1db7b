//! Reads shares: `0.999` or `99.9%`.

use std::str::FromStr as _;

use rust_decimal::Decimal;

use super::node::{Node, Position, Report, Value, parse_decimal};
use crate::objective::{RatioError, Target};

const PERCENT: Decimal = Decimal::ONE_HUNDRED;

/// Reads a share between 0 and 1, spelled as a ratio or as a percentage.
pub(super) fn share(node: &Node, what: &str, report: &mut Report) -> Option<Decimal> {
    match &node.value {
        Value::Text(text) => match percentage(text) {
            Some(share) => Some(share),
            None => {
                let point = text.replace(',', ".");
                let hint = (percentage(&point).is_some() || parse_decimal(&point).is_some())
                    .then(|| format!("write `{point}`"));
                let expected = "a percentage such as `99.9%` or a ratio such as `0.999`";
                node.wrong(what, expected, hint, report);
                None
            }
        },
        _ => node.decimal(what, report),
    }
}

/// `2%` or `2 %` as 0.02.
pub(super) fn percentage(text: &str) -> Option<Decimal> {
    let number = text.strip_suffix('%')?.trim_end();
    // Dividing by 100 is exact as long as the digits fit.
    Decimal::from_str(number)
        .ok()
        .and_then(|_| parse_decimal(number))?
        .checked_div(PERCENT)
}

/// For messages: `2 %`.
pub(super) fn in_percent(share: Decimal) -> String {
    match share.checked_mul(PERCENT) {
        Some(percent) => format!("{} %", percent.normalize()),
        None => share.to_string(),
    }
}

/// Reads a target, spelled as a ratio or as a percentage.
pub(super) fn target(node: &Node, what: &str, report: &mut Report) -> Option<Target> {
    let ratio = share(node, what, report)?;
    let written = node.scalar().unwrap_or_default();
    check_target(
        ratio,
        node.at,
        what,
        &written,
        matches!(node.value, Value::Text(_)),
        "`{}%`",
        report,
    )
}

/// Reads the share that may be bad, spelled as a ratio or as a percentage, with the target that it leaves.
pub(super) fn bad_share(node: &Node, what: &str, report: &mut Report) -> Option<(Decimal, Target)> {
    let bad = share(node, what, report)?;
    let written = node.scalar().unwrap_or_default();
    match Decimal::ONE.checked_sub(bad).map(Target::try_from) {
        Some(Ok(target)) => Some((bad, target)),
        Some(Err(RatioError::TargetTooFine(_))) => {
            let message = format!("`{what}` is `{written}`, expected at most 9 decimals of the ratio");
            report.error(node.at, message, None);
            None
        }
        _ => {
            let message = format!("`{what}` is `{written}`, expected a share above 0 and below 100 %");
            let is_percent = bad >= Decimal::ONE && bad < PERCENT && !matches!(node.value, Value::Text(_));
            let hint = is_percent.then(|| format!("write `{written}%` if a percentage was meant"));
            report.error(node.at, message, hint);
            None
        }
    }
}

/// Reads OpenSLO's `target` (a ratio).
pub(super) fn openslo_target(node: &Node, report: &mut Report) -> Option<Target> {
    let ratio = node.decimal("target", report)?;
    let written = node.scalar().unwrap_or_default();
    check_target(
        ratio,
        node.at,
        "target",
        &written,
        false,
        "`targetPercent: {}`",
        report,
    )
}

/// Reads OpenSLO's `targetPercent`.
pub(super) fn openslo_target_percent(node: &Node, report: &mut Report) -> Option<Target> {
    let percent = node.decimal("targetPercent", report)?;
    let ratio = percent.checked_div(PERCENT)?;
    let written = node.scalar().unwrap_or_default();
    check_target(ratio, node.at, "targetPercent", &written, true, "", report)
}

/// `other_way` is how the same target is spelled as a percentage here, with `{}` for the number.
fn check_target(
    ratio: Decimal,
    at: Position,
    what: &str,
    written: &str,
    is_percentage: bool,
    other_way: &str,
    report: &mut Report,
) -> Option<Target> {
    let error = match Target::try_from(ratio) {
        Ok(target) => {
            if ratio < Decimal::new(5, 1) {
                let message = format!("`{what}` is `{written}`, so most requests may be bad");
                report.warning(at, message, Some("99 % is `0.99` or `99%`".to_owned()));
            }
            return Some(target);
        }
        Err(error) => error,
    };
    let (message, hint) = match error {
        RatioError::NoBudget(_) => (
            format!(
                "`{what}` is `{written}`, which leaves no error budget: a burn rate divides by 1 - target"
            ),
            Some(
                "name the share of failures that is acceptable, such as 0.01 %: the target is then 99.99 %"
                    .to_owned(),
            ),
        ),
        RatioError::TargetTooFine(_) => (
            format!("`{what}` is `{written}`, expected at most 9 decimals of the ratio"),
            None,
        ),
        _ if is_percentage => {
            let hint = (ratio > Decimal::ZERO && ratio <= Decimal::new(1, 2)).then(|| {
                format!(
                    "write `{}%` if a percentage was meant",
                    (ratio * PERCENT).normalize()
                )
            });
            (
                format!("`{what}` is `{written}`, expected a percentage between 0 and 100, both excluded"),
                hint,
            )
        }
        _ => {
            let hint = (ratio > Decimal::ONE && ratio < PERCENT).then(|| {
                format!(
                    "write `{}`, or {}",
                    (ratio / PERCENT).normalize(),
                    other_way.replace("{}", written)
                )
            });
            (
                format!("`{what}` is `{written}`, expected a ratio between 0 and 1"),
                hint,
            )
        }
    };
    report.error(at, message, hint);
    None
}
