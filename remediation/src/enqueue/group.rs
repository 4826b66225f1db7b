//! Which alerts have one cause, and are told as one.
//!
//! A runbook has one run a group at a time: who it tells hears once, and of the end when the last of the group is over.

use std::collections::BTreeSet;

use slo_engine::alert::{AlertState, Evidence, Silent, Transition};

/// Objectives that are named to people; more are counted.
const NAMED_MAX: usize = 5;

/// The group of an alert. Those of a service are its incident; missing data is that of whoever is silent, whatever it
/// watches; each alert on a budget is news of its own. Neither keeps an incident of the service open.
pub(super) fn key(transition: &Transition) -> String {
    let service = &transition.service;
    match &transition.evidence {
        Evidence::Windows(_) | Evidence::Sequential(_) => service.to_string(),
        Evidence::Budget(_) => format!("budget/{}/{}", transition.objective, transition.tier),
        Evidence::Coverage(_) => match silent(transition) {
            Some(silent) => format!("silent/{}", silent.source),
            None => format!("data-outage/{service}"),
        },
    }
}

/// The host whose silence its group has in common.
pub(super) fn silent_host(transition: &Transition) -> Option<&str> {
    silent(transition).map(|silent| silent.host.as_str())
}

/// The source that a lack of data is put down to: whoever has been silent for the longest.
fn silent(transition: &Transition) -> Option<&Silent> {
    match &transition.evidence {
        Evidence::Coverage(watched) => watched.silent.first(),
        _ => None,
    }
}

/// Those of one evaluation that fire in the same group.
pub(super) fn firing_with<'a>(
    transition: &'a Transition,
    transitions: &'a [Transition],
) -> impl Iterator<Item = &'a Transition> {
    let key = key(transition);
    transitions
        .iter()
        .filter(move |one| one.to == AlertState::Firing && self::key(one) == key)
}

/// Who lacks data, of the alerts that fire together: one sentence for all.
pub(super) fn lacks_data(group: &[&Transition]) -> String {
    let (mut objectives, mut services) = (BTreeSet::new(), BTreeSet::new());
    for transition in group {
        objectives.insert(transition.objective.as_str());
        services.insert(transition.service.as_str());
    }
    let mut named: Vec<String> = objectives
        .iter()
        .take(NAMED_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    if objectives.len() > NAMED_MAX {
        named.push(format!("{} more", objectives.len() - NAMED_MAX));
    }
    let last = named.pop().unwrap_or_default();
    let names = if named.is_empty() {
        last
    } else {
        format!("{} and {last}", named.join(", "))
    };
    format!(
        "{} objectives of {} lack data, {names}: nothing else of them resolves, and only fast pages fire",
        objectives.len(),
        match services.len() {
            1 => "one service".to_owned(),
            many => format!("{many} services"),
        }
    )
}
