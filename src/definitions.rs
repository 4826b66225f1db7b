//! The definition files of all crates, read together: services and objectives, runbooks and targets.

use std::path::PathBuf;

use remediation::Playbook;
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

impl Set {
    /// Logs what was accepted but deserves a look, and whom nobody could tell from here.
    pub async fn warn(&self) {
        let missing = self.playbook.missing_secrets().await;
        for warning in self.warnings.iter().chain(&missing) {
            tracing::warn!("{warning}");
        }
    }
}

/// Reads files and directories. All or nothing: any error refuses the whole set, and all errors come at once.
/// Warnings are about such a ledger.
pub fn read(paths: &[PathBuf], ledger: LedgerLimits) -> Result<Set, Diagnostics> {
    let stamp = Stamp::of(paths);
    let (mut definitions, mut found) = definitions::read_partly(paths, ledger);
    let (playbook, more) = match Playbook::read(&definitions) {
        Ok(playbook) => {
            let warnings = playbook.warnings.clone();
            (playbook, warnings)
        }
        Err(mistakes) => (Playbook::default(), mistakes),
    };
    definitions.warnings = found.clone();
    found.extend(more);
    if found.has_errors() {
        found.0.sort();
        return Err(found);
    }
    Ok(Set {
        definitions,
        playbook,
        warnings: found,
        stamp,
    })
}
