//! `slowburn expand`, as people run it.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn slowburn(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SHORT: &str = "apiVersion: slowburn/v1
kind: Service
metadata: {name: web, displayName: Web shop}
spec:
  match: {port: 80}
  window: 28d
  objectives:
    - availability: 90%
    - latency: {below: 250ms, target: 99%, route: GET /api/}
  description: Takes orders.
";

fn write(directory: &Path, name: &str, content: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_short_form_is_printed_as_openslo_with_what_became_of_the_default_tiers() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "web.yaml", SHORT.as_bytes());
    let output = slowburn(&["expand", &file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn an_expansion_validates_and_expands_to_itself_in_both_formats() {
    let directory = tempfile::tempdir().unwrap();
    for source in ["config/checkout.yaml", "config/payments.openslo.yaml"] {
        let first = slowburn(&["expand", source]);
        assert!(first.status.success(), "{}", text(&first.stderr));
        let yaml = write(directory.path(), "expansion.yaml", &first.stdout);
        let json = slowburn(&["expand", "--format", "json", source]).stdout;
        assert!(
            serde_json::from_slice::<serde_json::Value>(&json)
                .unwrap()
                .is_array()
        );
        let json = write(directory.path(), "expansion.json", &json);
        for file in [yaml, json] {
            let validated = slowburn(&["validate", &file]);
            assert!(validated.status.success(), "{}", text(&validated.stdout));
            let again = slowburn(&["expand", &file]);
            assert_eq!(text(&again.stdout), text(&first.stdout), "{source}");
        }
    }
}

#[test]
fn what_openslo_has_no_word_for_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let others = "---\napiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {name: hook}\nspec: {webhook: {url: 'http://127.0.0.1:9/', secretFrom: {env: HOOK}}}\n\
                  ---\napiVersion: slowburn/v1\nkind: Correction\nmetadata: {name: move}\nspec:\n  objectives: [web-availability, web-latency]\n  \
                  kind: maintenance\n  startsAt: 2026-01-01T00:00:00Z\n  endsAt: 2026-01-01T01:00:00Z\n";
    let file = write(
        directory.path(),
        "web.yaml",
        format!("{SHORT}{others}").as_bytes(),
    );
    let output = slowburn(&["expand", &file]);
    assert_eq!(
        text(&output.stderr),
        "not printed, as OpenSLO has no word for it: NotificationTarget `hook`, Correction `move`\n"
    );
    assert!(output.status.success());
    assert_eq!(
        output.stdout,
        slowburn(&["expand", &write(directory.path(), "alone.yaml", SHORT.as_bytes())]).stdout
    );
}

#[test]
fn a_mistake_prints_its_place_and_no_document() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(
        directory.path(),
        "bad.yaml",
        SHORT.replace("port", "prot").as_bytes(),
    );
    let output = slowburn(&["expand", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("{file}:5:11:")) && said.contains("did you mean `port`?"),
        "{said}"
    );
}

#[test]
fn mistakes_of_services_and_of_runbooks_come_together() {
    let directory = tempfile::tempdir().unwrap();
    let runbook = "---\napiVersion: slowburn/v1\nkind: Runbook\nmetadata: {name: limit}\nspec:\n  \
                   on: {services: [web], objectives: [web-latency, web-speed]}\n  steps: [{xdp_limit: {keep: 0}}]\n";
    let file = write(
        directory.path(),
        "both.yaml",
        format!("{}{runbook}", SHORT.replace("port", "prot")).as_bytes(),
    );
    let output = slowburn(&["validate", &file]);
    assert_eq!(output.status.code(), Some(1));
    let found = text(&output.stdout).replace(directory.path().to_str().unwrap(), "");
    insta::assert_snapshot!(found);
}

#[test]
fn a_period_longer_than_the_ledger_is_kept_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "web.yaml", SHORT.as_bytes());
    let validate = |keep: &str| slowburn(&["validate", keep, &file]);
    let kept = validate("--keep-ledger=28d");
    assert!(kept.status.success());
    assert!(!text(&kept.stdout).contains("ledger"), "{}", text(&kept.stdout));
    let short = validate("--keep-ledger=27d");
    assert!(short.status.success(), "{}", text(&short.stderr));
    let said = text(&short.stdout);
    let warning = "the period is `28d`, but the ledger is kept for `27d`: the budget is of that";
    assert_eq!(said.matches(warning).count(), 2, "one an objective: {said}");
    assert!(said.contains(&format!("{file}:8:21: warning:")), "{said}");
    let none = validate("--keep-ledger=2d");
    assert_eq!(none.status.code(), Some(2));
    assert!(
        text(&none.stderr).contains("at least `3d`"),
        "{}",
        text(&none.stderr)
    );
}
