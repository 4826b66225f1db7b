//! The short form: `apiVersion: slowburn/v1`, `kind: Service`.
//!
//! In: one document. Out: the service's endpoints, and one objective for each one it states; the
//! same drafts that OpenSLO documents make.

use super::budget_alerts::{self, BudgetAlertDraft};
use super::budgeting::{self, Period};
use super::data_outage;
use super::dependencies;
use super::document::{Envelope, SLOWBURN, own_annotations};
use super::draft::{
    DEFAULT_PERIOD, IndicatorDraft, ObjectiveDraft, ServiceDraft, check_timeout, description,
};
use super::evidence;
use super::fast_page::{self, FastPageDraft};
use super::indicator::{Counts, Indicator};
use super::matching::endpoint_matches;
use super::metric_source::{below, word};
use super::node::{Fields, Node, Position, Report, Value};
use super::ownership;
use super::tiers::{self, TierDraft};
use super::{document::Place, ratio};
use crate::budgeting::Budgeting;
use crate::duration;
use crate::evaluate::{EvidenceGate, MissingData};
use crate::measurement::{Clock, Role, Route, ServiceName};
use crate::objective::{ObjectiveName, Sli, SliKind, Target};
use crate::ownership::Ownership;
use crate::service::LongPoll;

/// Reads one short-form Service.
pub(super) fn read(
    envelope: &Envelope<'_>,
    report: &mut Report,
) -> (Option<ServiceDraft>, Vec<ObjectiveDraft>) {
    own_annotations(envelope.annotations, [], report);
    let Some(mut fields) = envelope.spec(report) else {
        return (None, Vec::new());
    };
    let matches = fields
        .optional("match")
        .map(|n| endpoint_matches(n, report))
        .unwrap_or_default();
    let routes = fields
        .optional("routes")
        .map(|n| routes(n, report))
        .unwrap_or_default();
    let timeout = fields
        .optional("timeout")
        .and_then(|n| check_timeout(n.duration("timeout", report)?, n.at, report));
    let long_poll = fields
        .optional("longPoll")
        .map(|n| long_poll(n, report))
        .unwrap_or_default();
    let depends_on = fields
        .optional("dependsOn")
        .map(|n| dependencies::read(n, report))
        .unwrap_or_default();
    let window = fields.optional("window");
    let slices = fields.optional("timeSlices");
    let alerts = fields.optional("alerts");
    let objectives = fields.optional("objectives");
    let about = description(fields.optional("description"), report);
    // A mistake in it refuses the file: the rest is read for the sake of its own.
    let ownership = ownership::read(&mut fields, report).unwrap_or_default();
    fields.finish(report);

    let period = match window {
        Some(node) => budgeting::short_window(node, report),
        None => Some(Period::rolling(DEFAULT_PERIOD)),
    };
    let budgeting = match slices {
        Some(node) => budgeting::short_slices(node, report),
        None => Some(Budgeting::Occurrences),
    };
    let alerts = match alerts {
        Some(node) => read_alerts(node, report),
        None => Some(Alerts::default()),
    };
    // Under a name that has been reported the objectives are still read, for the sake of their mistakes.
    let is_named = envelope.name.parse::<ServiceName>().is_ok();
    let stand_in = if is_named { envelope.name } else { "service" };
    let Ok(name) = stand_in.parse::<ServiceName>() else {
        return (None, Vec::new());
    };
    let context = Context {
        service: &name,
        envelope,
        about: &about,
        ownership: &ownership,
    };
    let stated = objectives
        .map(|node| read_objectives(node, &context, report))
        .unwrap_or_default();
    if !is_named {
        return (None, Vec::new());
    }
    let place = envelope.place();
    let drafts = match (period, budgeting, alerts) {
        (Some(period), Some(budgeting), Some(alerts)) => stated
            .into_iter()
            .map(|o| o.draft(&context, period, budgeting, alerts.clone()))
            .collect(),
        _ => Vec::new(),
    };
    (
        Some(ServiceDraft {
            name,
            place,
            api_version: SLOWBURN,
            matches,
            routes,
            timeout,
            long_poll,
            depends_on,
        }),
        drafts,
    )
}

struct Context<'a> {
    service: &'a ServiceName,
    envelope: &'a Envelope<'a>,
    about: &'a str,
    ownership: &'a Ownership,
}

/// An objective as stated, before period and tiers are known to be right.
struct Stated {
    name: ObjectiveName,
    at: Position,
    what: String,
    target: Target,
    sli: Sli,
    ownership: Ownership,
}

impl Stated {
    fn draft(
        self,
        context: &Context<'_>,
        period: Period,
        budgeting: Budgeting,
        alerts: Alerts,
    ) -> ObjectiveDraft {
        let Sli { role, route, kind } = self.sli;
        let title = context.envelope.display_name.unwrap_or(context.envelope.name);
        ObjectiveDraft {
            name: self.name,
            place: Place {
                file: context.envelope.file.to_owned(),
                at: self.at,
            },
            service: context.service.clone(),
            service_at: context.envelope.name_at,
            display_name: format!("{title} {}", self.what),
            description: context.about.to_owned(),
            ownership: self.ownership,
            target: self.target,
            period,
            budgeting,
            indicator: IndicatorDraft::Inline(Indicator {
                service: None,
                role,
                route,
                counts: Counts::Known(kind),
                at: self.at,
            }),
            comparison: None,
            tiers: alerts.tiers,
            fast_page: alerts.fast_page,
            budget_alerts: alerts.budget,
            missing_data: alerts.missing_data,
            evidence: alerts.evidence,
        }
    }
}

fn routes(node: &Node, report: &mut Report) -> Vec<Route> {
    node.one_or_many()
        .iter()
        .filter_map(|item| item.parse("routes", report))
        .collect()
}

/// `true` for the whole service, or its routes that wait.
fn long_poll(node: &Node, report: &mut Report) -> LongPoll {
    match &node.value {
        Value::Bool(true) => LongPoll::All,
        Value::Bool(false) => LongPoll::None,
        _ => LongPoll::Routes(
            node.one_or_many()
                .iter()
                .filter_map(|item| item.parse("longPoll", report))
                .collect(),
        ),
    }
}

/// What `alerts` states for every objective of the document.
#[derive(Debug, Clone, Default)]
struct Alerts {
    tiers: Option<Vec<TierDraft>>,
    fast_page: Option<FastPageDraft>,
    budget: Vec<BudgetAlertDraft>,
    missing_data: Option<MissingData>,
    evidence: Option<EvidenceGate>,
}

fn read_alerts(node: &Node, report: &mut Report) -> Option<Alerts> {
    let mut fields = node.fields("alerts", report)?;
    let tiers = fields
        .optional("tiers")
        .map_or(Some(None), |node| tiers::read_list(node, report).map(Some));
    let fast_page = fields
        .optional("fastPage")
        .map_or(Some(None), |node| fast_page::read(node, report).map(Some));
    let budget = fields
        .optional("budget")
        .map(|node| budget_alerts::read_list(node, report));
    let missing_data = fields
        .optional("dataOutage")
        .map(|node| data_outage::read(node, report));
    let evidence = fields
        .optional("evidence")
        .map(|node| evidence::read(node, report));
    let at = fields.at();
    let is_empty = matches!((&tiers, &fast_page), (Some(None), Some(None)))
        && budget.is_none()
        && missing_data.is_none()
        && evidence.is_none();
    if fields.finish(report) && is_empty {
        let hint =
            "remove it for the defaults, or state `tiers`, `fastPage`, `budget`, `dataOutage` or `evidence`"
                .to_owned();
        report.error(at, "`alerts` states nothing", Some(hint));
    }
    Some(Alerts {
        tiers: tiers?,
        fast_page: fast_page?,
        budget: budget.map_or(Some(Vec::new()), |stated| stated)?,
        missing_data: missing_data.map_or(Some(None), |stated| stated.map(Some))?,
        evidence: evidence.map_or(Some(None), |stated| stated.map(Some))?,
    })
}

/// Reads a mapping of `availability` and `latency`, each one or a list, or a list of such mappings.
fn read_objectives(node: &Node, context: &Context<'_>, report: &mut Report) -> Vec<Stated> {
    let mut found = Vec::new();
    for item in node.one_or_many() {
        let Some(mut fields) = item.fields("objectives", report) else {
            continue;
        };
        let availability = fields.optional("availability");
        let latency = fields.optional("latency");
        let at = fields.at();
        if fields.finish(report) && availability.is_none() && latency.is_none() {
            let hint = "expected `availability: 99.9%` or `latency: {below: 250ms, target: 99%}`".to_owned();
            report.error(at, "`objectives` states nothing", Some(hint));
        }
        for node in availability.map(Node::one_or_many).unwrap_or_default() {
            found.extend(availability_objective(node, context, report));
        }
        for node in latency.map(Node::one_or_many).unwrap_or_default() {
            found.extend(latency_objective(node, context, report));
        }
    }
    found
}

/// `99.9%`, or `{target, route, role, name, owner, runbookUrl}`.
fn availability_objective(node: &Node, context: &Context<'_>, report: &mut Report) -> Option<Stated> {
    let mut sli = Sli::availability();
    let (target, (name, ownership)) = if matches!(node.value, Value::Map(_)) {
        let mut fields = node.fields("availability", report)?;
        let target = fields
            .required("target", report)
            .and_then(|n| ratio::target(n, "target", report));
        let common = Common::read(&mut fields, report);
        fields.finish(report);
        (target?, common?.into_sli(&mut sli))
    } else {
        let target = ratio::target(node, "availability", report)?;
        (target, (None, Ownership::default()))
    };
    let name = named(name, context, "availability", node.at, report)?;
    let what = format!("availability{}", of_route(&sli));
    Some(Stated {
        name,
        at: node.at,
        what,
        target,
        sli,
        ownership: ownership.or(context.ownership),
    })
}

/// `{below: 250ms, target: 99%, clock, route, role, name, owner, runbookUrl}`.
fn latency_objective(node: &Node, context: &Context<'_>, report: &mut Report) -> Option<Stated> {
    if !matches!(node.value, Value::Map(_)) {
        let hint = "write `latency: {below: 250ms, target: 99%}`".to_owned();
        node.wrong(
            "latency",
            "a mapping with `below` and `target`",
            Some(hint),
            report,
        );
        return None;
    }
    let mut fields = node.fields("latency", report)?;
    let threshold = fields.required("below", report).and_then(|n| below(n, report));
    let target = fields
        .required("target", report)
        .and_then(|n| ratio::target(n, "target", report));
    let clock = fields.optional("clock").map_or(Some(Clock::Turnaround), |n| {
        word(n, "clock", Clock::OF_REQUESTS, report)
    });
    let common = Common::read(&mut fields, report);
    fields.finish(report);
    let (threshold, target, clock) = (threshold?, target?, clock?);
    let kind = SliKind::Latency { clock, threshold };
    let mut sli = Sli {
        role: Role::Server,
        route: None,
        kind,
    };
    let (name, ownership) = common?.into_sli(&mut sli);
    let name = named(name, context, "latency", node.at, report)?;
    let what = format!("latency below {}{}", duration::format(threshold), of_route(&sli));
    Some(Stated {
        name,
        at: node.at,
        what,
        target,
        sli,
        ownership: ownership.or(context.ownership),
    })
}

/// The keys that both kinds of objectives take.
struct Common {
    role: Role,
    route: Option<Route>,
    name: Option<ObjectiveName>,
    ownership: Ownership,
}

impl Common {
    fn read(fields: &mut Fields<'_>, report: &mut Report) -> Option<Self> {
        let role = fields
            .optional("role")
            .map_or(Some(Role::Server), |n| word(n, "role", Role::ALL, report));
        let route = fields
            .optional("route")
            .map_or(Some(None), |n| n.parse("route", report).map(Some));
        let name = fields
            .optional("name")
            .map_or(Some(None), |n| n.parse("name", report).map(Some));
        let ownership = ownership::read(fields, report);
        Some(Self {
            role: role?,
            route: route?,
            name: name?,
            ownership: ownership?,
        })
    }

    fn into_sli(self, sli: &mut Sli) -> (Option<ObjectiveName>, Ownership) {
        sli.role = self.role;
        sli.route = self.route;
        (self.name, self.ownership)
    }
}

fn of_route(sli: &Sli) -> String {
    sli.route
        .as_ref()
        .map(|route| format!(" of {route}"))
        .unwrap_or_default()
}

/// The given name, else the service and the kind. History is kept under the name, so it depends
/// neither on what else is stated nor on a threshold that may be tuned later.
fn named(
    given: Option<ObjectiveName>,
    context: &Context<'_>,
    kind: &str,
    at: Position,
    report: &mut Report,
) -> Option<ObjectiveName> {
    if given.is_some() {
        return given;
    }
    match format!("{}-{kind}", context.service).parse() {
        Ok(name) => Some(name),
        Err(error) => {
            report.error(
                at,
                error.to_string(),
                Some("give the objective a `name`".to_owned()),
            );
            None
        }
    }
}
