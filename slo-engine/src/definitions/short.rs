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
    About, DEFAULT_PERIOD, IndicatorDraft, ObjectiveDraft, ServiceDraft, check_timeout, description,
};
use super::evidence;
use super::fast_page::{self, FastPageDraft};
use super::indicator::{Counts, Indicator};
use super::matching::endpoint_matches;
use super::metric_source::{below, word};
use super::node::{Fields, Node, Position, Report, Value};
use super::ownership;
use super::report::OBJECTIVE;
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
        report.unread.one_of(OBJECTIVE);
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
    let alerts = alerts.map(|node| read_alerts(node, report)).unwrap_or_default();
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
        report.unread.one_of(OBJECTIVE);
        return (None, Vec::new());
    }
    let place = envelope.place();
    let drafts = stated
        .into_iter()
        .map(|o| o.draft(&context, period, budgeting, alerts.clone()))
        .collect();
    (
        Some(ServiceDraft {
            name,
            place,
            api_version: SLOWBURN,
            about: About {
                display_name: envelope.display_name.map(str::to_owned),
                description: about,
            },
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

/// An objective as stated. What is `None` has a mistake that was reported.
struct Stated {
    name: ObjectiveName,
    at: Position,
    what: String,
    target: Option<Target>,
    sli: Option<Sli>,
    ownership: Ownership,
}

impl Stated {
    fn draft(
        self,
        context: &Context<'_>,
        period: Option<Period>,
        budgeting: Option<Budgeting>,
        alerts: Alerts,
    ) -> ObjectiveDraft {
        let indicator = self.sli.map(|Sli { role, route, kind }| {
            IndicatorDraft::Inline(Indicator {
                service: None,
                role,
                route,
                counts: Counts::Known(kind),
                at: self.at,
            })
        });
        let title = context.envelope.display_name.unwrap_or(context.envelope.name);
        ObjectiveDraft {
            name: self.name,
            place: Place {
                file: context.envelope.file.to_owned(),
                at: self.at,
            },
            service: Some((context.service.clone(), context.envelope.name_at)),
            display_name: format!("{title} {}", self.what),
            description: context.about.to_owned(),
            ownership: self.ownership,
            target: self.target,
            period,
            budgeting,
            indicator,
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

/// What is a mistake stands for what cannot be a second one: no tiers, and no fast page.
fn read_alerts(node: &Node, report: &mut Report) -> Alerts {
    let Some(mut fields) = node.fields("alerts", report) else {
        return Alerts {
            tiers: Some(Vec::new()),
            ..Alerts::default()
        };
    };
    let keys = ["tiers", "fastPage", "budget", "dataOutage", "evidence"];
    let stated = keys.map(|key| fields.optional(key));
    let at = fields.at();
    if fields.finish(report) && stated == [None; 5] {
        let hint =
            "remove it for the defaults, or state `tiers`, `fastPage`, `budget`, `dataOutage` or `evidence`"
                .to_owned();
        report.error(at, "`alerts` states nothing", Some(hint));
    }
    let [tiers, fast_page, budget, missing_data, evidence] = stated;
    Alerts {
        tiers: tiers.map(|n| tiers::read_list(n, report)),
        fast_page: fast_page.map(|n| fast_page::read(n, report).unwrap_or(FastPageDraft::Off)),
        budget: budget
            .map(|n| budget_alerts::read_list(n, report))
            .unwrap_or_default(),
        missing_data: missing_data.and_then(|n| data_outage::read(n, report)),
        evidence: evidence.and_then(|n| evidence::read(n, report)),
    }
}

/// Reads a mapping of `availability`, `latency` and `retransmits`, each one or a list, or a list of such mappings.
fn read_objectives(node: &Node, context: &Context<'_>, report: &mut Report) -> Vec<Stated> {
    let mut found = Vec::new();
    for item in node.one_or_many() {
        let Some(mut fields) = item.fields("objectives", report) else {
            report.unread.one_of(OBJECTIVE);
            continue;
        };
        let availability = fields.optional("availability");
        let latency = fields.optional("latency");
        let retransmits = fields.optional("retransmits");
        let at = fields.at();
        if !fields.finish(report) {
            report.unread.one_of(OBJECTIVE);
        } else if [availability, latency, retransmits] == [None; 3] {
            let hint = "expected `availability: 99.9%`, `latency: {below: 250ms, target: 99%}` or `retransmits: {below: 1%}`"
                .to_owned();
            report.error(at, "`objectives` states nothing", Some(hint));
        }
        for node in availability.map(Node::one_or_many).unwrap_or_default() {
            found.extend(availability_objective(node, context, report));
        }
        for node in latency.map(Node::one_or_many).unwrap_or_default() {
            found.extend(latency_objective(node, context, report));
        }
        for node in retransmits.map(Node::one_or_many).unwrap_or_default() {
            found.extend(retransmits_objective(node, context, report));
        }
    }
    found
}

/// `99.9%`, or `{target, route, role, name, owner, runbookUrl}`.
fn availability_objective(node: &Node, context: &Context<'_>, report: &mut Report) -> Option<Stated> {
    let kind = "availability";
    let (target, common) = if matches!(node.value, Value::Map(_)) {
        let mut fields = node.fields(kind, report)?;
        let target = fields
            .required_such_as("target", "target: 99.9%", report)
            .and_then(|n| ratio::target(n, "target", report));
        let common = Common::read(&mut fields, kind, context, report);
        fields.finish(report);
        (target, common)
    } else {
        let target = ratio::target(node, kind, report);
        (target, Common::by_default(kind, context, node.at, report))
    };
    let Sli { kind, .. } = Sli::availability();
    let what = format!("availability{}", common.of_route());
    common.stated(node.at, what, target, Some(kind))
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
        return Common::by_default("latency", context, node.at, report).stated(
            node.at,
            String::new(),
            None,
            None,
        );
    }
    let mut fields = node.fields("latency", report)?;
    let threshold = fields
        .required_such_as("below", "below: 250ms", report)
        .and_then(|n| below(n, report));
    let target = fields
        .required_such_as("target", "target: 99%", report)
        .and_then(|n| ratio::target(n, "target", report));
    let clock = fields.optional("clock").map_or(Some(Clock::Turnaround), |n| {
        word(n, "clock", Clock::OF_REQUESTS, report)
    });
    let common = Common::read(&mut fields, "latency", context, report);
    fields.finish(report);
    let kind = clock
        .zip(threshold)
        .map(|(clock, threshold)| SliKind::Latency { clock, threshold });
    let below = threshold.map(duration::format).unwrap_or_default();
    let what = format!("latency below {below}{}", common.of_route());
    common.stated(node.at, what, target, kind)
}

/// `{below: 1%, role, name, owner, runbookUrl}`: the target is what is left.
fn retransmits_objective(node: &Node, context: &Context<'_>, report: &mut Report) -> Option<Stated> {
    let kind = "retransmits";
    if !matches!(node.value, Value::Map(_)) {
        let hint = "write `retransmits: {below: 1%}`".to_owned();
        node.wrong(kind, "a mapping with `below`", Some(hint), report);
        let common = Common::by_default(kind, context, node.at, report);
        return common.stated(node.at, String::new(), None, None);
    }
    let mut fields = node.fields(kind, report)?;
    let below = fields
        .required_such_as("below", "below: 1%", report)
        .and_then(|n| ratio::bad_share(n, "below", report));
    let common = Common::read(&mut fields, kind, context, report);
    if let Some((_, Some(_))) = common.measured {
        let at = fields.key_at("route").unwrap_or(node.at);
        let hint = "remove it: TCP sends segments of a connection, whatever is asked on it".to_owned();
        report.error(at, "`retransmits` have no `route`", Some(hint));
    }
    fields.finish(report);
    let what = below
        .map(|(share, _)| format!("retransmits below {}", ratio::in_percent(share)))
        .unwrap_or_default();
    let target = below.map(|(_, target)| target);
    common.stated(node.at, what, target, Some(SliKind::Retransmits))
}

/// The keys that all kinds of objectives take. What is `None` is a mistake.
struct Common {
    measured: Option<(Role, Option<Route>)>,
    name: Option<ObjectiveName>,
    ownership: Ownership,
}

impl Common {
    fn by_default(kind: &str, context: &Context<'_>, at: Position, report: &mut Report) -> Self {
        Self {
            measured: Some((Role::Server, None)),
            name: default_name(kind, context, at, report),
            ownership: context.ownership.clone(),
        }
    }

    fn read(fields: &mut Fields<'_>, kind: &str, context: &Context<'_>, report: &mut Report) -> Self {
        let at = fields.at();
        let role = fields
            .optional("role")
            .map_or(Some(Role::Server), |n| word(n, "role", Role::ALL, report));
        let route = fields
            .optional("route")
            .map_or(Some(None), |n| n.parse("route", report).map(Some));
        let name = match fields.optional("name") {
            Some(node) => {
                let name = node.parse("name", report);
                if name.is_none() {
                    report.unread.one_of(OBJECTIVE);
                }
                name
            }
            None => default_name(kind, context, at, report),
        };
        let ownership = ownership::read(fields, report).unwrap_or_default();
        Self {
            measured: role.zip(route),
            name,
            ownership: ownership.or(context.ownership),
        }
    }

    fn of_route(&self) -> String {
        match &self.measured {
            Some((_, Some(route))) => format!(" of {route}"),
            _ => String::new(),
        }
    }

    fn stated(
        self,
        at: Position,
        what: String,
        target: Option<Target>,
        kind: Option<SliKind>,
    ) -> Option<Stated> {
        let sli = self.measured.zip(kind);
        Some(Stated {
            name: self.name?,
            at,
            what,
            target,
            sli: sli.map(|((role, route), kind)| Sli { role, route, kind }),
            ownership: self.ownership,
        })
    }
}

/// The service and the kind. History is kept under the name, so it depends
/// neither on what else is stated nor on a threshold that may be tuned later.
fn default_name(
    kind: &str,
    context: &Context<'_>,
    at: Position,
    report: &mut Report,
) -> Option<ObjectiveName> {
    match format!("{}-{kind}", context.service).parse() {
        Ok(name) => Some(name),
        Err(error) => {
            report.error(
                at,
                error.to_string(),
                Some("give the objective a `name`".to_owned()),
            );
            report.unread.one_of(OBJECTIVE);
            None
        }
    }
}
