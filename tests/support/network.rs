//! A server's and a client's network namespace joined by a veth pair, and a cgroup for what runs in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::needs_root;

static NETWORKS: AtomicU32 = AtomicU32::new(0);

pub const SERVER: &str = "10.77.0.1";
pub const CLIENT: &str = "10.77.0.2";
pub const SERVER_V6: &str = "fd77::1";

/// Two namespaces and a cgroup subtree with a child each for server and client.
#[derive(Debug)]
pub struct Network {
    pub name: String,
    pub cgroup: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

impl Side {
    pub fn tag(self) -> &'static str {
        match self {
            Side::Server => "s",
            Side::Client => "c",
        }
    }
}

impl Network {
    pub fn create() -> Network {
        needs_root();
        let name = format!(
            "sbt{}-{}",
            std::process::id(),
            NETWORKS.fetch_add(1, Ordering::Relaxed)
        );
        let cgroup = cgroup_root().join(format!("slowburn-test-{name}"));
        let network = Network { name, cgroup };
        for side in [Side::Server, Side::Client] {
            fs::create_dir_all(network.cgroup.join(side.tag())).unwrap();
            run(&["ip", "netns", "add", &network.namespace(side)]);
        }
        let (server, client) = (network.namespace(Side::Server), network.namespace(Side::Client));
        run(&[
            "ip", "link", "add", "eth0", "netns", &server, "type", "veth", "peer", "name", "eth0", "netns",
            &client,
        ]);
        for (side, v4, v6) in [
            (Side::Server, SERVER, SERVER_V6),
            (Side::Client, CLIENT, "fd77::2"),
        ] {
            let namespace = network.namespace(side);
            let ip = |arguments: &[&str]| run(&[&["ip", "-n", &namespace], arguments].concat());
            ip(&["addr", "add", &format!("{v4}/24"), "dev", "eth0"]);
            ip(&["addr", "add", &format!("{v6}/64"), "dev", "eth0", "nodad"]);
            ip(&["link", "set", "lo", "up"]);
            ip(&["link", "set", "eth0", "up"]);
        }
        network
    }

    pub fn namespace(&self, side: Side) -> String {
        format!("{}-{}", self.name, side.tag())
    }

    pub fn namespace_path(&self, side: Side) -> PathBuf {
        Path::new("/var/run/netns").join(self.namespace(side))
    }

    /// A command that is in the side's namespace and cgroup before its program starts.
    pub fn command(&self, side: Side, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command
            .args([
                "-c",
                "echo $$ > \"$0\" && exec nsenter --net=\"$1\" -- \"${@:2}\"",
            ])
            .arg(self.cgroup.join(side.tag()).join("cgroup.procs"))
            .arg(self.namespace_path(side))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end and returns what it printed; panics when it fails.
    #[track_caller]
    pub fn output(&self, side: Side, program: &str, arguments: &[&str]) -> String {
        let output = self.command(side, program, arguments).output().unwrap();
        let (text, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{program} {arguments:?} failed: {errors}\n{text}"
        );
        text.into_owned()
    }

    /// A counter of the side's namespace, as the kernel keeps it: `("Tcp", "RetransSegs")`.
    #[track_caller]
    pub fn counter(&self, side: Side, protocol: &str, name: &str) -> u64 {
        let text = self.output(side, "cat", &["/proc/net/snmp", "/proc/net/netstat"]);
        // Rows come in pairs: the names, and below them the values.
        let mut rows = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(of, _)| *of == protocol)
            .map(|(_, row)| row.split(' '));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let (_, value) = names.zip(values).find(|(found, _)| *found == name).unwrap();
        value.parse().unwrap()
    }

    /// Who lives in the side's cgroup.
    pub fn processes(&self, side: Side) -> Vec<i32> {
        let listed = fs::read_to_string(self.cgroup.join(side.tag()).join("cgroup.procs"));
        let listed = listed.unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub fn spawn(&self, side: Side, program: &str, arguments: &[&str]) -> Running {
        let child = self
            .command(side, program, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Running(child)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for side in [Side::Server, Side::Client] {
            for process in self.processes(side) {
                let _gone = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(process),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            let _best_effort = Command::new("ip")
                .args(["netns", "del", &self.namespace(side)])
                .status();
            super::eventually(
                "the cgroup to be empty",
                std::time::Duration::from_secs(10),
                || fs::remove_dir(self.cgroup.join(side.tag())).ok(),
            );
        }
        let _best_effort = fs::remove_dir(&self.cgroup);
    }
}

/// A program that is killed when the test ends.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Ends it as Ctrl-C would, and waits until it has.
    pub fn interrupt(&mut self) {
        let process = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

pub fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    PathBuf::from(mount.expect("cgroup v2 is mounted").split(' ').nth(1).unwrap())
}

#[track_caller]
pub fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
