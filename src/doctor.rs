//! `slowburn doctor`: what this machine allows, probe by probe, what it costs in memory, and whether `run` has a database.
//!
//! Counting needs no database, so the lack of one is told and is no failure.
//!
//! The JSON form is stable: `{schema: 1, fit, checks: [{name, gives, ok, required, detail, remedy}],
//! memory: {bytes, latencies, maps: [{object, map, bytes}], sockets: [{map, bytes}]}}`. Keys may be added; `schema` rises when one changes its
//! meaning. `remedy` is null where nothing is missing.

use std::io::{Write, stdout};
use std::path::PathBuf;
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
    /// The Postgres that `run` is to use instead of its private one
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the private Postgres of `run` lives [default: /var/lib/slowburn]
    #[arg(long, env = "SLOWBURN_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    maps: MapArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Exit code 1 when something that counting needs is refused.
pub async fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let sizes = MapSizes::from(args.maps);
    let mut checks = capability::check(&sizes);
    checks.push(database(args).await);
    let memory = capability::memory_of(&sizes);
    let fit = checks.iter().all(|check| check.ok || !check.required);
    let mut out = stdout().lock();
    match args.format {
        Format::Json => json(&mut out, &checks, &memory, &sizes, fit)?,
        Format::Text => text(&mut out, &checks, &memory)?,
    }
    Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const DATABASE: &str = "database";

/// Looked for as `run` does.
async fn database(args: &DoctorArgs) -> Check {
    let state = args
        .state_dir
        .clone()
        .unwrap_or_else(crate::state::default_directory);
    let state = std::path::absolute(&state).unwrap_or(state);
    let found = crate::database::look(args.database_url.as_deref(), &state.join("postgres")).await;
    let (ok, said) = match found {
        Ok(said) => (true, said),
        Err(error) => (false, format!("{error:#}")),
    };
    let (detail, remedy) = match said.split_once("\nhint: ") {
        Some((detail, hint)) => (detail.to_owned(), Some(hint.to_owned())),
        None => (said, None),
    };
    Check {
        name: DATABASE,
        gives: "where `run` keeps its books; counting needs none",
        ok,
        required: false,
        detail,
        remedy: remedy.or_else(|| (!ok).then(|| "name a database with `--database-url`".to_owned())),
    }
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
    if !memory.is_empty() {
        writeln!(out, "{:31} the largest maps of the kernel memory:", "")?;
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
    let (extra, database): (Vec<_>, Vec<_>) = checks
        .iter()
        .filter(|check| !check.ok && !check.required)
        .partition(|check| check.name != DATABASE);
    let absent = extra.len();
    writeln!(out)?;
    if !database.is_empty() {
        writeln!(
            out,
            "`slowburn run` has no database to keep its books in, see above"
        )?;
    }
    match (missing, absent) {
        (0, 0) if !database.is_empty() => writeln!(out, "everything else slowburn can use is there")?,
        (0, 0) => writeln!(out, "everything slowburn can use is there")?,
        (0, n) => writeln!(
            out,
            "slowburn measures here; {n} extra(s) absent, their signals are reported as absent"
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
