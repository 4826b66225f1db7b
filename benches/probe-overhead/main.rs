//! What the probes cost a server: `cargo bench --bench probe-overhead [PAIRS [SECONDS]]`, as root,
//! with nginx and wrk installed.
//!
//! nginx answers a small file from its own cgroup and network namespace; wrk asks from outside of
//! the cgroup, so that only the server's side is measured, as on a server. Windows with the probes
//! attached and detached alternate, the order within a pair is swapped from pair to pair, and what
//! is compared are the two windows of one pair: a busy machine disturbs both alike. The interval is
//! that of the median by order statistics (at least 95 %), so it assumes no distribution.
//! Nanoseconds a run are the kernel's own account, taken in windows of their own, because
//! accounting costs about 65 ns a run by itself (they are in the number).

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use probes::agent::{Agent, AgentConfig, MapSizes};
use probes::overhead::{OverheadConfig, Watching};
use slo_engine::service::{DEFAULT_TIMEOUT, WatchedService};

const PORT: u16 = 8080;
const PAIRS: usize = 12;
const SECONDS: u32 = 3;
const CONNECTIONS: &str = "16";
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

fn main() -> anyhow::Result<()> {
    // cargo passes `--bench`.
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<u32>().ok());
    let pairs = numbers.next().map_or(Ok(PAIRS), usize::try_from)?;
    let seconds = numbers.next().unwrap_or(SECONDS);
    ensure!(pairs >= 10, "fewer than ten pairs say nothing");
    probes::capability::privileged()?;
    let bench = Bench::start().context("start nginx")?;

    let warm = bench.window(1)?;
    println!(
        "nginx, one worker, {CONNECTIONS} connections, {pairs} pairs of {seconds} s; about {:.0} requests/s",
        warm.rate
    );
    println!(
        "{:>4} {:>14} {:>14} {:>8} {:>12} {:>12}",
        "pair", "attached/s", "detached/s", "ratio", "us/req att.", "us/req det."
    );
    let mut ratios = Vec::new();
    let mut costs = Vec::new();
    for pair in 0..pairs {
        let (attached, detached) = if pair % 2 == 0 {
            let attached = bench.attached(seconds)?.0;
            (attached, bench.window(seconds)?)
        } else {
            let detached = bench.window(seconds)?;
            (bench.attached(seconds)?.0, detached)
        };
        let ratio = attached.rate / detached.rate;
        println!(
            "{pair:>4} {:>14.0} {:>14.0} {ratio:>8.3} {:>12.2} {:>12.2}",
            attached.rate, detached.rate, attached.cpu_us, detached.cpu_us
        );
        ratios.push(ratio);
        costs.push(attached.cpu_us - detached.cpu_us);
    }
    let (low, middle, high) = interval(ratios);
    println!("requests/s attached/detached: {middle:.3} [{low:.3}, {high:.3}]");
    let (low, middle, high) = interval(costs);
    println!("CPU a request, client and server: {middle:+.2} us [{low:+.2}, {high:+.2}]");
    bench.account(seconds)
}

/// What one run of wrk came to.
struct Window {
    rate: f64,
    requests: u64,
    /// CPU time of nginx and wrk for each request.
    cpu_us: f64,
}

struct Bench {
    cgroup: PathBuf,
    instance: String,
    nginx: Child,
    _files: tempfile::TempDir,
}

impl Bench {
    fn start() -> anyhow::Result<Self> {
        let instance = format!("bench-{}", std::process::id());
        let cgroup = probes::mounts::cgroup_root()?.join(&instance);
        fs::create_dir(&cgroup)?;
        let files = tempfile::tempdir()?;
        let root = files.path().display();
        fs::write(files.path().join("index.html"), "hello\n")?;
        fs::write(
            files.path().join("nginx.conf"),
            format!(
                "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log crit; user root;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {root}/a;\n\
                 proxy_temp_path {root}/b; fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
                 server {{ listen 127.0.0.1:{PORT}; root {root}; }} }}\n"
            ),
        )?;
        let procs = cgroup.join("cgroup.procs");
        let config = files.path().join("nginx.conf");
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "ip link set lo up && exec nginx -c \"$1\" -p \"$2\"",
                "nginx",
            ])
            .arg(&config)
            .arg(files.path())
            .stderr(Stdio::null());
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                Ok(unshare(CloneFlags::CLONE_NEWNET)?)
            });
        }
        let nginx = command.spawn().context("run nginx")?;
        let bench = Self {
            cgroup,
            instance,
            nginx,
            _files: files,
        };
        bench.wait_until_it_listens()?;
        Ok(bench)
    }

    fn wait_until_it_listens(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let table = format!("/proc/{}/net/tcp", self.nginx.id());
        let listening = format!(":{PORT:04X} 00000000:0000 0A");
        while !fs::read_to_string(&table)?.contains(&listening) {
            ensure!(Instant::now() < deadline, "nginx does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    fn attach(&self) -> anyhow::Result<Agent> {
        let mut agent = Agent::start(AgentConfig {
            cgroup: Some(self.cgroup.clone()),
            instance: self.instance.clone(),
            sizes: MapSizes::default(),
            // The benchmark has its own windows with statistics, and others without.
            overhead: OverheadConfig {
                watching: Watching::Off,
                budget: None,
            },
        })?;
        agent.watch(&[WatchedService {
            name: "nginx".parse()?,
            matches: vec![format!("port:{PORT}").parse()?],
            routes: vec!["GET /index".parse()?],
            thresholds: vec![(
                slo_engine::measurement::Clock::Turnaround,
                Duration::from_millis(250),
            )],
            timeout: DEFAULT_TIMEOUT,
        }])?;
        Ok(agent)
    }

    /// A window with the probes attached; everything is gone from the kernel afterwards.
    fn attached(&self, seconds: u32) -> anyhow::Result<(Window, Agent)> {
        let mut agent = self.attach()?;
        let window = self.window(seconds)?;
        agent.shutdown();
        probes::unload(&self.instance)?;
        Ok((window, agent))
    }

    fn window(&self, seconds: u32) -> anyhow::Result<Window> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.nginx.id()))?;
        let before = self.cpu()?;
        let mut command = Command::new("wrk");
        command
            .args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")])
            .arg(format!("http://127.0.0.1:{PORT}/index.html"))
            .stdout(Stdio::piped());
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?)) };
        let own = children_cpu();
        let output = command.output().context("run wrk")?;
        let client = children_cpu() - own;
        let server = self.cpu()? - before;
        let text = String::from_utf8(output.stdout)?;
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            bail!("wrk met errors:\n{text}");
        }
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"))
            .context("wrk says no rate")?
            .trim()
            .parse()?;
        let requests = text
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .context("wrk says no requests")?
            .0
            .parse()?;
        Ok(Window {
            rate,
            requests,
            cpu_us: (server + client).as_secs_f64() * 1e6 / to_f64(requests),
        })
    }

    /// Time on a CPU of nginx and its worker.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = 0;
        for pid in fs::read_to_string(self.cgroup.join("cgroup.procs"))?.lines() {
            let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
            total += text.split(' ').next().context("no time")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// What the kernel says each program took, beside wrk's own count of requests.
    fn account(&self, seconds: u32) -> anyhow::Result<()> {
        let before = fs::read_to_string(STATS)?;
        fs::write(STATS, "1")?;
        let measured = self.attach().and_then(|mut agent| {
            let window = self.window(seconds)?;
            let batch = agent.read(chrono::Utc::now())?;
            Ok((window, agent.statistics(), batch))
        });
        fs::write(STATS, before.trim())?;
        let (window, programs, batch) = measured?;
        probes::unload(&self.instance)?;
        let mut each = 0.0;
        for program in programs.iter().filter(|program| program.runs > 0) {
            let (runs, ns) = (to_f64(program.runs), to_f64(program.nanoseconds));
            println!(
                "{:<20} {:>7.1} ns a run, {:.2} runs a request",
                program.program,
                ns / runs,
                runs / to_f64(window.requests)
            );
            // Tracepoints and the walk are the host's, not this server's.
            if ["edge_in", "edge_out", "edge_socket"].contains(&program.program.as_str()) {
                each += ns / to_f64(window.requests);
            }
        }
        println!("on the path of a request: {each:.0} ns (gross)");
        let counted: u64 = batch
            .readings
            .iter()
            .filter(|reading| reading.series.signal == slo_engine::measurement::Signal::Status(200))
            .map(|reading| reading.value)
            .sum();
        // wrk does not count what is in flight when its time is up.
        println!(
            "counted {counted} of {} requests that wrk saw answered",
            window.requests
        );
        ensure!(counted >= window.requests, "requests were lost");
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The master tells its worker; killed outright, it would leave it behind.
        let pid = nix::unistd::Pid::from_raw(self.nginx.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.nginx.wait();
        let _ = probes::unload(&self.instance);
        let _ = fs::remove_dir(&self.cgroup);
    }
}

/// CPU time of children that have ended.
fn children_cpu() -> Duration {
    // SAFETY: a plain record of numbers, filled by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |value: libc::timeval| {
        Duration::from_micros(u64::try_from(value.tv_sec * 1_000_000 + value.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The median and an interval that holds it with at least 95 %, by order statistics.
fn interval(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    // The largest rank k with P(Binomial(n, 1/2) < k) <= 2.5 %.
    let mut tail = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut term = tail;
    let mut rank = 0;
    while tail <= 0.025 {
        rank += 1;
        term *= to_f64((n - rank + 1) as u64) / to_f64(rank as u64);
        tail += term;
    }
    let middle = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
    let low = rank.saturating_sub(1);
    (values[low], middle, values[n - 1 - low])
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
