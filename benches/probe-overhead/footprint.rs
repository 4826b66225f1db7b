//! What the agent itself takes: CPU at 20,000 requests/s, and memory with 1,000 routes. Measured on
//! an agent in a process of its own, that reads once a second and does nothing else.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::nginx::{self, HTTP1, Nginx};
use probes::overhead::OverheadConfig;

const ASKED: &str = "SLOWBURN_BENCH_AGENT";
const READY: &str = "the agent measures";
const ROUTES: usize = 1000;
const SECONDS: u32 = 10;

pub fn is_asked_for() -> bool {
    env::var_os(ASKED).is_some()
}

/// The body of the agent's process. Ends with its parent.
pub fn measure_nothing_but_live() -> anyhow::Result<()> {
    let asked = env::var(ASKED)?;
    let (instance, cgroup) = asked.split_once(' ').context("an instance and a cgroup")?;
    let mut agent = nginx::attach(instance, cgroup.into(), ROUTES, OverheadConfig::default())?;
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

pub fn print(nginx: &Nginx) -> anyhow::Result<()> {
    let agent = Agent::start(nginx)?;
    // Every route has been asked for, so that all have counters.
    let urls = nginx.file("urls");
    let all: String = (1..ROUTES)
        .map(|number| format!("http://127.0.0.1:{HTTP1}/api/v1/resource-{number}/\n"))
        .collect();
    fs::write(&urls, all)?;
    let output = nginx
        .beside("h2load")?
        .args(["--h1", "-t1", "-c1", "-n", &(ROUTES - 1).to_string(), "-i"])
        .arg(&urls)
        .output()?;
    ensure!(output.status.success(), "h2load failed on the routes");

    let (before, began) = (agent.cpu()?, Instant::now());
    // 16 connections of 1,250 requests/s each.
    let output = nginx
        .beside("h2load")?
        .args(["--h1", "-t1", "-c16", "--rps=1250", "-D", &SECONDS.to_string()])
        .arg(format!("http://127.0.0.1:{HTTP1}/index.html"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let rate = text
        .split_once("finished in ")
        .and_then(|(_, rest)| rest.split(", ").nth(1));
    let share = (agent.cpu()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!(
        "\nthe agent, {ROUTES} routes, reading once a second at {}: {:.2} % of a core, {} MB resident",
        rate.context("h2load says no rate")?,
        share * 100.0,
        agent.resident_kb()? / 1024
    );
    Ok(())
}

struct Agent {
    process: Child,
    instance: String,
}

impl Agent {
    fn start(nginx: &Nginx) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .env(ASKED, format!("{} {}", nginx.instance, nginx.cgroup.display()))
            .stdout(Stdio::piped())
            .spawn()
            .context("run the agent")?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let agent = Self {
            process,
            instance: nginx.instance.clone(),
        };
        while lines.next().context("the agent ended")?? != READY {}
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(agent)
    }

    /// Of all of its threads.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            total += text.split(' ').next().context("no time")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }

    fn resident_kb(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number.context("no VmRSS")?.parse()?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = probes::unload(&self.instance);
    }
}
