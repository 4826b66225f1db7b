//! Turns documents of `openslo/v1alpha` into documents of `openslo/v1`, each part with the place it had.
//!
//! In: parsed documents. Out: the same, those of v1alpha rewritten, so that everything after this knows one
//! version. What v1alpha says in its own words is checked here; a part with a mistake is replaced by one
//! without, which nobody sees since the mistake refuses the set, so that the other parts are read all the same.

use std::path::Path;

use super::document::{OPENSLO, OPENSLO_KINDS};
use super::draft::is_period;
use super::node::{Key, Node, Position, Report, Value, nearest, quoted, shorten};
use super::{objectives, yaml};
use crate::duration;
use crate::name::is_label;

pub(super) const V1ALPHA: &str = "openslo/v1alpha";

const KINDS: [&str; 2] = ["Service", "SLO"];

/// Rewrites the documents of one file, lists of documents included.
pub(super) fn rewrite(documents: Vec<Node>, report: &mut Report) -> Vec<Node> {
    let rewrite = |node: Node, report: &mut Report| match node.value {
        Value::List(items) => vec![Node {
            at: node.at,
            value: Value::List(
                items
                    .into_iter()
                    .flat_map(|item| document(item, report))
                    .collect(),
            ),
        }],
        _ => document(node, report),
    };
    documents
        .into_iter()
        .flat_map(|node| rewrite(node, report))
        .collect()
}

/// One objective with a ratio of its own becomes an SLO of its own.
fn document(node: Node, report: &mut Report) -> Vec<Node> {
    let is_ours = node.get("apiVersion").and_then(Node::scalar).as_deref() == Some(V1ALPHA);
    let kind = node.get("kind").and_then(|n| Some((n.at, n.scalar()?)));
    let (true, Some((at, kind))) = (is_ours, kind) else {
        return vec![node];
    };
    match kind.as_str() {
        "Service" => vec![with(&node, "apiVersion", OPENSLO)],
        "SLO" => slo(&with(&node, "apiVersion", OPENSLO), report),
        _ => {
            let hint = match nearest(&kind, &KINDS) {
                _ if OPENSLO_KINDS.contains(&kind.as_str()) => {
                    format!("`{kind}` is a kind of `{OPENSLO}`: write `apiVersion: {OPENSLO}`")
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known kinds: {}; `{OPENSLO}` has others", quoted(&KINDS)),
            };
            let message = format!("`{V1ALPHA}` has no kind `{}`", shorten(&kind));
            report.error(at, message, Some(hint));
            match node
                .get("metadata")
                .and_then(|metadata| metadata.get("name"))
                .and_then(Node::scalar)
            {
                Some(name) => report.unread.named(&name),
                None => report.unread.anything(),
            }
            Vec::new()
        }
    }
}

fn slo(node: &Node, report: &mut Report) -> Vec<Node> {
    // What has no spec is for the reader of v1 to report.
    let Some(Value::Map(_)) = node.get("spec").map(|spec| &spec.value) else {
        return vec![node.clone()];
    };
    let name = node
        .get("metadata")
        .and_then(|m| m.get("name"))
        .and_then(Node::scalar);
    let title = match name.as_deref().filter(|name| is_label(name)) {
        Some(name) => format!("spec of SLO `{name}`"),
        None => "spec of SLO".to_owned(),
    };
    let Some(mut fields) = node.get("spec").and_then(|spec| spec.fields(&title, report)) else {
        return Vec::new();
    };
    let at = fields.at();
    let example = "timeWindows: [{unit: Day, count: 30, isRolling: true}]";
    let windows = fields.required_such_as("timeWindows", example, report);
    let windows_at = fields.key_at("timeWindows").unwrap_or(at);
    let indicator = fields.optional("indicator");
    let example = "objectives: [{target: 0.999, ratioMetrics: {good: .., total: ..}}]";
    let stated = fields.required_such_as("objectives", example, report);
    let mut spec: Vec<(&str, Node)> = Vec::new();
    for key in ["description", "service", "budgetingMethod"] {
        spec.extend(fields.optional(key).map(|n| (key, n.clone())));
    }
    fields.finish(report);
    let windows = windows
        .and_then(|n| time_windows(n, report))
        .unwrap_or_else(|| some_window(windows_at));
    spec.push(("timeWindow", windows));

    let objectives_at = stated.map_or(at, |n| n.at);
    let stated = stated.and_then(|n| n.list("objectives", report));
    let stand_in = |at| {
        let ratio = indicator.is_none().then(|| some_indicator(at));
        (some_objective(at, &spec), ratio)
    };
    let items: Vec<(Node, Option<Node>)> = match stated {
        Some(items) => items
            .iter()
            .map(|item| objective(item, indicator, report).unwrap_or_else(|| stand_in(item.at)))
            .collect(),
        None => vec![stand_in(at)],
    };
    match indicator {
        Some(indicator) => {
            if items.iter().any(|(_, ratio)| ratio.is_some()) {
                let message = "an SLO with an `indicator` has no `ratioMetrics` in its objectives";
                report.error(indicator.at, message, Some("remove one of them".to_owned()));
            }
            let indicator = threshold_indicator(indicator, report);
            spec.push(("indicator", indicator));
            let items = items.into_iter().map(|(item, _)| item).collect();
            spec.push(("objectives", list(objectives_at, items)));
            vec![with_spec(node, at, spec)]
        }
        // What has none is for the reader of v1 to report.
        None if items.is_empty() => {
            spec.push(("indicator", some_indicator(objectives_at)));
            spec.push(("objectives", list(objectives_at, Vec::new())));
            vec![with_spec(node, at, spec)]
        }
        None => {
            let several = items.len() > 1;
            let split = |(index, (item, ratio)): (usize, (Node, Option<Node>))| {
                let mut spec = spec.clone();
                spec.extend(ratio.map(|ratio| ("indicator", ratio)));
                let own = item.get("displayName").and_then(Node::scalar);
                let at_own = item.get("displayName").map_or(item.at, |n| n.at);
                spec.push(("objectives", list(objectives_at, vec![item])));
                let whole = with_spec(node, at, spec);
                let Some(name) = name.as_ref().filter(|_| several) else {
                    return whole;
                };
                let own_name = objectives::one_of_several(name, own.as_deref(), index + 1, at_own, report);
                rename(&whole, &own_name, own.as_deref(), at_own)
            };
            items.into_iter().enumerate().map(split).collect()
        }
    }
}

/// The objective in v1's words, and its ratio as an indicator where `whole`, the SLO's, does not measure it.
fn objective(node: &Node, whole: Option<&Node>, report: &mut Report) -> Option<(Node, Option<Node>)> {
    let mut fields = node.fields("objective", report)?;
    let ratio = fields.optional("ratioMetrics");
    let mut kept = Vec::new();
    // What the reader of v1 asks for in its hints may be added here, such as the length of slices.
    for key in [
        "displayName",
        "op",
        "value",
        "target",
        "targetPercent",
        "timeSliceTarget",
        "timeSliceWindow",
    ] {
        kept.extend(fields.optional(key).map(|n| (key, n.clone())));
    }
    let is_known = fields.finish(report);
    // Where what is measured has a mistake, what it is compared with may be right.
    if ratio.is_none() && whole.is_none_or(|n| n.get("thresholdMetric").is_none()) {
        kept.retain(|(key, _)| !["op", "value"].contains(key));
    }
    let ratio = match ratio {
        Some(ratio) => Some(ratio_indicator(ratio, report).unwrap_or_else(|| some_indicator(ratio.at))),
        None if whole.is_some() => None,
        None => {
            // A key that is not known was meant to say it.
            if is_known {
                let hint =
                    "write `ratioMetrics: {good: .., total: ..}` in each objective, or `indicator` in `spec`";
                let message = "the objective does not say what it measures";
                report.error(node.at, message, Some(hint.to_owned()));
            }
            Some(some_indicator(node.at))
        }
    };
    Some((map(node.at, kept), ratio))
}

fn ratio_indicator(node: &Node, report: &mut Report) -> Option<Node> {
    let mut fields = node.fields("ratioMetrics", report)?;
    let good = fields.required("good", report);
    let total = fields.required("total", report);
    // Drafts of v1alpha said `incremental`, its last text `counter`.
    let counter = fields.optional("counter").or(fields.optional("incremental"));
    fields.finish(report);
    let good = good.and_then(|n| metric_source(n, "good", report));
    let total = total.and_then(|n| metric_source(n, "total", report));
    let mut ratio = vec![("good", good?), ("total", total?)];
    ratio.extend(counter.map(|n| ("counter", n.clone())));
    Some(indicator(node.at, "ratioMetric", map(node.at, ratio)))
}

fn threshold_indicator(node: &Node, report: &mut Report) -> Node {
    if let (Some(ratio), None) = (node.get("ratioMetric"), node.get("thresholdMetric")) {
        let message = format!("`indicator` has a `ratioMetric`, which `{V1ALPHA}` states in the objectives");
        let hint = format!("write it as `ratioMetrics` in each, or write `apiVersion: {OPENSLO}`");
        report.error(ratio.at, message, Some(hint));
        return some_indicator(node.at);
    }
    let found = node.fields("indicator", report).and_then(|mut fields| {
        let metric = fields.required("thresholdMetric", report);
        fields.finish(report);
        metric_source(metric?, "thresholdMetric", report)
    });
    match found {
        Some(found) => indicator(node.at, "thresholdMetric", found),
        None if node.get("thresholdMetric").is_some() => {
            indicator(node.at, "thresholdMetric", some_source(node.at, Vec::new()))
        }
        None => some_indicator(node.at),
    }
}

/// `{source, queryType, query}` as `{metricSource: {type, spec}}`. The query holds v1's `spec`, as text or as it is.
fn metric_source(node: &Node, what: &str, report: &mut Report) -> Option<Node> {
    let hint = "write `source: slowburn`, `queryType: slowburn` and, as `query`, the keys of a metric source, such as `status: [1xx, 2xx, 3xx, 4xx]`";
    let mut fields = node.fields(what, report)?;
    let source = fields.required("source", report);
    let query_type = fields.required("queryType", report);
    let query = fields.required("query", report);
    fields.finish(report);
    let is_ours = |node: Option<&Node>, key: &str, report: &mut Report| {
        let node = node?;
        if node.text(key, report)? == "slowburn" {
            return Some(());
        }
        let message = format!(
            "`{key}` is `{}`, which is not read: slowburn measures in the kernel",
            shorten(&node.scalar().unwrap_or_default())
        );
        report.error(node.at, message, Some(hint.to_owned()));
        None
    };
    is_ours(source, "source", report)?;
    is_ours(query_type, "queryType", report)?;
    let spec = query.and_then(|n| read_query(n, report))?;
    let kind = text(source?.at, "slowburn");
    let source = map(node.at, vec![("type", kind), ("spec", spec)]);
    Some(map(node.at, vec![("metricSource", source)]))
}

fn read_query(node: &Node, report: &mut Report) -> Option<Node> {
    if let Value::Map(_) = node.value {
        return Some(node.clone());
    }
    let hint = || Some("such as `status: [1xx, 2xx, 3xx, 4xx]`, or `{}` for everything".to_owned());
    let text = node.text("query", report)?;
    let mut inner = Report::new(Path::new("query"));
    let mut documents = yaml::parse(text, &mut inner);
    if let Some(found) = inner.into_diagnostics().0.into_iter().next() {
        report.error(
            node.at,
            format!("`query`: {}", found.message),
            found.hint.or_else(hint),
        );
        return None;
    }
    match (documents.pop(), documents.is_empty()) {
        (Some(spec), true) if matches!(spec.value, Value::Map(_)) => Some(moved(spec, node.at)),
        _ => {
            node.wrong("query", "the keys of a metric source", hint(), report);
            None
        }
    }
}

const UNITS: [(&str, &str); 8] = [
    ("Second", "s"),
    ("Minute", "m"),
    ("Hour", "h"),
    ("Day", "d"),
    ("Week", "w"),
    ("Month", "M"),
    ("Quarter", "Q"),
    ("Year", "Y"),
];

/// `{unit: Day, count: 30, ..}` as `{duration: 30d, ..}`.
fn time_windows(node: &Node, report: &mut Report) -> Option<Node> {
    let window = |node: &Node, report: &mut Report| {
        let mut fields = node.fields("timeWindows", report)?;
        let unit = fields.required_such_as("unit", "unit: Day", report);
        let count = fields.required_such_as("count", "count: 28", report);
        let mut kept = Vec::new();
        for key in ["isRolling", "calendar"] {
            kept.extend(fields.optional(key).map(|n| (key, n.clone())));
        }
        fields.finish(report);
        let unit = unit.and_then(|n| Some((unit_of(n, report)?, n.scalar()?)));
        let number = count.and_then(|n| Some((n.integer("count", 1, 1_000_000_000, report)?, n.at)));
        let ((unit, name), (number, at)) = (unit?, number?);
        let span = format!("{number}{unit}");
        let is_rolling = kept
            .iter()
            .all(|(key, node)| *key != "isRolling" || node.value != Value::Bool(false));
        if is_rolling && !duration::parse_openslo(&span).is_ok_and(is_period) {
            let message = format!(
                "`count` is `{number}` of `unit: {name}`, expected a period from a minute to 366 days"
            );
            report.error(at, message, None);
            return None;
        }
        kept.push(("duration", text(at, &span)));
        Some(map(node.at, kept))
    };
    let items = node.list("timeWindows", report)?;
    let items: Vec<Option<Node>> = items.iter().map(|item| window(item, report)).collect();
    Some(list(node.at, items.into_iter().collect::<Option<_>>()?))
}

fn unit_of(node: &Node, report: &mut Report) -> Option<&'static str> {
    let text = node.text("unit", report)?;
    let found = UNITS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names = UNITS.map(|(name, _)| name);
        let hint = nearest(text, &names).map(|near| format!("did you mean `{near}`?"));
        node.wrong("unit", &format!("one of {}", quoted(&names)), hint, report);
    }
    found.map(|(_, unit)| *unit)
}

fn some_window(at: Position) -> Node {
    let rolling = Node {
        at,
        value: Value::Bool(true),
    };
    let window = map(at, vec![("duration", text(at, "30d")), ("isRolling", rolling)]);
    list(at, vec![window])
}

/// What no reader has anything to say of, whatever the budget counts.
fn some_objective(at: Position, spec: &[(&str, Node)]) -> Node {
    let method = spec.iter().find(|(key, _)| *key == "budgetingMethod");
    let method = method.and_then(|(_, node)| node.scalar());
    let share = || Node {
        at,
        value: Value::Number("0.9".to_owned()),
    };
    let mut stated = vec![("target", share())];
    if let Some("Timeslices" | "RatioTimeslices") = method.as_deref() {
        stated.push(("timeSliceWindow", text(at, "1m")));
    }
    if let Some("Timeslices") = method.as_deref() {
        stated.push(("timeSliceTarget", share()));
    }
    map(at, stated)
}

fn some_source(at: Position, spec: Vec<(&str, Node)>) -> Node {
    let source = vec![("type", text(at, "slowburn")), ("spec", map(at, spec))];
    map(at, vec![("metricSource", map(at, source))])
}

fn some_indicator(at: Position) -> Node {
    let raw = some_source(at, vec![("status", text(at, "2xx"))]);
    let ratio = map(at, vec![("raw", raw), ("rawType", text(at, "success"))]);
    indicator(at, "ratioMetric", ratio)
}

fn indicator(at: Position, kind: &'static str, metric: Node) -> Node {
    map(at, vec![("spec", map(at, vec![(kind, metric)]))])
}

fn text(at: Position, text: &str) -> Node {
    Node {
        at,
        value: Value::Text(text.to_owned()),
    }
}

fn list(at: Position, items: Vec<Node>) -> Node {
    Node {
        at,
        value: Value::List(items),
    }
}

/// Keys are where their values are: v1's reader names few of them, and then the value says which.
fn map(at: Position, entries: Vec<(&str, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| {
        let key = Key {
            at: node.at,
            name: name.to_owned(),
        };
        (key, node)
    });
    Node {
        at,
        value: Value::Map(entries.collect()),
    }
}

/// All of it at one place.
fn moved(node: Node, at: Position) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| moved(item, at)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, node)| (Key { at, ..key }, moved(node, at)))
                .collect(),
        ),
        scalar => scalar,
    };
    Node { at, value }
}

/// The mapping with another text under one of its keys.
fn with(node: &Node, name: &str, new: &str) -> Node {
    replace(node, name, |old| text(old.at, new))
}

fn with_spec(node: &Node, at: Position, spec: Vec<(&str, Node)>) -> Node {
    replace(node, "spec", |_| map(at, spec.clone()))
}

fn replace(node: &Node, name: &str, new: impl Fn(&Node) -> Node) -> Node {
    let Value::Map(entries) = &node.value else {
        return node.clone();
    };
    let entries = entries.iter().map(|(key, old)| {
        let value = if key.name == name { new(old) } else { old.clone() };
        (key.clone(), value)
    });
    Node {
        at: node.at,
        value: Value::Map(entries.collect()),
    }
}

/// Gives the SLO another name, and its objective's display name after its own.
fn rename(slo: &Node, name: &str, own: Option<&str>, at: Position) -> Node {
    replace(slo, "metadata", |metadata| {
        let Value::Map(entries) = &metadata.value else {
            return metadata.clone();
        };
        let title = metadata.get("displayName").or(metadata.get("name"));
        let title = title.and_then(Node::scalar).unwrap_or_default();
        let title = own.map_or_else(|| title.clone(), |own| format!("{title} {own}"));
        let kept = entries
            .iter()
            .filter(|(key, _)| key.name != "name" && key.name != "displayName");
        let mut kept: Vec<(&str, Node)> = kept
            .map(|(key, node)| (key.name.as_str(), node.clone()))
            .collect();
        kept.push(("name", text(at, name)));
        kept.push(("displayName", text(at, &title)));
        map(metadata.at, kept)
    })
}
