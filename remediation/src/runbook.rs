//! Runbooks as they were defined: when they run, what they do, what holds them back.

mod policy;
mod read;
mod step;

use std::time::Duration;

use rust_decimal::Decimal;
use slo_engine::alert::Transition;
use slo_engine::definitions::{Definitions, Diagnostics, Document, Report, node::nearest, node::quoted};
use slo_engine::measurement::ServiceName;
use slo_engine::objective::{ObjectiveName, Severity, TierName};

use crate::run::Mode;
use crate::target::{self, Target};

pub use step::{Action, Kubernetes, Orchestrated, Page, Rate, Replicas, Scale, ScaleBy, Sources, XdpLimit};

pub const API_VERSION: &str = "slowburn/v1";
const KINDS: [&str; 2] = ["Runbook", "NotificationTarget"];
/// To look whether one is there: somebody waits for the answer.
const SECRET_PATIENCE: Duration = Duration::from_secs(1);

/// What to do when certain alerts fire.
#[derive(Debug, Clone, PartialEq)]
pub struct Runbook {
    pub name: String,
    pub description: String,
    pub on: On,
    pub mode: Mode,
    pub guards: Guards,
    /// At least one.
    pub steps: Vec<Action>,
    pub verify: Verify,
}

/// Which alerts. All that is given must match; what is empty matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct On {
    pub services: Vec<ServiceName>,
    pub objectives: Vec<ObjectiveName>,
    pub severity: Option<Severity>,
    /// Tiers of objectives: those that alert policies of OpenSLO name.
    pub tiers: Vec<(ObjectiveName, TierName)>,
}

/// What holds a runbook back. A guard refuses acting, never telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guards {
    /// After acting on a service, how long not to act on it again.
    pub cooldown: Duration,
    /// On all services together.
    pub runs_per_hour_max: u32,
    /// An incident of an objective lasts until an hour after its last alert resolved.
    pub attempts_per_incident_max: u32,
    /// No limit is ever set below this many a second.
    pub floor_per_second: u32,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(600),
            runs_per_hour_max: 5,
            attempts_per_incident_max: 3,
            floor_per_second: 10,
        }
    }
}

/// How to find out whether acting helped.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verify {
    /// When the last look is.
    #[serde(with = "crate::span_text")]
    pub within: Duration,
    #[serde(with = "crate::span_text")]
    pub every: Duration,
    /// Recovered when the burn rate since acting is below this.
    pub recovered_below: Decimal,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(120),
            every: Duration::from_secs(10),
            recovered_below: Decimal::ONE,
        }
    }
}

impl On {
    /// The tiers in words, where some are named.
    #[must_use]
    pub fn tier_words(&self) -> Option<String> {
        let tiers = self.tiers.iter();
        let tiers: Vec<_> = tiers
            .map(|(objective, tier)| format!("{tier} of {objective}"))
            .collect();
        (!tiers.is_empty()).then(|| format!("tier {}", tiers.join(", ")))
    }

    #[must_use]
    pub fn matches(&self, alert: &Transition) -> bool {
        let is_named = |(objective, tier): &(_, _)| (objective, tier) == (&alert.objective, &alert.tier);
        (self.services.is_empty() || self.services.contains(&alert.service))
            && (self.objectives.is_empty() || self.objectives.contains(&alert.objective))
            && self.severity.is_none_or(|wanted| wanted == alert.severity)
            && (self.tiers.is_empty() || self.tiers.iter().any(is_named))
    }
}

/// Everything that is defined for acting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Playbook {
    pub runbooks: Vec<Runbook>,
    pub targets: Vec<Target>,
    /// What was accepted but deserves a look.
    pub warnings: Diagnostics,
}

impl Playbook {
    /// Reads the documents that the engine handed over, and looks up every name they refer to. Definitions with
    /// mistakes will do: what has one is known by its name.
    ///
    /// # Errors
    /// With every mistake of every document.
    pub fn read(definitions: &Definitions) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let mut playbook = Self::default();
        let known = read::Known::of(definitions);
        for document in definitions.other.iter().filter(|d| d.api_version == API_VERSION) {
            let mut report = Report::new(&document.file);
            match document.kind.as_str() {
                "NotificationTarget" => match target::parse(document) {
                    Ok(target) => playbook.targets.push(target),
                    Err(diagnostics) => found.extend(diagnostics),
                },
                "Runbook" => {
                    if let Some(runbook) = read::runbook(document, &known, &mut report) {
                        playbook.runbooks.push(runbook);
                    }
                }
                kind => unknown_kind(document, kind, &mut report),
            }
            found.extend(report.into_diagnostics());
        }
        playbook
            .runbooks
            .extend(policy::runbooks(definitions, &mut found));
        if found.has_errors() {
            return Err(found);
        }
        playbook.warnings = found;
        Ok(playbook)
    }

    /// A warning for every target whose secret cannot be read here and now.
    pub async fn missing_secrets(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        for target in &self.targets {
            let secret = target.sink.secret();
            let read = tokio::time::timeout(SECRET_PATIENCE, secret.read());
            let read = read.await.unwrap_or_else(|_| Err(secret.too_slow()));
            if let Err(error) = read {
                found.extend([target.without_secret(&error)]);
            }
        }
        found
    }

    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    #[must_use]
    pub fn runbook(&self, name: &str) -> Option<&Runbook> {
        self.runbooks.iter().find(|runbook| runbook.name == name)
    }
}

fn unknown_kind(document: &Document, kind: &str, report: &mut Report) {
    let at = document.node.get("kind").map_or(document.node.at, |node| node.at);
    let hint = match nearest(kind, &KINDS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("kinds for acting: {}", quoted(&KINDS)),
    };
    report.error(at, format!("`kind` is the unknown `{kind}`"), Some(hint));
}
