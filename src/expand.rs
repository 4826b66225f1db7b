//! `slowburn expand`: definitions as OpenSLO v1, whatever form they were written in.

use std::collections::BTreeSet;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use slo_engine::definitions::{Definitions, LedgerLimits, expand, expand_json};

use crate::definitions;

#[derive(Debug, clap::Args)]
pub struct ExpandArgs {
    /// Definition files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print the documents: YAML documents, or one JSON list of them
    #[arg(long, default_value = "yaml", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Documents go to standard output, mistakes and warnings to standard error; exit code 1 when something
/// is wrong, and then nothing is printed.
pub fn run(args: &ExpandArgs) -> Result<ExitCode> {
    let set = match definitions::read(&args.paths, LedgerLimits::default()) {
        Ok(set) => set,
        Err(found) => {
            writeln!(stderr(), "{}", found.to_string().trim_end())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if !set.warnings.is_empty() {
        writeln!(stderr(), "{}", set.warnings.to_string().trim_end())?;
    }
    if let Some(unsaid) = unsaid(&set.definitions) {
        writeln!(stderr(), "not printed, as OpenSLO has no word for it: {unsaid}")?;
    }
    let text = match args.format {
        Format::Yaml => expand(&set.definitions),
        Format::Json => format!("{:#}\n", expand_json(&set.definitions)),
    };
    stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Documents that are read here and printed nowhere.
fn unsaid(definitions: &Definitions) -> Option<String> {
    let documents = definitions
        .other
        .iter()
        .map(|document| format!("{} `{}`", document.kind, document.name));
    // One document may be about several objectives.
    let corrections: BTreeSet<_> = definitions
        .corrections
        .iter()
        .map(|each| &each.definition)
        .collect();
    let corrections = corrections.iter().map(|name| format!("Correction `{name}`"));
    let found: Vec<_> = documents.chain(corrections).collect();
    (!found.is_empty()).then(|| found.join(", "))
}
