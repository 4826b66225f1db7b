//! Mistakes as they are found, and what could not be read because of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::LedgerLimits;
use super::diagnostic::{Diagnostic, DiagnosticSeverity, Diagnostics, Mismatch};
use super::node::{Position, nearest};

/// What documents define that could not be read to their names. A reference to any of it may be right.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread {
    everything: bool,
    kinds: HashSet<String>,
    names: HashSet<String>,
}

impl Unread {
    /// Nothing is known of it: a file that is no YAML, a document without a kind and a name.
    pub fn anything(&mut self) {
        self.everything = true;
    }

    /// One of this kind, whose name is not known.
    pub fn one_of(&mut self, kind: &str) {
        self.kinds.insert(kind.to_owned());
    }

    /// What is named so, of a kind that is not known.
    pub fn named(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    pub fn may_be(&self, kind: &str, name: &str) -> bool {
        self.everything || self.kinds.contains(kind) || self.names.contains(name)
    }
}

/// What [`Unread`] calls the objectives that a document would have defined.
pub(super) const OBJECTIVE: &str = "objective";

/// Collects mistakes; each belongs to the file that was switched to last.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    found: Vec<Diagnostic>,
    in_file: usize,
    pub(super) ledger: LedgerLimits,
    pub(super) unread: Unread,
}

/// Mistakes of one file that are kept. A file with more is rarely read to the end.
const FOUND_MAX: usize = 200;

impl Report {
    #[must_use]
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
            in_file: 0,
            ledger: LedgerLimits::default(),
            unread: Unread::default(),
        }
    }

    /// Of files that are yet to be named.
    pub(super) fn of(ledger: LedgerLimits) -> Self {
        Self {
            ledger,
            ..Self::new(Path::new(""))
        }
    }

    /// What is reported from here on belongs to `file`.
    pub fn switch(&mut self, file: &Path) {
        if self.file != file {
            self.file = file.to_owned();
            self.in_file = self
                .found
                .iter()
                .filter(|diagnostic| diagnostic.file == file)
                .count();
        }
    }

    pub fn error(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        self.push(at, DiagnosticSeverity::Error, message.into(), None, hint);
    }

    /// An error whose message tells one value from what was expected.
    pub(super) fn mismatch(&mut self, at: Position, message: String, found: Mismatch, hint: Option<String>) {
        self.push(at, DiagnosticSeverity::Error, message, Some(found), hint);
    }

    pub fn warning(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        self.push(at, DiagnosticSeverity::Warning, message.into(), None, hint);
    }

    /// Whether more mistakes of this file would only be counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_file > FOUND_MAX
    }

    /// Whether what is named so may be among what could not be read: then it is no dangling reference.
    pub(super) fn may_be(&self, kind: &str, name: &str) -> bool {
        self.unread.may_be(kind, name)
    }

    /// The name that may have been meant; not looked for where the mistake would only be counted.
    #[must_use]
    pub fn nearest<'a>(&self, word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        if self.is_full() {
            return None;
        }
        let names: Vec<&str> = names.into_iter().collect();
        nearest(word, &names)
    }

    /// What was found, by file, line and column, each mistake once.
    #[must_use]
    pub fn into_diagnostics(mut self) -> Diagnostics {
        self.take()
    }

    pub(super) fn take(&mut self) -> Diagnostics {
        let mut found = std::mem::take(&mut self.found);
        found.sort();
        found.dedup();
        Diagnostics(found)
    }

    fn push(
        &mut self,
        at: Position,
        severity: DiagnosticSeverity,
        message: String,
        mismatch: Option<Mismatch>,
        hint: Option<String>,
    ) {
        self.in_file += 1;
        let Position { line, column } = at;
        if self.in_file <= FOUND_MAX {
            self.found.push(Diagnostic {
                file: self.file.clone(),
                line,
                column,
                severity,
                message,
                mismatch,
                hint,
            });
        } else if self.in_file == FOUND_MAX + 1 {
            let message = format!("has more than {FOUND_MAX} mistakes, the others are not shown");
            let severity = DiagnosticSeverity::Error;
            self.found.push(Diagnostic {
                file: self.file.clone(),
                line: 0,
                column: 0,
                severity,
                message,
                mismatch: None,
                hint: None,
            });
        }
    }
}
