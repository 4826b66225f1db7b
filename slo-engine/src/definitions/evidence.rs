//! How much evidence the alerts of a definition take: in the short form's `alerts`, or in an annotation of OpenSLO.

use rust_decimal::Decimal;

use super::node::{Node, Position, Report, Value, shorten};
use super::ratio::{in_percent, share};
use crate::evaluate::EvidenceGate;

const HINT: &str =
    "write `evidence: off`, or some of `evidence: {page: 1%, ticket: 5%}`; what is left out is as by default";

/// Reads `off`, or `{page, ticket}`.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<EvidenceGate> {
    if !matches!(node.value, Value::Map(_)) {
        if matches!(node.scalar().as_deref(), Some("off" | "false")) {
            return Some(EvidenceGate::Off);
        }
        node.wrong("evidence", "`off` or a mapping", Some(HINT.to_owned()), report);
        return None;
    }
    let mut fields = node.fields("evidence", report)?;
    let mut chance = |key, report: &mut Report| {
        fields.optional(key).map_or(Some(None), |node| {
            check(share(node, key, report)?, node.at, report).map(Some)
        })
    };
    let (page, ticket) = (chance("page", report), chance("ticket", report));
    let at = fields.at();
    if fields.finish(report) && (page, ticket) == (Some(None), Some(None)) {
        report.error(at, "`evidence` states nothing", Some(HINT.to_owned()));
    }
    Some(EvidenceGate::stated(page?, ticket?))
}

/// Reads the annotation of an OpenSLO SLO: `off`, or some of `page 1%, ticket 5%`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Option<EvidenceGate> {
    let Ok(gate) = text.parse() else {
        let hint = "write `off`, or some of `page 1%, ticket 5%`";
        report.error(
            at,
            format!("`slowburn/evidence` is `{}`", shorten(text)),
            Some(hint.to_owned()),
        );
        return None;
    };
    if let EvidenceGate::At { page, ticket } = gate {
        check(page, at, report)?;
        check(ticket, at, report)?;
    }
    Some(gate)
}

fn check(chance: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if (Decimal::new(1, 6)..=Decimal::new(5, 1)).contains(&chance) {
        return Some(chance);
    }
    let message = format!(
        "the chance that counts are none is {}, expected from 0.0001 % to 50 %",
        in_percent(chance)
    );
    let hint = "to let ratios alone decide, write `off`";
    report.error(at, message, Some(hint.to_owned()));
    None
}
