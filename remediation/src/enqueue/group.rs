//! Which alerts have one cause, and are told as one.
//!
//! A runbook has one run a group at a time: who it tells hears once, and of the end when the last of the group is over.

use std::collections::BTreeSet;

use slo_engine::alert::{AlertState, Evidence, Silent, Transition};
use slo_engine::objective::ObjectiveName;
use slo_engine::read;
use sqlx::PgConnection;

use crate::error::Error;
use crate::runbook::Runbook;

/// Objectives, or owners, that are named to people; more are counted.
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

/// The alerts of one evaluation that are told in one: of missing data all that fire in the same group, else the one.
pub(super) fn told_of<'a>(
    transition: &'a Transition,
    transitions: &'a [Transition],
    runbook: &Runbook,
) -> Vec<&'a Transition> {
    if !matches!(transition.evidence, Evidence::Coverage(_)) {
        return vec![transition];
    }
    let key = key(transition);
    transitions
        .iter()
        .filter(|one| one.to == AlertState::Firing && self::key(one) == key && runbook.on.matches(one))
        .collect()
}

/// Whose the objectives are that one notification is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Whose {
    /// Everybody's name, where several own them.
    pub owner: Option<String>,
    /// Only one that all of them state: another's would lead nowhere.
    pub runbook_url: Option<String>,
}

pub(super) async fn whose(connection: &mut PgConnection, about: &[&Transition]) -> Result<Whose, Error> {
    let names: Vec<&ObjectiveName> = about.iter().map(|one| &one.objective).collect();
    let ownerships = read::ownerships(connection, &names).await?;
    let owners: BTreeSet<&str> = ownerships
        .iter()
        .filter_map(|each| each.owner.as_ref().map(AsRef::as_ref))
        .collect();
    let urls: BTreeSet<Option<&str>> = ownerships
        .iter()
        .map(|each| each.runbook_url.as_ref().map(AsRef::as_ref))
        .collect();
    Ok(Whose {
        owner: (!owners.is_empty()).then(|| named(&owners, str::to_owned)),
        runbook_url: match urls.into_iter().collect::<Vec<_>>()[..] {
            [url] => url.map(str::to_owned),
            _ => None,
        },
    })
}

/// `a, b and c`; of many, the first few and how many more.
fn named(all: &BTreeSet<&str>, spell: impl Fn(&str) -> String) -> String {
    let mut named: Vec<String> = all.iter().take(NAMED_MAX).map(|name| spell(name)).collect();
    if all.len() > NAMED_MAX {
        named.push(format!("{} more", all.len() - NAMED_MAX));
    }
    let last = named.pop().unwrap_or_default();
    if named.is_empty() {
        last
    } else {
        format!("{} and {last}", named.join(", "))
    }
}

/// Who lacks data, of the alerts that fire together: one sentence for all.
pub(super) fn lacks_data(group: &[&Transition]) -> String {
    let (mut objectives, mut services) = (BTreeSet::new(), BTreeSet::new());
    for transition in group {
        objectives.insert(transition.objective.as_str());
        services.insert(transition.service.as_str());
    }
    let names = named(&objectives, |name| format!("`{name}`"));
    format!(
        "{} objectives of {} lack data, {names}: nothing else of them resolves, and only fast pages fire",
        objectives.len(),
        match services.len() {
            1 => "one service".to_owned(),
            many => format!("{many} services"),
        }
    )
}
