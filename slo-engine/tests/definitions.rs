//! Definition files as people write them: what they mean, and what is said about mistakes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slo_engine::definitions::{self, Definitions, Diagnostics, expand};
use slo_engine::measurement::Clock;
use slo_engine::objective::{Side, SliKind};
use slo_engine::service::EndpointMatch;

fn testdata(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata").join(kind).join("definitions");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read_file(path: &Path) -> Result<Definitions, Diagnostics> {
    let name = path.file_name().unwrap();
    definitions::read_text(Path::new(name), &fs::read(path).unwrap())
}

fn good(name: &str) -> Definitions {
    let path = testdata("good").into_iter().find(|path| path.ends_with(name)).unwrap();
    read_file(&path).unwrap_or_else(|found| panic!("{found}"))
}

fn read(text: &str) -> Definitions {
    definitions::read_text(Path::new("a.yaml"), text.as_bytes()).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn every_bad_file_is_refused_with_a_place_and_a_way_out() {
    let files = testdata("bad");
    assert!(files.len() >= 40);
    for path in files {
        let found = read_file(&path).expect_err(&path.display().to_string());
        assert!(found.has_errors());
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), found.to_string());
        });
    }
}

#[test]
fn every_good_file_is_read_and_survives_being_expanded() {
    for path in testdata("good") {
        let read = read_file(&path).unwrap_or_else(|found| panic!("{}", found));
        let text = expand(&read);
        let again = definitions::read_text(Path::new("expanded.yaml"), text.as_bytes())
            .unwrap_or_else(|found| panic!("{}\n{found}\n{text}", path.display()));
        assert_eq!(again.services, read.services, "{}", path.display());
        for (again, read) in again.objectives.iter().zip(&read.objectives) {
            assert_eq!(again, read, "{text}");
        }
        assert_eq!(again.objectives.len(), read.objectives.len());
    }
}
