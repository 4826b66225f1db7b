//! Finds and reads definition files.
//!
//! In: paths of files and directories. Out: every file once, in the order given and by name within a
//! directory. Hidden entries are skipped (a mounted Kubernetes ConfigMap keeps its copies there);
//! symbolic links are followed, once.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::node::{Position, Report};
use super::yaml::FILE_BYTES_MAX;

/// Files that one call reads.
pub const FILES_MAX: usize = 10_000;

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The mistake is the file's, not a line's.
const WHOLE_FILE: Position = Position { line: 0, column: 0 };

pub(super) fn find(paths: &[PathBuf], report: &mut Report) -> Vec<PathBuf> {
    let mut search = Search::default();
    for path in paths {
        report.switch(path);
        match fs::metadata(path) {
            Err(error) => {
                report.error(WHOLE_FILE, format!("could not be read: {error}"), None);
                report.unread.anything();
            }
            Ok(about) if about.is_dir() => {
                let before = search.files.len();
                search.directory(path, report);
                if search.files.len() == before {
                    report.switch(path);
                    report.warning(WHOLE_FILE, "holds no `*.yaml`, `*.yml` or `*.json` file", None);
                }
            }
            Ok(_) => search.file(path),
        }
    }
    if search.files.len() > FILES_MAX {
        report.error(
            WHOLE_FILE,
            format!("more than {FILES_MAX} definition files"),
            None,
        );
        report.unread.anything();
        search.files.clear();
    }
    search.files
}

#[derive(Default)]
struct Search {
    files: Vec<PathBuf>,
    seen: HashSet<PathBuf>,
}

impl Search {
    fn directory(&mut self, path: &Path, report: &mut Report) {
        if !self.first_time(path) || self.files.len() > FILES_MAX {
            return;
        }
        let listed = fs::read_dir(path).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
        let mut entries: Vec<PathBuf> = match listed {
            Ok(entries) => entries,
            Err(error) => {
                report.switch(path);
                report.error(WHOLE_FILE, format!("could not be listed: {error}"), None);
                report.unread.anything();
                return;
            }
        };
        entries.sort();
        for entry in entries {
            let hidden = entry
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            let known = entry
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| EXTENSIONS.contains(&e));
            match fs::metadata(&entry) {
                Ok(about) if about.is_dir() => self.directory(&entry, report),
                // A link that leads nowhere is a mistake only where a definition was meant.
                Ok(_) | Err(_) if known => self.file(&entry),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if self.first_time(path) {
            self.files.push(path.to_owned());
        }
    }

    fn first_time(&mut self, path: &Path) -> bool {
        self.seen
            .insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
    }
}

/// What tells one state of a set's files from another without reading them: names, times, lengths, inodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(Vec<(PathBuf, Option<About>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    modified_ns: i128,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// The files that [`super::read`] would read now.
    #[must_use]
    pub fn of(paths: &[PathBuf]) -> Self {
        let files = find(paths, &mut Report::new(Path::new("")));
        // What cannot be looked at has no state, until it can.
        let about = |file: &PathBuf| {
            let about = fs::metadata(file).ok()?;
            Some(About {
                modified_ns: i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()),
                bytes: about.size(),
                inode: about.ino(),
            })
        };
        Self(
            files
                .into_iter()
                .map(|file| (file.clone(), about(&file)))
                .collect(),
        )
    }
}

/// Reads one file, never more than the limit.
pub(super) fn read(path: &Path, report: &mut Report) -> Option<Vec<u8>> {
    report.switch(path);
    let load = || -> std::io::Result<Option<Vec<u8>>> {
        // Asked before opening: opening a named pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match load() {
        Ok(Some(bytes)) if check_size(&bytes, report) => Some(bytes),
        Ok(Some(_)) => None,
        Ok(None) => {
            report.error(WHOLE_FILE, "is not a regular file", None);
            report.unread.anything();
            None
        }
        Err(error) => {
            report.error(WHOLE_FILE, format!("could not be read: {error}"), None);
            report.unread.anything();
            None
        }
    }
}

/// Whether the text is within the limit.
pub(super) fn check_size(bytes: &[u8], report: &mut Report) -> bool {
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("is larger than {FILE_BYTES_MAX} bytes (10 MiB)");
        report.error(
            WHOLE_FILE,
            message,
            Some("split the file; a directory is read whole".to_owned()),
        );
        report.unread.anything();
    }
    bytes.len() <= FILE_BYTES_MAX
}
