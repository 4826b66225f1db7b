//! What makes an endpoint a service's, in the short form.

use super::draft::check_match;
use super::node::{Node, Position, Report, Value};
use crate::service::{EndpointMatch, PodMatch};

/// Reads `{port: 8080}`, `{cgroup: ..}` and so on, each one or a list, or a list of such mappings.
pub(super) fn endpoint_matches(node: &Node, report: &mut Report) -> Vec<(EndpointMatch, Position)> {
    let mut found = Vec::new();
    for item in node.one_or_many() {
        let Some(mut fields) = item.fields("match", report) else {
            continue;
        };
        let before = found.len();
        let mut keys = 0;
        for (key, make) in MATCHES {
            let Some(values) = fields.optional(key) else {
                continue;
            };
            keys += 1;
            for value in values.one_or_many() {
                if let Some(matched) = make(value, report).and_then(|m| check_match(m, value.at, report)) {
                    found.push((matched, value.at));
                }
            }
        }
        let at = fields.at();
        // A key that is not known was meant to match something.
        if fields.finish(report) && keys == 0 && found.len() == before {
            let hint = "expected `port`, `cgroup`, `unit`, `container`, `kubernetes` or `executable`, such as `match: {port: 8080}`";
            report.error(at, "`match` matches nothing", Some(hint.to_owned()));
        }
    }
    found
}

type MakeMatch = fn(&Node, &mut Report) -> Option<EndpointMatch>;

const MATCHES: [(&str, MakeMatch); 6] = [
    ("port", |n, report| {
        let port = n.integer("port", 1, 65_535, report)?;
        u16::try_from(port).ok().map(EndpointMatch::Port)
    }),
    ("cgroup", |n, report| {
        Some(EndpointMatch::Cgroup(text(n, "cgroup", report)?))
    }),
    ("unit", |n, report| {
        Some(EndpointMatch::Unit(text(n, "unit", report)?))
    }),
    ("container", |n, report| {
        Some(EndpointMatch::Container(text(n, "container", report)?))
    }),
    ("kubernetes", |n, report| {
        Some(EndpointMatch::Kubernetes(pod(n, report)?))
    }),
    ("executable", |n, report| {
        Some(EndpointMatch::Executable(text(n, "executable", report)?))
    }),
];

fn text(node: &Node, what: &str, report: &mut Report) -> Option<String> {
    node.text(what, report).map(str::to_owned)
}

/// Reads `{namespace: shop, pod: web-*, labels: {app: web}}`, of which all must hold.
fn pod(node: &Node, report: &mut Report) -> Option<PodMatch> {
    let mut fields = node.fields("kubernetes", report)?;
    let namespace = fields.optional("namespace").map(|n| text(n, "namespace", report));
    let pod = fields.optional("pod").map(|n| text(n, "pod", report));
    let labels = fields.optional("labels");
    if !fields.finish(report) {
        return None;
    }
    let mut found = PodMatch {
        namespace: namespace.map_or(Some(None), |n| n.map(Some))?,
        pod: pod.map_or(Some(None), |n| n.map(Some))?,
        ..PodMatch::default()
    };
    if let Some(labels) = labels {
        let Value::Map(entries) = &labels.value else {
            labels.wrong("labels", "a mapping such as `{app: web}`", None, report);
            return None;
        };
        for (key, value) in entries {
            found
                .labels
                .insert(key.name.clone(), text(value, &key.name, report)?);
        }
    }
    Some(found)
}
