//! What the kernel says each program took, beside the client's own count of requests.

use std::fs;

use anyhow::ensure;
use probes::statistics::ProgramStatistics;
use slo_engine::measurement::Signal;

use super::{
    figures::to_f64,
    load::{Load, Window},
    nginx::Nginx,
    peer::Bpftrace,
};

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

pub fn print(nginx: &Nginx, seconds: u32) -> anyhow::Result<()> {
    let before = fs::read_to_string(STATS)?;
    fs::write(STATS, "1")?;
    let measured = [Load::Wrk, Load::H2load].map(|load| measure(nginx, load, seconds));
    fs::write(STATS, before.trim())?;
    for (load, measured) in [Load::Wrk, Load::H2load].iter().zip(measured) {
        let (window, programs, peer) = measured?;
        println!("\n{}: the kernel's own account of its programs", load.name());
        let mut each = 0.0;
        for program in programs.iter().filter(|program| program.runs > 0) {
            let (runs, ns) = (to_f64(program.runs), to_f64(program.nanoseconds));
            let a_request = ns / to_f64(window.requests);
            println!(
                "{:<20} {:>7.0} ns a run, {:.2} runs a request",
                program.program,
                ns / runs,
                runs / to_f64(window.requests)
            );
            // The walk and resets are no part of a request. Reads are, the client's own included: the
            // hook is the host's, and here both are on one.
            if ["edge_in", "edge_out", "edge_socket", "edge_read"].contains(&program.program.as_str()) {
                each += a_request;
            }
        }
        println!("slowburn's probes on the path of a request: {each:.0} ns");
        println!("bpftrace read/write on the path of a request: {peer:.0} ns");
    }
    Ok(())
}

/// With the probes attached, then with bpftrace: ns a request.
fn measure(nginx: &Nginx, load: Load, seconds: u32) -> anyhow::Result<(Window, Vec<ProgramStatistics>, f64)> {
    let mut agent = nginx.attach()?;
    let window = load.run(nginx, seconds);
    let programs = agent.statistics();
    let batch = agent.read(chrono::Utc::now())?;
    agent.shutdown();
    drop(agent);
    probes::unload(&nginx.instance)?;
    let window = window?;
    if matches!(load, Load::Wrk) {
        let answered = batch.readings.iter();
        let answered = answered.filter(|reading| reading.series.signal == Signal::Status(200));
        let counted: u64 = answered.map(|reading| reading.value).sum();
        // wrk does not count what is in flight when its time is up.
        ensure!(
            counted >= window.requests,
            "requests were lost: {counted} of {}",
            window.requests
        );
    }

    let bpftrace = Bpftrace::start()?;
    let other = load.run(nginx, seconds)?;
    let ns = to_f64(bpftrace.nanoseconds()?);
    Ok((window, programs, ns / to_f64(other.requests)))
}
