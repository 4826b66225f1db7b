//! The definition files of all crates, read together: services and objectives, runbooks and targets.

use std::path::PathBuf;

use remediation::{Playbook, runbook};
use slo_engine::definitions::{self, Definitions, Diagnostics, LedgerLimits, Stamp};

/// One consistent set: every reference between its parts holds.
#[derive(Debug)]
pub struct Set {
    pub definitions: Definitions,
    pub playbook: Playbook,
    pub warnings: Diagnostics,
    /// Of the files, from before they were read, so that no change falls between.
    pub stamp: Stamp,
}

/// Reads files and directories. All or nothing: any error refuses the whole set, and all errors come at once.
/// Warnings are about such a ledger.
pub fn read(paths: &[PathBuf], ledger: LedgerLimits) -> Result<Set, Diagnostics> {
    let stamp = Stamp::of(paths);
    let (mut definitions, mut warnings) = definitions::read_partly(paths, ledger);
    if warnings.has_errors() {
        return Err(with_mistakes_for_acting(&definitions, warnings));
    }
    definitions.warnings = warnings.clone();
    let playbook = match Playbook::read(&definitions) {
        Ok(playbook) => playbook,
        Err(more) => {
            warnings.extend(more);
            return Err(warnings);
        }
    };
    warnings.extend(playbook.warnings.clone());
    Ok(Set {
        definitions,
        playbook,
        warnings,
        stamp,
    })
}

/// Adds what each runbook and target says wrong by itself. Names are not looked up: what bears the name may be among
/// what could not be read.
fn with_mistakes_for_acting(definitions: &Definitions, mut found: Diagnostics) -> Diagnostics {
    let ours = definitions
        .other
        .iter()
        .filter(|document| document.api_version == runbook::API_VERSION);
    for document in ours {
        if let Err(more) = runbook::parse(document) {
            found.extend(more);
        }
    }
    found.0.sort();
    found
}
