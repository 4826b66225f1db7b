//! House rules that no lint holds.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longer than this, and two files would read better.
const LINES_MAX: usize = 500;

fn files() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).output().unwrap();
    assert!(output.status.success(), "the tests run in a git checkout");
    let list = String::from_utf8(output.stdout).unwrap();
    list.split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect()
}

fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let kinds = ["rs", "ts", "tsx", "css", "sql", "py", "yaml", "md", "sh"];
    let generated = ["api/openapi.json", "api/dashboard/src/api.gen.ts"];
    files()
        .into_iter()
        .filter(move |path| match path.extension() {
            Some(kind) => kinds.contains(&kind.to_str().unwrap()),
            // Scripts have none.
            None => path.starts_with("scripts") || path.starts_with("benches"),
        })
        .filter(move |path| !generated.iter().any(|file| path == Path::new(file)))
        .map(|path| {
            (
                path.clone(),
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
            )
        })
}

#[test]
fn files_fit_in_one_sitting() {
    let long: Vec<String> = sources()
        .filter(|(path, _)| path.extension().is_some_and(|kind| kind != "md"))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines}", path.display()))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines, split them: {long:#?}");
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    // Put together, so that this file does not name them.
    let words = [
        ["index.crates", ".io"],
        ["registry.npmjs", ".org"],
        ["deb.debian", ".org"],
        ["/root", "/"],
        ["/work", "/"],
    ];
    let found: Vec<String> = sources()
        .flat_map(|(path, text)| {
            words
                .iter()
                .map(|parts| parts.concat())
                // `$here/root/` is no path of a machine.
                .filter(|word| {
                    text.match_indices(word)
                        .any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
                })
                .map(|word| format!("{}: {word}", path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources()
        .filter(|(path, text)| path.extension().is_some_and(|kind| kind == "rs") && !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        silent.is_empty(),
        "open each with `//!`: what it owns, what comes in, what goes out: {silent:#?}"
    );
}

#[test]
fn only_a_store_names_the_tables_of_its_crate() {
    let strays: Vec<String> = sources()
        .filter(|(path, _)| path.extension().is_some_and(|kind| kind == "rs"))
        .filter(|(path, _)| {
            path.starts_with("api/src") || path.starts_with("src") || path.starts_with("probes/src")
        })
        .filter(|(path, text)| text.contains("sqlx::query") && !path.starts_with("src/database"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        strays.is_empty(),
        "SQL belongs to `slo-engine` and `remediation`: {strays:#?}"
    );
}
