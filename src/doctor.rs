//! `slowburn doctor`: what this machine allows, probe by probe, and what it costs in memory.
//!
//! The JSON form is stable: `{schema: 1, fit, checks: [{name, gives, ok, required, detail, remedy}],
//! memory: {bytes, latencies, maps: [{object, map, bytes}], sockets: [{map, bytes}]}}`. Keys may be added; `schema` rises when one changes its
//! meaning. `remedy` is null where nothing is missing.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use probes::agent::MapSizes;
use probes::capability::{self, Check, MapMemory};
use serde_json::json;

use crate::maps::MapArgs;

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// How to print the findings
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    maps: MapArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Exit code 1 when something that counting needs is refused.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let sizes = MapSizes::from(args.maps);
    let checks = capability::check(&sizes);
    let memory = capability::memory_of(&sizes);
    let fit = checks.iter().all(|check| check.ok || !check.required);
    let mut out = stdout().lock();
    match args.format {
        Format::Json => json(&mut out, &checks, &memory, &sizes, fit)?,
        Format::Text => text(&mut out, &checks, &memory)?,
    }
    Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json(
    out: &mut impl Write,
    checks: &[Check],
    memory: &[MapMemory],
    sizes: &MapSizes,
    fit: bool,
) -> Result<()> {
    let rows: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name, "gives": check.gives, "ok": check.ok, "required": check.required,
                "detail": check.detail, "remedy": check.remedy,
            })
        })
        .collect();
    let maps: Vec<_> = memory
        .iter()
        .map(|map| json!({ "object": map.object, "map": map.map, "bytes": map.bytes }))
        .collect();
    let bytes: u64 = memory.iter().map(|map| map.bytes).sum();
    // Of each that lives, and so in no sum.
    let sockets = MapSizes::bytes_of_socket().map(|(map, bytes)| json!({ "map": map, "bytes": bytes }));
    let memory = json!({
        "bytes": bytes, "latencies": sizes.latencies_here(), "maps": maps, "sockets": sockets,
    });
    let found = json!({ "schema": 1, "fit": fit, "checks": rows, "memory": memory });
    serde_json::to_writer_pretty(&mut *out, &found)?;
    writeln!(out)?;
    Ok(())
}

/// Maps that are told apart; the rest is small change.
const MAPS_SHOWN: usize = 5;

fn text(out: &mut impl Write, checks: &[Check], memory: &[MapMemory]) -> Result<()> {
    for check in checks {
        writeln!(out, "{:<8} {:<22} {}", mark(check), check.name, check.gives)?;
        if !check.detail.is_empty() {
            writeln!(out, "{:31} {}", "", check.detail)?;
        }
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:31} remedy: {remedy}", "")?;
        }
    }
    for map in memory.iter().take(MAPS_SHOWN) {
        writeln!(
            out,
            "{:31} {:>9} KiB  {} of `{}`",
            "",
            map.bytes >> 10,
            map.map,
            map.object
        )?;
    }
    let missing = checks.iter().filter(|check| !check.ok && check.required).count();
    let absent = checks.iter().filter(|check| !check.ok && !check.required).count();
    writeln!(out)?;
    match (missing, absent) {
        (0, 0) => writeln!(out, "everything slowburn can use is there")?,
        (0, n) => writeln!(
            out,
            "slowburn runs here; {n} extra(s) absent, their signals are reported as absent"
        )?,
        (n, _) => writeln!(
            out,
            "slowburn cannot measure here yet: {n} thing(s) it needs are refused, see above"
        )?,
    }
    Ok(())
}

fn mark(check: &Check) -> &'static str {
    match (check.ok, check.required) {
        (true, _) => "ok",
        (false, true) => "MISSING",
        (false, false) => "absent",
    }
}
