//! Scaling by real commands, and against a server that speaks as the Kubernetes API does.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use remediation::run::StepState;
use remediation::{Playbook, RunState};
use serde_json::{Value, json};
use slo_engine::alert::AlertState;
use sqlx::PgPool;
use support::{Receiver, at, bench, happen, playbook, start, transition};

fn scaling(step: &str) -> Arc<Playbook> {
    playbook(&format!(
        "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {{name: scale}}\nspec:\n  on: {{}}\n  steps:\n    \
         - scale: {step}\n  verify: {{within: 60s, every: 10s}}\n"
    ))
}

/// A program that writes down its arguments and environment.
fn recorder(directory: &Path) -> String {
    let path = directory.join("record");
    let script = "#!/bin/sh\nout=$1; shift\n{ for a in \"$@\"; do printf '<%s>\\n' \"$a\"; done; env; } >\"$out.$SLOWBURN_PURPOSE\"\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_command_gets_its_words_as_they_are_and_little_environment(pool: PgPool) {
    let directory = tempfile::tempdir().unwrap();
    let (program, out) = (recorder(directory.path()), directory.path().join("out"));
    let trap = directory.path().join("trap");
    let hostile = [
        format!("$(touch {})", trap.display()),
        format!("; touch {} #", trap.display()),
        "a b\"c'd\\e*".to_owned(),
        "--".to_owned(),
        "zeile\nzwei".to_owned(),
    ];
    let mut command = vec![program.clone(), out.display().to_string()];
    command.extend(hostile.clone());
    let step = json!({ "command": command, "undo": [program, out], "ttl": "5m", "renewals": 0 });
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &scaling(&step.to_string()),
    )
    .await;
    bench.work(at(1)).await;
    let applied = std::fs::read_to_string(directory.path().join("out.apply")).unwrap();
    let mut expected = String::new();
    for word in &hostile {
        expected.push_str(&format!("<{word}>\n"));
    }
    let environment = applied.strip_prefix(&expected).unwrap();
    assert!(!trap.exists(), "a shell read the arguments");
    let mut names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.retain(|name| !matches!(*name, "PWD" | "_" | "SHLVL" | "OLDPWD"));
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "LANG",
            "PATH",
            "SLOWBURN_OBJECTIVE",
            "SLOWBURN_PURPOSE",
            "SLOWBURN_RUN",
            "SLOWBURN_RUNBOOK",
            "SLOWBURN_SERVICE",
            "SLOWBURN_STEP_KEY",
            "TRACEPARENT",
        ]
    );
    // Nobody measured anything, so it is held until its time is over, and then undone.
    bench.work(at(62)).await;
    bench.work(at(302)).await;
    assert!(directory.path().join("out.undo").exists());
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Expired);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_command_that_hangs_is_ended_with_all_it_started(pool: PgPool) {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let script = format!("/bin/sleep 600 & echo $! > {}; wait", pid.display());
    let step = json!({ "command": ["/bin/sh", "-c", script], "timeout": "1s" });
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &scaling(&step.to_string()),
    )
    .await;
    bench.work(at(1)).await;
    let child = std::fs::read_to_string(&pid).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(
        state.is_err() || state.unwrap().contains(") Z "),
        "the child still runs"
    );
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.steps[0].state, StepState::Applying);
    assert_eq!(
        detail.steps[0].error.as_deref(),
        Some("`/bin/sh` took longer than 1s and was ended")
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_command_that_floods_its_output_is_cut(pool: PgPool) {
    let step = json!({ "command": ["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 3"] });
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &scaling(&step.to_string()),
    )
    .await;
    for second in [1, 10, 20, 40, 80, 160] {
        bench.work(at(second)).await;
    }
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        (detail.run.state, detail.steps[0].state),
        (RunState::Failed, StepState::Failed)
    );
    assert_eq!(
        detail.steps[0].error.as_deref(),
        Some("`/bin/sh` ended with exit status: 3: ")
    );
}

fn document(replicas: u32, version: &str) -> String {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": "web", "namespace": "shop", "resourceVersion": version, "uid": "u" },
        "spec": { "replicas": replicas },
        "status": { "replicas": replicas, "selector": "app=web" },
    })
    .to_string()
}

fn kubernetes(api: &Receiver, token: &Path) -> Arc<Playbook> {
    scaling(&format!(
        "{{kubernetes: {{apiServer: \"{}\", namespace: shop, deployment: web, by: 3, min: 1, max: 4, \
         tokenFile: {}}}, ttl: 5m, renewals: 0}}",
        api.url("/"),
        token.display()
    ))
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn kubernetes_is_scaled_by_compare_and_set_and_back(pool: PgPool) {
    let api = Receiver::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken\n").unwrap();
    let (two, two_later, four) = (document(2, "7"), document(2, "8"), document(4, "9"));
    api.then(200, &[], &two); // what runs now
    api.then(200, &[], &two).then(409, &[], "{}"); // somebody else wrote meanwhile
    api.then(200, &[], &two_later).then(200, &[], &four);
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &kubernetes(&api, token.path()),
    )
    .await;
    bench.work(at(1)).await;
    let seen = api.seen();
    let asked: Vec<String> = seen.iter().map(|s| format!("{} {}", s.method, s.uri)).collect();
    let path = "/apis/apps/v1/namespaces/shop/deployments/web/scale";
    let (get, put) = (format!("GET {path}"), format!("PUT {path}?fieldManager=slowburn"));
    assert_eq!(asked, [&get, &get, &put, &get, &put].map(String::clone));
    assert!(seen.iter().all(|s| s.header("authorization") == "Bearer t0ken"));
    let mut expected: Value = serde_json::from_str(&two_later).unwrap();
    expected["spec"]["replicas"] = json!(4); // 2 and 3 more, but at most 4
    assert_eq!(seen[4].json(), expected);
    let stored: String = sqlx::query_scalar("select string_agg(step::text, ' ') from step")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(!stored.contains("t0ken"));

    // No effect: back to what it was.
    *bench.counts.0.lock().unwrap() = (600, 400);
    api.then(200, &[], &four).then(200, &[], &two);
    bench.work(at(62)).await;
    assert_eq!(api.seen().last().unwrap().json()["spec"]["replicas"], 2);
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Reverted);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_somebody_else_scaled_since_is_left_alone(pool: PgPool) {
    let api = Receiver::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken\n").unwrap();
    api.then(200, &[], &document(1, "1"))
        .then(200, &[], &document(1, "1"))
        .then(200, &[], "{}");
    api.then(200, &[], &document(9, "5"));
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &kubernetes(&api, token.path()),
    )
    .await;
    bench.work(at(1)).await;
    *bench.counts.0.lock().unwrap() = (600, 400);
    bench.work(at(62)).await;
    assert_eq!(api.seen().last().unwrap().method, "GET", "read, and not written");
    let result = bench.run(runs[0]).await.steps[0].result.clone().unwrap();
    assert_eq!(result["undone"]["because"], "somebody else scaled it");
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_forbidden_scale_is_final(pool: PgPool) {
    let api = Receiver::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken\n").unwrap();
    api.then(403, &[], "{\"message\":\"t0ken is not allowed\"}");
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &kubernetes(&api, token.path()),
    )
    .await;
    bench.work(at(1)).await;
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.run.state, RunState::Failed);
    assert_eq!(
        detail.run.reason.as_deref(),
        Some("scale failed: Kubernetes answered 403 Forbidden about `web`")
    );
}
