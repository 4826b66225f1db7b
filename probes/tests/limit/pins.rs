//! Processes that come, go and meet: all that is between them are pins.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use aya::programs::XdpMode;
use probes::{
    bpffs::{self, BpffsError, DEFAULT_ROOT},
    limit::{
        self, AllowList, Config, Existing, Interface, InterfaceName, LimitError, Limiter, Mode, RuleTable,
        testing::Peers,
    },
};

use crate::{
    needs_root, rule,
    veth::{Network, pause, wait_for},
};

const ROLE: &str = "SLOWBURN_TEST_CHILD";
const INSTANCE: &str = "SLOWBURN_TEST_INSTANCE";
const NAMESPACE: &str = "SLOWBURN_TEST_NAMESPACE";
const LEASE: Duration = Duration::from_secs(1);

fn root() -> &'static Path {
    Path::new(DEFAULT_ROOT)
}

/// Starts this test binary again, as a process of its own.
fn child(role: &str, network: &Network) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "pins::the_other_process", "--nocapture"])
        .env(ROLE, role)
        .env(INSTANCE, network.instance())
        .env(NAMESPACE, network.host_path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: what the children of the tests below do.
#[test]
fn the_other_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let instance = env::var(INSTANCE).unwrap();
    match role.as_str() {
        "daemon" => {
            let limiter = Limiter::load(Config {
                bpffs: root().into(),
                instance,
                interfaces: vec![Interface::within(
                    "host",
                    PathBuf::from(env::var(NAMESPACE).unwrap()),
                )],
                allowed: AllowList::default(),
                existing: Existing::Adopt,
            })
            .unwrap();
            limiter.apply(&rule(7, 8080, Some("10.9.0.1"), 1, 1)).unwrap();
            limiter.renew_lease(LEASE).unwrap();
            tell_ready();
            loop {
                limiter.renew_lease(LEASE).unwrap();
                pause(Duration::from_millis(100));
            }
        }
        "operator" => {
            let mut table = RuleTable::open(root(), &instance).unwrap();
            let rules = table.list().unwrap();
            assert_eq!(rules.len(), 1);
            assert_eq!((rules[0].rule.id, rules[0].rule.port), (7, 8080));
            assert!(rules[0].dropped >= 98);
            assert_ne!(table.owner().unwrap(), std::process::id());
            assert_eq!(
                limit::attachments(root(), &instance).unwrap()[0].mode,
                Mode::Native
            );
            assert_eq!(table.panic_clear().unwrap().len(), 1);
        }
        role => panic!("no such role: {role}"),
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn tell_ready() {
    println!("ready");
}

fn ready_daemon(network: &Network) -> Child {
    let mut daemon = child("daemon", network);
    let lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    assert!(
        lines.map(Result::unwrap).any(|line| line.ends_with("ready")),
        "the daemon ended"
    );
    daemon
}

/// Nobody renews the lease any more: what is left of it is no more than there ever was, and once that is over
/// every packet arrives.
fn is_freed_by_its_lease(network: &Network, table: &RuleTable) {
    let receiver = network.receiver("10.9.0.2:8080");
    let sender = network.sender("10.9.0.1", 8080);
    assert!(table.lease().unwrap() <= LEASE);
    assert!(wait_for(|| table.lease().unwrap().is_zero()));
    for _ in 0..20 {
        sender.send(b"request").unwrap();
    }
    receiver.expect(20);
}

#[test]
fn a_daemon_that_dies_frees_everybody_within_its_lease() {
    needs_root();
    let network = Network::new();
    let mut daemon = ready_daemon(&network);
    let receiver = network.receiver("10.9.0.2:8080");
    let sender = network.sender("10.9.0.1", 8080);
    for _ in 0..100 {
        sender.send(b"request").unwrap();
    }
    let table = RuleTable::open(root(), network.instance()).unwrap();
    assert!(wait_for(|| {
        let live = &table.list().unwrap()[0];
        live.passed + live.dropped == 100
    }));
    assert!(receiver.take() <= 2);
    drop(receiver);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    is_freed_by_its_lease(&network, &table);
    assert!(network.link().contains("prog/xdp"), "the pins keep the program");
    // The next daemon adopts the rule, and enforces it from its first renewal on.
    let limiter = Limiter::load(Config {
        existing: Existing::Adopt,
        ..network.config()
    })
    .unwrap();
    let dropped = limiter.list().unwrap()[0].dropped;
    assert!(dropped >= 98);
    let receiver = network.receiver("10.9.0.2:8080");
    for _ in 0..10 {
        sender.send(b"request").unwrap();
    }
    receiver.expect(10);
    limiter.renew_lease(LEASE).unwrap();
    for _ in 0..10 {
        sender.send(b"request").unwrap();
    }
    assert!(wait_for(|| limiter.list().unwrap()[0].dropped >= dropped + 8));
}

#[test]
fn a_limiter_that_is_dropped_frees_everybody_too() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    limiter.apply(&rule(7, 8080, Some("10.9.0.1"), 1, 1)).unwrap();
    limiter.renew_lease(LEASE).unwrap();
    drop(limiter);
    let table = RuleTable::open(root(), network.instance()).unwrap();
    is_freed_by_its_lease(&network, &table);
}

#[test]
fn another_process_lists_and_clears_through_the_pins() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    let receiver = network.receiver("10.9.0.2:8080");
    let sender = network.sender("10.9.0.1", 8080);
    limiter.apply(&rule(7, 8080, Some("10.9.0.1"), 1, 1)).unwrap();
    for _ in 0..100 {
        sender.send(b"request").unwrap();
    }
    assert!(wait_for(|| limiter.list().unwrap()[0].dropped >= 98));
    let mut operator = child("operator", &network);
    assert!(operator.wait().unwrap().success());
    receiver.take();
    for _ in 0..100 {
        sender.send(b"request").unwrap();
    }
    receiver.expect(100);
    assert!(limiter.list().unwrap().is_empty());
    let refused = limiter.apply(&rule(8, 8080, None, 1, 1)).unwrap_err();
    assert!(matches!(refused, LimitError::Panicked), "{refused}");
    // A panic outlives the daemon: only an operator ends it.
    drop(limiter);
    let limiter = network.limiter();
    assert!(limiter.is_panicked().unwrap());
    limiter.resume().unwrap();
    limiter.apply(&rule(8, 8080, None, 1, 1)).unwrap();
}

#[test]
fn a_restart_adopts_the_rules_or_drops_them() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    limiter.apply(&rule(7, 8080, Some("10.9.0.1"), 10, 5)).unwrap();
    limiter.apply(&rule(8, 8080, None, 20, 5)).unwrap();
    let before = limiter.list().unwrap();
    let second = Limiter::load(network.config()).unwrap_err();
    assert!(
        matches!(second, LimitError::Bpffs(BpffsError::InUse { .. })),
        "{second}"
    );
    drop(limiter);
    let limiter = Limiter::load(Config {
        existing: Existing::Adopt,
        ..network.config()
    })
    .unwrap();
    let after = limiter.list().unwrap();
    assert_eq!(after.len(), 2);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (before.rule.id, before.rule.source),
            (after.rule.id, after.rule.source)
        );
        let drift = (before.rule.expires_at - after.rule.expires_at).abs();
        assert!(drift < chrono::TimeDelta::milliseconds(50), "{drift}");
    }
    drop(limiter);
    let limiter = Limiter::load(network.config()).unwrap();
    assert!(limiter.list().unwrap().is_empty());
    assert_eq!(limiter.attachments().len(), 1);
    assert_eq!(limiter.attachments()[0].interface.as_deref(), Some("host"));
}

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    needs_root();
    for mode in [XdpMode::Driver, XdpMode::Skb] {
        let network = Network::new();
        let mut peers = Peers::load().unwrap();
        let foreign = peers.program("bare_pass").unwrap();
        network.on_host(|| foreign.attach("host", mode)).unwrap();
        let before = network.link();
        let error = Limiter::load(network.config()).unwrap_err();
        let id = foreign.info().unwrap().id();
        assert_eq!(
            error.to_string(),
            format!(
                "`host` in `{}` already runs the XDP program `bare_pass` (id {id}), which is not this \
                 limiter's; it was left alone",
                network.host_path().display()
            )
        );
        assert_eq!(network.link(), before);
        assert!(before.contains(&format!("id {id}")), "{before}");
    }
}

#[test]
fn an_interface_that_cannot_be_had_is_an_error_that_leaves_nothing_behind() {
    needs_root();
    let network = Network::new();
    let nowhere = Interface::within("host", "/run/netns/there-is-no-such-place");
    for (interface, message) in [
        (
            Interface::within("eth9", network.host_path()),
            format!(
                "there is no interface `eth9` in `{}`",
                network.host_path().display()
            ),
        ),
        (
            Interface {
                name: InterfaceName::Index(999),
                ..network.interface()
            },
            format!(
                "there is no interface number 999 in `{}`",
                network.host_path().display()
            ),
        ),
        (
            nowhere,
            "cannot enter the network namespace `/run/netns/there-is-no-such-place`".to_owned(),
        ),
    ] {
        let config = Config {
            interfaces: vec![network.interface(), interface],
            ..network.config()
        };
        assert_eq!(Limiter::load(config).unwrap_err().to_string(), message);
        assert!(!network.link().contains("xdp"), "{}", network.link());
    }
}

#[test]
fn where_the_driver_cannot_the_stack_does() {
    needs_root();
    let network = Network::new();
    let config = Config {
        interfaces: vec![Interface::within("lo", network.host_path())],
        ..network.config()
    };
    let limiter = Limiter::load(config).unwrap();
    limiter.renew_lease(Duration::from_secs(10)).unwrap();
    assert_eq!(limiter.attachments()[0].mode, Mode::Generic);
    limiter.apply(&rule(1, 8080, Some("127.0.0.1"), 1, 10)).unwrap();
    let receiver = network.receiver("127.0.0.1:8080");
    network.on_host(|| {
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(b"request", "127.0.0.1:8080").unwrap();
        }
    });
    assert!(wait_for(|| {
        let live = &limiter.list().unwrap()[0];
        live.passed + live.dropped == 100
    }));
    let passed = limiter.list().unwrap()[0].passed;
    assert!((10..15).contains(&passed), "{passed}");
    receiver.expect(passed);
}

#[test]
fn a_new_device_under_an_old_name_gets_the_program() {
    needs_root();
    let network = Network::new();
    drop(network.limiter());
    network.replace_link();
    assert!(!network.link().contains("xdp"));
    let limiter = network.limiter();
    assert!(network.link().contains("prog/xdp"));
    // Started for other interfaces, it leaves those it no longer has.
    drop(limiter);
    let limiter = Limiter::load(Config {
        interfaces: Vec::new(),
        ..network.config()
    })
    .unwrap();
    assert!(limiter.attachments().is_empty());
    assert!(!network.link().contains("xdp"), "{}", network.link());
}

#[test]
fn unloading_takes_everything_away_even_under_a_running_daemon() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    limiter.apply(&rule(1, 8080, None, 1, 1)).unwrap();
    assert!(limit::unload(root(), network.instance()).unwrap());
    assert!(!network.link().contains("xdp"));
    let directory = bpffs::instance_path(root(), network.instance()).unwrap();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    assert!(!limit::unload(root(), network.instance()).unwrap());
    let error = RuleTable::open(root(), network.instance()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no limiter of this version is loaded under `{}`",
            directory.display()
        )
    );
}

#[test]
fn another_layout_is_panicked_taken_over_and_removed() {
    needs_root();
    let network = Network::new();
    drop(network.limiter());
    // As if an older version had left its pins.
    let instance = bpffs::instance_path(root(), network.instance()).unwrap();
    let ours = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&instance)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_ours = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("limit-"))
        };
        entries.filter(is_ours).collect()
    };
    let [directory] = ours().try_into().unwrap();
    let older = directory.with_file_name("limit-0123456789abcdef");
    std::fs::rename(&directory, &older).unwrap();
    assert!(limit::panic_clear(root(), network.instance()).unwrap());
    let before = network.link();
    let limiter = network.limiter();
    assert_ne!(network.link(), before, "the link holds the new program");
    assert!(network.link().contains("prog/xdp"));
    assert_eq!(ours(), [directory]);
    assert!(!limiter.is_panicked().unwrap());
    assert!(!older.exists());
}

#[test]
fn the_panic_key_works_beside_a_removal_that_was_cut_short() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    let instance = bpffs::instance_path(root(), network.instance()).unwrap();
    bpffs::create(&instance.join("limit-0123456789abcdef")).unwrap();
    assert!(limit::panic_clear(root(), network.instance()).unwrap());
    assert!(limiter.is_panicked().unwrap());
}
