//! What users get wrong and machines take away: each with a message that names the place and the way out.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output};
use std::time::Duration;

use support::eventually;
use support::network::Network;
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);

fn slowburn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .output()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// A `run` that must end by itself with an error.
fn run(network: &Network, state: &str, more: &[&str]) -> Output {
    let cgroup = format!("--cgroup={}", network.cgroup.display());
    let (instance, state) = (
        format!("--instance={}-other", network.name),
        format!("--state-dir={state}"),
    );
    let listen = more
        .iter()
        .all(|argument| !argument.starts_with("--listen"))
        .then_some("--listen=127.0.0.1:0");
    let fixed = ["run", &cgroup, &instance, &state];
    slowburn(&[&fixed[..], listen.as_slice(), more].concat())
}

fn state() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    directory
}

#[test]
fn without_privilege_it_says_what_is_missing() {
    let binary = tempfile::tempdir().unwrap();
    fs::set_permissions(binary.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = binary.path().join("slowburn");
    fs::copy(env!("CARGO_BIN_EXE_slowburn"), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(&copy)
        .args(["run", "--state-dir=/tmp/slowburn-nobody", "--listen=127.0.0.1:0"])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    refused(&output, &["root", "CAP_BPF"]);
}

#[test]
fn a_taken_port_is_named() {
    let network = Network::create();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(
        &network,
        state().path().to_str().unwrap(),
        &[&format!("--listen={address}")],
    );
    refused(&output, &[&address, "in use", "--listen"]);
}

#[test]
fn what_cannot_be_measured_is_told_before_a_database_is_started() {
    let state = state();
    let path = state.path().to_str().unwrap();
    let run = |cgroup: &str, instance: &str| {
        let arguments = [
            "run",
            "--listen=127.0.0.1:0",
            &format!("--state-dir={path}/state"),
            &format!("--cgroup={cgroup}"),
            &format!("--instance={instance}"),
        ];
        slowburn(&arguments)
    };
    let missing = format!("{path}/none");
    for (output, words) in [
        (run(&missing, "other"), ["--cgroup", &missing, "No such file"]),
        (run(path, "other"), ["--cgroup", path, "cgroup v2"]),
        (
            run("/sys/fs/cgroup", "Other.1"),
            ["--instance", "Other.1", "lower-case"],
        ),
    ] {
        refused(&output, &words);
        assert!(!state.path().join("state").exists());
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let network = Network::create();
    refused(
        &run(&network, "/proc/slowburn", &[]),
        &["/proc/slowburn", "not writable", "--state-dir"],
    );
}

#[test]
fn a_state_directory_in_use_is_refused() {
    let network = Network::create();
    let first = Slowburn::start(&network, "");
    let output = run(&network, first.state().to_str().unwrap(), &[]);
    refused(&output, &["in use by another slowburn", &first.pid().to_string()]);
}

#[test]
fn a_second_slowburn_on_the_same_cgroup_is_refused() {
    let network = Network::create();
    let _first = Slowburn::start(&network, "");
    let state = state();
    let output = run(&network, state.path().to_str().unwrap(), &[]);
    refused(
        &output,
        &["another slowburn already measures the cgroup", "hint", "--cgroup"],
    );
    assert!(!state.path().join("postgres").exists(), "told before Postgres");
}

#[test]
fn a_second_slowburn_of_the_same_instance_is_refused() {
    let (network, other) = (Network::create(), Network::create());
    let _first = Slowburn::start(&network, "");
    let state = state();
    let output = slowburn(&[
        "run",
        "--listen=127.0.0.1:0",
        &format!("--cgroup={}", other.cgroup.display()),
        &format!("--instance={}", network.name),
        &format!("--state-dir={}", state.path().display()),
    ]);
    refused(
        &output,
        &["in use by another slowburn", &network.name, "hint", "--instance"],
    );
    assert!(!state.path().join("postgres").exists(), "told before Postgres");
}

#[test]
fn where_there_is_no_cgroup_v2_it_says_what_to_do() {
    let state = state();
    // Nothing of cgroups is mounted there, and nothing can be.
    let script = "for at in $(findmnt -rnt cgroup2 -o TARGET); do umount -l \"$at\" || exit 7; done
                  mount -t tmpfs -o ro none /run && exec \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            env!("CARGO_BIN_EXE_slowburn"),
        ])
        .args(["run", "--listen=127.0.0.1:0"])
        .arg(format!("--state-dir={}/state", state.path().display()))
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    refused(
        &output,
        &["cannot mount cgroup2", "hint", "CONFIG_CGROUPS", "--privileged"],
    );
    assert!(!state.path().join("state").exists());
}

#[test]
fn bad_definitions_refuse_to_start_with_every_mistake() {
    let network = Network::create();
    let state = state();
    let file = state.path().join("bad.yaml");
    fs::write(
        &file,
        "apiVersion: slowburn/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  match: {prot: 80}\n  objectives:\n    - availability: 100%\n  window: 30d\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let output = run(
        &network,
        state.path().to_str().unwrap(),
        &[&format!("--config={file}")],
    );
    refused(
        &output,
        &[&format!("{file}:5:"), "prot", &format!("{file}:7:"), "100"],
    );

    let validated = slowburn(&["validate", file]);
    assert_eq!(validated.status.code(), Some(1));
    let text = String::from_utf8_lossy(&validated.stdout);
    assert!(
        text.contains(&format!("{file}:5:")) && text.contains("hint:"),
        "{text}"
    );
}

#[test]
fn a_secret_that_is_not_here_is_a_warning() {
    let state = state();
    let file = state.path().join("target.yaml");
    fs::write(
        &file,
        "apiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {name: hook}\nspec:\n  webhook:\n    url: https://hooks.example.com/\n    secretFrom: {env: TEST_NOT_SET_ANYWHERE}\n",
    )
    .unwrap();
    let validate = |format: &str, secret: Option<&str>| {
        let output = Command::new(env!("CARGO_BIN_EXE_slowburn"))
            .args(["validate", "--format", format])
            .arg(&file)
            .envs(secret.map(|secret| ("TEST_NOT_SET_ANYWHERE", secret)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = validate("text", None);
    let place = format!("{}:7:17: warning: nobody can be told by `hook`", file.display());
    for words in [
        "no mistakes",
        &place,
        "`TEST_NOT_SET_ANYWHERE` is not set",
        "hint: set",
    ] {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
    let said: serde_json::Value = serde_json::from_str(&validate("json", None)).unwrap();
    assert_eq!(
        (said[0]["severity"].as_str(), said[0]["line"].as_u64()),
        (Some("warning"), Some(7)),
        "{said}"
    );
    let said = validate("text", Some("5ecret"));
    assert!(!said.contains("warning") && !said.contains("5ecret"), "{said}");
}

#[test]
fn a_database_that_is_not_there_yet_is_waited_for() {
    let url = std::env::var("DATABASE_URL").expect("run by `make test`, which gives a Postgres");
    let real = url
        .split_once("host=")
        .expect("with-postgres names a socket directory")
        .1
        .to_string();
    let network = Network::create();
    let state = state();
    let link = state.path().join("later");
    let log = fs::File::create(state.path().join("log")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(["run", "--listen=127.0.0.1:0"])
        .arg(format!("--cgroup={}", network.cgroup.display()))
        .arg(format!("--instance={}", network.name))
        .arg(format!("--state-dir={}", state.path().join("state").display()))
        .env(
            "DATABASE_URL",
            format!(
                "postgres://postgres@localhost/waited_{}?host={}",
                std::process::id(),
                link.display()
            ),
        )
        .stderr(log)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = |words: &str| {
        fs::read_to_string(state.path().join("log"))
            .unwrap()
            .contains(words)
    };
    eventually("slowburn to say that it waits", PATIENCE, || {
        said("database unreachable, waiting").then_some(())
    });
    let created = Command::new("psql")
        .args([
            &url,
            "-qc",
            &format!("create database waited_{}", std::process::id()),
        ])
        .status();
    assert!(created.unwrap().success());
    symlink(real, &link).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert!(line.contains("http://"), "{line}");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
    slowburn(&["unload", "--instance", &network.name]);
}
