//! Reads `kind: Runbook`.

mod steps;

use std::time::Duration;

use rust_decimal::Decimal;
use slo_engine::definitions::{
    Definitions, Document, Names, Node, Report, Value, node::nearest, node::quoted,
};
use slo_engine::duration;
use slo_engine::objective::Severity;

use super::step::Action;
use super::{API_VERSION, Guards, On, Runbook, Verify};
use crate::run::Mode;

/// The names that a runbook may refer to.
#[derive(Debug)]
pub(super) struct Known<'a> {
    services: Vec<&'a str>,
    objectives: Vec<&'a str>,
    targets: Vec<&'a str>,
    names: &'a Names,
}

impl<'a> Known<'a> {
    pub(super) fn of(definitions: &'a Definitions) -> Self {
        let names = &definitions.names;
        Self {
            services: names.services.iter().map(String::as_str).collect(),
            objectives: names.objectives.iter().map(|name| name.as_str()).collect(),
            names,
            targets: definitions
                .other
                .iter()
                .filter(|d| d.api_version == API_VERSION && d.kind == "NotificationTarget")
                .map(|d| d.name.as_str())
                .collect(),
        }
    }
}

/// Reads one runbook.
pub(super) fn runbook(document: &Document, known: &Known<'_>, report: &mut Report) -> Option<Runbook> {
    let mut fields = document.node.fields("`Runbook`", report)?;
    for key in ["apiVersion", "kind", "metadata"] {
        fields.optional(key);
    }
    let spec = fields.required("spec", report);
    fields.finish(report);
    let mut spec = spec?.fields("`spec`", report)?;
    let description = spec
        .optional("description")
        .and_then(|node| node.text("description", report));
    let on = spec
        .required("on", report)
        .and_then(|node| read_on(node, known, report));
    let mode = match spec.optional("mode") {
        Some(node) => word(
            "mode",
            node,
            &[("active", Mode::Active), ("shadow", Mode::Shadow)],
            report,
        ),
        None => Some(Mode::Active),
    };
    let guards = match spec.optional("guards") {
        Some(node) => read_guards(node, report),
        None => Some(Guards::default()),
    };
    let verify = match spec.optional("verify") {
        Some(node) => read_verify(node, report),
        None => Some(Verify::default()),
    };
    let steps = spec.required("steps", report);
    let within = verify.as_ref().map(|verify| verify.within);
    let steps = steps.and_then(|node| steps::read_steps(node, known, within, report));
    spec.finish(report);
    let runbook = Runbook {
        name: document.name.clone(),
        description: description.unwrap_or_default().to_owned(),
        on: on?,
        mode: mode?,
        guards: guards?,
        steps: steps?,
        verify: verify?,
    };
    if !runbook.steps.iter().any(|step| matches!(step, Action::Page(_))) {
        report.warning(
            document.node.at,
            format!("runbook `{}` tells nobody when it does not help", runbook.name),
            Some("add a step `page: {target: NAME}`".to_owned()),
        );
    }
    Some(runbook)
}

fn read_on(node: &Node, known: &Known<'_>, report: &mut Report) -> Option<On> {
    let mut fields = node.fields("`on`", report)?;
    let services = fields.optional("services");
    let services = services.and_then(|node| names("services", "Service", node, known, report));
    let objectives = fields.optional("objectives");
    let objectives = objectives.and_then(|node| names("objectives", "objective", node, known, report));
    let severities = Severity::ALL
        .iter()
        .map(|severity| (severity.as_str(), *severity));
    let severities: Vec<(&str, Severity)> = severities.collect();
    let severity = fields
        .optional("severity")
        .and_then(|node| word("severity", node, &severities, report));
    fields.finish(report);
    Some(On {
        services: services.unwrap_or_default(),
        objectives: objectives.unwrap_or_default(),
        severity,
        tiers: Vec::new(),
    })
}

/// Reads a list of names that must be known.
fn names<T>(
    what: &'static str,
    kind: &str,
    node: &Node,
    known: &Known<'_>,
    report: &mut Report,
) -> Option<Vec<T>>
where
    T: std::str::FromStr + AsRef<str>,
    T::Err: std::fmt::Display,
{
    let mut found = Vec::new();
    for item in node.list(what, report)? {
        let Some(name) = item.parse::<T>(what, report) else {
            continue;
        };
        exists(what, (kind, name.as_ref()), item, known, report);
        found.push(name);
    }
    Some(found)
}

fn exists(what: &str, (kind, name): (&str, &str), node: &Node, known: &Known<'_>, report: &mut Report) {
    let names = known.names;
    let known = match kind {
        "Service" => known.services.as_slice(),
        "objective" => known.objectives.as_slice(),
        _ => known.targets.as_slice(),
    };
    if known.contains(&name) || names.may_be(kind, name) {
        return;
    }
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => {
            "none is defined in these files: name those that do, or their directory, as well".to_owned()
        }
        None => format!("defined are {}", quoted(&known[..known.len().min(10)])),
    };
    report.error(
        node.at,
        format!("`{what}` names `{name}`, which is not defined"),
        Some(hint),
    );
}

fn word<T: Copy>(what: &str, node: &Node, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    if let Value::Text(text) = &node.value
        && let Some((_, value)) = words.iter().find(|(word, _)| word == text)
    {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    node.wrong(what, &format!("one of {}", quoted(&known)), None, report);
    None
}

fn read_guards(node: &Node, report: &mut Report) -> Option<Guards> {
    let mut fields = node.fields("`guards`", report)?;
    let standard = Guards::default();
    let cooldown = fields
        .optional("cooldown")
        .map(|node| node.duration("cooldown", report));
    let mut count = |key: &'static str, most: u32, fallback: u32| match fields.optional(key) {
        Some(node) => whole(key, node, 1, most, report),
        None => Some(fallback),
    };
    let runs = count("maxRunsPerHour", 1_000, standard.runs_per_hour_max);
    let attempts = count("maxAttemptsPerIncident", 100, standard.attempts_per_incident_max);
    let floor = count("floor", 1_000_000_000, standard.floor_per_second);
    fields.finish(report);
    Some(Guards {
        cooldown: cooldown.unwrap_or(Some(standard.cooldown))?,
        runs_per_hour_max: runs?,
        attempts_per_incident_max: attempts?,
        floor_per_second: floor?,
    })
}

fn whole(what: &str, node: &Node, least: u32, most: u32, report: &mut Report) -> Option<u32> {
    let number = node.integer(what, least.into(), most.into(), report)?;
    u32::try_from(number).ok()
}

fn read_verify(node: &Node, report: &mut Report) -> Option<Verify> {
    let mut fields = node.fields("`verify`", report)?;
    let standard = Verify::default();
    let within = match fields.optional("within") {
        Some(node) => node.duration("within", report),
        None => Some(standard.within),
    };
    let every = match fields.optional("every") {
        Some(node) => node.duration("every", report),
        None => Some(standard.every),
    };
    let below = match fields.optional("recoveredBelow") {
        Some(node) => positive("recoveredBelow", node, report),
        None => Some(standard.recovered_below),
    };
    fields.finish(report);
    let (within, every) = (within?, every?);
    // The first `every` after acting is left out: what was in flight then still ends badly.
    if every < Duration::from_secs(1) || within < every * 2 {
        report.error(
            node.at,
            format!(
                "`within` is {} and `every` is {}, expected `every` of at least 1s and `within` of at least twice that",
                duration::format(within),
                duration::format(every)
            ),
            None,
        );
        return None;
    }
    Some(Verify {
        within,
        every,
        recovered_below: below?,
    })
}

fn positive(what: &str, node: &Node, report: &mut Report) -> Option<Decimal> {
    let number = node.decimal(what, report)?;
    if number <= Decimal::ZERO {
        node.wrong(what, "a number above 0", None, report);
        return None;
    }
    Some(number)
}
