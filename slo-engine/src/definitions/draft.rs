//! What one document says, before it is put together with the others.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use super::budget_alerts::BudgetAlertDraft;
use super::budgeting::Period;
use super::document::Place;
use super::fast_page::FastPageDraft;
use super::indicator::Indicator;
use super::metric_source::seconds;
use super::node::{Node, Position, Report, shorten};
use super::tiers::TierDraft;
use crate::budgeting::Budgeting;
use crate::duration;
use crate::evaluate::{EvidenceGate, MissingData};
use crate::measurement::{Route, ServiceName};
use crate::objective::{ObjectiveName, Target};
use crate::ownership::Ownership;
use crate::service::{EndpointMatch, LongPoll, PodMatch};

/// What one Service document says. Two may speak of one service: an OpenSLO Service and a short form.
#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub name: ServiceName,
    pub place: Place,
    /// The form of the document: each may speak of a service once.
    pub api_version: &'static str,
    pub about: About,
    pub matches: Vec<(EndpointMatch, Position)>,
    pub routes: Vec<Route>,
    pub timeout: Option<Duration>,
    pub long_poll: LongPoll,
    pub depends_on: Vec<(ServiceName, Position)>,
}

/// What a service is called and said to be, by those who defined it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub display_name: Option<String>,
    pub description: String,
}

impl About {
    /// What is missing here is taken from there.
    fn or(self, other: Self) -> Self {
        let is_silent = self.description.is_empty();
        Self {
            display_name: self.display_name.or(other.display_name),
            description: if is_silent {
                other.description
            } else {
                self.description
            },
        }
    }

    /// What the documents say of each service that they say anything of.
    pub(super) fn collect(drafts: &[ServiceDraft]) -> BTreeMap<ServiceName, Self> {
        let mut found: BTreeMap<ServiceName, Self> = BTreeMap::new();
        for draft in drafts.iter().filter(|draft| draft.about != Self::default()) {
            let first = found.remove(&draft.name).unwrap_or_default();
            found.insert(draft.name.clone(), first.or(draft.about.clone()));
        }
        found
    }
}

/// What one SLO, or one objective of a short form, says. A part that is `None` without being optional has a mistake
/// that was reported: what would be held against it is not, and all else is.
#[derive(Debug)]
pub(super) struct ObjectiveDraft {
    pub name: ObjectiveName,
    pub place: Place,
    /// With the place where it is named.
    pub service: Option<(ServiceName, Position)>,
    pub display_name: String,
    pub description: String,
    pub ownership: Ownership,
    pub target: Option<Target>,
    pub period: Option<Period>,
    pub budgeting: Option<Budgeting>,
    pub indicator: Option<IndicatorDraft>,
    /// What an objective over a threshold metric compares it with.
    pub comparison: Option<Comparison>,
    pub tiers: Option<Vec<TierDraft>>,
    pub fast_page: Option<FastPageDraft>,
    pub budget_alerts: Vec<BudgetAlertDraft>,
    pub missing_data: Option<MissingData>,
    pub evidence: Option<EvidenceGate>,
}

#[derive(Debug, Clone)]
pub(super) enum IndicatorDraft {
    Inline(Indicator),
    /// By the name of an SLI.
    Named(String, Position),
}

/// `op` and `value` of an OpenSLO objective.
#[derive(Debug)]
pub(super) struct Comparison {
    pub op: Option<(String, Position)>,
    /// `None` within for one that has been reported.
    pub value: Option<(Option<Decimal>, Position)>,
    /// Where the first of them stands.
    pub at: Position,
}

impl Comparison {
    /// The latency up to which requests are good: `op: lte`, `value` in seconds.
    pub fn threshold(&self, report: &mut Report) -> Option<Duration> {
        let op = match &self.op {
            Some((op, _)) if op == "lte" => Some(()),
            Some((op, at)) if op == "lt" => {
                let message =
                    "`op: lt` is taken for `lte`: the kernel counts what is answered within `value`";
                report.warning(*at, message, Some("write `op: lte`".to_owned()));
                Some(())
            }
            Some((op, at)) => {
                let hint = "write `op: lte`: fast requests are the good ones".to_owned();
                let message = format!("`op` is `{op}`, but a latency is good below its threshold");
                report.error(*at, message, Some(hint));
                None
            }
            None => {
                let hint = "write `op: lte`: fast requests are the good ones".to_owned();
                let message = "a `thresholdMetric` needs an `op` to be compared by";
                report.error(self.at, message, Some(hint));
                None
            }
        };
        let value = match self.value {
            Some((value, at)) => value.and_then(|value| seconds(value, at, report)),
            None => {
                let hint = "add `value: 0.25` (seconds) to the objective".to_owned();
                let message = "a `thresholdMetric` needs a `value` to be compared with";
                report.error(self.at, message, Some(hint));
                None
            }
        };
        op.and(value)
    }
}

pub(super) const PERIOD_MIN: Duration = Duration::from_secs(60);
pub(super) const PERIOD_MAX: Duration = Duration::from_secs(366 * 86_400);
/// What a definition that names no period gets.
pub(super) const DEFAULT_PERIOD: Duration = Duration::from_secs(30 * 86_400);

const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

pub(super) fn check_period(
    period: Duration,
    what: &str,
    at: Position,
    report: &mut Report,
) -> Option<Duration> {
    if is_period(period) {
        return Some(period);
    }
    let message = format!(
        "`{what}` is `{}`, expected whole seconds from `1m` to `366d`",
        duration::format(period)
    );
    report.error(at, message, None);
    None
}

pub(super) fn is_period(period: Duration) -> bool {
    (PERIOD_MIN..=PERIOD_MAX).contains(&period) && period.subsec_nanos() == 0
}

pub(super) fn check_timeout(timeout: Duration, at: Position, report: &mut Report) -> Option<Duration> {
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
        return Some(timeout);
    }
    let message = format!(
        "`timeout` is `{}`, expected a span from `100ms` to `1h`",
        duration::format(timeout)
    );
    report.error(at, message, None);
    None
}

/// Checks what an endpoint match was given, and drops a leading `/` of cgroup paths.
pub(super) fn check_match(found: EndpointMatch, at: Position, report: &mut Report) -> Option<EndpointMatch> {
    let plain =
        |text: &str| text.len() <= 1024 && !text.trim().is_empty() && !text.chars().any(char::is_control);
    let (what, text) = match &found {
        EndpointMatch::Port(_) => return Some(found),
        EndpointMatch::Kubernetes(pod) => return check_pod(pod, at, report).then_some(found),
        EndpointMatch::Cgroup(glob) => ("cgroup", glob.trim_matches('/')),
        EndpointMatch::Executable(path) => ("executable", path.as_str()),
        EndpointMatch::Unit(name) => ("unit", name.as_str()),
        EndpointMatch::Container(name) => ("container", name.as_str()),
    };
    let is_path = matches!(found, EndpointMatch::Cgroup(_) | EndpointMatch::Executable(_));
    if !plain(text) || text.split('/').any(|part| part == "..") || (!is_path && text.contains('/')) {
        let expected = if is_path {
            "a path without `..`"
        } else {
            "a name or a glob without `/`"
        };
        let message = format!(
            "`{what}` is `{}`, expected {expected} of at most 1024 bytes",
            shorten(text)
        );
        report.error(at, message, None);
        return None;
    }
    Some(match found {
        EndpointMatch::Cgroup(_) => EndpointMatch::Cgroup(text.to_owned()),
        other => other,
    })
}

fn check_pod(pod: &PodMatch, at: Position, report: &mut Report) -> bool {
    // What separates the parts of the stored spelling occurs in no name, value or key of Kubernetes'.
    let plain = |text: &String| {
        text.len() <= 253
            && !text.contains([';', '=', ','])
            && !text.chars().any(|c| c.is_control() || c == ' ')
    };
    let names = [&pod.namespace, &pod.pod].into_iter().flatten();
    let is_plain = names.clone().all(|name| plain(name) && !name.is_empty());
    if pod.is_empty() || !is_plain || !pod.labels.iter().all(|(key, value)| plain(key) && plain(value)) {
        let hint = "such as `kubernetes: {namespace: shop, pod: web-*, labels: {app: web}}`".to_owned();
        let message = "`kubernetes` needs names, globs or labels as Kubernetes spells them";
        report.error(at, message, Some(hint));
        return false;
    }
    true
}

/// Longest description, as in OpenSLO.
const DESCRIPTION_MAX: usize = 1050;

pub(super) fn description(node: Option<&Node>, report: &mut Report) -> String {
    let Some(node) = node else { return String::new() };
    let text = node.text("description", report).unwrap_or_default();
    if text.chars().count() > DESCRIPTION_MAX {
        report.error(
            node.at,
            format!("`description` has more than {DESCRIPTION_MAX} characters"),
            Some("shorten it, and name a page that says more".to_owned()),
        );
    }
    text.trim().to_owned()
}
