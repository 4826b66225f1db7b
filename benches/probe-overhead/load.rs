//! Load, and what it came to by the client's own account.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail, ensure};

use super::{
    figures::to_f64,
    nginx::{HTTP1, HTTP2, Nginx},
};

#[derive(Clone, Copy, Debug)]
pub enum Load {
    Wrk,
    H2load,
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    pub rate: f64,
    pub requests: u64,
    pub p99_ms: f64,
    /// CPU time of nginx and the client for each request, or CPU seconds for a million.
    pub cpu_us: f64,
}

impl Load {
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrk => "HTTP/1.1, wrk -t1 -c16",
            Self::H2load => "HTTP/2, h2load -t1 -c4 -m4",
        }
    }

    pub fn run(self, nginx: &Nginx, seconds: u32) -> anyhow::Result<Window> {
        let log = nginx.file("h2load.log");
        let mut command = match self {
            Self::Wrk => {
                let mut command = nginx.beside("wrk")?;
                command
                    .args(["-t1", "-c16", "--latency", "-d", &format!("{seconds}s")])
                    .arg(format!("http://127.0.0.1:{HTTP1}/index.html"));
                command
            }
            Self::H2load => {
                let _none_yet = fs::remove_file(&log);
                let mut command = nginx.beside("h2load")?;
                command
                    .args(["-t1", "-c4", "-m4", "-D", &seconds.to_string(), "--log-file"])
                    .arg(&log)
                    .arg(format!("http://127.0.0.1:{HTTP2}/index.html"));
                command
            }
        };
        let (server, client) = (nginx.cpu()?, children_cpu());
        let output = command.output().context("run the client")?;
        let spent = (nginx.cpu()? - server) + (children_cpu() - client);
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "the client failed:\n{text}");
        let mut window = match self {
            Self::Wrk => wrk(&text)?,
            Self::H2load => h2load(&fs::read_to_string(log)?, seconds)?,
        };
        window.cpu_us = spent.as_secs_f64() * 1e6 / to_f64(window.requests);
        Ok(window)
    }
}

fn wrk(text: &str) -> anyhow::Result<Window> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk met errors:\n{text}");
    }
    let after = |prefix: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(prefix).map(str::trim))
    };
    let p99 = after("99%").context("wrk says no p99")?;
    let unit = p99.find(|c: char| c.is_ascii_alphabetic()).context("no unit")?;
    let (number, unit) = p99.split_at(unit);
    let ms = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        _ => 1000.0,
    };
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    Ok(Window {
        rate: after("Requests/sec:").context("wrk says no rate")?.parse()?,
        requests: requests.context("wrk says no requests")?.0.parse()?,
        p99_ms: number.parse::<f64>()? * ms,
        cpu_us: 0.0,
    })
}

/// Of h2load's log: when, the status, and how long it took in microseconds.
fn h2load(log: &str, seconds: u32) -> anyhow::Result<Window> {
    let mut times = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        let (status, time) = (fields.next(), fields.next().context("a short line")?);
        ensure!(status == Some("200"), "h2load met errors: {line}");
        times.push(time.parse::<f64>()?);
    }
    ensure!(!times.is_empty(), "h2load got no answers");
    times.sort_by(f64::total_cmp);
    let requests = times.len() as u64;
    Ok(Window {
        rate: to_f64(requests) / f64::from(seconds),
        requests,
        p99_ms: times[times.len() * 99 / 100] / 1000.0,
        cpu_us: 0.0,
    })
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
