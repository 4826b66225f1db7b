//! Prints definitions as OpenSLO v1, whatever form they were written in.
//!
//! Reading the text gives the same services and objectives again. Default tiers and fast pages are comments, since
//! stating them would make them somebody's own; so is what became of those that do not suit a target.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::default_tiers::{default_name, default_tiers};
use super::metric_source::Segments;
use super::node::{Node, Report};
use super::{Definitions, yaml};
use super::{Notified, budget_alerts, fast_page};
use crate::budgeting::Budgeting;
use crate::composite::Part;
use crate::duration;
use crate::objective::{Objective, SliKind, StatusSet, Tier};
use crate::ownership::Ownership;
use crate::service::{DEFAULT_TIMEOUT, LongPoll, WatchedService};

/// The services and objectives as OpenSLO documents; other kinds are left out.
#[must_use]
pub fn expand(definitions: &Definitions) -> String {
    let mut text = String::new();
    let services = definitions
        .services
        .iter()
        .try_for_each(|s| service(&mut text, s, definitions));
    let objectives = documents(&definitions.objectives)
        .into_iter()
        .try_for_each(|(whole, parts)| objective(&mut text, whole, &parts));
    // Tiers are written by annotations, which no policy can stand beside: who is told is said, not stated.
    let told = definitions.notified.iter().try_for_each(|told| {
        let Notified {
            objective,
            tier,
            target,
            when_resolved,
        } = told;
        let end = if *when_resolved { "" } else { ", not of its end" };
        writeln!(
            text,
            "# `{target}` is told of tier `{tier}` of `{objective}`{end}, by an alert policy"
        )
    });
    // Writing into a `String` cannot fail.
    services
        .and(objectives)
        .and(told)
        .map(|()| text)
        .unwrap_or_default()
}

/// The same documents as one JSON list. JSON has no comments, so default tiers are not in it.
#[must_use]
pub fn expand_json(definitions: &Definitions) -> serde_json::Value {
    let mut report = Report::new(Path::new("expansion"));
    let documents = yaml::parse(&expand(definitions), &mut report);
    documents.iter().map(Node::to_json).collect()
}

/// What each SLO states: an objective, or a composite with its parts, which stands where the first of them does.
fn documents(objectives: &[Objective]) -> Vec<(&Objective, Vec<(&Part, &Objective)>)> {
    let by_name: HashMap<_, _> = objectives.iter().map(|each| (&each.name, each)).collect();
    let mut wholes = HashMap::new();
    let mut parts = HashSet::new();
    for whole in objectives {
        if let SliKind::Composite(of) = &whole.sli.kind {
            let own: Vec<_> = of
                .iter()
                .filter_map(|part| Some((part, *by_name.get(&part.objective)?)))
                .collect();
            parts.extend(own.iter().map(|(_, each)| &each.name));
            if let Some((first, _)) = own.first() {
                wholes.insert(&first.objective, (whole, own));
            }
        }
    }
    objectives
        .iter()
        .filter_map(|each| match wholes.remove(&each.name) {
            Some(whole) => Some(whole),
            None if parts.contains(&each.name) => None,
            None => (!matches!(each.sli.kind, SliKind::Composite(_))).then(|| (each, Vec::new())),
        })
        .collect()
}

fn service(out: &mut String, service: &WatchedService, definitions: &Definitions) -> fmt::Result {
    let about = definitions.about.get(&service.name).cloned().unwrap_or_default();
    let mut annotations = Vec::new();
    if !service.matches.is_empty() {
        annotations.push(("slowburn/match", join(&service.matches)));
    }
    if !service.routes.is_empty() {
        annotations.push(("slowburn/routes", join(&service.routes)));
    }
    if service.timeout != DEFAULT_TIMEOUT {
        annotations.push(("slowburn/timeout", duration::format(service.timeout)));
    }
    match &service.long_poll {
        LongPoll::None => {}
        LongPoll::Routes(routes) => annotations.push(("slowburn/long-poll", join(routes))),
        LongPoll::All => annotations.push(("slowburn/long-poll", "true".to_owned())),
    }
    if let Some(depends_on) = definitions.dependencies.get(&service.name) {
        annotations.push(("slowburn/depends-on", join(depends_on)));
    }
    writeln!(
        out,
        "---\napiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: {}",
        quote(service.name.as_str())
    )?;
    if let Some(display_name) = &about.display_name {
        writeln!(out, "  displayName: {}", quote(display_name))?;
    }
    write_annotations(out, &annotations)?;
    if about.description.is_empty() {
        return writeln!(out, "spec: {{}}");
    }
    writeln!(out, "spec:\n  description: {}", quote(&about.description))
}

fn objective(out: &mut String, objective: &Objective, parts: &[(&Part, &Objective)]) -> fmt::Result {
    let has_own_tiers = objective.tiers != default_tiers(objective.target, objective.period).0;
    writeln!(out, "---")?;
    if !has_own_tiers {
        for default in &objective.tiers {
            writeln!(out, "# {} at {}x", tier(default), default.burn_rate)?;
        }
        objective
            .tier_notes
            .iter()
            .try_for_each(|note| writeln!(out, "# {note}"))?;
    }
    let counts_requests = objective.budgeting == Budgeting::Occurrences && parts.is_empty();
    let pages_by_default = !has_own_tiers && objective.sli.kind != SliKind::Retransmits;
    let default_page = fast_page::build(None, pages_by_default, objective.period, objective.target);
    let has_default_page = objective.fast_page == default_page;
    if let (Some(page), true) = (&objective.fast_page, has_default_page) {
        writeln!(out, "# fast page {}", fast_page::spell(Some(page)))?;
    }
    writeln!(
        out,
        "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: {}",
        quote(objective.name.as_str())
    )?;
    writeln!(out, "  displayName: {}", quote(&objective.display_name))?;
    let mut annotations = Vec::new();
    if has_own_tiers {
        let tiers = objective.tiers.iter().map(tier).collect::<Vec<_>>().join(", ");
        annotations.push(("slowburn/tiers", tiers));
    }
    if counts_requests && !has_default_page {
        annotations.push((
            "slowburn/fast-page",
            fast_page::spell(objective.fast_page.as_ref()),
        ));
    }
    if !objective.budget_alerts.is_empty() {
        let alerts = budget_alerts::spell(&objective.budget_alerts);
        annotations.push(("slowburn/budget-alerts", alerts));
    }
    let Ownership { owner, runbook_url } = &objective.ownership;
    annotations.extend(owner.iter().map(|owner| ("slowburn/owner", owner.to_string())));
    annotations.extend(
        runbook_url
            .iter()
            .map(|url| ("slowburn/runbook-url", url.to_string())),
    );
    if let Some(stated) = &objective.missing_data {
        annotations.push(("slowburn/data-outage", stated.to_string()));
    }
    if let Some(stated) = &objective.evidence {
        annotations.push(("slowburn/evidence", stated.to_string()));
    }
    write_annotations(out, &annotations)?;
    writeln!(out, "spec:\n  service: {}", quote(objective.service.as_str()))?;
    if !objective.description.is_empty() {
        writeln!(out, "  description: {}", quote(&objective.description))?;
    }
    writeln!(out, "  budgetingMethod: {}", objective.budgeting.method())?;
    time_window(out, objective)?;
    writeln!(out, "  objectives:")?;
    if parts.is_empty() {
        asked(out, objective)?;
        return indicator(out, "", objective);
    }
    for (part, each) in parts {
        asked(out, each)?;
        let own = each.display_name.strip_prefix(&objective.display_name);
        let own = own.unwrap_or(&each.display_name).trim_start();
        writeln!(out, "      displayName: {}", quote(own))?;
        if objective.budgeting.slice_target().is_none() {
            writeln!(out, "      compositeWeight: {}", part.weight)?;
        }
        indicator(out, "    ", each)?;
    }
    Ok(())
}

/// An item of `objectives`.
fn asked(out: &mut String, objective: &Objective) -> fmt::Result {
    writeln!(out, "    - target: {}", objective.target)?;
    if let Some(slice) = objective.budgeting.slice() {
        writeln!(out, "      timeSliceWindow: {}", duration::format(slice))?;
    }
    if let Some(target) = objective.budgeting.slice_target() {
        writeln!(out, "      timeSliceTarget: {target}")?;
    }
    Ok(())
}

fn indicator(out: &mut String, indent: &str, objective: &Objective) -> fmt::Result {
    let mut text = format!(
        "indicator:\n  metadata:\n    name: {}\n  spec:\n    ratioMetric:\n      counter: true\n",
        quote(objective.name.as_str())
    );
    let (side, part, total) = match &objective.sli.kind {
        SliKind::Ratio { good, total } => {
            let all = *total == StatusSet::all_by_default();
            let total = if all { Vec::new() } else { status(total) };
            ("good", status(good), total)
        }
        SliKind::Latency { clock, threshold } => ("good", latency(clock.as_str(), *threshold), Vec::new()),
        SliKind::Retransmits => ("bad", segments(Segments::Retransmitted), segments(Segments::Sent)),
        // A part is no composite.
        SliKind::Composite(_) => ("good", Vec::new(), Vec::new()),
    };
    metric_source(&mut text, side, objective, &part)?;
    metric_source(&mut text, "total", objective, &total)?;
    text.lines()
        .try_for_each(|line| writeln!(out, "{indent}  {line}"))
}

fn time_window(out: &mut String, objective: &Objective) -> fmt::Result {
    let Some(calendar) = objective.calendar else {
        return writeln!(
            out,
            "  timeWindow:\n    - duration: {}\n      isRolling: true",
            duration::format(objective.period)
        );
    };
    writeln!(
        out,
        "  timeWindow:\n    - duration: {}\n      isRolling: false\n      calendar:\n        \
         startTime: {}\n        timeZone: {}",
        calendar.every, calendar.starts, calendar.zone
    )
}

fn metric_source(
    out: &mut String,
    part: &str,
    objective: &Objective,
    more: &[(&str, String)],
) -> fmt::Result {
    writeln!(
        out,
        "      {part}:\n        metricSource:\n          type: slowburn\n          spec:"
    )?;
    writeln!(out, "            service: {}", quote(objective.service.as_str()))?;
    writeln!(out, "            role: {}", objective.sli.role)?;
    if let Some(route) = &objective.sli.route {
        writeln!(out, "            route: {}", quote(route.as_str()))?;
    }
    more.iter()
        .try_for_each(|(key, value)| writeln!(out, "            {key}: {value}"))
}

fn status(set: &StatusSet) -> Vec<(&'static str, String)> {
    vec![("status", format!("[{}]", set.words().join(", ")))]
}

fn segments(which: Segments) -> Vec<(&'static str, String)> {
    vec![("segments", which.to_string())]
}

fn latency(clock: &str, threshold: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("clock", clock.to_owned()),
        ("below", duration::format(threshold)),
    ]
}

fn tier(tier: &Tier) -> String {
    let name = match default_name(tier.severity, tier.long) {
        Ok(name) if name == tier.name => String::new(),
        _ => format!("{}: ", tier.name),
    };
    let burn = match tier.budget_share {
        Some(share) => format!("{}%", (share * rust_decimal::Decimal::ONE_HUNDRED).normalize()),
        None => format!("{}x", tier.burn_rate),
    };
    let (long, short) = (duration::format(tier.long), duration::format(tier.short));
    let after = if tier.after.is_zero() {
        String::new()
    } else {
        format!(" after {}", duration::format(tier.after))
    };
    format!("{name}{} {long}+{short} {burn}{after}", tier.severity)
}

fn write_annotations(out: &mut String, annotations: &[(&str, String)]) -> fmt::Result {
    if !annotations.is_empty() {
        writeln!(out, "  annotations:")?;
    }
    annotations
        .iter()
        .try_for_each(|(key, value)| writeln!(out, "    {key}: {}", quote(value)))
}

fn join<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> String {
    items
        .into_iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// JSON's quoted text is YAML's.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
