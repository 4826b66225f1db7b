//! OpenSLO's AlertPolicy and AlertCondition, as tiers.
//!
//! In: documents of these kinds, and the `alertPolicies` of SLOs, by reference or inline. Out: tier drafts. A
//! condition has one window; slowburn alerts on pairs, so a twelfth of it is the short one, which ends an alert soon
//! after its cause and delays none.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::document::{Envelope, OPENSLO, SLOWBURN};
use super::metric_source::word;
use super::node::{Node, Position, Report, Value, quoted, shorten};
use super::tiers::{self, TierDraft};
use crate::duration;
use crate::evaluate::DATA_OUTAGE;
use crate::objective::{BurnRate, Severity, TierName};

/// The kind of ours that says how to reach somebody.
const NOTIFIER: &str = "NotificationTarget";

/// What the documents of a set say, by name; `None` for one that has mistakes of its own.
#[derive(Debug, Default)]
pub(super) struct Alerting<'a> {
    conditions: HashMap<&'a str, Option<Condition>>,
    policies: HashMap<&'a str, Option<Vec<Condition>>>,
    targets: HashMap<&'a str, Option<()>>,
    /// Those that say how to reach somebody: NotificationTargets of ours.
    notifiers: HashSet<&'a str>,
}

/// What the alert policies of an SLO come to.
#[derive(Debug)]
pub(super) struct ByPolicy {
    pub tiers: Vec<TierDraft>,
    pub tells: Vec<Tells>,
}

/// Who is told of a tier.
#[derive(Debug)]
pub(super) struct Tells {
    pub tier: TierName,
    pub target: String,
    /// Of its end, too.
    pub when_resolved: bool,
}

#[derive(Debug, Clone)]
struct Condition {
    name: TierName,
    severity: Severity,
    burn_rate: BurnRate,
    window: Duration,
    after: Duration,
    tells: Vec<String>,
    /// They are told when the objective's data are missing, too.
    when_no_data: bool,
    /// They are told of the end, too.
    when_resolved: bool,
    /// In the file of the SLO that it alerts on, or of its own document.
    at: Position,
}

impl<'a> Alerting<'a> {
    pub fn read(envelopes: &[Envelope<'a>], report: &mut Report) -> Self {
        let named = |version: &'static str, kind: &'static str| {
            let of = envelopes.iter().filter(move |e| e.is(version, kind));
            of.map(|e| e.name)
        };
        let notifiers: HashSet<_> = named(SLOWBURN, NOTIFIER).collect();
        let mut found = Self {
            targets: named(OPENSLO, "AlertNotificationTarget")
                .chain(notifiers.iter().copied())
                .map(|name| (name, Some(())))
                .collect(),
            notifiers,
            ..Self::default()
        };
        for envelope in envelopes.iter().filter(|e| e.is(OPENSLO, "AlertCondition")) {
            report.switch(envelope.file);
            let condition = spec_of(envelope, report)
                .and_then(|spec| condition(envelope.name, envelope.name_at, spec, report));
            found.conditions.insert(envelope.name, condition);
        }
        for envelope in envelopes.iter().filter(|e| e.is(OPENSLO, "AlertPolicy")) {
            report.switch(envelope.file);
            let policy = spec_of(envelope, report).and_then(|spec| found.policy(spec, report));
            found.policies.insert(envelope.name, policy);
        }
        found
    }

    /// Reads `alertPolicies`: `{alertPolicyRef}`, a whole AlertPolicy, or the bare name of older files. `None` means no
    /// policy, and so the default tiers; of policies with mistakes, what is left without them.
    pub fn tiers(&self, node: &Node, report: &mut Report) -> Option<ByPolicy> {
        let items = node.list("alertPolicies", report).unwrap_or_default();
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            return None;
        }
        let policies: Vec<_> = items.iter().map(|item| self.policy_of(item, report)).collect();
        let conditions: Vec<Condition> = policies.into_iter().flatten().flatten().collect();
        let mut tells: Vec<Tells> = Vec::new();
        for condition in &conditions {
            let data_outage = DATA_OUTAGE.parse().ok().filter(|_| condition.when_no_data);
            for tier in [Some(condition.name.clone()), data_outage].into_iter().flatten() {
                for target in &condition.tells {
                    let is_same = |told: &&mut Tells| told.tier == tier && told.target == *target;
                    match tells.iter_mut().find(is_same) {
                        // One policy that asks for the end is enough.
                        Some(told) => told.when_resolved |= condition.when_resolved,
                        None => tells.push(Tells {
                            tier: tier.clone(),
                            target: target.clone(),
                            when_resolved: condition.when_resolved,
                        }),
                    }
                }
            }
        }
        let drafts = conditions.into_iter().map(|c| {
            let short = Duration::from_secs((c.window.as_secs() / 12).max(2));
            Some(TierDraft::at_rate(
                c.name,
                c.severity,
                (c.window, short),
                c.burn_rate,
                c.after,
                c.at,
            ))
        });
        let drafts: Vec<_> = drafts.collect();
        // Where none could be read, the mistake is there.
        let tiers = if drafts.is_empty() {
            Vec::new()
        } else {
            tiers::check_list(drafts, node.at, report)
        };
        Some(ByPolicy { tiers, tells })
    }

    fn policy_of(&self, item: &Node, report: &mut Report) -> Option<Vec<Condition>> {
        let reference = match item.scalar() {
            Some(_) => Some(item),
            None => item.get("alertPolicyRef"),
        };
        if let Some(reference) = reference {
            if item.scalar().is_none() {
                let mut fields = item.fields("alertPolicies", report)?;
                fields.optional("alertPolicyRef");
                fields.finish(report);
            }
            let found = resolve(&self.policies, reference, "alertPolicyRef", "AlertPolicy", report)?;
            // What does not suit the SLO is the SLO's mistake.
            let here = |condition| Condition {
                at: reference.at,
                ..condition
            };
            return Some(found.into_iter().map(here).collect());
        }
        self.policy(inline(item, "alertPolicies", "AlertPolicy", report)?.1, report)
    }

    fn policy(&self, spec: &Node, report: &mut Report) -> Option<Vec<Condition>> {
        let mut fields = spec.fields("spec of AlertPolicy", report)?;
        let mut stated = |key| fields.optional(key)?.boolean(key, report);
        let when_no_data = stated("alertWhenNoData").unwrap_or(false);
        // OpenSLO names no default. An incident that nobody closes is worse than one message more.
        let when_resolved = stated("alertWhenResolved").unwrap_or(true);
        let breaching = fields
            .optional("alertWhenBreaching")
            .map(|n| (n.boolean("alertWhenBreaching", report), n.at));
        fields
            .optional("description")
            .and_then(|n| n.text("description", report));
        let conditions =
            fields.required_such_as("conditions", "conditions: [{conditionRef: fast-burn}]", report);
        let targets = fields.required_such_as(
            "notificationTargets",
            "notificationTargets: [{targetRef: on-call}]",
            report,
        );
        fields.finish(report);
        if let Some((Some(false), at)) = breaching {
            let hint = "remove the policy from the SLO, or silence its alerts".to_owned();
            report.error(
                at,
                "a policy that does not alert when breaching is none",
                Some(hint),
            );
        }
        let tells = targets
            .map(|n| self.notification_targets(n, report))
            .unwrap_or_default();
        let conditions = conditions?;
        let items = conditions.list("conditions", report)?;
        let [item] = items else {
            let message = format!("`conditions` has {} items, expected one", items.len());
            let hint = "write one policy for each condition, and name them all in the SLO".to_owned();
            report.error(conditions.at, message, Some(hint));
            return None;
        };
        let found = match item.get("conditionRef") {
            Some(reference) => {
                let mut fields = item.fields("condition", report)?;
                fields.optional("conditionRef");
                fields.finish(report);
                let found = resolve(
                    &self.conditions,
                    reference,
                    "conditionRef",
                    "AlertCondition",
                    report,
                )?;
                Condition {
                    at: reference.at,
                    tells,
                    when_no_data,
                    when_resolved,
                    ..found
                }
            }
            None => {
                let (name, spec) = inline(item, "conditions", "AlertCondition", report)?;
                Condition {
                    tells,
                    when_no_data,
                    when_resolved,
                    ..condition(name?.0, name?.1, spec, report)?
                }
            }
        };
        Some(vec![found])
    }

    /// Who is told, by names that all can be reached.
    fn notification_targets(&self, node: &Node, report: &mut Report) -> Vec<String> {
        let Some(items) = node.list("notificationTargets", report) else {
            return Vec::new();
        };
        if items.is_empty() {
            let hint = "name who is told: `[{targetRef: on-call}]`".to_owned();
            report.error(node.at, "`notificationTargets` is empty", Some(hint));
        }
        let mut tells = Vec::new();
        for item in items {
            let name = match item.get("targetRef") {
                Some(reference) => {
                    let kind = "AlertNotificationTarget";
                    let found = resolve(&self.targets, reference, "targetRef", kind, report);
                    // Where its document is a mistake, that is told at the document.
                    found.and_then(|()| reference.scalar())
                }
                None => {
                    let found = inline(item, "notificationTargets", "AlertNotificationTarget", report);
                    found.and_then(|(name, spec)| {
                        let name = name?;
                        self.notification_target(spec, name, report);
                        Some(name.0.to_owned())
                    })
                }
            };
            tells.extend(name.filter(|name| self.notifiers.contains(name.as_str()) && !tells.contains(name)));
        }
        tells
    }

    /// OpenSLO's name a person's tool, not how to reach it: the NotificationTarget of the same name does.
    pub fn notification_target(&self, spec: &Node, (name, at): Named<'_>, report: &mut Report) {
        if let Some(mut fields) = spec.fields("spec of AlertNotificationTarget", report) {
            fields
                .required_such_as("target", "target: pagerduty", report)
                .and_then(|n| n.text("target", report));
            fields
                .optional("description")
                .and_then(|n| n.text("description", report));
            fields.finish(report);
        }
        if self.notifiers.contains(name) || name.is_empty() || report.may_be(NOTIFIER, name) {
            return;
        }
        let hint = match report.nearest(name, self.notifiers.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.notifiers.is_empty() => {
                "write a NotificationTarget (`slowburn/v1`) of this name, which says how to reach it"
                    .to_owned()
            }
            None => {
                let mut known: Vec<_> = self.notifiers.iter().collect();
                known.sort();
                format!("there are {}", quoted(&known))
            }
        };
        let message = format!(
            "no NotificationTarget is named `{}`, so nobody would be told",
            shorten(name)
        );
        report.error(at, message, Some(hint));
    }
}

pub(super) fn spec_of<'a>(envelope: &Envelope<'a>, report: &mut Report) -> Option<&'a Node> {
    if envelope.spec.is_none() {
        envelope.spec(report);
    }
    envelope.spec
}

fn resolve<T: Clone>(
    known: &HashMap<&str, Option<T>>,
    reference: &Node,
    what: &str,
    kind: &str,
    report: &mut Report,
) -> Option<T> {
    let name = reference.text(what, report)?;
    if let Some(found) = known.get(name) {
        return found.clone();
    }
    if report.may_be(kind, name) || (kind == "AlertNotificationTarget" && report.may_be(NOTIFIER, name)) {
        return None;
    }
    let hint = match report.nearest(name, known.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add a document of kind {kind} with this name, or write it inline"),
    };
    report.error(
        reference.at,
        format!("no {kind} is named `{}`", shorten(name)),
        Some(hint),
    );
    None
}

type Named<'a> = (&'a str, Position);

/// A document inside of another: its kind is known, its name may be missing.
fn inline<'a>(
    node: &'a Node,
    what: &str,
    kind: &str,
    report: &mut Report,
) -> Option<(Option<Named<'a>>, &'a Node)> {
    let mut fields = node.fields(what, report)?;
    fields.optional("apiVersion");
    let said = fields
        .optional("kind")
        .and_then(|n| Some((n.text("kind", report)?, n.at)));
    if let Some((said, at)) = said.filter(|(said, _)| *said != kind) {
        report.error(
            at,
            format!("`kind` is `{}`, expected `{kind}`", shorten(said)),
            None,
        );
    }
    let metadata = fields.required_such_as("metadata", "metadata: {name: fast-burn}", report);
    let spec = fields.required("spec", report);
    fields.finish(report);
    let name = metadata.and_then(|metadata| {
        let mut fields = metadata.fields("metadata", report)?;
        let name = fields.required_such_as("name", "name: fast-burn", report);
        fields.optional("displayName");
        fields.finish(report);
        name.and_then(|n| Some((n.text("name", report)?, n.at)))
    });
    Some((name, spec?))
}

fn condition(name: &str, name_at: Position, spec: &Node, report: &mut Report) -> Option<Condition> {
    let mut fields = spec.fields("spec of AlertCondition", report)?;
    let severity = fields
        .required_such_as("severity", "severity: page", report)
        .and_then(|n| word(n, "severity", Severity::ALL, report));
    fields
        .optional("description")
        .and_then(|n| n.text("description", report));
    let burn = fields.required_such_as(
        "condition",
        "condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h}",
        report,
    );
    fields.finish(report);
    let burn = burn.and_then(|node| burning(node, report));
    let name = match name.parse::<TierName>() {
        Ok(name) => Some(name),
        Err(_) if name.is_empty() => None,
        Err(error) => {
            report.error(name_at, error.to_string(), None);
            None
        }
    };
    let (burn_rate, window, after) = burn?;
    Some(Condition {
        name: name?,
        severity: severity?,
        burn_rate,
        window,
        after,
        tells: Vec::new(),
        when_no_data: false,
        when_resolved: true,
        at: spec.at,
    })
}

/// The threshold, the window, and how long to wait.
fn burning(node: &Node, report: &mut Report) -> Option<(BurnRate, Duration, Duration)> {
    let mut fields = node.fields("condition", report)?;
    let kind = fields.required_such_as("kind", "kind: burnrate", report);
    let op = fields.required_such_as("op", "op: gt", report);
    let threshold = fields.required_such_as("threshold", "threshold: 14.4", report);
    let window = fields.required_such_as("lookbackWindow", "lookbackWindow: 1h", report);
    let after = fields.optional("alertAfter");
    fields.finish(report);
    let is_known = kind.and_then(|kind| {
        if kind.text("kind", report)? == "burnrate" {
            return Some(());
        }
        kind.wrong("kind", "`burnrate`", None, report);
        None
    });
    if let Some(op) = op {
        match op.text("op", report) {
            Some("gt") | None => {}
            Some(found @ ("gte" | "lt" | "lte")) => report.warning(
                op.at,
                format!(
                    "`op: {found}` is taken for `gt`: a tier fires above its burn rate, not at or below it"
                ),
                Some("write `op: gt`".to_owned()),
            ),
            Some(_) => op.wrong("op", "`gt`", None, report),
        }
    }
    let mut span = |node: &Node, what: &str| match duration::parse_openslo(&node.scalar().unwrap_or_default())
    {
        Ok(span) => Some(span),
        Err(error) => {
            report.error(node.at, format!("`{what}`: {error}"), None);
            None
        }
    };
    let window = window.and_then(|n| span(n, "lookbackWindow"));
    // `0m` is the default, and no span of time elsewhere.
    let after = match after.filter(|n| n.scalar().is_none_or(|text| text != "0m")) {
        Some(node) => span(node, "alertAfter"),
        None => Some(Duration::ZERO),
    };
    let rate = threshold.and_then(|n| {
        let rate = n.decimal("threshold", report)?;
        tiers::check_rate(rate, n.at, report)
    });
    is_known?;
    Some((rate?, window?, after?))
}
