//! What the probes cost a server: `cargo bench --bench probe-overhead [-- ROUNDS [SECONDS]]`, as root,
//! with nginx, redis, wrk, h2load and bpftrace installed. `-- account [ROUNDS [CASE]]` gives only the
//! nanoseconds of each path of a request, `-- footprint` only what the agent takes.
//!
//! nginx answers a small file from its own cgroup and network namespace; wrk (HTTP/1.1) and h2load
//! (HTTP/2) ask from outside of the cgroup, so that only the server's side is measured, as on a server.
//! A round has a window of each kind, in an order that rotates from round to round, and what is
//! compared are windows of one round: a busy machine disturbs all alike. One kind is "nothing
//! attached" once more: what it differs from itself is what this machine cannot tell. Beside the
//! probes stands what is often done instead, bpftrace timing the server's read and write calls.
//! Intervals are those of the median by order statistics (at least 95 %), so they assume no
//! distribution. Nanoseconds a run are the kernel's own account, taken in windows of their own,
//! because accounting costs about 65 ns a run by itself (they are in the number).

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod account;
mod bare;
mod cases;
mod figures;
mod footprint;
mod load;
mod nginx;
mod peer;

use anyhow::{Context as _, ensure};
use figures::Interval;
use load::{Load, Window};
use nginx::Nginx;
use peer::Bpftrace;

const ROUNDS: u32 = 10;
const SECONDS: u32 = 1;

/// What watches the server during a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Nothing,
    NothingAgain,
    Probes,
    Bpftrace,
}

impl Watch {
    const ALL: [Self; 4] = [Self::Nothing, Self::NothingAgain, Self::Probes, Self::Bpftrace];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::NothingAgain => "nothing again",
            Self::Probes => "slowburn's probes",
            Self::Bpftrace => "bpftrace read/write",
        }
    }
}

fn main() -> anyhow::Result<()> {
    if footprint::is_asked_for() {
        return footprint::measure_nothing_but_live();
    }
    // cargo passes `--bench`.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = words.iter().filter_map(|text| text.parse::<u32>().ok());
    let rounds = numbers.next().unwrap_or(ROUNDS);
    let seconds = numbers.next().unwrap_or(SECONDS);
    ensure!(
        rounds >= 10 || words.len() > 1,
        "fewer than ten rounds say nothing"
    );
    probes::capability::privileged()?;
    let nginx = Nginx::start().context("start nginx")?;
    if let Some(index) = words.iter().position(|word| word == "account") {
        let only = words[index + 1..]
            .iter()
            .find(|word| word.parse::<u32>().is_err() && !word.starts_with('-'));
        return account::print(&nginx, rounds, only.map_or("", String::as_str));
    }
    if words.iter().any(|word| word == "footprint") {
        return footprint::print(&nginx);
    }
    for load in [Load::Wrk, Load::H2load] {
        compare(&nginx, load, rounds, seconds)?;
    }
    account::print(&nginx, rounds, "")?;
    footprint::print(&nginx)
}

fn compare(nginx: &Nginx, load: Load, rounds: u32, seconds: u32) -> anyhow::Result<()> {
    load.run(nginx, 1).context("warm up")?;
    let mut windows: [Vec<Window>; 4] = Default::default();
    for round in 0..rounds as usize {
        for step in 0..Watch::ALL.len() {
            let kind = (round + step) % Watch::ALL.len();
            windows[kind].push(watched(nginx, Watch::ALL[kind], load, seconds)?);
        }
    }
    println!(
        "\n{}: medians of {rounds} windows of {seconds} s, nginx with one worker",
        load.name()
    );
    println!(
        "{:<20} {:>10} {:>9} {:>14}   against nothing, [95 %]",
        "watched by", "requests/s", "p99 ms", "CPU s/million"
    );
    for (watch, own) in Watch::ALL.iter().zip(&windows) {
        let median = |of: fn(&Window) -> f64| Interval::of(own.iter().map(of)).median;
        print!(
            "{:<20} {:>10.0} {:>9.2} {:>14.2}",
            watch.name(),
            median(|window| window.rate),
            median(|window| window.p99_ms),
            median(|window| window.cpu_us)
        );
        if *watch == Watch::Nothing {
            println!();
            continue;
        }
        let pairs = || own.iter().zip(&windows[0]);
        let rate = Interval::of(pairs().map(|(own, base)| own.rate / base.rate));
        let cpu = Interval::of(pairs().map(|(own, base)| own.cpu_us - base.cpu_us));
        let p99 = Interval::of(pairs().map(|(own, base)| own.p99_ms - base.p99_ms));
        println!("   requests/s x {rate:.3}; p99 {p99:+.2} ms; CPU {cpu:+.2}");
    }
    Ok(())
}

/// A window under one kind of watch; nothing of it stays in the kernel.
fn watched(nginx: &Nginx, watch: Watch, load: Load, seconds: u32) -> anyhow::Result<Window> {
    match watch {
        Watch::Nothing | Watch::NothingAgain => load.run(nginx, seconds),
        Watch::Probes => {
            let mut agent = nginx.attach()?;
            let window = load.run(nginx, seconds);
            agent.shutdown();
            drop(agent);
            probes::unload(&nginx.instance)?;
            window
        }
        Watch::Bpftrace => {
            let _bpftrace = Bpftrace::start().context("start bpftrace")?;
            load.run(nginx, seconds)
        }
    }
}
