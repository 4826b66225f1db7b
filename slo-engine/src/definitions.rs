//! Reads definition files into services and objectives.
//!
//! In: paths of YAML and JSON files, or of directories that hold them. Out: every service to watch
//! and every objective to keep, or every mistake at once, each with file, line, column, what was
//! found, what was expected and a way out. Documents of kinds this crate does not own are handed
//! over with their positions, so that their owner reports mistakes the same way.
//!
//! Three passes: envelopes (so that names are known), specs (each document by itself), and
//! [`collect`] (what documents say about each other). A pass goes on after a mistake, and so do the passes: what has
//! one is still known by its name and checked in all else, and what could not be read to its name is no reason to
//! call a reference dangling ([`report`]).

mod alerting;
mod budget_alerts;
mod budgeting;
mod collect;
mod composite;
mod corrections;
mod data_outage;
mod default_tiers;
mod dependencies;
mod diagnostic;
mod document;
mod draft;
mod evidence;
mod expand;
mod fast_page;
mod files;
mod indicator;
mod json;
mod matching;
mod metric_source;
pub mod node;
mod objectives;
mod openslo;
mod ownership;
mod ratio;
mod report;
mod short;
mod tiers;
mod v1alpha;
mod yaml;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::measurement::ServiceName;
use crate::objective::{Objective, ObjectiveName, TierName};
use crate::service::WatchedService;
use alerting::Alerting;
use document::{Envelope, OPENSLO, Place, SLOWBURN};
use report::Unread;

use crate::settings::{KEEP_LEDGER, SLOT};
pub use collect::ROUTES_MAX;
pub use corrections::{CORRECTIONS_MAX, DefinedCorrection};
pub use default_tiers::default_tiers;
pub use dependencies::Dependencies;
pub use diagnostic::{Diagnostic, DiagnosticSeverity, Diagnostics, Mismatch};
pub use draft::About;
pub use expand::{expand, expand_json};
pub use files::{FILES_MAX, Stamp};
pub use node::{Fields, Node, Position, Report, Value};
pub use tiers::TIERS_MAX;
pub use yaml::{ALIAS_NODES_MAX, FILE_BYTES_MAX, LOOK_AHEAD_MAX, NESTING_MAX, NODES_MAX};

/// Of the ledger that files are meant for: what is finer or longer deserves a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerLimits {
    pub slot: Duration,
    /// How long it is kept.
    pub keep: Duration,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        Self {
            slot: SLOT,
            keep: KEEP_LEDGER,
        }
    }
}

/// What the files define.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    pub services: Vec<WatchedService>,
    pub objectives: Vec<Objective>,
    /// Time that objectives leave out, one an objective.
    pub corrections: Vec<DefinedCorrection>,
    pub dependencies: Dependencies,
    /// Of the services that more is said of than how they are measured.
    pub about: BTreeMap<ServiceName, About>,
    /// Whom alert policies tell of which tier.
    pub notified: Vec<Notified>,
    /// Kinds of `slowburn/v1` and OpenSLO that this crate does not own.
    pub other: Vec<Document>,
    pub names: Names,
    /// What was accepted but deserves a look.
    pub warnings: Diagnostics,
}

/// What can be referred to: all that some document defines, mistakes in it or not.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub services: BTreeSet<String>,
    /// In the order of the documents.
    pub objectives: Vec<ObjectiveName>,
    unread: Unread,
}

impl Names {
    /// Whether what is named so may be among what could not be read: a document of this kind, or an `objective`.
    #[must_use]
    pub fn may_be(&self, kind: &str, name: &str) -> bool {
        self.unread.may_be(kind, name)
    }
}

/// Who is told when a tier of an objective fires: the name of a NotificationTarget in the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    pub objective: ObjectiveName,
    pub tier: TierName,
    pub target: String,
    /// And when its alert is over.
    pub when_resolved: bool,
}

/// One document of a file, checked to have an `apiVersion`, a `kind` and a `metadata.name`.
#[derive(Debug, Clone)]
pub struct Document {
    pub file: PathBuf,
    pub api_version: String,
    pub kind: String,
    pub name: String,
    /// The whole document, `apiVersion` and `kind` included.
    pub node: Node,
}

/// Reads files, and directories with everything beneath them that ends in `.yaml`, `.yml` or `.json`.
///
/// # Errors
/// With every mistake of every file, when there is one.
pub fn read(paths: &[PathBuf]) -> Result<Definitions, Diagnostics> {
    whole(read_partly(paths, LedgerLimits::default()))
}

/// Reads as [`read`] does, for such a ledger, and returns what could be read beside what could not.
/// Readers of other kinds can then add their mistakes to the same list; nothing else should use a part, in which
/// mistakes have been left out.
#[must_use]
pub fn read_partly(paths: &[PathBuf], ledger: LedgerLimits) -> (Definitions, Diagnostics) {
    let mut report = Report::of(ledger);
    let mut parsed = Vec::new();
    for file in files::find(paths, &mut report) {
        if let Some(bytes) = files::read(&file, &mut report) {
            let documents = documents(&file, &bytes, &mut report);
            parsed.push((file, documents));
        }
    }
    define(&parsed, report)
}

/// Reads one text as if it were the file `name`.
///
/// # Errors
/// With every mistake of the text, when there is one.
pub fn read_text(name: &Path, text: &[u8]) -> Result<Definitions, Diagnostics> {
    let mut report = Report::new(name);
    let fits = files::check_size(text, &mut report);
    let documents = if fits {
        documents(name, text, &mut report)
    } else {
        Vec::new()
    };
    whole(define(&[(name.to_owned(), documents)], report))
}

/// The documents of one file, in the versions that are read from here on.
fn documents(file: &Path, bytes: &[u8], report: &mut Report) -> Vec<Node> {
    let text = yaml::decode(bytes, report).filter(|text| json::check(file, text, report));
    let documents = text.map(|text| yaml::parse(text, report)).unwrap_or_default();
    v1alpha::rewrite(documents, report)
}

/// All or nothing: mistakes refuse everything, mere warnings travel with it.
fn whole((definitions, found): (Definitions, Diagnostics)) -> Result<Definitions, Diagnostics> {
    if found.has_errors() {
        Err(found)
    } else {
        Ok(Definitions {
            warnings: found,
            ..definitions
        })
    }
}

fn define(parsed: &[(PathBuf, Vec<Node>)], mut report: Report) -> (Definitions, Diagnostics) {
    let report = &mut report;
    let envelopes: Vec<Envelope<'_>> = parsed
        .iter()
        .flat_map(|(file, documents)| document::envelopes(file, documents, report))
        .collect();
    refuse_duplicates(&envelopes, report);

    let mut sources = HashSet::new();
    for envelope in envelopes.iter().filter(|e| e.is(OPENSLO, "DataSource")) {
        report.switch(envelope.file);
        sources.extend(openslo::data_source(envelope, report));
    }
    let alerting = Alerting::read(&envelopes, report);
    let (mut services, mut objectives, mut other) = (Vec::new(), Vec::new(), Vec::new());
    let (mut composites, mut left_out, mut notified) = (Vec::new(), Vec::new(), Vec::new());
    let mut indicators = HashMap::new();
    for envelope in &envelopes {
        report.switch(envelope.file);
        match (envelope.api_version, envelope.kind) {
            (SLOWBURN, "Service") => {
                let (service, stated) = short::read(envelope, report);
                services.extend(service);
                objectives.extend(stated);
            }
            (SLOWBURN, "Correction") => left_out.extend(corrections::read(envelope, report)),
            (OPENSLO, "Service") => services.extend(openslo::service(envelope, report)),
            (OPENSLO, "SLO") => {
                let slo = openslo::slo(envelope, &sources, &alerting, report).unwrap_or_default();
                objectives.extend(slo.objectives);
                composites.extend(slo.composite);
                notified.extend(slo.notified);
            }
            (OPENSLO, "SLI") => {
                indicators.insert(envelope.name, openslo::sli(envelope, &sources, report));
            }
            (OPENSLO, "AlertPolicy" | "AlertCondition" | "DataSource") => {}
            (api_version, _) => {
                if api_version == OPENSLO
                    && let Some(spec) = alerting::spec_of(envelope, report)
                {
                    alerting.notification_target(spec, (envelope.name, envelope.name_at), report);
                }
                other.push(envelope.hand_over());
            }
        }
    }
    let names: HashSet<&str> = envelopes
        .iter()
        .filter(|e| e.kind == "Service")
        .map(|e| e.name)
        .collect();
    let dependencies = dependencies::collect(&services, &names, report);
    let about = About::collect(&services);
    let mut services = collect::services(services, report);
    let stated: Vec<_> = objectives
        .iter()
        .map(|draft| draft.name.clone())
        .chain(composites.iter().map(|draft| draft.name.clone()))
        .collect();
    // Where an SLO does not say of which service it is, none is missing an objective for certain.
    if objectives.iter().any(|draft| draft.service.is_none()) {
        report.unread.one_of(report::OBJECTIVE);
    }
    let counted: HashSet<_> = objectives
        .iter()
        .filter_map(|draft| Some(draft.service.as_ref()?.0.clone()))
        .collect();
    let mut named: HashMap<ObjectiveName, Place> = HashMap::new();
    let mut collected = Vec::new();
    for draft in objectives {
        refuse_second(&draft.name, &draft.place, &mut named, report);
        collected.extend(collect::objective(
            draft,
            &indicators,
            &names,
            &mut services,
            report,
        ));
    }
    let by_name: HashMap<_, _> = collected.iter().map(|each| (&each.name, each)).collect();
    let mut wholes = Vec::new();
    for draft in composites {
        refuse_second(&draft.name, &draft.place, &mut named, report);
        wholes.extend(composite::objective(draft, &by_name, report));
    }
    collected.extend(wholes);
    let corrections = corrections::collect(left_out, &collected, &named, &counted, report);
    let definitions = Definitions {
        services: services.all,
        objectives: collected,
        corrections,
        dependencies,
        about,
        notified,
        other,
        names: Names {
            services: names.into_iter().map(str::to_owned).collect(),
            objectives: stated,
            unread: report.unread.clone(),
        },
        warnings: Diagnostics::default(),
    };
    (definitions, report.take())
}

/// Objectives are kept by name.
fn refuse_second(
    name: &ObjectiveName,
    place: &Place,
    named: &mut HashMap<ObjectiveName, Place>,
    report: &mut Report,
) {
    report.switch(&place.file);
    let Some(first) = named.get(name) else {
        named.insert(name.clone(), place.clone());
        return;
    };
    let message = format!(
        "objective `{name}` is defined twice, first in {}",
        collect::show(first)
    );
    let hint = "give one of them another `name` (or `displayName`, among the objectives of one SLO)";
    report.error(place.at, message, Some(hint.to_owned()));
}

/// Names are unique by kind. SLOs are compared as objectives, together with those of short forms.
fn refuse_duplicates(envelopes: &[Envelope<'_>], report: &mut Report) {
    let mut named: HashMap<(&str, &str, &str), Place> = HashMap::new();
    for envelope in envelopes.iter().filter(|e| e.kind != "SLO" && !e.name.is_empty()) {
        let key = (envelope.api_version, envelope.kind, envelope.name);
        if let Some(first) = named.get(&key) {
            report.switch(envelope.file);
            let message = format!(
                "{} is defined twice, first in {}",
                envelope.title(),
                collect::show(first)
            );
            let hint = "rename one, or remove it".to_owned();
            report.error(envelope.name_at, message, Some(hint));
        } else {
            named.insert(key, envelope.place());
        }
    }
}

impl Envelope<'_> {
    fn hand_over(&self) -> Document {
        Document {
            file: self.file.to_owned(),
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name.to_owned(),
            node: self.node.clone(),
        }
    }
}
