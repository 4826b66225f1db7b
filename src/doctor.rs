//! `slowburn doctor`: what this machine allows, probe by probe.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::Result;
use probes::capability::{self, Check};

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// How to print the findings
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Exit code 1 when something that counting needs is refused.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let checks = capability::check();
    let mut out = stdout().lock();
    match args.format {
        Format::Json => {
            let rows: Vec<_> = checks
                .iter()
                .map(|check| {
                    serde_json::json!({
                        "name": check.name, "gives": check.gives, "ok": check.ok, "required": check.required,
                        "detail": check.detail, "remedy": check.remedy,
                    })
                })
                .collect();
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
        }
        Format::Text => {
            for check in &checks {
                writeln!(out, "{:<8} {:<22} {}", mark(check), check.name, check.gives)?;
                if !check.detail.is_empty() {
                    writeln!(out, "{:31} {}", "", check.detail)?;
                }
                if let Some(remedy) = &check.remedy {
                    writeln!(out, "{:31} remedy: {remedy}", "")?;
                }
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
        }
    }
    let fit = checks.iter().all(|check| check.ok || !check.required);
    Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn mark(check: &Check) -> &'static str {
    match (check.ok, check.required) {
        (true, _) => "ok",
        (false, true) => "MISSING",
        (false, false) => "absent",
    }
}
