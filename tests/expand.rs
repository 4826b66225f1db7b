//! `slowburn expand` and `slowburn validate`, as people and programs run them.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

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
fn programs_read_every_mistake_of_every_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let slo = "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: answers}\nspec:\n  service: nobody\n  budgetingMethod: Minutes\n  \
               timeWindow: [{duration: 30 days, isRolling: true}]\n  objectives: [{target: 0.99, op: lte}]\n  \
               indicator: {spec: {ratioMetric: {total: {metricSource: {type: slowburn, spec: {}}}}}}\n";
    write(
        directory.path(),
        "a.yaml",
        SHORT.replace("port", "prot").as_bytes(),
    );
    fs::create_dir(directory.path().join("more")).unwrap();
    write(directory.path(), "more/b.yaml", slo.as_bytes());
    write(
        directory.path(),
        "more/c.json",
        b"{\"apiVersion\": \"slowburn/v1\",}",
    );
    write(directory.path(), "more/d.yaml", b"caf\xe9: 1\n");
    let path = directory.path().to_str().unwrap();
    let output = slowburn(&["validate", "--format", "json", path]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = found.as_array().unwrap();
    for mistake in found {
        let is_placed = mistake["line"].is_u64() && mistake["column"].is_u64();
        assert!(is_placed && mistake["message"].is_string(), "{mistake}");
    }
    let of = |file: &str, says: &str| {
        let file = format!("{path}/{file}");
        let is_it = |one: &&serde_json::Value| {
            one["file"] == file.as_str() && one["message"].as_str().unwrap().contains(says)
        };
        found
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{file}: no `{says}` in {found:#?}"))
    };
    let key = of("a.yaml", "unknown key `prot`");
    assert_eq!(
        (&key["line"], &key["column"], &key["hint"]),
        (&json!(5), &json!(11), &json!("did you mean `port`?"))
    );
    let method = of("more/b.yaml", "`budgetingMethod` is");
    let expected = "`Occurrences`, `Timeslices` or `RatioTimeslices`";
    assert_eq!(
        method,
        &json!({
            "file": format!("{path}/more/b.yaml"), "line": 6, "column": 20, "severity": "error",
            "message": format!("`budgetingMethod` is the text `Minutes`, expected {expected}"),
            "value": "Minutes", "expected": expected,
        })
    );
    of("more/b.yaml", "`30 days` is not a span of time");
    of("more/b.yaml", "`ratioMetric` has neither `good` nor `bad`");
    of("more/c.json", "");
    of("more/d.yaml", "");

    // Nothing wrong is an empty list; what deserves a look alone is no failure.
    for (name, content, is_quiet) in [
        ("good.yaml", SHORT.replace("90%", "99.9%"), true),
        ("looked-at.yaml", SHORT.replace("28d", "10m"), false),
    ] {
        let file = write(directory.path(), name, content.as_bytes());
        let output = slowburn(&["validate", "--format=json", &file]);
        assert!(output.status.success(), "{name}: {}", text(&output.stdout));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = found.as_array().unwrap();
        assert_eq!(found.is_empty(), is_quiet, "{name}: {found:#?}");
        assert!(found.iter().all(|one| one["severity"] == "warning"));
    }
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
