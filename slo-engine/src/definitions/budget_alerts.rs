//! Alerts on the budget that a definition states: in the short form's `alerts`, or in an annotation of OpenSLO.

use std::collections::HashSet;
use std::time::Duration;

use rust_decimal::Decimal;

use super::metric_source::word;
use super::node::{Node, Position, Report, Value, quoted, shorten};
use super::ratio::{in_percent, share};
use crate::budget_alert::{BudgetAlert, BudgetRule};
use crate::budgeting::Budgeting;
use crate::duration;
use crate::evaluate::DATA_OUTAGE;
use crate::objective::{Severity, Tier, TierName};
use crate::sequential::FAST_PAGE;

/// Alerts on its budget that one objective may have.
const BUDGET_ALERTS_MAX: usize = 8;

/// As stated, before the period is known to hold it.
#[derive(Debug, Clone)]
pub(super) struct BudgetAlertDraft {
    alert: BudgetAlert,
    at: Position,
}

const HINT: &str = "such as `{severity: ticket, remaining: 20%}`, `{severity: page, exhaustedWithin: 3d}` or \
                    `{severity: ticket, drop: 10%, within: 1d}`";

/// Reads the list of the short form: `[{severity, remaining | exhaustedWithin | drop + within, name}]`.
pub(super) fn read_list(node: &Node, report: &mut Report) -> Vec<BudgetAlertDraft> {
    let Value::List(items) = &node.value else {
        node.wrong("budget", "a list of alerts", Some(HINT.to_owned()), report);
        return Vec::new();
    };
    let drafts = items.iter().map(|item| read_item(item, report)).collect();
    check_list(drafts, node.at, report)
}

fn read_item(node: &Node, report: &mut Report) -> Option<BudgetAlertDraft> {
    let mut fields = node.fields("budget alert", report)?;
    let severity = fields
        .required_such_as("severity", "severity: ticket", report)
        .and_then(|n| word(n, "severity", Severity::ALL, report));
    let remaining = fields.optional("remaining");
    let exhausted = fields.optional("exhaustedWithin");
    let drop = fields.optional("drop");
    let within = fields.optional("within");
    let name = fields
        .optional("name")
        .map_or(Some(None), |n| n.parse::<TierName>("name", report).map(Some));
    let is_known = fields.finish(report);
    let rule = match (remaining, exhausted, drop, within) {
        (Some(left), None, None, None) => share(left, "remaining", report).map(BudgetRule::Remaining),
        (None, Some(within), None, None) => within
            .duration("exhaustedWithin", report)
            .map(BudgetRule::Exhausted),
        (None, None, Some(spent), Some(within)) => {
            let (share, within) = (share(spent, "drop", report), within.duration("within", report));
            share
                .zip(within)
                .map(|(share, within)| BudgetRule::Drop { share, within })
        }
        _ if !is_known => None,
        _ => {
            let message =
                "a budget alert states one of `remaining`, `exhaustedWithin`, and `drop` with `within`";
            report.error(node.at, message, Some(HINT.to_owned()));
            None
        }
    };
    draft(name?, severity?, rule?, node.at, report)
}

/// Reads the annotation of an OpenSLO SLO: `ticket remaining 20%, page exhausted within 3d`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Vec<BudgetAlertDraft> {
    let drafts = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| read_annotated(part, at, report))
        .collect();
    check_list(drafts, at, report)
}

fn read_annotated(part: &str, at: Position, report: &mut Report) -> Option<BudgetAlertDraft> {
    let wrong = |what: String, report: &mut Report| {
        let hint =
            "such as `ticket remaining 20%`, `page exhausted within 3d` or `ticket drop 10% within 1d`";
        report.error(
            at,
            format!("budget alert `{}`: {what}", shorten(part)),
            Some(hint.to_owned()),
        );
    };
    let (name, rest) = match part.split_once(':') {
        Some((name, rest)) => match name.trim().parse::<TierName>() {
            Ok(name) => (Some(name), rest.trim()),
            Err(error) => {
                wrong(error.to_string(), report);
                return None;
            }
        },
        None => (None, part),
    };
    let (severity, rule) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let Ok(severity) = severity.parse::<Severity>() else {
        let expected = quoted(&["page", "ticket"]);
        wrong(
            format!("`{severity}` is no severity, expected {expected}"),
            report,
        );
        return None;
    };
    match rule.parse::<BudgetRule>() {
        Ok(rule) => draft(name, severity, rule, at, report),
        Err(_) => {
            wrong(format!("`{}` is no rule", shorten(rule.trim())), report);
            None
        }
    }
}

fn draft(
    name: Option<TierName>,
    severity: Severity,
    rule: BudgetRule,
    at: Position,
    report: &mut Report,
) -> Option<BudgetAlertDraft> {
    let (least, most) = (Decimal::ZERO, Decimal::ONE);
    let wrong = match rule {
        BudgetRule::Remaining(share) if share < least || share >= most => {
            Some(("remaining", share, "0 % up to below 100 %"))
        }
        BudgetRule::Drop { share, .. } if share <= least || share > most => {
            Some(("drop", share, "above 0 % and at most 100 %"))
        }
        _ => None,
    };
    if let Some((what, share, expected)) = wrong {
        let message = format!("`{what}` is {}, expected {expected}", in_percent(share));
        report.error(at, message, None);
        return None;
    }
    let name = match name.map_or_else(|| rule.default_name().parse(), Ok) {
        Ok(name) => name,
        Err(error) => {
            report.error(
                at,
                format!("budget alert: {error}"),
                Some("give it a `name`".to_owned()),
            );
            return None;
        }
    };
    let alert = BudgetAlert { name, severity, rule };
    Some(BudgetAlertDraft { alert, at })
}

/// What is left of the list without the mistakes.
fn check_list(
    drafts: Vec<Option<BudgetAlertDraft>>,
    at: Position,
    report: &mut Report,
) -> Vec<BudgetAlertDraft> {
    if drafts.is_empty() {
        let hint = "remove it: there are none unless one is stated".to_owned();
        report.error(at, "the list of budget alerts is empty", Some(hint));
    }
    if drafts.len() > BUDGET_ALERTS_MAX {
        let message = format!(
            "{} budget alerts, at most {BUDGET_ALERTS_MAX} are evaluated",
            drafts.len()
        );
        report.error(at, message, Some("remove some".to_owned()));
    }
    drafts.into_iter().flatten().take(BUDGET_ALERTS_MAX).collect()
}

/// Checks stated alerts against the period, the slices and the tiers they share their names with, as far as these
/// could be read.
pub(super) fn build(
    drafts: &[BudgetAlertDraft],
    period: Option<Duration>,
    budgeting: Option<Budgeting>,
    tiers: &[Tier],
    report: &mut Report,
) -> Vec<BudgetAlert> {
    let mut taken: HashSet<&str> = tiers.iter().map(|tier| tier.name.as_str()).collect();
    let mut alerts = Vec::new();
    for BudgetAlertDraft { alert, at } in drafts {
        if [FAST_PAGE, DATA_OUTAGE].contains(&alert.name.as_str()) {
            let message = format!(
                "`{}` is no budget alert's name: slowburn has one of it",
                alert.name
            );
            report.error(*at, message, Some("give this one another name".to_owned()));
        }
        if !taken.insert(alert.name.as_str()) {
            let message = format!("two alerts of the objective are named `{}`", alert.name);
            let hint = "give this one a name of its own".to_owned();
            report.error(*at, message, Some(hint));
        }
        if check_span(alert, period, budgeting, *at, report) {
            alerts.push(alert.clone());
        }
    }
    alerts
}

fn check_span(
    alert: &BudgetAlert,
    period: Option<Duration>,
    budgeting: Option<Budgeting>,
    at: Position,
    report: &mut Report,
) -> bool {
    let Some(window) = alert.rule.look_back() else {
        return true;
    };
    let (name, spell) = (&alert.name, duration::format);
    let stated = alert.rule.horizon().unwrap_or(window);
    if stated.subsec_nanos() != 0 || window < Duration::from_secs(2) {
        let least = if alert.rule.horizon().is_some() {
            "8s"
        } else {
            "2s"
        };
        let message = format!(
            "budget alert `{name}`: `{}` is no span of whole seconds, at least `{least}`",
            spell(stated)
        );
        report.error(at, message, None);
        return false;
    }
    if let Some(period) = period.filter(|period| stated > *period) {
        let message = format!(
            "budget alert `{name}`: `{}` is longer than the period `{}`",
            spell(stated),
            spell(period)
        );
        let hint = "look back on a part of the period".to_owned();
        report.error(at, message, Some(hint));
        return false;
    }
    let step = budgeting.and_then(Budgeting::slice).unwrap_or(report.ledger.slot);
    if window < 2 * step {
        let message = format!(
            "budget alert `{name}` looks back `{}`, less than two of the steps of `{}` that are counted",
            spell(window),
            spell(step)
        );
        let hint = "a rule that looks ahead looks back on a quarter of its time".to_owned();
        report.warning(at, message, Some(hint));
    }
    true
}

/// As the annotation spells them.
pub(super) fn spell(alerts: &[BudgetAlert]) -> String {
    alerts
        .iter()
        .map(|BudgetAlert { name, severity, rule }| {
            if name.as_str() == rule.default_name() {
                format!("{severity} {rule}")
            } else {
                format!("{name}: {severity} {rule}")
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}
