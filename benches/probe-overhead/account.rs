//! What the kernel says each program took, for each way that a request can take through them, beside
//! the client's own count of requests.
//!
//! Empty programs are attached beside the probes: what the kernel accounts for them is the price of
//! accounting, and of being attached at all. The hook behind `edge_read` is the host's, so it sees reads
//! of the client's and of everybody else's, too. A second agent, on a cgroup in which nothing runs, sees
//! the same: what the first takes more is what the server's own reads take.

use std::{fs, path::PathBuf};

use anyhow::ensure;
use probes::{agent::Agent, statistics::ProgramStatistics};
use slo_engine::measurement::Signal;

use super::{
    bare::Bare,
    cases::{CASES, Case},
    figures::{Interval, to_f64},
    load::Load,
    nginx::{self, Nginx},
    peer::Bpftrace,
};

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// On the path of a request; the walk over sockets and resets are not.
const PATH: [&str; 4] = ["edge_in", "edge_out", "edge_socket", "edge_read"];
const READ: usize = 3;

/// Of one case in one window: nanoseconds a request.
struct Window {
    programs: [f64; PATH.len()],
    /// Of the empty programs, and how often they ran.
    bare: f64,
    runs: f64,
}

impl Window {
    fn all(&self) -> f64 {
        self.programs.iter().sum()
    }
}

/// Of the cases whose names contain `only`.
pub fn print(nginx: &Nginx, rounds: u32, only: &str) -> anyhow::Result<()> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(only)).collect();
    let before = fs::read_to_string(STATS)?;
    fs::write(STATS, "1")?;
    let measured = measure(nginx, &cases, rounds);
    let peers = [Load::Wrk, Load::H2load].map(|load| bpftrace(nginx, load));
    fs::write(STATS, before.trim())?;
    let (windows, strange_read) = measured?;
    println!(
        "\nns a request in the server's programs, medians of {rounds} windows (and the least), by the kernel's account"
    );
    println!(
        "{:<44} {:>6} {:>8} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "", "all", "(least)", "bare", "net", "runs", "in", "out", "socket", "read"
    );
    for (case, windows) in cases.iter().zip(&windows) {
        let of = |get: &dyn Fn(&Window) -> f64| Interval::of(windows.iter().map(get)).median;
        print!(
            "{:<44} {:>6.0} {:>8.0} {:>6.0} {:>6.0} {:>7.2}",
            case.name,
            of(&Window::all),
            windows.iter().map(Window::all).fold(f64::INFINITY, f64::min),
            of(&|window| window.bare),
            of(&|window| window.all() - window.bare),
            of(&|window| window.runs),
        );
        for program in 0..PATH.len() {
            print!(" {:>7.0}", of(&|window| window.programs[program]));
        }
        println!();
    }
    println!("a read by somebody else's socket: {strange_read:.0} ns");
    for (load, peer) in [Load::Wrk, Load::H2load].iter().zip(peers) {
        println!("{}: bpftrace read/write: {:.0} ns a request", load.name(), peer?);
    }
    Ok(())
}

/// The windows of each case, and what a read costs that is none of the server's.
fn measure(nginx: &Nginx, cases: &[&Case], rounds: u32) -> anyhow::Result<(Vec<Vec<Window>>, f64)> {
    let mut agent = nginx.attach()?;
    let mut bare = Bare::attach(&nginx.cgroup)?;
    let idle = Idle::attach(nginx)?;
    let mut windows: Vec<Vec<Window>> = cases.iter().map(|_| Vec::new()).collect();
    let mut strange = Vec::new();
    for _ in 0..rounds {
        for (case, windows) in cases.iter().zip(&mut windows) {
            let known = answered(&mut agent, case)?;
            let before = (agent.statistics(), idle.agent.statistics(), bare.spent()?);
            let requests = case.run(nginx)?;
            let after = (agent.statistics(), idle.agent.statistics(), bare.spent()?);
            let counted = answered(&mut agent, case)? - known;
            // Some clients do not count what is in flight when their time is up.
            ensure!(
                counted >= requests || case.is_counted_later,
                "{}: requests were lost: {counted} of {requests}",
                case.name
            );
            let mut programs = PATH.map(|program| spent(&before.0, &after.0, program).0);
            let (others, reads) = spent(&before.1, &after.1, "edge_read");
            programs[READ] -= others;
            strange.push(others / reads.max(1.0));
            let requests = to_f64(requests);
            windows.push(Window {
                programs: programs.map(|ns| ns / requests),
                bare: to_f64(after.2.nanoseconds - before.2.nanoseconds) / requests,
                runs: to_f64(after.2.runs - before.2.runs) / requests,
            });
        }
    }
    agent.shutdown();
    drop(agent);
    probes::unload(&nginx.instance)?;
    let strange = Interval::of(strange.into_iter()).median;
    for window in windows.iter_mut().flatten() {
        window.programs[READ] += strange;
    }
    Ok((windows, strange))
}

/// An agent that watches a cgroup in which nothing runs.
struct Idle {
    agent: Agent,
    instance: String,
    cgroup: PathBuf,
}

impl Idle {
    fn attach(nginx: &Nginx) -> anyhow::Result<Self> {
        let instance = format!("{}-idle", nginx.instance);
        let cgroup = nginx.cgroup.with_file_name(&instance);
        fs::create_dir(&cgroup)?;
        Ok(Self {
            agent: nginx::attach(&instance, cgroup.clone(), nginx::UNWATCHED)?,
            instance,
            cgroup,
        })
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.agent.shutdown();
        let _ = probes::unload(&self.instance);
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn spent(before: &[ProgramStatistics], after: &[ProgramStatistics], program: &str) -> (f64, f64) {
    let of = |all: &[ProgramStatistics]| {
        let found = all.iter().find(|found| found.program == program);
        found.map_or((0, 0), |found| (found.nanoseconds, found.runs))
    };
    let (before, after) = (of(before), of(after));
    (to_f64(after.0 - before.0), to_f64(after.1 - before.1))
}

/// Requests of the service by the probes' own count.
fn answered(agent: &mut Agent, case: &Case) -> anyhow::Result<u64> {
    let batch = agent.read(chrono::Utc::now())?;
    let readings = batch.readings.iter();
    let of_case = readings.filter(|reading| match reading.series.signal {
        Signal::Status(_) => case.has_status,
        Signal::Answered => !case.has_status,
        _ => false,
    });
    Ok(of_case.map(|reading| reading.value).sum())
}

/// What the programs of bpftrace take a request.
fn bpftrace(nginx: &Nginx, load: Load) -> anyhow::Result<f64> {
    let bpftrace = Bpftrace::start()?;
    let window = load.run(nginx, 1)?;
    Ok(to_f64(bpftrace.nanoseconds()?) / to_f64(window.requests))
}
