//! What services depend on, as their definitions say: a page of one inhibits the tickets of those that need it.
//!
//! In: the `dependsOn` of a short form, or an annotation of an OpenSLO Service. Out: services by service. Nothing may
//! depend on itself, by whatever way.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::document::Place;
use super::draft::ServiceDraft;
use super::node::{Node, Position, Report};
use crate::measurement::ServiceName;

/// Services by the service that depends on them.
pub type Dependencies = BTreeMap<ServiceName, BTreeSet<ServiceName>>;

/// Reads `dependsOn`, one service or a list.
pub(super) fn read(node: &Node, report: &mut Report) -> Vec<(ServiceName, Position)> {
    node.one_or_many()
        .iter()
        .filter_map(|item| Some((item.parse("dependsOn", report)?, item.at)))
        .collect()
}

/// One name of the annotation.
pub(super) fn read_annotated(
    text: &str,
    at: Position,
    report: &mut Report,
) -> Option<(ServiceName, Position)> {
    match text.parse() {
        Ok(name) => Some((name, at)),
        Err(error) => {
            report.error(at, format!("`slowburn/depends-on`: {error}"), None);
            None
        }
    }
}

/// Puts the documents together; `names` are all services that some document defines.
pub(super) fn collect(drafts: &[ServiceDraft], names: &HashSet<&str>, report: &mut Report) -> Dependencies {
    let mut found = Dependencies::new();
    let mut places: Vec<(&ServiceName, &ServiceName, Place)> = Vec::new();
    for draft in drafts {
        report.switch(&draft.place.file);
        for (on, at) in &draft.depends_on {
            if !names.contains(on.as_str()) {
                if report.may_be("Service", on.as_str()) {
                    continue;
                }
                let hint = match report.nearest(on.as_str(), names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add a document of kind Service named `{on}`"),
                };
                report.error(*at, format!("no Service is named `{on}`"), Some(hint));
                continue;
            }
            found.entry(draft.name.clone()).or_default().insert(on.clone());
            let place = Place {
                file: draft.place.file.clone(),
                at: *at,
            };
            places.push((&draft.name, on, place));
        }
    }
    for (service, on, place) in places {
        if needs(&found, on, service) {
            report.switch(&place.file);
            let message = if service == on {
                format!("service `{service}` depends on itself")
            } else {
                format!("service `{service}` depends on `{on}`, which depends on `{service}`")
            };
            let hint = "name only what must work first: its page inhibits the tickets of those that need it";
            report.error(place.at, message, Some(hint.to_owned()));
        }
    }
    found
}

/// Whether `service` is, or depends on, `other`.
fn needs(dependencies: &Dependencies, service: &ServiceName, other: &ServiceName) -> bool {
    let mut seen = BTreeSet::from([service]);
    let mut next = vec![service];
    while let Some(service) = next.pop() {
        if service == other {
            return true;
        }
        next.extend(
            dependencies
                .get(service)
                .into_iter()
                .flatten()
                .filter(|on| seen.insert(on)),
        );
    }
    false
}
