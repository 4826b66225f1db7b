//! Reads the steps of a runbook.

use std::time::Duration;

use rust_decimal::Decimal;
use slo_engine::definitions::{Fields, Node, Report, Value, node::quoted};
use slo_engine::duration;

use super::super::step::{
    Action, Kubernetes, Orchestrated, Page, Rate, Replicas, Scale, ScaleBy, Sources, XdpLimit,
};
use super::{Known, exists, positive, whole};
use crate::target::url;

/// More steps, sources or arguments than this are a mistake.
const STEPS_MAX: usize = 16;
const SOURCES_MAX: usize = 64;
const ARGUMENTS_MAX: usize = 64;
const ACTIONS: [&str; 3] = ["xdp_limit", "page", "scale"];
/// A limit is renewed at most so often unless the runbook says.
const RENEWALS: u32 = 2;
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(600);
const TTL: Duration = Duration::from_secs(900);
/// The limiter takes none that lives for longer.
const LIMIT_TTL_MAX: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn read_steps(
    node: &Node,
    known: &Known<'_>,
    within: Option<Duration>,
    report: &mut Report,
) -> Option<Vec<Action>> {
    let list = node.list("steps", report)?;
    if list.is_empty() || list.len() > STEPS_MAX {
        report.error(
            node.at,
            format!("`steps` has {} entries, expected 1 to {STEPS_MAX}", list.len()),
            None,
        );
    }
    let steps: Vec<Option<Action>> = list
        .iter()
        .map(|node| read_step(node, known, within, report))
        .collect();
    steps.into_iter().collect()
}

fn read_step(
    node: &Node,
    known: &Known<'_>,
    within: Option<Duration>,
    report: &mut Report,
) -> Option<Action> {
    let one = match &node.value {
        Value::Map(entries) if entries.len() == 1 => entries.first(),
        _ => None,
    };
    let Some((key, inner)) = one else {
        node.wrong(
            "steps",
            "a mapping with one key",
            Some(format!("known keys: {}", quoted(&ACTIONS))),
            report,
        );
        return None;
    };
    let action = match key.name.as_str() {
        "xdp_limit" => Action::XdpLimit(read_limit(inner, report)?),
        "page" => Action::Page(read_page(inner, known, report)?),
        "scale" => Action::Scale(read_scale(inner, report)?),
        _ => {
            let mut fields = node.fields("a step", report)?;
            for action in ACTIONS {
                fields.optional(action);
            }
            fields.finish(report);
            return None;
        }
    };
    if let (Some(ttl), Some(within)) = (action.ttl(), within)
        && ttl <= within
    {
        report.error(
            inner.get("ttl").map_or(key.at, |node| node.at),
            format!(
                "`ttl` is {}, which ends before verifying does after {}",
                duration::format(ttl),
                duration::format(within)
            ),
            Some("make `ttl` longer than `verify.within`".to_owned()),
        );
    }
    Some(action)
}

fn read_page(node: &Node, known: &Known<'_>, report: &mut Report) -> Option<Page> {
    let mut fields = node.fields("`page`", report)?;
    let target = fields.required("target", report);
    let name = target.and_then(|node| node.text("target", report));
    if let (Some(node), Some(name)) = (target, name) {
        exists("target", ("NotificationTarget", name), node, known, report);
    }
    let summary = fields
        .optional("summary")
        .and_then(|node| node.text("summary", report));
    fields.finish(report);
    Some(Page {
        target: name?.to_owned(),
        summary: summary.map(str::to_owned),
        is_end_untold: false,
    })
}

fn read_limit(node: &Node, report: &mut Report) -> Option<XdpLimit> {
    let mut fields = node.fields("`xdp_limit`", report)?;
    let sources = match fields.optional("sources") {
        Some(node) => read_sources(node, report),
        None => Some(Sources::Heaviest),
    };
    let min_share = match fields.optional("minShare") {
        Some(node) => positive("minShare", node, report).and_then(|share| {
            if share > Decimal::ONE {
                node.wrong("minShare", "a share above 0 and at most 1", None, report);
                return None;
            }
            Some(share)
        }),
        None => Some(Decimal::new(5, 1)),
    };
    let per_second = fields.optional("ratePerSecond");
    let keep = fields.optional("keep");
    let rate = match (per_second, keep) {
        (Some(node), None) => whole("ratePerSecond", node, 1, 1_000_000_000, report).map(Rate::PerSecond),
        (None, Some(node)) => positive("keep", node, report).map(Rate::Keep),
        _ => {
            report.error(
                node.at,
                "`xdp_limit` needs one of `ratePerSecond` and `keep`",
                None,
            );
            None
        }
    };
    let burst = fields
        .optional("burst")
        .map(|node| whole("burst", node, 1, 1_000_000_000, report));
    let ttl = match fields.optional("ttl") {
        Some(node) => node.duration("ttl", report).filter(|ttl| {
            let short = *ttl <= LIMIT_TTL_MAX;
            if !short {
                let hint = "say in `renewals` how often it may begin again".to_owned();
                node.wrong("ttl", "at most 24h", Some(hint), report);
            }
            short
        }),
        None => Some(TTL),
    };
    let renewals_max = read_renewals(&mut fields, report);
    fields.finish(report);
    Some(XdpLimit {
        sources: sources?,
        min_share: min_share?,
        rate: rate?,
        burst: match burst {
            Some(burst) => Some(burst?),
            None => None,
        },
        ttl: ttl?,
        renewals_max: renewals_max?,
    })
}

fn read_renewals(fields: &mut Fields<'_>, report: &mut Report) -> Option<u32> {
    match fields.optional("renewals") {
        Some(node) => whole("renewals", node, 0, 100, report),
        None => Some(RENEWALS),
    }
}

fn read_sources(node: &Node, report: &mut Report) -> Option<Sources> {
    if matches!(&node.value, Value::Text(text) if text == "heaviest") {
        return Some(Sources::Heaviest);
    }
    let Value::List(items) = &node.value else {
        node.wrong("sources", "`heaviest` or a list of addresses", None, report);
        return None;
    };
    // An empty list could be read as nobody or as everybody.
    if items.is_empty() || items.len() > SOURCES_MAX {
        report.error(
            node.at,
            format!(
                "`sources` has {} entries, expected 1 to {SOURCES_MAX}",
                items.len()
            ),
            None,
        );
        return None;
    }
    let list: Vec<_> = items.iter().map(|item| item.parse("sources", report)).collect();
    list.into_iter().collect::<Option<_>>().map(Sources::Listed)
}

fn read_scale(node: &Node, report: &mut Report) -> Option<Scale> {
    let mut fields = node.fields("`scale`", report)?;
    let command = fields.optional("command");
    let undo = fields.optional("undo");
    let timeout = fields.optional("timeout");
    let kubernetes = fields.optional("kubernetes");
    let ttl = fields.optional("ttl");
    let ttl_at = ttl.map_or(node.at, |node| node.at);
    let ttl = ttl.map(|node| node.duration("ttl", report));
    let renewals_max = read_renewals(&mut fields, report);
    fields.finish(report);
    let by = match (command, kubernetes) {
        (Some(command), None) => {
            let command = arguments("command", command, report);
            let timeout = match timeout {
                Some(node) => node.duration("timeout", report).filter(|timeout| {
                    let short = *timeout <= COMMAND_TIMEOUT_MAX;
                    if !short {
                        node.wrong("timeout", "at most 10m", None, report);
                    }
                    short
                }),
                None => Some(COMMAND_TIMEOUT),
            };
            let undo = match undo {
                Some(node) => Some(arguments("undo", node, report)?),
                None => None,
            };
            if undo.is_none() && ttl.is_some() {
                report.error(
                    ttl_at,
                    "`ttl` needs to know how to undo the command",
                    Some("add `undo: [PROGRAM, ARGUMENT...]`, or leave `ttl` out".to_owned()),
                );
            }
            ScaleBy::Command {
                command: command?,
                undo,
                timeout: timeout?,
            }
        }
        (None, Some(kubernetes)) => {
            for extra in [undo, timeout].into_iter().flatten() {
                report.error(extra.at, "`undo` and `timeout` belong to `command`", None);
            }
            ScaleBy::Kubernetes(read_kubernetes(kubernetes, report)?)
        }
        _ => {
            report.error(node.at, "`scale` needs one of `command` and `kubernetes`", None);
            return None;
        }
    };
    let ttl = match ttl {
        Some(ttl) => Some(ttl?),
        None => None,
    };
    Some(Scale {
        by,
        ttl,
        renewals_max: renewals_max?,
    })
}

fn arguments(what: &'static str, node: &Node, report: &mut Report) -> Option<Vec<String>> {
    if let Value::Text(text) = &node.value {
        let hint = format!("no shell reads it: write a list, such as [{text:?}]");
        node.wrong(what, "a list of program and arguments", Some(hint), report);
        return None;
    }
    let list = node.list(what, report)?;
    if list.is_empty() || list.len() > ARGUMENTS_MAX {
        report.error(
            node.at,
            format!(
                "`{what}` has {} entries, expected a program and at most {ARGUMENTS_MAX} in all",
                list.len()
            ),
            None,
        );
        return None;
    }
    let words: Vec<Option<String>> = list
        .iter()
        .map(|item| {
            let text = item.text(what, report)?;
            if text.contains('\0') {
                item.wrong(what, "a text without the character NUL", None, report);
                return None;
            }
            Some(text.to_owned())
        })
        .collect();
    let words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    // Found through PATH or a working directory, another program could run in its place.
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        report.error(
            node.at,
            format!("`{what}` does not begin with an absolute path"),
            None,
        );
        return None;
    }
    Some(words)
}

fn read_kubernetes(node: &Node, report: &mut Report) -> Option<Kubernetes> {
    let mut fields = node.fields("`kubernetes`", report)?;
    let api_server = match fields.optional("apiServer") {
        Some(node) => url(node, report),
        None => Some("https://kubernetes.default.svc".to_owned()),
    };
    let namespace = fields
        .required("namespace", report)
        .and_then(|node| object_name("namespace", node, report));
    let deployment = fields.optional("deployment");
    let stateful_set = fields.optional("statefulset");
    let (object, name) = match (deployment, stateful_set) {
        (Some(node), None) => (
            Some(Orchestrated::Deployment),
            object_name("deployment", node, report),
        ),
        (None, Some(node)) => (
            Some(Orchestrated::StatefulSet),
            object_name("statefulset", node, report),
        ),
        _ => {
            report.error(
                node.at,
                "`kubernetes` needs one of `deployment` and `statefulset`",
                None,
            );
            (None, None)
        }
    };
    let by = fields.optional("by");
    let to = fields.optional("to");
    let replicas = match (by, to) {
        (Some(node), None) => node.decimal("by", report).and_then(|by| {
            let whole = i32::try_from(by)
                .ok()
                .filter(|n| by.is_integer() && *n != 0 && n.abs() <= 1_000);
            if whole.is_none() {
                node.wrong(
                    "by",
                    "a whole number from -1000 to 1000 other than 0",
                    None,
                    report,
                );
            }
            whole.map(Replicas::By)
        }),
        (None, Some(node)) => whole("to", node, 0, 10_000, report).map(Replicas::To),
        _ => {
            report.error(node.at, "`kubernetes` needs one of `by` and `to`", None);
            None
        }
    };
    let min = match fields.optional("min") {
        Some(node) => whole("min", node, 0, 10_000, report),
        // An autoscaler is switched off by 0 replicas.
        None => Some(1),
    };
    let max = fields
        .required("max", report)
        .and_then(|node| whole("max", node, 1, 10_000, report));
    let mut path = |key| {
        let node = fields.optional(key)?;
        Some(node.text(key, report)?.into())
    };
    let token_file = path("tokenFile");
    let ca_file = path("caFile");
    fields.finish(report);
    let (min, max) = (min?, max?);
    if min > max {
        report.error(
            node.at,
            format!("`min` is {min}, more than `max`, which is {max}"),
            None,
        );
        return None;
    }
    Some(Kubernetes {
        api_server: api_server?,
        namespace: namespace?,
        object: object?,
        name: name?,
        replicas: replicas?,
        min,
        max,
        token_file,
        ca_file,
    })
}

/// Names of Kubernetes objects go into a URL's path.
fn object_name(what: &'static str, node: &Node, report: &mut Report) -> Option<String> {
    let text = node.text(what, report)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    if bytes.len() > 253 || !bytes.iter().all(|b| plain(*b)) || !ends(bytes.first()) || !ends(bytes.last()) {
        node.wrong(what, "the name of a Kubernetes object", None, report);
        return None;
    }
    Some(text.to_owned())
}
