//! The `objectives` of an OpenSLO SLO: what each promises, and what it is called.
//!
//! In: the list. Out: one [`Stated`] an item. One objective has the SLO's name. Several have a name each,
//! `SLO-DISPLAYNAME`, since history, alerts and silences are kept by it; an item without a `displayName` is
//! named by its place, with a warning. Where each has an indicator, they are the parts of a composite.

use super::budgeting::Slices;
use super::composite;
use super::document::{Envelope, Place, slug};
use super::draft::Comparison;
use super::indicator::IndicatorKeys;
use super::node::{Node, Position, Report, shorten};
use super::ratio;
use super::report::OBJECTIVE;
use crate::composite::Weight;
use crate::objective::{ObjectiveName, Target};

/// One item of `objectives`.
pub(super) struct Stated<'a> {
    /// `None` where the name is a mistake, which has been reported.
    pub name: Option<ObjectiveName>,
    pub place: Place,
    pub display_name: String,
    /// `None` for a mistake, which has been reported.
    pub target: Option<Target>,
    pub comparison: Option<Comparison>,
    pub slices: Slices<'a>,
    pub indicator: IndicatorKeys<'a>,
    /// With the place of its key; `None` within for a mistake.
    pub weight: Option<(Option<Weight>, Position)>,
}

pub(super) fn read<'a>(node: &'a Node, slo: &Envelope<'_>, report: &mut Report) -> Vec<Stated<'a>> {
    let Some(items) = node.list("objectives", report) else {
        report.unread.one_of(OBJECTIVE);
        return Vec::new();
    };
    if items.is_empty() {
        let hint = "write `objectives: [{target: 0.999}]`".to_owned();
        report.error(
            node.at,
            "`objectives` is empty, expected at least one",
            Some(hint),
        );
    }
    let only = items.len() == 1;
    let read = |(index, item)| {
        let number = (!only).then_some(index + 1);
        objective(item, slo, number, report)
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// `number` counts from 1 where there are several.
fn objective<'a>(
    node: &'a Node,
    slo: &Envelope<'_>,
    number: Option<usize>,
    report: &mut Report,
) -> Option<Stated<'a>> {
    let Some(mut fields) = node.fields("objective", report) else {
        report.unread.one_of(OBJECTIVE);
        return None;
    };
    let display_name = fields
        .optional("displayName")
        .and_then(|n| Some((n.text("displayName", report)?, n.at)));
    let target = fields.optional("target");
    let percent = fields.optional("targetPercent");
    let op = fields.optional("op");
    let value = fields.optional("value");
    let slices = Slices::take(&mut fields);
    let indicator = IndicatorKeys::take(&mut fields);
    let weight = fields.optional("compositeWeight");
    let weight_at = fields.key_at("compositeWeight");
    let at = fields.at();
    fields.finish(report);
    let comparison = comparison(op, value, report);
    let weight = weight.map(|n| (composite::weight(n, report), weight_at.unwrap_or(n.at)));
    let target = match (target, percent) {
        (Some(target), None) => ratio::openslo_target(target, report),
        (None, Some(percent)) => ratio::openslo_target_percent(percent, report),
        (Some(_), Some(percent)) => {
            report.error(
                percent.at,
                "objective has both `target` and `targetPercent`",
                Some("remove one".to_owned()),
            );
            None
        }
        (None, None) => {
            let hint = "write `target: 0.999` or `targetPercent: 99.9`".to_owned();
            report.error(at, "objective has no `target`", Some(hint));
            None
        }
    };
    let (name, at) = name(slo, display_name, number, at, report);
    let title = slo.display_name.unwrap_or(slo.name);
    Some(Stated {
        name,
        place: Place {
            file: slo.file.to_owned(),
            at,
        },
        display_name: match (display_name, number) {
            (Some((own, _)), Some(_)) => format!("{title} {own}"),
            (None, Some(number)) => format!("{title} {number}"),
            (Some((own, _)), None) => slo.display_name.unwrap_or(own).to_owned(),
            (None, None) => title.to_owned(),
        },
        target,
        comparison,
        slices,
        indicator,
        weight,
    })
}

fn name(
    slo: &Envelope<'_>,
    display_name: Option<(&str, Position)>,
    number: Option<usize>,
    at: Position,
    report: &mut Report,
) -> (Option<ObjectiveName>, Position) {
    let Some(number) = number else {
        let name = slo.name.parse().ok();
        if name.is_none() {
            report.unread.one_of(OBJECTIVE);
        }
        return (name, slo.name_at);
    };
    let at = display_name.map_or(at, |(_, at)| at);
    if slo.name.is_empty() {
        report.unread.one_of(OBJECTIVE);
        return (None, at);
    }
    let text = one_of_several(slo.name, display_name.map(|(text, _)| text), number, at, report);
    match text.parse() {
        Ok(name) => (Some(name), at),
        Err(error) => {
            let hint = "shorten `displayName` or the SLO's `name`: several objectives are named by both";
            report.error(at, format!("{error}"), Some(hint.to_owned()));
            report.unread.one_of(OBJECTIVE);
            (None, at)
        }
    }
}

/// What one of several objectives of an SLO is called; `number` counts from 1.
pub(super) fn one_of_several(
    slo: &str,
    display_name: Option<&str>,
    number: usize,
    at: Position,
    report: &mut Report,
) -> String {
    if let Some(own) = display_name.map(slug).filter(|own| !own.is_empty()) {
        return format!("{slo}-{own}");
    }
    let name = format!("{slo}-{number}");
    let hint = "give it a `displayName` in Latin letters, which its name is then made of";
    let message = format!(
        "one of several objectives is named `{name}` by its place: moved to another, it would go on with the history there"
    );
    report.warning(at, message, Some(hint.to_owned()));
    name
}

/// What is compared with what is not judged here: only the indicator says whether it means anything.
fn comparison(op: Option<&Node>, value: Option<&Node>, report: &mut Report) -> Option<Comparison> {
    // One that is wrong stands for `lte`, so that it is no second mistake.
    let op_of = |node: &Node, report: &mut Report| -> (String, Position) {
        let text = node.text("op", report).unwrap_or("lte");
        if ["lte", "lt", "gte", "gt"].contains(&text) {
            return (text.to_owned(), node.at);
        }
        let message = format!("`op` is `{}`, expected `lte`", shorten(text));
        report.error(node.at, message, None);
        ("lte".to_owned(), node.at)
    };
    let at = op.or(value).map(|n| n.at)?;
    Some(Comparison {
        value: value.map(|n| (n.decimal("value", report), n.at)),
        op: op.map(|n| op_of(n, report)),
        at,
    })
}
