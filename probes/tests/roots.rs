//! Several mounts of the one cgroup v2 hierarchy, in a mount and a cgroup namespace of the test's own.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{fs, mem::ManuallyDrop, os::unix::process::CommandExt as _, path::Path, process::Command};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use probes::{
    agent::{Agent, AgentConfig, AgentError},
    mounts::cgroup_root,
};
use slo_engine::{measurement::Signal, service::WatchedService};
use support::{Client, Place, eventually, programs_of, read, value, watched};

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

const LOOK: &str = "SLOWBURN_TEST_ROOTS";

#[test]
fn of_several_mounts_the_highest_is_taken_and_attached_to_once() {
    let place = Place::new("roots");
    let scratch = std::env::temp_dir().join(&place.name);
    for name in ["own", "again", "part"] {
        fs::create_dir_all(scratch.join(name)).unwrap();
    }
    let procs = place.cgroup.join("cgroup.procs");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "look_when_asked", "--nocapture"])
        .env(LOOK, &place.name);
    // SAFETY: only system calls between fork and exec, on memory made before.
    unsafe {
        command.pre_exec(move || {
            fs::write(&procs, "0")?;
            Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)?)
        });
    }
    let output = command.output().unwrap();
    fs::remove_dir_all(&scratch).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains(SEEN), "{said}");
}

const SEEN: &str = "all of it was seen";

/// The body of the process: its cgroup is the root of its cgroup namespace.
#[test]
fn look_when_asked() {
    let Ok(name) = std::env::var(LOOK) else { return };
    let scratch = std::env::temp_dir().join(&name);
    let (own, again, part) = (scratch.join("own"), scratch.join("again"), scratch.join("part"));
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .unwrap();
    // As its namespace shows it, this mount begins above.
    let host = cgroup_root().unwrap();
    assert_eq!(
        fs::read_to_string("/proc/self/cgroup").unwrap().lines().last(),
        Some("0::/")
    );
    mount(
        Some("cgroup2"),
        &own,
        Some("cgroup2"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    bind(&host, &again);
    bind(&host.join(&name), &part);
    assert_eq!(
        cgroup_root().unwrap(),
        host,
        "the first of those that begin highest"
    );
    bind(&own, &host);
    assert_eq!(cgroup_root().unwrap(), again, "the other one is covered");

    // Owned by the process that started this one.
    let place = ManuallyDrop::new(Place {
        name: name.clone(),
        cgroup: again.join(&name),
    });
    let config = |cgroup: &Path| AgentConfig {
        cgroup: Some(cgroup.to_owned()),
        ..place.config()
    };
    let mut agent = Agent::start(config(&own)).unwrap();
    let service = WatchedService {
        matches: vec![format!("cgroup:{name}").parse().unwrap()],
        ..watched("shop", 8260)
    };
    agent.watch(std::slice::from_ref(&service)).unwrap();
    let server = place.server(&["127.0.0.1:8260"]);
    let ask = || server.beside(|| assert_eq!(Client::connect("127.0.0.1:8260").get("/"), 200));
    eventually("the listener is known by its path under the highest root", || {
        read(&mut agent);
        let found = agent.discovered();
        found
            .iter()
            .any(|found| found.port == 8260 && found.cgroup == name)
            .then_some(())
    });
    ask();
    assert_eq!(value(&read(&mut agent), "shop", Signal::Status(200)), 1);

    for path in [&part, &place.cgroup, &host] {
        let other = AgentConfig {
            instance: format!("{name}-b"),
            ..config(path)
        };
        let refused = Agent::start(other).unwrap_err();
        assert!(
            matches!(refused, AgentError::CgroupInUse { .. }),
            "{path:?}: {refused}"
        );
    }
    drop(agent);
    assert_eq!(programs_of(&part), 3);
    // The next one is told the same cgroup by another of its paths.
    let mut agent = Agent::start(config(&part)).unwrap();
    agent.watch(&[service]).unwrap();
    ask();
    assert_eq!(value(&read(&mut agent), "shop", Signal::Status(200)), 2);
    assert_eq!(programs_of(&own), 3, "attached once, whichever mount tells it");
    println!("{SEEN}");
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}
