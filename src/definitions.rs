//! The definition files of all crates, read together: services and objectives, runbooks and targets.

use std::path::PathBuf;

use remediation::Playbook;
use slo_engine::definitions::{self, Definitions, Diagnostics, Stamp};

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
pub fn read(paths: &[PathBuf]) -> Result<Set, Diagnostics> {
    let stamp = Stamp::of(paths);
    let definitions = definitions::read(paths)?;
    let playbook = Playbook::read(&definitions)?;
    let mut warnings = definitions.warnings.clone();
    warnings.extend(playbook.warnings.clone());
    Ok(Set {
        definitions,
        playbook,
        warnings,
        stamp,
    })
}
