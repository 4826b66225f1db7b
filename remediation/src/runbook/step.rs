//! What a step of a runbook asks for. Stored with the run, so that a changed file does not change
//! what a run that has begun will do.

use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::SourcePrefix;
use crate::run::StepKind;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    XdpLimit(XdpLimit),
    Page(Page),
    Scale(Scale),
}

/// Limits sources of a service's traffic in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XdpLimit {
    pub sources: Sources,
    /// A source that sends less than this share of everything is left alone.
    pub min_share: Decimal,
    pub rate: Rate,
    /// Absent: a second's worth.
    pub burst: Option<u32>,
    #[serde(with = "crate::span_text")]
    pub ttl: Duration,
    /// How often the time to live may begin again while the alert still fires.
    pub renewals_max: u32,
}

/// Whom to limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sources {
    /// Whoever sends at least `min_share`, when the step acts.
    Heaviest,
    Listed(Vec<SourcePrefix>),
}

/// How much a limited source may still send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    PerSecond(u32),
    /// So many times the median of what the sources that are left alone send.
    Keep(Decimal),
}

/// Tells someone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub target: String,
    pub summary: Option<String>,
    /// Whoever is told of the alert is not told when it is over.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_end_untold: bool,
}

/// Gives a service more room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    pub by: ScaleBy,
    /// When the inverse is applied. Absent: what was done stays.
    #[serde(with = "crate::span_text::optional")]
    pub ttl: Option<Duration>,
    pub renewals_max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleBy {
    Command {
        /// Program and arguments; no shell ever reads them.
        command: Vec<String>,
        /// The inverse.
        undo: Option<Vec<String>>,
        #[serde(with = "crate::span_text")]
        timeout: Duration,
    },
    Kubernetes(Kubernetes),
}

/// A scale subresource of the `apps` group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    pub api_server: String,
    pub namespace: String,
    pub object: Orchestrated,
    pub name: String,
    pub replicas: Replicas,
    pub min: u32,
    pub max: u32,
    /// Read anew for every call: such tokens rotate.
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orchestrated {
    Deployment,
    StatefulSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    By(i32),
    To(u32),
}

impl Action {
    #[must_use]
    pub fn kind(&self) -> StepKind {
        match self {
            Self::XdpLimit(_) => StepKind::XdpLimit,
            Self::Page(_) => StepKind::Page,
            Self::Scale(_) => StepKind::Scale,
        }
    }

    /// When what the step did ends by itself.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        match self {
            Self::XdpLimit(limit) => Some(limit.ttl),
            Self::Scale(scale) => scale.ttl,
            Self::Page(_) => None,
        }
    }

    #[must_use]
    pub fn renewals_max(&self) -> u32 {
        match self {
            Self::XdpLimit(limit) => limit.renewals_max,
            Self::Scale(scale) => scale.renewals_max,
            Self::Page(_) => 0,
        }
    }

    /// What the step would do, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::XdpLimit(limit) => limit.summary(),
            Self::Page(page) => format!("tell `{}`", page.target),
            Self::Scale(scale) => scale.summary(),
        }
    }
}

impl XdpLimit {
    fn summary(&self) -> String {
        let whom = match &self.sources {
            Sources::Heaviest => format!("sources that send at least {} of everything", self.min_share),
            Sources::Listed(list) => list
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let rate = match &self.rate {
            Rate::PerSecond(rate) => format!("{rate}/s"),
            Rate::Keep(factor) => format!("{factor} times the median of the others"),
        };
        format!(
            "limit {whom} to {rate} for {}",
            slo_engine::duration::format(self.ttl)
        )
    }
}

impl Scale {
    fn summary(&self) -> String {
        let what = match &self.by {
            ScaleBy::Command { command, .. } => {
                format!("run `{}`", command.first().map_or("", String::as_str))
            }
            ScaleBy::Kubernetes(kubernetes) => kubernetes.summary(),
        };
        match self.ttl {
            Some(ttl) => format!("{what}, undo after {}", slo_engine::duration::format(ttl)),
            None => what,
        }
    }
}

impl Kubernetes {
    fn summary(&self) -> String {
        let change = match self.replicas {
            Replicas::By(by) => format!("by {by:+}"),
            Replicas::To(to) => format!("to {to}"),
        };
        format!(
            "scale {} `{}` {change} replicas",
            self.object.plural().trim_end_matches('s'),
            self.name
        )
    }

    /// The replicas wanted from `current`, within `min` and `max`.
    #[must_use]
    pub fn wanted(&self, current: u32) -> u32 {
        match self.replicas {
            Replicas::By(by) => current.saturating_add_signed(by),
            Replicas::To(to) => to,
        }
        .clamp(self.min, self.max)
    }
}

impl Orchestrated {
    /// As it stands in URLs.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }
}
