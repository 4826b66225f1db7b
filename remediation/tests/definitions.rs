//! Reading runbooks and targets from files.

use std::path::{Path, PathBuf};

use remediation::Playbook;
use slo_engine::definitions;

#[test]
fn every_mistake_is_reported_with_its_place_and_no_secret() {
    let service = "apiVersion: slowburn/v1\nkind: Service\nmetadata: {name: checkout}\nspec:\n  \
                   match: {port: 80}\n  objectives: [{availability: 99%}]\n---\n";
    let text = std::fs::read_to_string("tests/testdata/bad/runbook.yaml").unwrap();
    let read = definitions::read_text(Path::new("runbook.yaml"), text.as_bytes()).unwrap();
    let service = definitions::read_text(Path::new("service.yaml"), service.as_bytes()).unwrap();
    let together = definitions::Definitions {
        services: service.services,
        objectives: service.objectives,
        names: service.names,
        ..read
    };
    let found = Playbook::read(&together).unwrap_err().to_string();
    assert!(!found.contains("0123456789abcdef"), "a secret is repeated");
    assert!(!found.contains("user:password"), "a secret is repeated");
    insta::assert_snapshot!(found);
}

#[test]
fn the_example_configuration_is_read_without_a_warning() {
    let config = PathBuf::from("../config");
    let definitions = definitions::read(&[config]).unwrap();
    let playbook = Playbook::read(&definitions).unwrap();
    assert_eq!(playbook.warnings.to_string(), "");
    assert_eq!(playbook.targets.len(), 3);
    insta::assert_debug_snapshot!(remediation::read::runbooks(&playbook));
}

#[test]
fn a_runbook_that_tells_nobody_is_a_warning() {
    let text = "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {name: quiet}\nspec:\n  on: {}\n  \
                steps: [{xdp_limit: {keep: 2}}]\n";
    let definitions = definitions::read_text(Path::new("quiet.yaml"), text.as_bytes()).unwrap();
    let playbook = Playbook::read(&definitions).unwrap();
    assert_eq!(
        playbook.warnings.to_string(),
        "quiet.yaml:1:1: warning: runbook `quiet` tells nobody when it does not help\n\
         hint: add a step `page: {target: NAME}`"
    );
}

#[test]
fn a_stored_step_reads_back_as_it_was() {
    let definitions = definitions::read(&[PathBuf::from("../config")]).unwrap();
    let playbook = Playbook::read(&definitions).unwrap();
    for step in playbook.runbooks.iter().flat_map(|runbook| &runbook.steps) {
        let stored = serde_json::to_value(step).unwrap();
        assert_eq!(
            &serde_json::from_value::<remediation::runbook::Action>(stored).unwrap(),
            step
        );
    }
}

#[tokio::test]
async fn a_target_whose_secret_is_not_here_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    let place = file.display();
    let text = format!(
        "apiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {{name: pager}}\nspec:\n  \
         pagerduty:\n    routingKeyFrom: {{env: NOT_SET_ANYWHERE}}\n---\n\
         apiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {{name: channel}}\nspec:\n  \
         slack: {{urlFrom: {{file: {place}}}}}\n"
    );
    let definitions = definitions::read_text(Path::new("targets.yaml"), text.as_bytes()).unwrap();
    let playbook = Playbook::read(&definitions).unwrap();
    let pager = "targets.yaml:6:21: warning: nobody can be told by `pager`: environment variable `NOT_SET_ANYWHERE` is not set\n\
                 hint: set `NOT_SET_ANYWHERE` where `slowburn run` is started";
    let channel = format!(
        "targets.yaml:12:20: warning: nobody can be told by `channel`: read file `{place}`: No such file or directory (os error 2)\n\
         hint: put it there: it is read anew for every call"
    );
    assert_eq!(
        playbook.missing_secrets().await.to_string(),
        format!("{pager}\n{channel}")
    );
    std::fs::write(&file, "https://hooks.example.com/secret\n").unwrap();
    assert_eq!(playbook.missing_secrets().await.to_string(), pager);
}
