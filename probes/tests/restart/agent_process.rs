//! An agent in a process of its own, so that it can be killed: by hand, or by strace as it enters a
//! given call of bpf(2).

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use probes::overhead::OverheadConfig;

use super::{Agent, AgentConfig, MapSizes, Place, read, watched};

const ASKED: &str = "SLOWBURN_TEST_AGENT";
const READY: &str = "the agent measures";

/// The body of the process. Nothing unless it was asked for.
pub fn run_when_asked() {
    let Ok(asked) = env::var(ASKED) else { return };
    let mut words = asked.split(' ');
    let config = AgentConfig {
        instance: words.next().unwrap().to_owned(),
        cgroup: words.next().map(Into::into),
        sizes: MapSizes::default(),
        overhead: OverheadConfig::default(),
    };
    let port = words.next().unwrap().parse().unwrap();
    let mut agent = Agent::start(config).unwrap();
    agent.watch(&[watched("busy", port)]).unwrap();
    read(&mut agent);
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{READY}").unwrap();
    loop {
        read(&mut agent);
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

pub struct AgentProcess(Child);

impl AgentProcess {
    pub fn start(place: &Place, port: u16) -> Self {
        let mut child = command(place, port, &[]).stdout(Stdio::piped()).spawn().unwrap();
        wait_until_ready(&mut child);
        Self(child)
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// The calls of bpf(2) of one start, in order, up to the one after the links are done.
    pub fn trace(place: &Place, port: u16) -> Vec<String> {
        let log = tempfile(place);
        let tracing = ["-f", "-qq", "-o", &log, "-e", "trace=bpf", "-e", "signal=none"];
        let mut child = command(place, port, &tracing)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until_ready(&mut child);
        // strace passes a signal on to nobody: the agent is its child, and is killed with it.
        let text = fs::read_to_string(&log).unwrap();
        let agent = text.split(' ').next().unwrap().to_owned();
        kill_traced(&agent, &mut child);
        fs::remove_file(&log).unwrap();
        let calls: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with(&agent) && line.contains(" bpf("))
            .map(str::to_owned)
            .collect();
        let last = calls.iter().rposition(|call| call.contains("BPF_LINK_UPDATE"));
        calls[..last.unwrap() + 3].to_vec()
    }

    /// Starts one that is killed as it enters this call.
    pub fn kill_at(place: &Place, port: u16, call: usize) {
        let log = tempfile(place);
        let inject = format!("inject=bpf:signal=SIGKILL:when={call}");
        let tracing = ["-f", "-qq", "-o", &log, "-e", "trace=bpf", "-e", &inject];
        let status = command(place, port, &tracing)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        fs::remove_file(&log).unwrap();
    }
}

fn command(place: &Place, port: u16, tracing: &[&str]) -> Command {
    let test = env::current_exe().unwrap();
    let mut command = if tracing.is_empty() {
        Command::new(&test)
    } else {
        let mut strace = Command::new("strace");
        strace.args(tracing).arg(&test);
        strace
    };
    command
        .args(["--exact", "agent_when_asked", "--nocapture"])
        .env(ASKED, format!("{} {} {port}", place.name, place.cgroup.display()))
        .stderr(Stdio::null());
    command
}

fn wait_until_ready(child: &mut Child) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next().unwrap().unwrap() != READY {}
}

fn kill_traced(agent: &str, strace: &mut Child) {
    let agent = nix::unistd::Pid::from_raw(agent.parse().unwrap());
    nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGKILL).unwrap();
    strace.wait().unwrap();
}

fn tempfile(place: &Place) -> String {
    let path = env::temp_dir().join(format!("{}.strace", place.name));
    path.to_str().unwrap().to_owned()
}

/// Ids of the programs that run in the pinned links.
pub fn links(place: &Place) -> [u64; 3] {
    ["edge_in", "edge_out", "edge_socket"].map(|name| {
        let output = Command::new("bpftool")
            .args(["-j", "link", "show", "pinned"])
            .arg(format!("/sys/fs/bpf/slowburn/{}/edge_links/{name}", place.name))
            .output()
            .unwrap();
        let link: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        link["prog_id"].as_u64().unwrap()
    })
}
