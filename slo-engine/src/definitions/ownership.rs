//! Owner and runbook of a definition: keys of the short form, or annotations of OpenSLO.

use std::str::FromStr;

use super::node::{Fields, Position, Report};
use crate::ownership::Ownership;

/// Reads `owner` and `runbookUrl`, of a service or of one of its objectives.
pub(super) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Option<Ownership> {
    let mut text = |key, report: &mut Report| {
        fields.optional(key).map_or(Some(None), |node| {
            node.text(key, report).map(|text| Some((text, node.at)))
        })
    };
    let (owner, url) = (text("owner", report), text("runbookUrl", report));
    let owner = owner.and_then(|stated| checked("owner", stated, report));
    let runbook_url = url.and_then(|stated| checked("runbookUrl", stated, report));
    Some(Ownership {
        owner: owner?,
        runbook_url: runbook_url?,
    })
}

/// Reads the annotations of an OpenSLO SLO.
pub(super) fn read_annotations(
    owner: Option<(&str, Position)>,
    runbook_url: Option<(&str, Position)>,
    report: &mut Report,
) -> Option<Ownership> {
    let owner = checked("slowburn/owner", owner, report);
    let runbook_url = checked("slowburn/runbook-url", runbook_url, report);
    Some(Ownership {
        owner: owner?,
        runbook_url: runbook_url?,
    })
}

#[expect(clippy::option_option, reason = "absent and wrong are different things here")]
fn checked<T>(what: &str, stated: Option<(&str, Position)>, report: &mut Report) -> Option<Option<T>>
where
    T: FromStr<Err = crate::name::NameError>,
{
    let Some((text, at)) = stated else {
        return Some(None);
    };
    match text.parse() {
        Ok(value) => Some(Some(value)),
        Err(error) => {
            // Not repeated: an address may hold a password.
            report.error(
                at,
                format!("`{what}` is not as expected: {}", error.expected),
                None,
            );
            None
        }
    }
}
