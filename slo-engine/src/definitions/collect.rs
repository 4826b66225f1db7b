//! Puts what the documents say together: references, duplicates, and what the kernel has to count.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::budget_alerts;
use super::default_tiers::default_tiers;
use super::document::Place;
use super::draft::{IndicatorDraft, ObjectiveDraft, ServiceDraft};
use super::fast_page::{self, FastPageDraft};
use super::indicator::{Counts, Indicator};
use super::node::{Position, Report};
use super::tiers::{self, TierDraft};
use crate::budgeting::Budgeting;
use crate::duration;
use crate::measurement::{Route, ServiceName};
use crate::objective::{Objective, ObjectiveName, Sli, SliKind, Target, Tier, TierNote};
use crate::sequential::FastPage;
use crate::service::{DEFAULT_TIMEOUT, EndpointMatch, LongPoll, THRESHOLD_MAX, WatchedService};

/// Routes that one service may have: each multiplies what the kernel keeps.
pub const ROUTES_MAX: usize = 64;

/// SLIs by name; `None` for one that has mistakes of its own, which is then no dangling reference.
pub(super) type Indicators<'a> = HashMap<&'a str, Option<Indicator>>;

/// Every service, each found by its name at once: a set may have ten thousands.
pub(super) struct Services {
    pub all: Vec<WatchedService>,
    places: HashMap<ServiceName, usize>,
}

impl Services {
    fn of(&mut self, name: &ServiceName) -> Option<&mut WatchedService> {
        self.all.get_mut(*self.places.get(name)?)
    }
}

/// Merges Service documents of one name and refuses an endpoint that two services claim.
pub(super) fn services(drafts: Vec<ServiceDraft>, report: &mut Report) -> Services {
    let mut watched: Vec<(WatchedService, Place, &str)> = Vec::new();
    let mut places: HashMap<ServiceName, usize> = HashMap::new();
    let mut owners: HashMap<EndpointMatch, ServiceName> = HashMap::new();
    for draft in drafts {
        report.switch(&draft.place.file);
        for (matched, at) in &draft.matches {
            match owners.get(matched) {
                Some(owner) if *owner == draft.name => {
                    report.error(
                        *at,
                        format!("`{matched}` is matched twice by service `{owner}`"),
                        Some("remove one of them".to_owned()),
                    );
                }
                Some(owner) => {
                    let message = format!("`{matched}` is matched by service `{owner}` already");
                    report.error(
                        *at,
                        message,
                        Some("match by `cgroup` or `executable` to tell the two apart".to_owned()),
                    );
                }
                None => {
                    owners.insert(matched.clone(), draft.name.clone());
                }
            }
        }
        let matches: Vec<EndpointMatch> = draft.matches.into_iter().map(|(matched, _)| matched).collect();
        let known = places.get(&draft.name).and_then(|place| watched.get_mut(*place));
        if let Some((known, first, form)) = known {
            let both = |what: &str| {
                format!(
                    "{what} of service `{}` are given twice, first in {}",
                    draft.name,
                    show(first)
                )
            };
            let at = draft.place.at;
            // Two documents of one form are reported as such.
            let differ = *form != draft.api_version;
            if differ && !matches.is_empty() && !known.matches.is_empty() {
                report.error(at, both("the endpoints"), Some("keep one of them".to_owned()));
            }
            if differ && known.timeout != DEFAULT_TIMEOUT && draft.timeout.is_some_and(|t| t != known.timeout)
            {
                report.error(
                    at,
                    both("different timeouts"),
                    Some("keep one of them".to_owned()),
                );
            }
            known.matches.extend(matches);
            known.timeout = draft.timeout.unwrap_or(known.timeout);
            add_long_poll(known, draft.long_poll, at, report);
            draft
                .routes
                .into_iter()
                .for_each(|route| add_route(known, route, at, report));
        } else {
            let timeout = draft.timeout.unwrap_or(DEFAULT_TIMEOUT);
            let (routes, thresholds) = (Vec::new(), Vec::new());
            let mut service = WatchedService {
                name: draft.name,
                matches,
                routes,
                thresholds,
                timeout,
                long_poll: LongPoll::None,
            };
            add_long_poll(&mut service, draft.long_poll, draft.place.at, report);
            draft
                .routes
                .into_iter()
                .for_each(|route| add_route(&mut service, route, draft.place.at, report));
            places.insert(service.name.clone(), watched.len());
            watched.push((service, draft.place, draft.api_version));
        }
    }
    Services {
        all: watched.into_iter().map(|(service, ..)| service).collect(),
        places,
    }
}

/// Where something was first defined, for messages in other files.
pub(super) fn show(place: &Place) -> String {
    format!("{}:{}:{}", place.file.display(), place.at.line, place.at.column)
}

/// `other` is what no route takes, so it is never a route to watch.
fn add_route(service: &mut WatchedService, route: Route, at: Position, report: &mut Report) {
    if route == Route::other() || service.routes.contains(&route) {
        return;
    }
    service.routes.push(route);
    if service.routes.len() == ROUTES_MAX + 1 {
        let hint = "a prefix covers every path beneath it".to_owned();
        report.error(
            at,
            format!("service `{}` has more than {ROUTES_MAX} routes", service.name),
            Some(hint),
        );
    }
}

fn add_long_poll(service: &mut WatchedService, more: LongPoll, at: Position, report: &mut Report) {
    if let LongPoll::Routes(routes) = &more {
        for route in routes {
            add_route(service, route.clone(), at, report);
        }
    }
    service.long_poll = match (std::mem::take(&mut service.long_poll), more) {
        (LongPoll::All, _) | (_, LongPoll::All) => LongPoll::All,
        (LongPoll::Routes(mut routes), LongPoll::Routes(more)) => {
            routes.extend(more);
            LongPoll::Routes(routes)
        }
        (LongPoll::None, stated) | (stated, LongPoll::None) => stated,
    };
}

/// Resolves the references of one objective and notes what its service must count for it.
/// `names` are all services that some document defines, mistakes in it or not. Of an objective with a mistake
/// everything else is checked all the same.
pub(super) fn objective(
    draft: ObjectiveDraft,
    indicators: &Indicators<'_>,
    names: &HashSet<&str>,
    services: &mut Services,
    report: &mut Report,
) -> Option<Objective> {
    report.switch(&draft.place.file);
    if let Some((service, at)) = &draft.service {
        check_service(service, *at, names, report);
    }
    let sli = sli(&draft, indicators, report);
    let period = draft.period.map(|period| period.length);
    let (tiers, tier_notes) = tiers(
        draft.tiers.as_deref(),
        &draft.name,
        draft.target,
        period,
        draft.place.at,
        report,
    );
    if let (Some((sli, at)), Some((service, _))) = (&sli, &draft.service) {
        count(sli, *at, service, services, report);
    }
    let fast_page = fast_page(&draft, sli.as_ref().map(|(sli, _)| &sli.kind), report);
    if let Some(slice) = draft.budgeting.and_then(Budgeting::slice) {
        warn_of_short_windows(&tiers, slice, draft.place.at, report);
    }
    let budget_alerts = budget_alerts::build(&draft.budget_alerts, period, draft.budgeting, &tiers, report);
    if let Some(period) = period {
        warn_of_long_period(period, draft.place.at, report);
    }
    let (service, _) = draft.service.filter(|(name, _)| names.contains(name.as_str()))?;
    let period = draft.period?;
    Some(Objective {
        name: draft.name,
        service,
        display_name: draft.display_name,
        description: draft.description,
        ownership: draft.ownership,
        target: draft.target?,
        period: period.length,
        calendar: period.calendar,
        budgeting: draft.budgeting?,
        sli: sli?.0,
        tiers,
        fast_page,
        budget_alerts,
        missing_data: draft.missing_data,
        evidence: draft.evidence,
        tier_notes,
    })
}

fn check_service(service: &ServiceName, at: Position, names: &HashSet<&str>, report: &mut Report) {
    if names.contains(service.as_str()) || report.may_be("Service", service.as_str()) {
        return;
    }
    let hint = match report.nearest(service.as_str(), names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add a document of kind Service named `{service}`"),
    };
    report.error(at, format!("no Service is named `{service}`"), Some(hint));
}

/// What the objective measures, and where that is stated.
fn sli(draft: &ObjectiveDraft, indicators: &Indicators<'_>, report: &mut Report) -> Option<(Sli, Position)> {
    let (indicator, at) = match draft.indicator.as_ref()? {
        IndicatorDraft::Inline(indicator) => (indicator, indicator.at),
        IndicatorDraft::Named(name, at) => (named_indicator(name, *at, indicators, report)?, *at),
    };
    if let (Some((counted, _)), Some((service, _))) = (&indicator.service, &draft.service)
        && counted != service
    {
        let message = format!("the indicator counts service `{counted}`, but the SLO is about `{service}`");
        report.error(
            at,
            message,
            Some("name the same service, or leave `service` out of the metric source".to_owned()),
        );
    }
    let kind = bind(indicator, draft, at, report)?;
    Some((indicator.sli(kind), at))
}

/// Makes a service count what an objective of it measures.
fn count(sli: &Sli, at: Position, service: &ServiceName, services: &mut Services, report: &mut Report) {
    if let Some(service) = services.of(service) {
        if let Some(route) = &sli.route {
            add_route(service, route.clone(), at, report);
        }
        if let SliKind::Latency { clock, threshold } = sli.kind {
            if service.long_poll.takes(sli.route.as_ref()) {
                let message = format!(
                    "the latency of requests that are meant to wait says nothing: `longPoll` of service `{}` takes them",
                    service.name
                );
                let hint = "state their availability, or the latency of another route".to_owned();
                report.error(at, message, Some(hint));
            }
            add_threshold(service, (clock, threshold), at, report);
        }
    }
}

fn fast_page(draft: &ObjectiveDraft, counts: Option<&SliKind>, report: &mut Report) -> Option<FastPage> {
    match (draft.budgeting?, draft.fast_page) {
        (_, stated) if counts == Some(&SliKind::Retransmits) => {
            if let Some(FastPageDraft::On(_)) = stated {
                let message = format!(
                    "objective `{}` has no fast page: it would take segments for lost independently, and they are lost in bursts",
                    draft.name
                );
                let hint = "leave its outages to the tiers".to_owned();
                report.warning(draft.place.at, message, Some(hint));
            }
            None
        }
        (Budgeting::Occurrences, stated) => {
            let target = draft.target?;
            let period = draft.period?.length;
            fast_page::check(stated, period, target, draft.place.at, report);
            fast_page::build(stated, draft.tiers.is_none(), period, target)
        }
        (_, Some(FastPageDraft::On(_))) => {
            let message = "the fast page tests requests one by one, but this budget counts slices of time";
            let hint =
                "remove it, or count requests: no `timeSlices`, or `budgetingMethod: Occurrences`".to_owned();
            report.error(draft.place.at, message, Some(hint));
            None
        }
        (_, Some(FastPageDraft::Off) | None) => None,
    }
}

/// The tiers that are stated, or those by default; as far as target and period could be read.
pub(super) fn tiers(
    stated: Option<&[TierDraft]>,
    name: &ObjectiveName,
    target: Option<Target>,
    period: Option<Duration>,
    at: Position,
    report: &mut Report,
) -> (Vec<Tier>, Vec<TierNote>) {
    if let Some(drafts) = stated {
        return (tiers::build(drafts, target, period, report), Vec::new());
    }
    let (Some(target), Some(period)) = (target, period) else {
        return (Vec::new(), Vec::new());
    };
    let (tiers, notes) = default_tiers(target, period);
    if tiers.is_empty() {
        let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
        let message = format!("objective `{name}` has no alert tier: {}", notes.join("; "));
        report.warning(at, message, Some("state tiers of your own".to_owned()));
    }
    (tiers, notes)
}

/// A window that holds one slice is all good or all bad.
pub(super) fn warn_of_short_windows(tiers: &[Tier], slice: Duration, at: Position, report: &mut Report) {
    for tier in tiers.iter().filter(|tier| tier.short < slice * 2) {
        let message = format!(
            "tier `{}`: the short window `{}` holds less than two slices of `{}`",
            tier.name,
            duration::format(tier.short),
            duration::format(slice)
        );
        let hint = "state tiers with longer windows, or shorten `timeSliceWindow`".to_owned();
        report.warning(at, message, Some(hint));
    }
}

/// What is forgotten is in no budget.
pub(super) fn warn_of_long_period(period: Duration, at: Position, report: &mut Report) {
    let keep = report.ledger.keep;
    if period > keep {
        let (period, keep) = (duration::format(period), duration::format(keep));
        let message =
            format!("the period is `{period}`, but the ledger is kept for `{keep}`: the budget is of that");
        let hint = format!("give `run` at least `--keep-ledger {period}`, or state a shorter period");
        report.warning(at, message, Some(hint));
    }
}

fn named_indicator<'a>(
    name: &str,
    at: Position,
    indicators: &'a Indicators<'_>,
    report: &mut Report,
) -> Option<&'a Indicator> {
    if let Some(found) = indicators.get(name) {
        return found.as_ref();
    }
    if report.may_be("SLI", name) {
        return None;
    }
    let hint = match report.nearest(name, indicators.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add a document of kind SLI with this name, or write the `indicator` inline".to_owned(),
    };
    report.error(
        at,
        format!("no SLI is named `{}`", super::node::shorten(name)),
        Some(hint),
    );
    None
}

/// Gives a threshold metric the threshold of its objective.
fn bind(indicator: &Indicator, draft: &ObjectiveDraft, at: Position, report: &mut Report) -> Option<SliKind> {
    match (&indicator.counts, &draft.comparison) {
        (Counts::Known(kind), None) => Some(kind.clone()),
        (Counts::Known(kind), Some(comparison)) => {
            // OpenSLO's own examples carry `op` beside ratios.
            let what = match (&comparison.op, &comparison.value) {
                (Some(_), Some(_)) => "`op` and `value` are",
                (Some(_), None) => "`op` is",
                (None, _) => "`value` is",
            };
            let message = format!("{what} ignored: the indicator is a ratio");
            report.warning(comparison.at, message, Some("remove what is ignored".to_owned()));
            Some(kind.clone())
        }
        (Counts::LatencyOf(clock), Some(comparison)) => Some(SliKind::Latency {
            clock: *clock,
            threshold: comparison.threshold(report)?,
        }),
        (Counts::LatencyOf(_), None) => {
            let hint = "add `op: lte` and `value: 0.25` (seconds) to the objective".to_owned();
            report.error(
                at,
                "a `thresholdMetric` needs a `value` to be compared with",
                Some(hint),
            );
            None
        }
    }
}

fn add_threshold(
    service: &mut WatchedService,
    threshold: (crate::measurement::Clock, Duration),
    at: Position,
    report: &mut Report,
) {
    if threshold.1 >= service.timeout {
        let message = format!(
            "the threshold `{}` is not below the timeout of service `{}`, `{}`: requests that long have failed",
            duration::format(threshold.1),
            service.name,
            duration::format(service.timeout)
        );
        report.error(at, message, Some("raise the service's `timeout`".to_owned()));
    }
    if service.thresholds.contains(&threshold) {
        return;
    }
    if service.thresholds.len() >= THRESHOLD_MAX {
        let taken: Vec<String> = service
            .thresholds
            .iter()
            .map(|(clock, span)| format!("{clock} {}", duration::format(*span)))
            .collect();
        let hint = format!("use one of those it has: {}", taken.join(", "));
        let message = format!(
            "service `{}` would have more than {THRESHOLD_MAX} latency thresholds, each an exact counter in the kernel",
            service.name
        );
        report.error(at, message, Some(hint));
        return;
    }
    service.thresholds.push(threshold);
    service.thresholds.sort_unstable();
}
