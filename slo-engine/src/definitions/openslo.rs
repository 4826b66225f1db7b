//! OpenSLO v1: Service, SLO and SLI; and what is said to those who bring the other kinds.
//!
//! In: one document. Out: the same drafts that short forms make.

use super::alerting::{Alerting, ByPolicy};
use super::budgeting::{self, Method};
use super::composite::{self, CompositeDraft};
use super::document::{Envelope, OPENSLO, own_annotations};
use super::draft::{
    About, IndicatorDraft, ObjectiveDraft, ServiceDraft, check_match, check_timeout, description,
};
use super::fast_page::FastPageDraft;
use super::indicator::{self, Indicator, IndicatorKeys};
use super::metric_source::Sources;
use super::node::{Position, Report, shorten};
use super::report::OBJECTIVE;
use super::{
    Notified, budget_alerts, data_outage, dependencies, evidence, fast_page, objectives, ownership, tiers,
};
use crate::composite::{Part, Weight};
use crate::duration;
use crate::evaluate::{DATA_OUTAGE, MissingData};
use crate::measurement::{Route, ServiceName};
use crate::objective::ObjectiveName;
use crate::service::{EndpointMatch, LongPoll};

/// Reads a Service. Its endpoints are in annotations, since OpenSLO has no place for them.
pub(super) fn service(envelope: &Envelope<'_>, report: &mut Report) -> Option<ServiceDraft> {
    let known = [
        "slowburn/match",
        "slowburn/routes",
        "slowburn/timeout",
        "slowburn/long-poll",
        "slowburn/depends-on",
    ];
    let [matched, routed, timed, waiting, needed] = own_annotations(envelope.annotations, known, report);
    let fields = envelope
        .spec
        .and_then(|spec| spec.fields(&format!("spec of {}", envelope.title()), report));
    let about = match fields {
        Some(mut fields) => {
            let about = description(fields.optional("description"), report);
            fields.finish(report);
            about
        }
        None => String::new(),
    };
    let mut matches = Vec::new();
    for (item, at) in items(matched) {
        match item.parse::<EndpointMatch>() {
            Ok(found) => matches.extend(check_match(found, at, report).map(|found| (found, at))),
            Err(error) => {
                let hint = "expected `port:8080`, `cgroup:system.slice/web.service`, `unit:web`, `container:web`, `kubernetes:namespace=shop;label.app=web` or `executable:nginx`, separated by commas";
                report.error(at, format!("`slowburn/match`: {error}"), Some(hint.to_owned()));
            }
        }
    }
    let routes = routes("slowburn/routes", routed, report);
    let long_poll = match waiting {
        None | Some(("false", _)) => LongPoll::None,
        Some(("true", _)) => LongPoll::All,
        waiting => LongPoll::Routes(self::routes("slowburn/long-poll", waiting, report)),
    };
    let depends_on = items(needed)
        .filter_map(|(item, at)| dependencies::read_annotated(item, at, report))
        .collect();
    let timeout = timed.and_then(|(text, at)| match duration::parse(text) {
        Ok(timeout) => check_timeout(timeout, at, report),
        Err(error) => {
            report.error(at, format!("`slowburn/timeout`: {error}"), None);
            None
        }
    });
    Some(ServiceDraft {
        name: envelope.name.parse().ok()?,
        place: envelope.place(),
        api_version: OPENSLO,
        about: About {
            display_name: envelope.display_name.map(str::to_owned),
            description: about,
        },
        matches,
        routes,
        timeout,
        long_poll,
        depends_on,
    })
}

fn routes(name: &str, annotation: Option<(&str, Position)>, report: &mut Report) -> Vec<Route> {
    let mut routes = Vec::new();
    for (item, at) in items(annotation) {
        match item.parse() {
            Ok(route) => routes.push(route),
            Err(error) => report.error(at, format!("`{name}`: {error}"), None),
        }
    }
    routes
}

fn items(annotation: Option<(&str, Position)>) -> impl Iterator<Item = (&str, Position)> {
    annotation
        .into_iter()
        .flat_map(|(text, at)| text.split([',', '\n']).map(move |item| (item.trim(), at)))
        .filter(|(item, _)| !item.is_empty())
}

/// Reads an SLI.
pub(super) fn sli(envelope: &Envelope<'_>, sources: &Sources<'_>, report: &mut Report) -> Option<Indicator> {
    own_annotations(envelope.annotations, [], report);
    let Some(spec) = envelope.spec else {
        envelope.spec(report);
        return None;
    };
    indicator::read(spec, &envelope.title(), sources, report)
}

/// Reads an SLO. A part with a mistake is left open in the drafts, or stands for one that cannot be a second mistake.
pub(super) fn slo(
    envelope: &Envelope<'_>,
    sources: &Sources<'_>,
    alerting: &Alerting<'_>,
    report: &mut Report,
) -> Option<Slo> {
    let known = [
        "slowburn/tiers",
        "slowburn/fast-page",
        "slowburn/budget-alerts",
        "slowburn/data-outage",
        "slowburn/evidence",
        "slowburn/owner",
        "slowburn/runbook-url",
    ];
    let [
        tiers,
        fast_page,
        budget_alerts,
        missing_data,
        evidence,
        owner,
        runbook_url,
    ] = own_annotations(envelope.annotations, known, report);
    let ownership = ownership::read_annotations(owner, runbook_url, report).unwrap_or_default();
    let Some(mut fields) = envelope.spec(report) else {
        report.unread.one_of(OBJECTIVE);
        return None;
    };
    let about = description(fields.optional("description"), report);
    let service = fields
        .required_such_as("service", "service: checkout", report)
        .and_then(|n| Some((n.parse::<ServiceName>("service", report)?, n.at)));
    let method = fields
        .required_such_as("budgetingMethod", "budgetingMethod: Occurrences", report)
        .and_then(|n| Some((budgeting::method(n, report)?, n.at)));
    let period = match fields.optional("timeWindow") {
        Some(node) => budgeting::time_window(node, report),
        None => {
            let hint = "write `timeWindow: [{duration: 30d, isRolling: true}]`".to_owned();
            report.error(
                fields.at(),
                format!("{} has no `timeWindow`", envelope.title()),
                Some(hint),
            );
            None
        }
    };
    let keys = IndicatorKeys::take(&mut fields);
    let at = fields.at();
    let is_composite = composite::is_stated(fields.optional("objectives"));
    let stated = match fields.required_such_as("objectives", "objectives: [{target: 0.999}]", report) {
        Some(node) => objectives::read(node, envelope, report),
        None => {
            report.unread.one_of(OBJECTIVE);
            Vec::new()
        }
    };
    let policies = fields.optional("alertPolicies");
    let policies_at = fields.key_at("alertPolicies");
    fields.finish(report);
    let by_policy = policies.and_then(|node| alerting.tiers(node, report));
    let (by_policy, tells) = match by_policy {
        Some(ByPolicy { tiers, tells }) => (Some(tiers), tells),
        None => (None, Vec::new()),
    };
    if let (Some(_), Some(at), Some(_)) = (&by_policy, policies_at, tiers) {
        let message = "tiers are stated twice: by `alertPolicies`, and by the annotation `slowburn/tiers`";
        report.error(at, message, Some("remove one of them".to_owned()));
    }
    let tiers = tiers.map_or(by_policy, |(text, at)| {
        Some(tiers::read_annotation(text, at, report))
    });
    let fast_page = fast_page
        .map(|(text, at)| fast_page::read_annotation(text, at, report).unwrap_or(FastPageDraft::Off));
    let budget_alerts = budget_alerts
        .map(|(text, at)| budget_alerts::read_annotation(text, at, report))
        .unwrap_or_default();
    let missing_data = missing_data.and_then(|(text, at)| data_outage::read_annotation(text, at, report));
    let tells_of_data = tells.iter().any(|told| told.tier.as_str() == DATA_OUTAGE);
    if let (true, Some(MissingData { outage: None, .. }), Some(at)) =
        (tells_of_data, missing_data, policies_at)
    {
        let message = "`alertWhenNoData` tells nobody: the annotation `slowburn/data-outage` is `off`";
        report.warning(at, message, Some("remove one of them".to_owned()));
    }
    let evidence = evidence.and_then(|(text, at)| evidence::read_annotation(text, at, report));

    let indicators = if is_composite {
        indicators(keys, &stated, sources, report)
    } else {
        vec![indicator(keys, at, &stated, envelope, sources, report); stated.len()]
    };
    let budgetings: Vec<_> = stated
        .iter()
        .map(|stated| method.and_then(|(method, _)| stated.slices.budgeting(method, report)))
        .collect();
    let is_whole = is_composite && stated.len() > 1;
    let is_kept = match method {
        Some((method, at)) if is_whole => {
            composite::check_count(stated.len(), at, report)
                && (method != Method::Timeslices || composite::check_slices(&stated, &budgetings, report))
        }
        _ => true,
    };
    let counts_slices = matches!(method, Some((Method::Timeslices, _)));
    let parts: Option<Vec<_>> = stated
        .iter()
        .map(|stated| {
            let weight = match stated.weight {
                Some((weight, _)) if !counts_slices => weight?,
                _ => Weight::default(),
            };
            Some(Part {
                objective: stated.name.clone()?,
                weight,
            })
        })
        .collect();
    let whole = || {
        Some(CompositeDraft {
            name: envelope.name.parse().ok()?,
            place: envelope.place(),
            service: service.clone().map(|(name, _)| name),
            display_name: envelope.display_name.unwrap_or(envelope.name).to_owned(),
            description: about.clone(),
            ownership: ownership.clone(),
            period,
            parts: parts.filter(|_| is_kept),
            tiers: tiers.clone(),
            fast_page,
            budget_alerts: budget_alerts.clone(),
            missing_data,
            evidence,
        })
    };
    let composite = is_whole.then(whole).flatten();
    let alerting: Vec<ObjectiveName> = match &composite {
        Some(whole) => vec![whole.name.clone()],
        None if is_whole => Vec::new(),
        None => stated.iter().filter_map(|stated| stated.name.clone()).collect(),
    };
    let notified = alerting.into_iter().flat_map(|objective| {
        tells.iter().map(move |told| Notified {
            objective: objective.clone(),
            tier: told.tier.clone(),
            target: told.target.clone(),
            when_resolved: told.when_resolved,
        })
    });
    let notified = notified.collect();
    // Parts alert nobody: the whole does.
    let (tiers, fast_page, budget_alerts, missing_data, evidence) = if is_whole {
        (Some(Vec::new()), Some(FastPageDraft::Off), Vec::new(), None, None)
    } else {
        (tiers, fast_page, budget_alerts, missing_data, evidence)
    };
    let draft = |((stated, budgeting), indicator): ((objectives::Stated<'_>, _), _)| {
        Some(ObjectiveDraft {
            name: stated.name?,
            place: stated.place,
            service: service.clone(),
            display_name: stated.display_name,
            description: about.clone(),
            ownership: ownership.clone(),
            target: stated.target,
            period,
            budgeting,
            indicator,
            comparison: stated.comparison,
            tiers: tiers.clone(),
            fast_page,
            budget_alerts: budget_alerts.clone(),
            missing_data,
            evidence,
        })
    };
    let each = stated.into_iter().zip(budgetings).zip(indicators);
    Some(Slo {
        objectives: each.filter_map(draft).collect(),
        composite,
        notified,
    })
}

/// What one SLO says: an objective, several of one indicator, or a composite and its parts.
#[derive(Debug, Default)]
pub(super) struct Slo {
    pub objectives: Vec<ObjectiveDraft>,
    pub composite: Option<CompositeDraft>,
    pub notified: Vec<Notified>,
}

/// The indicator of an SLO that is no composite.
fn indicator(
    keys: IndicatorKeys<'_>,
    at: Position,
    stated: &[objectives::Stated<'_>],
    envelope: &Envelope<'_>,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Option<IndicatorDraft> {
    if keys.at().is_none() {
        let hint = "expected `indicator` or `indicatorRef` in `spec`, or in every objective of a composite";
        report.error(
            at,
            format!("{} has no indicator", envelope.title()),
            Some(hint.to_owned()),
        );
    }
    for at in stated.iter().filter_map(|stated| stated.weight.map(|(_, at)| at)) {
        let message = "`compositeWeight` belongs to composites, and this SLO has one indicator";
        let hint = "remove it, or move the indicator into every objective".to_owned();
        report.error(at, message, Some(hint));
    }
    keys.draft(&envelope.title(), sources, report)
}

/// The indicator of each objective of a composite.
fn indicators(
    keys: IndicatorKeys<'_>,
    stated: &[objectives::Stated<'_>],
    sources: &Sources<'_>,
    report: &mut Report,
) -> Vec<Option<IndicatorDraft>> {
    if let Some(at) = keys.at() {
        let message = "the SLO has an indicator, and so have its objectives";
        let hint = "move it into every objective for a composite, or remove theirs".to_owned();
        report.error(at, message, Some(hint));
    }
    if let [only] = stated
        && let Some((_, at)) = only.weight
    {
        let message = "`compositeWeight` is not used: this SLO has one objective, which has all the weight";
        let hint = "remove it, or add the other objectives of a composite".to_owned();
        report.warning(at, message, Some(hint));
    }
    let indicator = |stated: &objectives::Stated<'_>| {
        if stated.indicator.at().is_none() && keys.at().is_none() {
            let message = "this objective has no indicator, but others of its SLO do";
            let hint = "every objective of a composite has one".to_owned();
            report.error(stated.place.at, message, Some(hint));
        }
        stated.indicator.draft("objective", sources, report)
    };
    stated.iter().map(indicator).collect()
}

/// DataSources of type `slowburn` may be named by metric sources; others measure what slowburn does not.
/// `Some` is the name of one of ours.
pub(super) fn data_source<'a>(envelope: &Envelope<'a>, report: &mut Report) -> Option<&'a str> {
    let Some(mut fields) = envelope.spec(report) else {
        return Some(envelope.name);
    };
    let kind = fields.required("type", report);
    fields
        .optional("connectionDetails")
        .and_then(|n| n.fields("connectionDetails", report));
    description(fields.optional("description"), report);
    fields.finish(report);
    // Where the type is a mistake, a reference to it is none.
    let (Some(kind), Some(text)) = (kind, kind.and_then(|n| n.text("type", report))) else {
        return Some(envelope.name);
    };
    if text == "slowburn" {
        return Some(envelope.name);
    }
    let hint =
        "slowburn measures in the kernel; `metricSource: {type: slowburn, spec: {..}}` needs no DataSource";
    report.warning(
        kind.at,
        format!("a DataSource of type `{}` is not used", shorten(text)),
        Some(hint.to_owned()),
    );
    None
}
