//! Makes runbooks of OpenSLO's alert policies: one for each notification target, which tells it of their tiers, and another
//! of those of whose end it is not told, since a run tells of one end for all of its alerts.
//!
//! In: whom the definitions tell of what; that each target exists has been checked there. Out: runbooks that only page.

use std::collections::BTreeMap;

use slo_engine::definitions::{Definitions, Diagnostics, Report};

use super::{API_VERSION, Action, Guards, On, Page, Runbook, Verify};
use crate::run::Mode;

pub(super) fn runbooks(definitions: &Definitions, found: &mut Diagnostics) -> Vec<Runbook> {
    let mut by_target: BTreeMap<(&str, bool), Vec<_>> = BTreeMap::new();
    for told in &definitions.notified {
        let tiers = by_target.entry((&told.target, !told.when_resolved)).or_default();
        tiers.push((told.objective.clone(), told.tier.clone()));
    }
    by_target
        .into_iter()
        .map(|((target, is_end_untold), tiers)| {
            // With a dot, so that no other target's has this name.
            let (name, end) = if is_end_untold {
                (format!("openslo.firing-{target}"), ", not of its end")
            } else {
                (format!("openslo-{target}"), "")
            };
            refuse_second(&name, target, definitions, found);
            Runbook {
                name,
                description: format!("tells `{target}` of what alert policies name it for{end}"),
                on: On {
                    tiers,
                    ..On::default()
                },
                mode: Mode::Active,
                guards: Guards::default(),
                steps: vec![Action::Page(Page {
                    target: target.to_owned(),
                    summary: None,
                    is_end_untold,
                })],
                verify: Verify::default(),
            }
        })
        .collect()
}

/// Runs are kept by the runbook's name.
fn refuse_second(name: &str, target: &str, definitions: &Definitions, found: &mut Diagnostics) {
    let runbooks = definitions.other.iter();
    let mut runbooks = runbooks.filter(|d| d.api_version == API_VERSION && d.kind == "Runbook");
    if let Some(document) = runbooks.find(|d| d.name == name) {
        let mut report = Report::new(&document.file);
        let message = format!("runbook `{name}` has the name of what alert policies make for `{target}`");
        report.error(document.node.at, message, Some("give it another name".to_owned()));
        found.extend(report.into_diagnostics());
    }
}
