//! `slowburn validate`: every mistake of a set of definition files, at once.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use slo_engine::definitions::{Diagnostics, LedgerLimits};

use crate::definitions;
use crate::run::keep_ledger;

#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Definition files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How long `run` is told to keep the ledger
    #[arg(long, env = "SLOWBURN_KEEP_LEDGER", value_name = "DURATION", default_value = "400d", value_parser = keep_ledger)]
    keep_ledger: Duration,
    /// How to print what is found
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Exit code 1 when something is wrong; warnings alone are 0.
pub async fn run(args: &ValidateArgs) -> Result<ExitCode> {
    let ledger = LedgerLimits {
        keep: args.keep_ledger,
        ..LedgerLimits::default()
    };
    let read = definitions::read(&args.paths, ledger);
    let missing = match &read {
        Ok(set) => set.playbook.missing_secrets().await,
        Err(_) => Diagnostics::default(),
    };
    let mut out = stdout().lock();
    let (mut found, code) = match read {
        Ok(set) => {
            if args.format == Format::Text {
                writeln!(
                    out,
                    "{} service(s), {} objective(s), {} runbook(s), {} notification target(s): no mistakes",
                    set.definitions.services.len(),
                    set.definitions.objectives.len(),
                    set.playbook.runbooks.len(),
                    set.playbook.targets.len(),
                )?;
            }
            (set.warnings, ExitCode::SUCCESS)
        }
        Err(diagnostics) => (diagnostics, ExitCode::FAILURE),
    };
    found.extend(missing);
    found.0.sort();
    match args.format {
        Format::Text if found.is_empty() => {}
        Format::Text => writeln!(out, "{}", found.to_string().trim_end())?,
        Format::Json => writeln!(out, "{}", found.to_json())?,
    }
    Ok(code)
}
