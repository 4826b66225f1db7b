//! What slowburn itself takes while a server answers 20,000 requests/s and 1,008 routes have counters: the
//! agent alone, which reads once a second and does nothing else, of HTTP/2, too; `slowburn run` with engine and API, and
//! its private Postgres beside it; and bpftrace, as in the rest of this bench.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};
use probes::{
    agent::{Agent, AgentConfig, MapSizes},
    overhead::OverheadConfig,
};
use slo_engine::{measurement::Clock, service::WatchedService};

use super::{
    figures::to_f64,
    nginx::{HTTP2, Nginx, ROUTED},
    peer::Bpftrace,
};

const ASKED: &str = "SLOWBURN_BENCH_AGENT";
const READY: &str = "the agent measures";
/// Of each service, one a port, [`HTTP2`] among them: 16 times 63 are 1,008.
const ROUTES: usize = 63;
const SECONDS: u32 = 20;

pub fn is_asked_for() -> bool {
    env::var_os(ASKED).is_some()
}

/// The body of the agent's process. Ends with its parent.
pub fn measure_nothing_but_live() -> anyhow::Result<()> {
    let asked = env::var(ASKED)?;
    let (instance, cgroup) = asked.split_once(' ').context("an instance and a cgroup")?;
    let mut agent = Agent::start(AgentConfig {
        cgroup: Some(cgroup.into()),
        instance: instance.to_owned(),
        sizes: MapSizes::default(),
        overhead: OverheadConfig::default(),
    })?;
    agent.watch(&ports().map(watched).collect::<anyhow::Result<Vec<_>>>()?)?;
    let mut out = std::io::stdout();
    writeln!(out, "{READY}")?;
    let mut next = Instant::now();
    loop {
        agent.read(chrono::Utc::now())?;
        writeln!(out, "read")?;
        next += Duration::from_secs(1);
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
}

fn ports() -> impl Iterator<Item = u16> {
    ROUTED.chain([HTTP2])
}

fn watched(port: u16) -> anyhow::Result<WatchedService> {
    Ok(WatchedService {
        name: format!("s{port}").parse()?,
        matches: vec![format!("port:{port}").parse()?],
        routes: routes()
            .map(|route| Ok(route.parse()?))
            .collect::<anyhow::Result<_>>()?,
        thresholds: vec![(Clock::Turnaround, Duration::from_millis(250))],
        timeout: slo_engine::service::DEFAULT_TIMEOUT,
        long_poll: slo_engine::service::LongPoll::None,
    })
}

fn routes() -> impl Iterator<Item = String> {
    (0..ROUTES).map(|number| format!("GET {}", path(number)))
}

fn path(number: usize) -> String {
    format!("/api/v1/resource-{number}/")
}

/// The same services as definitions, each with two objectives.
fn definitions() -> String {
    let each = ports().map(|port| {
        let routes: String = routes().map(|route| format!("    - {route}\n")).collect();
        format!(
            "apiVersion: slowburn/v1\nkind: Service\nmetadata: {{name: s{port}}}\nspec:\n  match: {{port: {port}}}\n  \
             routes:\n{routes}  objectives:\n    - availability: 99.9%\n    - latency: {{below: 250ms, target: 99%}}\n---\n"
        )
    });
    each.collect()
}

pub fn print(nginx: &Nginx) -> anyhow::Result<()> {
    println!(
        "\nwhat watches, with {} routes, over {SECONDS} s",
        ports().count() * ROUTES
    );
    println!(
        "{:<28} {:>12} {:>12} {:>14}",
        "", "requests/s", "% of a core", "MB resident"
    );
    let agent = Slowburn::agent(nginx)?;
    let alone = measured(nginx, "the agent alone", ROUTED.start, || agent.used())?;
    measured(nginx, "the agent alone, HTTP/2", HTTP2, || agent.used())?;
    drop(agent);
    let run = Slowburn::run(nginx)?;
    let mut postgres = Vec::new();
    let whole = measured(nginx, "`slowburn run`", ROUTED.start, || {
        postgres.push(run.used_by_others()?);
        run.used()
    })?;
    drop(run);
    print_row("  its Postgres", "", &(postgres[1].since(&postgres[0])));
    let bpftrace = Bpftrace::start()?;
    let peer = measured(nginx, "bpftrace read/write", ROUTED.start, || {
        Used::of(bpftrace.pid())
    })?;
    println!(
        "times bpftrace: the agent {:.2} of its CPU and {:.2} of its memory, `slowburn run` {:.2} and {:.2}",
        alone.share() / peer.share(),
        alone.megabytes() / peer.megabytes(),
        whole.share() / peer.share(),
        whole.megabytes() / peer.megabytes(),
    );
    Ok(())
}

/// What was used under load, after a while of the same load.
fn measured(
    nginx: &Nginx,
    name: &str,
    port: u16,
    mut used: impl FnMut() -> anyhow::Result<Used>,
) -> anyhow::Result<Used> {
    ask_every_route(nginx)?;
    load(nginx, port, 5)?;
    let before = used()?;
    let rate = load(nginx, port, SECONDS)?;
    let used = used()?.since(&before);
    print_row(name, &rate, &used);
    Ok(used)
}

fn print_row(name: &str, rate: &str, used: &Used) {
    println!(
        "{name:<28} {rate:>12} {:>12.2} {:>14.1}",
        used.share() * 100.0,
        used.megabytes()
    );
}

/// So that all of them have counters.
fn ask_every_route(nginx: &Nginx) -> anyhow::Result<()> {
    for port in ports() {
        h2load(nginx, port, &["-c1", "-n", &ROUTES.to_string()])?;
    }
    Ok(())
}

/// 16 connections of 1,250 requests/s each, over all routes of one service.
fn load(nginx: &Nginx, port: u16, seconds: u32) -> anyhow::Result<String> {
    let said = h2load(nginx, port, &["-c16", "--rps=1250", "-D", &seconds.to_string()])?;
    let rate = said
        .split_once("finished in ")
        .and_then(|(_, rest)| rest.split(", ").nth(1));
    Ok(rate
        .context("h2load says no rate")?
        .trim_end_matches(" req/s")
        .to_owned())
}

fn h2load(nginx: &Nginx, port: u16, more: &[&str]) -> anyhow::Result<String> {
    let urls = nginx.file("urls");
    let all: String = (0..ROUTES)
        .map(|number| format!("http://127.0.0.1:{port}{}\n", path(number)))
        .collect();
    fs::write(&urls, all)?;
    let output = nginx
        .beside("h2load")?
        .args((port != HTTP2).then_some("--h1"))
        .arg("-t1")
        .args(more)
        .arg("-i")
        .arg(&urls)
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success() && said.contains(" 0 failed, 0 errored"),
        "h2load met errors:\n{said}"
    );
    Ok(said)
}

/// At one moment, or between two.
struct Used {
    cpu: Duration,
    at: Duration,
    resident_kb: u64,
}

impl Used {
    /// By a process and all its threads, those that have ended included.
    fn of(pid: Pid) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            cpu: clock_getcpuclockid(pid)?.now()?.into(),
            at: now()?,
            resident_kb: kilobytes(&status, "VmRSS:")?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            at: self.at - before.at,
            ..*self
        }
    }

    fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.at.as_secs_f64()
    }

    fn megabytes(&self) -> f64 {
        to_f64(self.resident_kb) / 1024.0
    }
}

fn now() -> anyhow::Result<Duration> {
    Ok(ClockId::CLOCK_MONOTONIC.now()?.into())
}

fn kilobytes(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}

/// A slowburn, or its agent alone, in a cgroup of its own.
struct Slowburn {
    process: Child,
    instance: String,
    cgroup: PathBuf,
    _state: tempfile::TempDir,
}

impl Slowburn {
    fn agent(nginx: &Nginx) -> anyhow::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.env(ASKED, format!("{} {}", nginx.instance, nginx.cgroup.display()));
        Self::start(nginx, command, tempfile::tempdir()?, READY)
    }

    fn run(nginx: &Nginx) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        // Postgres runs as another user and must be able to walk here.
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o711))?;
        let file = state.path().join("definitions.yaml");
        fs::write(&file, definitions())?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowburn"));
        command
            .args(["run", "--log=error", "--listen=127.0.0.1:0"])
            .arg(format!("--config={}", file.display()))
            .arg(format!("--state-dir={}", state.path().join("state").display()))
            .arg(format!("--cgroup={}", nginx.cgroup.display()))
            .arg(format!("--instance={}", nginx.instance))
            .env_remove("DATABASE_URL");
        Self::start(nginx, command, state, "slowburn listens on")
    }

    /// Runs it until it says that it is `ready`.
    fn start(
        nginx: &Nginx,
        mut command: Command,
        state: tempfile::TempDir,
        ready: &str,
    ) -> anyhow::Result<Self> {
        let cgroup = nginx
            .cgroup
            .with_file_name(format!("{}-slowburn", nginx.instance));
        fs::create_dir(&cgroup)?;
        let procs = cgroup.join("cgroup.procs");
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
        let mut process = command.stdout(Stdio::piped()).spawn().context("run slowburn")?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let slowburn = Self {
            process,
            instance: nginx.instance.clone(),
            cgroup,
            _state: state,
        };
        while !lines.next().context("slowburn ended")??.starts_with(ready) {}
        // It goes on saying so: somebody must listen.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(slowburn)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    fn used(&self) -> anyhow::Result<Used> {
        Used::of(self.pid())
    }

    /// By whatever else lives in its cgroup: what processes share counts once.
    fn used_by_others(&self) -> anyhow::Result<Used> {
        let own = self.used()?;
        let text = fs::read_to_string(self.cgroup.join("cpu.stat"))?;
        let all = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        let all = Duration::from_micros(all.context("no usage_usec")?.parse()?);
        let mut resident_kb = 0;
        for pid in fs::read_to_string(self.cgroup.join("cgroup.procs"))?.lines() {
            // A backend may end meanwhile.
            if pid != self.pid().to_string()
                && let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            {
                resident_kb += kilobytes(&text, "Pss:")?;
            }
        }
        Ok(Used {
            cpu: all.saturating_sub(own.cpu),
            resident_kb,
            ..own
        })
    }
}

impl Drop for Slowburn {
    fn drop(&mut self) {
        // In order, so that Postgres ends, too.
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.process.wait();
        let _ = probes::unload(&self.instance);
        let _ = fs::remove_dir(&self.cgroup);
    }
}
