//! Whether slowburn says that it cannot work, and whether nothing of it stays when it is told to stop.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slo_engine::definitions::Stamp;
use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::Nginx;
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
";

#[test]
fn a_database_that_takes_nothing_turns_readiness_red() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    slowburn.sql("alter table source rename to gone");
    let reason = eventually("readiness to turn red", PATIENCE, || {
        slowburn.try_get("/readyz").err()
    });
    assert!(reason.contains("does not exist"), "{reason}");
    slowburn.sql("alter table gone rename to source");
    eventually("readiness to turn green", PATIENCE, || {
        slowburn.try_get("/readyz").ok()
    });
}

const FOUR: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives:
    - availability: {target: 99%, name: one}
    - availability: {target: 99%, name: two}
    - availability: {target: 99%, name: unread}
    - availability: {target: 99%, name: refused}
  window: 10m
  alerts:
    tiers: [{severity: page, long: 10s, short: 5s, burnRate: 5}]
    fastPage: off
";

#[test]
fn an_objective_that_cannot_be_judged_turns_readiness_red_and_the_others_fire() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, FOUR);
    let nginx = Nginx::start(&network);
    let of = |name: &str| {
        slowburn.sql(&format!(
            "select objective_id from objective where name = '{name}'"
        ))
    };
    let (unread, refused) = (of("unread"), of("refused"));
    // As a newer release may spell it, and as one that has another rule.
    let set = |severity: &str| {
        slowburn.sql(&format!(
            "update objective_tier set severity = '{severity}' where objective_id = {unread}"
        ))
    };
    set("urgent");
    slowburn.sql(&format!(
        "alter table alert add constraint not_today check (objective_id <> {refused})"
    ));
    let broken = format!("http://{SERVER}:8080/broken");
    let mut load = network.spawn(Side::Client, "wrk", &["-t1", "-c1", "-d180s", &broken]);
    let fire = |names: &[&str]| {
        eventually("alerts to fire", PATIENCE, || {
            let alerts = slowburn.try_get("/api/v1/alerts?state=firing").ok()?;
            let items = alerts["items"].as_array()?.iter();
            let mut fire: Vec<_> = items
                .map(|alert| alert["objective"].as_str().unwrap().to_owned())
                .collect();
            fire.sort();
            (fire == names).then_some(())
        });
    };
    fire(&["one", "two"]);
    let is_told = |reason: &str| {
        [
            "evaluate: what is kept of `unread` was left out: `urgent` in column `severity` cannot be read",
            "record `refused` (`page-10s`): ",
            "violates check constraint \\\"not_today\\\"",
        ]
        .iter()
        .all(|said| reason.contains(said))
    };
    eventually("both to be told", PATIENCE, || {
        slowburn.try_get("/readyz").err().filter(|reason| is_told(reason))
    });
    // For as long as nobody mends it, whatever is judged between.
    let first = slowburn.sql("select last_at from source");
    let later = format!("select last_at > timestamptz '{first}' + interval '3 s' from source");
    eventually("it to have judged again", PATIENCE, || {
        let reason = slowburn.try_get("/readyz").unwrap_err();
        assert!(is_told(&reason), "{reason}");
        (slowburn.sql(&later) == "t").then_some(())
    });

    set("page");
    slowburn.sql("alter table alert drop constraint not_today");
    fire(&["one", "refused", "two", "unread"]);
    eventually("readiness to turn green", PATIENCE, || {
        slowburn.try_get("/readyz").ok()
    });
    load.interrupt();
    drop(nginx);
}

#[test]
fn a_changed_file_is_taken_up_and_a_bad_one_leaves_the_last_good_set_in_force() {
    let network = Network::create();
    let slowburn = Slowburn::start_logging(&network, SERVICE, &[], &[]);
    let file = slowburn.state().with_file_name("definitions.yaml");
    let names = || {
        let slos = slowburn.get("/api/v1/slos");
        let items = slos["items"].as_array().unwrap().iter();
        items
            .map(|slo| slo["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    fs::write(&file, SERVICE.replace("99%", "100%")).unwrap();
    let reason = eventually("the mistake to be told", PATIENCE * 3, || {
        slowburn.try_get("/readyz").err()
    });
    assert!(
        reason.contains("definitions.yaml:7:") && reason.contains("last good set"),
        "{reason}"
    );
    let overview = slowburn.get("/api/v1/overview");
    assert!(
        overview["notes"][0].as_str().unwrap().contains("last good set"),
        "{overview}"
    );
    assert_eq!(names(), ["shop-availability"]);
    // Read again, it is refused again for the same reason.
    let refusals = || {
        slowburn
            .log()
            .matches("could not take up the definitions")
            .count()
    };
    let before = refusals();
    assert!(before > 0, "{}", slowburn.log());
    kill(slowburn.pid(), Signal::SIGHUP).unwrap();
    eventually("it to be refused again", PATIENCE, || {
        (refusals() > before).then_some(())
    });

    // What looks as it did is read on the signal alone.
    let taken = Stamp::of(std::slice::from_ref(&file));
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut open = fs::File::options().write(true).open(&file).unwrap();
    open.write_all(SERVICE.replace("99%", "98% ").as_bytes()).unwrap();
    open.set_modified(modified).unwrap();
    assert_eq!(Stamp::of(std::slice::from_ref(&file)), taken);
    kill(slowburn.pid(), Signal::SIGHUP).unwrap();
    eventually("readiness to turn green", PATIENCE * 3, || {
        slowburn.try_get("/readyz").ok()
    });
    let slo = slowburn.get("/api/v1/slos/shop-availability");
    assert_eq!(slo["target"].as_f64(), Some(0.98), "{slo}");

    let more = "{availability: 99%}, {latency: {below: 250ms, target: 99%}}";
    // Put in its place whole, as many editors do.
    let whole = file.with_extension("new");
    fs::write(&whole, SERVICE.replace("{availability: 99%}", more)).unwrap();
    fs::rename(&whole, &file).unwrap();
    eventually("both objectives", PATIENCE * 3, || {
        (names() == ["shop-availability", "shop-latency"]).then_some(())
    });

    let events = slowburn.get("/api/v1/events?subject=definition%20files&after=0");
    let events = events["items"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["kind"].as_str().unwrap(),
                event["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "definitions_taken_up",
                "definitions taken up: 1 new, 0 changed, 0 withdrawn"
            ),
            (
                "definitions_refused",
                "definitions refused: 1 mistake, the last good set stays"
            ),
            (
                "definitions_taken_up",
                "definitions taken up: 0 new, 1 changed, 0 withdrawn"
            ),
            (
                "definitions_taken_up",
                "definitions taken up: 1 new, 1 changed, 0 withdrawn"
            ),
        ]
    );
    let first = &events[1]["data"]["first"];
    assert!(
        first["file"].as_str().unwrap().ends_with("definitions.yaml"),
        "{first}"
    );
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64()),
        (Some(7), Some(31)),
        "{first}"
    );
}

#[test]
fn a_secret_that_is_missing_is_told_until_it_is_there() {
    let network = Network::create();
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("url");
    let target = format!(
        "---\napiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {{name: channel}}\nspec:\n  slack: {{urlFrom: {{file: {}}}}}\n",
        secret.display()
    );
    let slowburn = Slowburn::start(&network, &format!("{SERVICE}{target}"));
    // Red would take a whole slowburn out of service for it.
    let definitions = || {
        let readyz = slowburn.get("/readyz");
        assert_eq!(readyz["ready"], true, "{readyz}");
        let checks = readyz["checks"].as_array().unwrap().iter();
        let mut checks = checks.filter(|check| check["name"] == "definitions");
        checks.next().unwrap()["reason"].as_str().map(str::to_owned)
    };
    let reason = definitions().unwrap();
    let place = secret.display().to_string();
    assert!(
        reason.contains("nobody can be told by `channel`") && reason.contains(&place),
        "{reason}"
    );
    let overview = slowburn.get("/api/v1/overview");
    assert_eq!(overview["notes"][0].as_str(), Some(reason.as_str()), "{overview}");
    fs::write(&secret, "https://hooks.example.com/").unwrap();
    eventually("nothing to be missing", PATIENCE, || {
        definitions().is_none().then_some(())
    });
}

#[test]
fn a_set_that_the_kernel_does_not_take_up_is_not_in_the_books() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let file = slowburn.state().with_file_name("definitions.yaml");
    // What has been written there stays; nothing is added.
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&network.name);
    freeze(&find(&pins, "SETTINGS").unwrap());
    let more = "{availability: 99%}, {latency: {below: 250ms, target: 99%}}";
    fs::write(&file, SERVICE.replace("{availability: 99%}", more)).unwrap();
    let reason = eventually("the failure to be told", PATIENCE * 3, || {
        slowburn.try_get("/readyz").err()
    });
    assert!(
        reason.contains("SETTINGS") && reason.contains("last good set is in force"),
        "{reason}"
    );
    assert_eq!(
        slowburn.sql("select string_agg(name, ' ') from objective"),
        "shop-availability"
    );

    fs::write(&file, SERVICE).unwrap();
    eventually("readiness to turn green", PATIENCE * 3, || {
        slowburn.try_get("/readyz").ok()
    });
}

#[test]
fn a_set_that_the_kernel_does_not_take_up_at_the_start_is_not_in_the_books() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let file = slowburn.state().with_file_name("definitions.yaml");
    slowburn.stop();
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&network.name);
    freeze(&find(&pins, "SETTINGS").unwrap());
    let more = "{availability: 99%}, {latency: {below: 250ms, target: 99%}}";
    fs::write(&file, SERVICE.replace("{availability: 99%}", more)).unwrap();
    let said = slowburn.refused();
    assert!(said.contains("SETTINGS"), "{said}");
    // What it counted by goes on as if nothing had been asked.
    fs::write(&file, SERVICE).unwrap();
    slowburn.launch();
    assert_eq!(
        slowburn.sql("select string_agg(name, ' ') from objective"),
        "shop-availability"
    );
}

#[test]
fn a_set_that_the_books_do_not_take_up_is_not_in_the_kernel() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let file = slowburn.state().with_file_name("definitions.yaml");
    let pins = Path::new("/sys/fs/bpf/slowburn").join(&network.name);
    let endpoints = find(&pins, "ENDPOINTS").unwrap();
    let before = dump(&endpoints);
    assert!(!before.is_empty());
    // It is refused as it is committed, when the kernel has taken it up.
    for statement in [
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$",
        "create constraint trigger refuse after insert on objective_definition deferrable initially deferred
         for each row execute function refuse()",
    ] {
        slowburn.sql(statement);
    }
    let more = "{availability: 99%}, {latency: {below: 250ms, target: 99%}}";
    fs::write(&file, SERVICE.replace("{availability: 99%}", more)).unwrap();
    let reason = eventually("the failure to be told", PATIENCE * 3, || {
        slowburn.try_get("/readyz").err()
    });
    assert!(
        reason.contains("not today") && reason.contains("last good set is in force"),
        "{reason}"
    );
    assert_eq!(dump(&endpoints), before, "at a reload");

    slowburn.stop();
    let said = slowburn.refused();
    assert!(said.contains("not today"), "{said}");
    assert_eq!(dump(&endpoints), before, "at a start");
    fs::write(&file, SERVICE).unwrap();
    slowburn.launch();
    assert_eq!(
        slowburn.sql("select string_agg(name, ' ') from objective"),
        "shop-availability"
    );
    assert_eq!(dump(&endpoints), before);
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (directories, pins): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let found = pins.into_iter().find(|path| path.ends_with(name));
    found.or_else(|| directories.iter().find_map(|inner| find(inner, name)))
}

/// What a pinned map holds, in an order of its own.
fn dump(map: &Path) -> Vec<String> {
    let output = Command::new("bpftool")
        .args(["--json", "map", "dump", "pinned"])
        .arg(map)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
    entries.sort();
    entries
}

fn freeze(map: &Path) {
    let status = Command::new("bpftool")
        .args(["map", "freeze", "pinned"])
        .arg(map)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn while_it_starts_it_answers_that_it_does_and_what_it_waits_for() {
    let network = Network::create();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    // Free a moment ago.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let mut child = Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .current_dir(directory.path())
        .args(["run", "--state-dir=state"])
        .arg(format!("--listen={address}"))
        .arg(format!("--cgroup={}", network.cgroup.display()))
        .arg(format!("--instance={}", network.name))
        .env_remove("DATABASE_URL")
        .spawn()
        .unwrap();
    let mut said: Vec<String> = Vec::new();
    let ask = |path: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "10", "--write-out", " %{http_code}"])
            .arg(format!("http://{address}{path}"))
            .output()
            .unwrap();
        // Nobody listens yet.
        (output.status.code() != Some(7)).then(|| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success(),
                "{path} was not answered: {:?}, {text}",
                output.status
            );
            text
        })
    };
    let page = eventually("it to answer", PATIENCE, || ask("/api/v1/slos"));
    let alive = ask("/healthz");
    eventually("it to be ready", PATIENCE * 2, || {
        let answer = ask("/readyz")?;
        said.push(answer.clone());
        answer.ends_with(" 200").then_some(())
    });
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(["unload", "--instance", &network.name])
        .output()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(page.contains("being opened") && page.ends_with(" 503"), "{page}");
    assert_eq!(alive.as_deref(), Some("ok\n 200"));
    let (ready, starting) = said.split_last().unwrap();
    assert!(ready.contains("\"ready\":true"), "{ready}");
    let answer = starting
        .iter()
        .find(|answer| answer.contains("the probes are being attached"));
    let answer = answer.unwrap_or_else(|| panic!("nobody was told of the probes: {starting:?}"));
    assert!(
        answer.contains("\"ready\":false") && answer.ends_with(" 503"),
        "{answer}"
    );
}

#[test]
fn a_stop_while_it_starts_leaves_no_postgres() {
    let network = Network::create();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_slowburn"))
        // A directory as people write it: from where they are.
        .current_dir(directory.path())
        .args(["run", "--listen=127.0.0.1:0", "--state-dir=state"])
        .arg(format!("--cgroup={}", network.cgroup.display()))
        .arg(format!("--instance={}", network.name))
        .env_remove("DATABASE_URL")
        .spawn()
        .unwrap();
    let lock = directory.path().join("state/postgres/data/postmaster.pid");
    let postgres = eventually("Postgres", PATIENCE, || {
        assert!(child.try_wait().unwrap().is_none(), "slowburn ended by itself");
        let lock = fs::read_to_string(&lock).ok()?;
        Some(Pid::from_raw(lock.lines().next()?.parse().ok()?))
    });
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    let outlived = kill(postgres, None).is_ok();
    if outlived {
        kill(postgres, Signal::SIGQUIT).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(["unload", "--instance", &network.name])
        .output()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(!outlived, "Postgres outlived the start");
}
