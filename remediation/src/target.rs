//! Who is told: notification targets, and their reading from `kind: NotificationTarget`.

use std::path::PathBuf;

use slo_engine::definitions::{
    Diagnostic, DiagnosticSeverity, Diagnostics, Document, Node, Report, Value, node::Position, node::quoted,
};

use crate::error::chain;
use crate::secret::{SecretError, SecretRef};
use crate::words::words;

/// Someone to tell, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub sink: Sink,
    /// Where it names its secret.
    pub file: PathBuf,
    pub at: Position,
}

/// How a target is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    PagerDuty {
        routing_key: SecretRef,
        /// Where events go; not secret, the routing key is in the body.
        url: String,
    },
    /// The URL of an incoming webhook is its credential.
    Slack { url: SecretRef },
    /// Signed as Standard Webhooks asks.
    Webhook { url: String, secret: SecretRef },
}

words!(
    /// The stored spelling of a sink's kind.
    SinkKind, "sink", { PagerDuty => "pagerduty", Slack => "slack", Webhook => "webhook" }
);

impl Sink {
    #[must_use]
    pub fn kind(&self) -> SinkKind {
        match self {
            Self::PagerDuty { .. } => SinkKind::PagerDuty,
            Self::Slack { .. } => SinkKind::Slack,
            Self::Webhook { .. } => SinkKind::Webhook,
        }
    }

    /// What a call cannot be made without.
    #[must_use]
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::PagerDuty { routing_key, .. } => routing_key,
            Self::Slack { url } => url,
            Self::Webhook { secret, .. } => secret,
        }
    }
}

impl Target {
    /// What to tell of a secret that this process cannot read now. A warning: another machine may hold it, and a file may
    /// be put there yet.
    pub(crate) fn without_secret(&self, error: &SecretError) -> Diagnostic {
        let hint = match self.sink.secret() {
            SecretRef::Env(name) => format!("set `{name}` where `slowburn run` is started"),
            SecretRef::File(_) => "put it there: it is read anew for every call".to_owned(),
        };
        Diagnostic {
            file: self.file.clone(),
            line: self.at.line,
            column: self.at.column,
            severity: DiagnosticSeverity::Warning,
            message: format!("nobody can be told by `{}`: {}", self.name, chain(error)),
            mismatch: None,
            hint: Some(hint),
        }
    }
}

pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
const SINKS: [&str; 3] = ["pagerduty", "slack", "webhook"];
const SECRETS: [&str; 3] = ["routingKeyFrom", "urlFrom", "secretFrom"];

/// Reads a `NotificationTarget`.
///
/// # Errors
/// With every mistake of the document.
pub fn parse(document: &Document) -> Result<Target, Diagnostics> {
    let mut report = Report::new(&document.file);
    let target = read(document, &mut report);
    let diagnostics = report.into_diagnostics();
    match target {
        Some(target) if !diagnostics.has_errors() => Ok(target),
        _ => Err(diagnostics),
    }
}

fn read(document: &Document, report: &mut Report) -> Option<Target> {
    let mut fields = document.node.fields("`NotificationTarget`", report)?;
    for key in ["apiVersion", "kind", "metadata"] {
        fields.optional(key);
    }
    let spec = fields.required("spec", report);
    fields.finish(report);
    let spec = spec?;
    let Value::Map(entries) = &spec.value else {
        spec.wrong("spec", "a mapping", None, report);
        return None;
    };
    let [(key, node)] = entries.as_slice() else {
        report.error(
            spec.at,
            format!("`spec` has {} keys, expected one", entries.len()),
            Some(format!("known keys: {}", quoted(&SINKS))),
        );
        return None;
    };
    let sink = match key.name.as_str() {
        "pagerduty" => pagerduty(node, report),
        "slack" => slack(node, report),
        "webhook" => webhook(node, report),
        _ => {
            // Asking for the three keys makes the message about unknown keys.
            let mut fields = spec.fields("`spec`", report)?;
            for sink in SINKS {
                fields.optional(sink);
            }
            fields.finish(report);
            None
        }
    };
    Some(Target {
        name: document.name.clone(),
        sink: sink?,
        file: document.file.clone(),
        at: SECRETS
            .iter()
            .find_map(|key| node.get(key))
            .map_or(node.at, |from| from.at),
    })
}

fn pagerduty(node: &Node, report: &mut Report) -> Option<Sink> {
    let mut fields = node.fields("`pagerduty`", report)?;
    let routing_key = fields
        .required("routingKeyFrom", report)
        .map(|node| secret("routingKeyFrom", node, report));
    let url = match fields.optional("url") {
        Some(node) => url(node, report),
        None => Some(PAGERDUTY_URL.to_owned()),
    };
    fields.finish(report);
    Some(Sink::PagerDuty {
        routing_key: routing_key??,
        url: url?,
    })
}

fn slack(node: &Node, report: &mut Report) -> Option<Sink> {
    let mut fields = node.fields("`slack`", report)?;
    let from = fields
        .required("urlFrom", report)
        .map(|node| secret("urlFrom", node, report));
    fields.finish(report);
    Some(Sink::Slack { url: from?? })
}

fn webhook(node: &Node, report: &mut Report) -> Option<Sink> {
    let mut fields = node.fields("`webhook`", report)?;
    let to = fields.required("url", report).map(|node| url(node, report));
    let from = fields
        .required("secretFrom", report)
        .map(|node| secret("secretFrom", node, report));
    fields.finish(report);
    Some(Sink::Webhook {
        url: to??,
        secret: from??,
    })
}

/// Reads `{env: NAME}` or `{file: PATH}`. A value in its place is refused without being repeated.
fn secret(what: &'static str, node: &Node, report: &mut Report) -> Option<SecretRef> {
    if !matches!(node.value, Value::Map(_)) {
        report.error(
            node.at,
            format!("`{what}` must name where the secret is, not hold it"),
            Some("write `{env: NAME}` or `{file: PATH}`".to_owned()),
        );
        return None;
    }
    let mut fields = node.fields(&format!("`{what}`"), report)?;
    let env = fields.optional("env");
    let file = fields.optional("file");
    fields.finish(report);
    match (env, file) {
        (Some(env), None) => {
            let name = env.text("env", report)?;
            if name.is_empty() || name.contains(['=', '\0']) {
                env.wrong("env", "the name of an environment variable", None, report);
                return None;
            }
            Some(SecretRef::Env(name.to_owned()))
        }
        (None, Some(file)) => Some(SecretRef::File(file.text("file", report)?.into())),
        _ => {
            report.error(
                node.at,
                format!("`{what}` needs one of `env` and `file`"),
                Some("write `{env: NAME}` or `{file: PATH}`".to_owned()),
            );
            None
        }
    }
}

/// Reads an absolute HTTP URL without credentials in it.
pub(crate) fn url(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.text("url", report)?;
    let problem = match reqwest::Url::parse(text) {
        Err(_) => Some("is not an absolute URL"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("is not `http` or `https`"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("has credentials in it, which belong in a secret")
        }
        Ok(_) => None,
    };
    match problem {
        Some(problem) => {
            // The text is not repeated: it may hold a credential.
            report.error(node.at, format!("`url` {problem}"), None);
            None
        }
        None => Some(text.to_owned()),
    }
}
