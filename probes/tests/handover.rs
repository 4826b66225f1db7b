//! Sockets that are shared, handed over, or left behind: each request counts for who serves it.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::{fs, path::PathBuf, process::Command};

use probes::agent::Agent;
use slo_engine::{
    measurement::{Batch, Role, Signal},
    service::WatchedService,
};
use support::{Place, eventually, of_role, process::Process, read, value, watched};

#[test]
fn worker_when_asked() {
    support::worker::worker_when_asked();
}

fn worker(place: &Place) -> Process {
    Process::start(place, "worker_when_asked")
}

/// A cgroup that looks like the unit's.
fn unit(place: &Place, name: &str) -> String {
    format!("{}/{name}.service", place.cgroup.display())
}

fn by_unit(name: &str) -> WatchedService {
    WatchedService {
        matches: vec![format!("unit:{name}").parse().unwrap()],
        ..watched(name, 1)
    }
}

fn answered(batch: &Batch, service: &str) -> u64 {
    value(batch, service, Signal::Status(200))
}

/// Reads until exactly these answers count for these services, and none for any other.
fn eventually_count(agent: &mut Agent, expected: &[(&str, u64)]) {
    let total: u64 = expected.iter().map(|(_, count)| count).sum();
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("requests count for who serves them", || {
            let batch = read(agent);
            last = batch
                .readings
                .iter()
                .filter(|found| {
                    found.series.signal == Signal::Status(200) && found.series.role == Role::Server
                })
                .map(|found| (found.series.service.to_string(), found.value))
                .collect();
            let all: u64 = last.iter().map(|(_, count)| count).sum();
            let is_right = expected
                .iter()
                .all(|(service, count)| answered(&batch, service) == *count);
            (is_right && all == total).then_some(())
        });
    }));
    assert!(found.is_ok(), "counted {last:?}, expected {expected:?}");
}

/// Why discovery calls the listener at `port` what it does, once it is called `service`.
fn eventually_named(agent: &mut Agent, port: u16, service: &str) -> String {
    let mut last = None;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("it has its name", || {
            read(agent);
            last = agent.discovered().into_iter().find(|found| found.port == port);
            let found = last.clone()?;
            (found.service.as_str() == service).then_some(found.because)
        })
    }));
    found.unwrap_or_else(|_| panic!("not {service}: {last:?}"))
}

#[test]
fn a_socket_activated_service_is_who_serves_and_not_who_listened() {
    let place = Place::new("activate");
    let mut agent = place.agent();
    agent.watch(&[]).unwrap();
    let mut manager = worker(&place);
    manager.ask(&format!("cgroup {}", unit(&place, "manager")));
    manager.ask("bind 127.0.0.1:8200");
    // Before anybody serves, the port belongs to who listens.
    eventually_named(&mut agent, 8200, "manager");
    manager.ask(&format!("activate {}", unit(&place, "web")));
    assert_eq!(
        eventually_named(&mut agent, 8200, "web"),
        "it runs in the unit `web.service`"
    );
    assert_eq!(manager.ask("call 127.0.0.1:8200 / /"), "200 200");
    eventually_count(&mut agent, &[("web", 2)]);
}

#[test]
fn workers_that_inherit_a_socket_are_one_service() {
    let place = Place::new("fork");
    let mut agent = place.agent();
    agent.watch(&[by_unit("web")]).unwrap();
    let mut master = worker(&place);
    let home = unit(&place, "web");
    master.ask(&format!("cgroup {home}"));
    master.ask("bind 127.0.0.1:8201");
    master.ask(&format!("activate {home}"));
    master.ask(&format!("activate {home}"));
    for _ in 0..5 {
        assert_eq!(master.ask("call 127.0.0.1:8201 /"), "200");
    }
    eventually_count(&mut agent, &[("web", 5)]);
    let because = eventually_named(&mut agent, 8201, "web");
    assert_eq!(because, "unit `web.service` is matched by `web`");
}

#[test]
fn two_processes_behind_one_port_each_count_for_their_own_service() {
    let place = Place::new("reuse");
    let mut agent = place.agent();
    agent.watch(&[by_unit("blue"), by_unit("green")]).unwrap();
    let (mut blue, mut green) = (worker(&place), worker(&place));
    blue.ask(&format!("cgroup {}", unit(&place, "blue")));
    green.ask(&format!("cgroup {}", unit(&place, "green")));
    green.ask(&format!("enter {}", blue.id()));
    blue.ask("share 127.0.0.1:8202");
    green.ask("share 127.0.0.1:8202");
    let mut caller = worker(&place);
    caller.ask(&format!("enter {}", blue.id()));
    for _ in 0..40 {
        assert_eq!(caller.ask("call 127.0.0.1:8202 /"), "200");
    }
    eventually("both have answered, and all is counted", || {
        let batch = read(&mut agent);
        let (blue, green) = (answered(&batch, "blue"), answered(&batch, "green"));
        (blue > 0 && green > 0 && blue + green == 40).then_some(())
    });
}

#[test]
fn a_socket_passed_on_counts_for_who_received_it() {
    let place = Place::new("rights");
    let mut agent = place.agent();
    agent.watch(&[]).unwrap();
    let (mut old, mut new) = (worker(&place), worker(&place));
    old.ask(&format!("cgroup {}", unit(&place, "old")));
    new.ask(&format!("cgroup {}", unit(&place, "new")));
    new.ask(&format!("enter {}", old.id()));
    old.ask("bind 127.0.0.1:8203");
    eventually_named(&mut agent, 8203, "old");
    new.ask("receive handover");
    old.ask("send handover");
    eventually_named(&mut agent, 8203, "new");
    assert_eq!(old.ask("call 127.0.0.1:8203 / / /"), "200 200 200");
    eventually_count(&mut agent, &[("new", 3)]);
}

#[test]
fn one_port_in_two_network_namespaces_is_two_services() {
    let place = Place::new("netns");
    let mut agent = place.agent();
    agent.watch(&[]).unwrap();
    let (mut one, mut two) = (worker(&place), worker(&place));
    one.ask(&format!("cgroup {}", unit(&place, "one")));
    two.ask(&format!("cgroup {}", unit(&place, "two")));
    for (server, paths) in [(&mut one, "/ /"), (&mut two, "/ / /")] {
        server.ask("listen 127.0.0.1:8204");
        server.ask(&format!("call 127.0.0.1:8204 {paths}"));
    }
    eventually_count(&mut agent, &[("one", 2), ("two", 3)]);
}

#[test]
fn a_process_that_moves_takes_its_service_along() {
    let place = Place::new("move");
    let mut agent = place.agent();
    agent.watch(&[by_unit("after")]).unwrap();
    let mut server = worker(&place);
    server.ask("listen 127.0.0.1:8205");
    server.ask(&format!("cgroup {}", unit(&place, "after")));
    let because = eventually_named(&mut agent, 8205, "after");
    assert_eq!(because, "unit `after.service` is matched by `after`");
    assert_eq!(server.ask("call 127.0.0.1:8205 /"), "200");
    eventually_count(&mut agent, &[("after", 1)]);
}

/// A cgroup as containerd makes one for a pod's container.
fn in_pod(place: &Place, digit: &str) -> String {
    let uid = "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f".to_owned() + digit;
    let slice = format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice");
    let container = digit.repeat(64);
    format!(
        "{}/{slice}/cri-containerd-{container}.scope",
        place.cgroup.display()
    )
}

#[test]
fn pods_are_known_by_what_their_containers_say_of_them() {
    let place = Place::new("pod");
    let mut agent = place.agent();
    let front = WatchedService {
        matches: vec!["kubernetes:namespace=shop;label.tier=front".parse().unwrap()],
        ..watched("front", 1)
    };
    agent.watch(&[front]).unwrap();
    let secrets = "var/run/secrets/kubernetes.io/serviceaccount";
    let container = |files: &[(&str, &str)]| {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc/podinfo", secrets] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for (file, text) in files {
            fs::write(root.path().join(file), text).unwrap();
        }
        root
    };
    let namespace = format!("{secrets}/namespace");
    let labelled = container(&[
        ("etc/hostname", "web-6d4b75cb6d-hx2kq\n"),
        ("etc/podinfo/labels", "app=\"web\"\ntier=\"front\"\n"),
        (&namespace, "shop"),
    ]);
    // Nothing says that it is what was asked for.
    let silent = container(&[("etc/hostname", "db-0\n"), (&namespace, "shop")]);
    let (mut web, mut db) = (worker(&place), worker(&place));
    for (pod, root, digit, port) in [(&mut web, &labelled, "a", 8207), (&mut db, &silent, "b", 8208)] {
        pod.ask(&format!("cgroup {}", in_pod(&place, digit)));
        pod.ask(&format!("root {}", root.path().display()));
        pod.ask(&format!("listen 127.0.0.1:{port}"));
    }
    assert_eq!(
        eventually_named(&mut agent, 8207, "front"),
        "pod `shop/web-6d4b75cb6d-hx2kq` (`namespace=shop;label.tier=front`) is matched by `front`"
    );
    assert_eq!(
        eventually_named(&mut agent, 8208, "db"),
        "it runs in the pod `db-0`"
    );
    assert_eq!(web.ask("call 127.0.0.1:8207 / /"), "200 200");
    assert_eq!(db.ask("call 127.0.0.1:8208 /"), "200");
    eventually_count(&mut agent, &[("front", 2), ("db", 1)]);
}

/// A cgroup hierarchy of version 1, as hybrid hosts have beside version 2, with a container.
struct VersionOne {
    mount: tempfile::TempDir,
    id: String,
}

impl VersionOne {
    fn runtime(&self) -> PathBuf {
        self.mount.path().join("docker")
    }

    fn container(&self) -> PathBuf {
        self.runtime().join(&self.id)
    }

    fn mount(id: &str) -> Self {
        let version_1 = Self {
            mount: tempfile::tempdir().unwrap(),
            id: id.to_owned(),
        };
        version_1.attach();
        fs::create_dir_all(version_1.container()).unwrap();
        version_1
    }

    fn attach(&self) {
        let options = format!("none,name={}", Self::name());
        let mut mount = Command::new("mount");
        mount.args(["-t", "cgroup", "-o", &options, "slowburn-test"]);
        assert!(mount.arg(self.mount.path()).status().unwrap().success());
    }

    fn name() -> String {
        format!("slowburn-test-{}", std::process::id())
    }
}

impl Drop for VersionOne {
    fn drop(&mut self) {
        for directory in [self.container(), self.runtime()] {
            eventually("nobody lives there any more", || fs::remove_dir(&directory).ok());
        }
        // It ends soon after its mount, unless the kernel still held one of its cgroups then.
        let mut looks = 0;
        eventually("the hierarchy has ended", || {
            if looks % 50 == 0 {
                let _ = Command::new("umount").arg(self.mount.path()).status();
            }
            looks += 1;
            let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
            let has_ended = !hierarchies.contains(&Self::name());
            if !has_ended && looks % 50 == 0 {
                self.attach();
            }
            has_ended.then_some(())
        });
    }
}

#[test]
fn a_container_of_a_hybrid_host_is_known_by_version_1() {
    let place = Place::new("hybrid");
    let mut agent = place.agent();
    let id = "c".repeat(64);
    let shop = WatchedService {
        matches: vec![format!("container:{}", &id[..12]).parse().unwrap()],
        ..watched("shop", 1)
    };
    agent.watch(&[shop]).unwrap();
    let version_1 = VersionOne::mount(&id);
    let mut server = worker(&place);
    server.ask(&format!("cgroup {}", version_1.container().display()));
    server.ask("listen 127.0.0.1:8209");
    let because = eventually_named(&mut agent, 8209, "shop");
    assert_eq!(because, "container `cccccccccccc` is matched by `shop`");
    assert_eq!(server.ask("call 127.0.0.1:8209 / /"), "200 200");
    eventually_count(&mut agent, &[("shop", 2)]);
}

#[test]
fn both_ends_of_a_call_count_the_same() {
    let place = Place::new("roles");
    let mut agent = place.agent();
    // The caller never listens: it is known by its unit alone.
    agent.watch(&[by_unit("front"), by_unit("back")]).unwrap();
    let (mut front, mut back) = (worker(&place), worker(&place));
    front.ask(&format!("cgroup {}", unit(&place, "front")));
    back.ask(&format!("cgroup {}", unit(&place, "back")));
    front.ask(&format!("enter {}", back.id()));
    back.ask("listen 127.0.0.1:8206");
    // Its cgroup is known from the next scan on; what it calls until then is nobody's.
    eventually("the caller is known", || {
        front.ask("call 127.0.0.1:8206 /status/204");
        let batch = read(&mut agent);
        let known = of_role(&batch, "front", Role::Client, None, Signal::Status(204));
        (known > 0).then_some(())
    });
    let before = read(&mut agent);
    for _ in 0..7 {
        let statuses = front.ask("call 127.0.0.1:8206 / /status/404 /status/503 /");
        assert_eq!(statuses, "200 404 503 200");
    }
    let batch = eventually("the last connection has ended", || {
        let batch = read(&mut agent);
        let since = |role, service, signal| {
            of_role(&batch, service, role, None, signal) - of_role(&before, service, role, None, signal)
        };
        for (status, expected) in [(200, 14), (404, 7), (503, 7)] {
            let status = Signal::Status(status);
            assert_eq!(since(Role::Client, "front", status), expected);
            assert_eq!(since(Role::Server, "back", status), expected);
        }
        assert_eq!(since(Role::Client, "front", Signal::Connected), 7);
        assert_eq!(since(Role::Server, "back", Signal::Accepted), 7);
        Some(batch)
    });
    // Nobody counts a call as what it is not.
    assert_eq!(value(&batch, "front", Signal::Status(200)), 0);
    assert_eq!(
        of_role(&batch, "back", Role::Client, None, Signal::Status(200)),
        0
    );
}
