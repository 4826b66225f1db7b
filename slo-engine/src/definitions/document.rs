//! The envelope every document has: `apiVersion`, `kind`, `metadata`, `spec`.
//!
//! In: the documents of a file. Out: one [`Envelope`] a document of a kind that slowburn knows; what
//! it does not know is reported. Lists of documents are taken apart.

use std::path::{Path, PathBuf};

use super::node::{Fields, Key, Node, Position, Report, Value, nearest, quoted, shorten};
use crate::name::{LABEL, is_label};

pub(super) const OPENSLO: &str = "openslo/v1";
pub(super) const SLOWBURN: &str = "slowburn/v1";

pub(super) const OPENSLO_KINDS: [&str; 7] = [
    "Service",
    "SLO",
    "SLI",
    "DataSource",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
];
/// Kinds of ours. All but the first two are read by the remediation crate.
const SLOWBURN_KINDS: [&str; 4] = ["Service", "Correction", "Runbook", "NotificationTarget"];

/// Where something was defined, across files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    pub at: Position,
}

/// A document of a known kind. The spec is still to be read, also when the name has been reported.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub file: &'a Path,
    pub node: &'a Node,
    pub api_version: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub name_at: Position,
    pub display_name: Option<&'a str>,
    /// Keys and values of `metadata.annotations`.
    pub annotations: Option<&'a Node>,
    pub spec: Option<&'a Node>,
}

impl Envelope<'_> {
    pub fn is(&self, api_version: &str, kind: &str) -> bool {
        self.api_version == api_version && self.kind == kind
    }

    /// How messages name the document: ``SLO `checkout` ``, and ``SLO`` when it has no good name.
    pub fn title(&self) -> String {
        if is_label(self.name) {
            format!("{} `{}`", self.kind, self.name)
        } else {
            self.kind.to_owned()
        }
    }

    pub fn place(&self) -> Place {
        Place {
            file: self.file.to_owned(),
            at: self.name_at,
        }
    }

    /// Begins to read the spec; its absence is a mistake.
    pub fn spec(&self, report: &mut Report) -> Option<Fields<'_>> {
        match self.spec {
            Some(spec) => spec.fields(&format!("spec of {}", self.title()), report),
            None => {
                let (message, hint) = match self.node.get("spec") {
                    Some(_) => (
                        format!("`spec` of {} is empty", self.title()),
                        "indent its keys below it; one without any is `spec: {}`",
                    ),
                    None => (
                        format!("{} has no `spec`", self.title()),
                        "`spec` holds everything but its name",
                    ),
                };
                report.error(self.node.at, message, Some(hint.to_owned()));
                None
            }
        }
    }
}

/// Reads the envelopes of one file's documents.
pub(super) fn envelopes<'a>(file: &'a Path, documents: &'a [Node], report: &mut Report) -> Vec<Envelope<'a>> {
    report.switch(file);
    let mut found = Vec::new();
    for document in documents {
        match &document.value {
            Value::Null => {}
            Value::List(items) => found.extend(items.iter().filter_map(|item| envelope(file, item, report))),
            _ => found.extend(envelope(file, document, report)),
        }
    }
    found
}

fn envelope<'a>(file: &'a Path, node: &'a Node, report: &mut Report) -> Option<Envelope<'a>> {
    let Some(mut fields) = node.fields("the document", report) else {
        report.unread.anything();
        return None;
    };
    let api_version = fields
        .required_such_as("apiVersion", "apiVersion: slowburn/v1", report)
        .and_then(|n| Some((n.at, n.text("apiVersion", report)?)));
    let kind = fields
        .required_such_as("kind", "kind: Service", report)
        .and_then(|n| Some((n.at, n.text("kind", report)?)));
    let metadata = fields.required_such_as("metadata", "metadata: {name: checkout}", report);
    let spec = fields.optional("spec");
    let known = api_version.and_then(|(at, version)| Some((version, known_kinds(at, version, report)?)));
    let known = known.zip(kind).and_then(|((version, kinds), (at, kind))| {
        Some((version, known_kind(at, kind, (version, kinds), report)?))
    });
    let Some((api_version, kind)) = known else {
        match metadata.and_then(|n| n.get("name")).and_then(Node::scalar) {
            Some(name) => report.unread.named(&name),
            None => report.unread.anything(),
        }
        return None;
    };
    fields.finish(report);

    // Without a good name a document is still read, for the sake of its other mistakes.
    let nameless = Envelope {
        file,
        node,
        api_version,
        kind,
        name: "",
        name_at: node.at,
        display_name: None,
        annotations: None,
        spec,
    };
    let Some(mut metadata) = metadata.and_then(|node| node.fields("metadata", report)) else {
        report.unread.one_of(kind);
        return Some(nameless);
    };
    let name = metadata.required_such_as("name", "name: checkout", report);
    let display_name = metadata
        .optional("displayName")
        .and_then(|n| n.text("displayName", report));
    let labels = metadata.optional("labels");
    let annotations = metadata.optional("annotations");
    metadata.finish(report);
    check_labels(labels, report);
    check_annotations(annotations, report);
    let name = name.and_then(|node| Some((node.text("name", report)?, node.at)));
    if name.is_none() {
        report.unread.one_of(kind);
    }
    if let Some((text, at)) = name.filter(|(text, _)| !is_label(text)) {
        let message = format!("`name` is `{}`, expected {LABEL}", shorten(text));
        report.error(at, message, suggest_label(text));
    }
    let (name, name_at) = name.unwrap_or((nameless.name, nameless.name_at));
    Some(Envelope {
        name,
        name_at,
        display_name,
        annotations,
        ..nameless
    })
}

fn known_kinds(at: Position, api_version: &str, report: &mut Report) -> Option<&'static [&'static str]> {
    let hint = match api_version {
        OPENSLO => return Some(&OPENSLO_KINDS),
        SLOWBURN => return Some(&SLOWBURN_KINDS),
        "openslo.com/v2alpha" | "openslo/v2alpha" => "write the file as `openslo/v1`; v2alpha is a draft",
        _ => "expected `openslo/v1`, `openslo/v1alpha` or `slowburn/v1`",
    };
    let message = format!(
        "`apiVersion` is `{}`, which slowburn does not read",
        shorten(api_version)
    );
    report.error(at, message, Some(hint.to_owned()));
    None
}

/// The kind, or the one that may have been meant: its document is read for the sake of its other mistakes.
fn known_kind<'a>(
    at: Position,
    kind: &'a str,
    (api_version, kinds): (&str, &'static [&'static str]),
    report: &mut Report,
) -> Option<&'a str> {
    if kinds.contains(&kind) {
        return Some(kind);
    }
    let near = nearest(kind, kinds);
    let mut versions = [(OPENSLO, OPENSLO_KINDS.as_slice()), (SLOWBURN, &SLOWBURN_KINDS)].into_iter();
    let other = versions.find(|(_, kinds)| kinds.contains(&kind));
    let hint = match (near, other) {
        (_, Some((other, _))) => format!("`{kind}` is a kind of `{other}`: write `apiVersion: {other}`"),
        (Some(near), None) => format!("did you mean `{near}`?"),
        (None, None) => format!("known kinds: {}", quoted(kinds)),
    };
    let message = format!("`{api_version}` has no kind `{}`", shorten(kind));
    report.error(at, message, Some(hint));
    near
}

/// A label close to the text, when there is one.
fn suggest_label(text: &str) -> Option<String> {
    let near: String = slug(text).chars().take(63).collect();
    let near = near.trim_end_matches('-');
    is_label(near).then(|| format!("write `{near}`; put the long name in `displayName`"))
}

/// The letters and digits of a text in lower case, with one `-` for whatever is between them.
pub(super) fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

/// OpenSLO labels are texts or lists of texts. slowburn keeps none, but a slip is still a slip.
fn check_labels(labels: Option<&Node>, report: &mut Report) {
    for (key, value) in entries("labels", labels, report) {
        let length = key.name.chars().count();
        if !(1..=KEY_MAX).contains(&length) {
            let message = format!(
                "the label `{}` has a key of {length} characters, expected 1 to {KEY_MAX}",
                shorten(&key.name)
            );
            let hint = "shorten it; a value may be as long as it needs to be".to_owned();
            report.error(key.at, message, Some(hint));
        }
        for item in value.one_or_many() {
            item.text("label", report);
        }
    }
}

/// OpenSLO's annotations have keys as Kubernetes' have: `team`, `example.com/team`.
fn check_annotations(annotations: Option<&Node>, report: &mut Report) {
    for (key, value) in entries("annotations", annotations, report) {
        let (prefix, name) = match key.name.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key.name.as_str()),
        };
        if !is_annotation_name(name) || prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
            let message = format!(
                "the annotation `{}` is not named as OpenSLO has it",
                shorten(&key.name)
            );
            let hint = format!(
                "such as `team` or `example.com/team`: a name of up to {KEY_MAX} letters, digits, `-`, `_` and `.`, which may \
                 follow a lower-case DNS name and a `/`"
            );
            report.error(key.at, message, Some(hint));
        } else if prefix == Some(OPENSLO_RESERVES) {
            let message = format!(
                "the annotation `{}` is of OpenSLO's own, and means nothing",
                shorten(&key.name)
            );
            let hint = format!("`{OPENSLO_RESERVES}/` is reserved: give it a prefix of yours");
            report.warning(key.at, message, Some(hint));
        }
        value.text("annotation", report);
    }
}

/// Longest key of a label, and name of an annotation behind its prefix.
const KEY_MAX: usize = 63;
const DNS_NAME_MAX: usize = 253;
const OPENSLO_RESERVES: &str = "openslo.com";

fn is_annotation_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    (1..=KEY_MAX).contains(&name.len())
        && name.chars().all(is_inner)
        && name.starts_with(is_outer)
        && name.ends_with(is_outer)
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= DNS_NAME_MAX && name.split('.').all(is_label)
}

fn entries<'a>(
    what: &str,
    node: Option<&'a Node>,
    report: &mut Report,
) -> impl Iterator<Item = &'a (Key, Node)> + use<'a> {
    let entries = match node.map(|node| (node, &node.value)) {
        Some((_, Value::Map(entries))) => entries.as_slice(),
        Some((node, _)) => {
            node.wrong(what, "a mapping", None, report);
            &[]
        }
        None => &[],
    };
    // A merge key has been reported where it was read.
    entries.iter().filter(|(key, _)| key.name != "<<")
}

/// Our own annotations on a document; others are left alone, misspelt ones of ours are mistakes.
/// Values come in the order of `known`.
pub(super) fn own_annotations<'a, const N: usize>(
    annotations: Option<&'a Node>,
    known: [&str; N],
    report: &mut Report,
) -> [Option<(&'a str, Position)>; N] {
    let mut found = [None; N];
    let Some(Node {
        value: Value::Map(entries),
        ..
    }) = annotations
    else {
        return found;
    };
    for (key, value) in entries {
        if !key.name.starts_with("slowburn/") {
            continue;
        }
        match known.iter().position(|name| *name == key.name) {
            Some(index) => {
                if let Value::Text(text) = &value.value {
                    found[index] = Some((text, value.at));
                }
            }
            None => {
                let hint = match nearest(&key.name, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if N == 0 => "this kind takes none".to_owned(),
                    None => format!("known here: {}", quoted(&known)),
                };
                report.error(
                    key.at,
                    format!("unknown annotation `{}`", shorten(&key.name)),
                    Some(hint),
                );
            }
        }
    }
    found
}
