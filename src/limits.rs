//! `slowburn limits`: the traffic limits in the kernel, read and cleared through their pins, without the daemon.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use probes::bpffs;
use probes::limit::{self, LimitError, RuleTable};

#[derive(Debug, clap::Args)]
pub struct LimitsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Which instance's limits
    #[arg(
        long,
        global = true,
        env = "SLOWBURN_INSTANCE",
        default_value = "default",
        value_name = "NAME"
    )]
    instance: String,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What is limited now, until when, and what it did (the default)
    List,
    /// Let everything pass at once, and refuse new limits until `resume`
    Clear,
    /// Allow new limits again
    Resume,
}

pub fn run(args: &LimitsArgs) -> Result<ExitCode> {
    probes::capability::privileged()?;
    let root = bpffs::DEFAULT_ROOT.as_ref();
    let mut out = stdout().lock();
    match args.action.as_ref().unwrap_or(&Action::List) {
        Action::Clear => {
            if limit::panic_clear(root, &args.instance).context("clear the limits")? {
                writeln!(
                    out,
                    "every packet passes; `slowburn limits resume` allows limits again"
                )?;
            } else {
                none(&args.instance, &mut out)?;
                writeln!(
                    out,
                    "nothing was cleared, and no limit that is set later is refused"
                )?;
            }
        }
        Action::Resume => match RuleTable::open(root, &args.instance) {
            Ok(mut table) => {
                table.resume().context("allow limits again")?;
                writeln!(out, "limits may be set again")?;
            }
            Err(LimitError::NotLoaded { .. }) => none(&args.instance, &mut out)?,
            Err(error) => return Err(error).context("open the limits"),
        },
        Action::List => match RuleTable::open(root, &args.instance) {
            Ok(table) => list(&table, &mut out)?,
            Err(LimitError::NotLoaded { .. }) => none(&args.instance, &mut out)?,
            Err(error) => return Err(error).context("open the limits"),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn none(instance: &str, out: &mut impl std::io::Write) -> Result<()> {
    let has_limiter = |name: &str| RuleTable::open(bpffs::DEFAULT_ROOT.as_ref(), name).is_ok();
    let others = crate::unload::others(instance, has_limiter)?;
    Ok(writeln!(
        out,
        "instance `{instance}` has no limiter in the kernel, so it limits nothing{others}"
    )?)
}

fn list(table: &RuleTable, out: &mut impl std::io::Write) -> Result<()> {
    let rules = table.list().context("read the limits")?;
    if table.is_panicked()? {
        writeln!(
            out,
            "cleared by hand: every packet passes until `slowburn limits resume`"
        )?;
    } else if table.lease()?.is_zero() {
        writeln!(out, "no daemon renews the lease: nothing is enforced")?;
    }
    if rules.is_empty() {
        writeln!(out, "nothing is limited")?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<10} {:<6} {:<24} {:>10} {:>8} {:>12} {:>12}  left",
        "id", "port", "source", "rate/s", "burst", "passed", "dropped"
    )?;
    for live in rules {
        let source = live
            .rule
            .source
            .map_or_else(|| "each".to_owned(), |source| source.to_string());
        writeln!(
            out,
            "{:<10} {:<6} {:<24} {:>10} {:>8} {:>12} {:>12}  {} s",
            live.rule.id,
            live.rule.port,
            source,
            live.rule.rate_per_second,
            live.rule.burst,
            live.passed,
            live.dropped,
            live.remaining.as_secs()
        )?;
    }
    Ok(())
}
