//! Makes runbooks of OpenSLO's alert policies: one for each notification target, which tells it of their tiers.
//!
//! In: whom the definitions tell of what; that each target exists has been checked there. Out: runbooks that only page.

use std::collections::BTreeMap;

use slo_engine::definitions::{Definitions, Diagnostics, Report};

use super::{API_VERSION, Action, Guards, On, Page, Runbook, Verify};
use crate::run::Mode;

pub(super) fn runbooks(definitions: &Definitions, found: &mut Diagnostics) -> Vec<Runbook> {
    let mut by_target: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for told in &definitions.notified {
        let tiers = by_target.entry(&told.target).or_default();
        tiers.push((told.objective.clone(), told.tier.clone()));
    }
    by_target
        .into_iter()
        .map(|(target, tiers)| {
            let name = format!("openslo-{target}");
            refuse_second(&name, target, definitions, found);
            Runbook {
                name,
                description: format!("tells `{target}` of what alert policies name it for"),
                on: On {
                    tiers,
                    ..On::default()
                },
                mode: Mode::Active,
                guards: Guards::default(),
                steps: vec![Action::Page(Page {
                    target: target.to_owned(),
                    summary: None,
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
