//! What `slowburn doctor` says: on this machine, and where something is refused.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::process::{Command, Output};

use serde_json::Value;

fn doctor(wrapper: &[&str], arguments: &[&str]) -> Output {
    doctor_with(wrapper, arguments, &[])
}

fn doctor_with(wrapper: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut words = wrapper.to_vec();
    words.push(env!("CARGO_BIN_EXE_slowburn"));
    words.push("doctor");
    words.extend(arguments);
    Command::new(words[0])
        .args(&words[1..])
        .env_remove("DATABASE_URL")
        .env_remove("SLOWBURN_POSTGRES_BIN")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// What is said of the database, as `[detail, remedy]`; it never makes a machine unfit.
fn database(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    let arguments = [&["--format", "json"], arguments].concat();
    let output = doctor_with(&[], &arguments, environment);
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["fit"], true);
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "database").unwrap();
    assert_eq!(check["required"], false);
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (check["ok"] == true, text("detail"), text("remedy"))
}

/// Numbers and places differ between machines.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = if let Some((_, map)) = line.split_once(" KiB  ") {
            assert!(
                map.contains(" of `edge`") || map.contains(" of `limit`"),
                "{line}"
            );
            "(a map)".to_owned()
        } else {
            line.split(' ')
                .map(|word| {
                    if word.starts_with("/sys/") || word.starts_with("/usr/") {
                        "(path)"
                    } else {
                        word
                    }
                })
                .map(|word| if word.parse::<f64>().is_ok() { "(n)" } else { word })
                .collect::<Vec<_>>()
                .join(" ")
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// That the kernel may have: memory is set aside for each.
fn cpus() -> u64 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = text.trim().rsplit(['-', ',']).next().unwrap();
    last.parse::<u64>().unwrap() + 1
}

#[test]
fn a_machine_that_has_everything_is_told_so_in_words() {
    let output = doctor(&[], &[]);
    assert!(output.status.success());
    insta::assert_snapshot!(plain(&String::from_utf8(output.stdout).unwrap()));
}

#[test]
fn the_json_form_keeps_its_shape_and_adds_up() {
    let output = doctor(&[], &["--format", "json", "--map-latency-mib", "8"]);
    assert!(output.status.success());
    let mut found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let maps = found["memory"]["maps"].as_array().unwrap().clone();
    let sum: u64 = maps.iter().map(|map| map["bytes"].as_u64().unwrap()).sum();
    assert_eq!(found["memory"]["bytes"].as_u64(), Some(sum));
    let latencies = maps.iter().find(|map| map["map"] == "LATENCIES").unwrap();
    let bytes = latencies["bytes"].as_u64().unwrap();
    assert!((7 << 20..=(8 << 20) + (64 << 10)).contains(&bytes), "{bytes}");
    // Each has a value of 3.8 KB a CPU.
    let room = found["memory"]["latencies"].as_u64().unwrap();
    assert!((3800..4200).contains(&(bytes / room / cpus())), "{room}");

    found["memory"]["bytes"] = "(bytes)".into();
    found["memory"]["latencies"] = "(room)".into();
    found["memory"]["maps"] = vec![latencies["map"].clone()].into();
    // The words are in the other snapshot.
    let checks = found["checks"].as_array_mut().unwrap();
    assert!(checks.iter().all(|check| check.as_object().unwrap().len() == 6));
    checks.truncate(1);
    insta::assert_json_snapshot!(found);
}

#[test]
fn what_is_refused_says_what_to_do_and_ends_with_1() {
    let output = doctor(
        &["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
        &["--format", "json"],
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(found["fit"], false);
    let checks = found["checks"].as_array().unwrap();
    let privileges = checks.iter().find(|check| check["name"] == "privileges").unwrap();
    assert_eq!(privileges["ok"], false);
    assert_eq!(
        privileges["detail"],
        "CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF missing"
    );
    for check in checks.iter().filter(|check| check["ok"] == false) {
        assert!(
            check["remedy"].as_str().is_some_and(|text| !text.is_empty()),
            "{check}"
        );
    }
}

#[test]
fn the_private_postgres_that_run_would_start_is_looked_for() {
    let (ok, detail, remedy) = database(&[], &[]);
    assert!(ok, "{detail}");
    assert!(
        detail.starts_with("Postgres 1") && detail.ends_with(" as postgres"),
        "{detail}"
    );
    assert_eq!(remedy, "");

    let elsewhere = [("SLOWBURN_POSTGRES_BIN", "/nowhere")];
    let (ok, detail, remedy) = database(&[], &elsewhere);
    assert!(!ok, "{detail}");
    assert!(detail.contains("/nowhere/initdb"), "{detail}");
    assert!(remedy.contains("SLOWBURN_POSTGRES_BIN"), "{remedy}");
    let text = String::from_utf8(doctor_with(&[], &[], &elsewhere).stdout).unwrap();
    assert!(
        text.contains("`slowburn run` has no database") && !text.contains("everything slowburn can use"),
        "{text}"
    );

    let long = format!("/tmp/{}", "long".repeat(30));
    let (ok, detail, remedy) = database(&["--state-dir", &long], &[]);
    assert!(!ok && detail.contains("too long for a unix socket"), "{detail}");
    assert!(remedy.contains("--state-dir"), "{remedy}");
    assert!(!std::path::Path::new(&long).exists(), "looking makes nothing");
}

#[test]
fn a_postgres_of_somebody_is_asked_and_its_password_is_not_told() {
    let url = std::env::var("DATABASE_URL").expect("run by `make test`, which gives a Postgres");
    let (ok, detail, _) = database(&[], &[("DATABASE_URL", &url)]);
    assert!(ok && detail.starts_with("Postgres 1"), "{detail}");

    // Nobody listens on the port of tcpmux.
    let away = "postgres://me:pa55word@127.0.0.1:1/books";
    let (ok, detail, remedy) = database(&["--database-url", away], &[]);
    assert!(!ok && detail.contains("127.0.0.1:1 does not take us"), "{detail}");
    assert!(remedy.contains("DATABASE_URL"), "{remedy}");
    assert!(!format!("{detail}{remedy}").contains("pa55word"));

    // Without its scheme, and with a slash in the password that was not escaped.
    for (url, said) in [
        ("postgres://me:pa55word@:x/", "could not be read"),
        ("me:pa55word@127.0.0.1/books", "does not begin with `postgres://`"),
        (
            "postgres://127.0.0.1:1/pa55word@127.0.0.1/books",
            "does not take us",
        ),
    ] {
        let (ok, detail, remedy) = database(&["--database-url", url], &[]);
        assert!(!ok && detail.contains(said), "{detail}");
        assert!(!format!("{detail}{remedy}").contains("pa55word"), "{detail}");
    }
}

#[test]
fn a_size_out_of_range_names_the_range() {
    let output = doctor(&[], &["--map-counts", "7"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("7 is not in 512..=1048576"), "{text}");
}
