//! What `slowburn run` may be told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cron::Schedule;
use probes::agent::{AgentConfig, MapSizes};
use probes::limit::{Interface, Prefix};
use probes::overhead::{OverheadConfig, Watching};
use slo_engine::definitions::LedgerLimits;

use crate::maps::MapArgs;
use crate::{schedule, state};

const DEFAULT_CONFIG: &str = "/etc/slowburn";

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Definition files, or directories of them [default: /etc/slowburn when it exists]
    #[arg(long, env = "SLOWBURN_CONFIG", value_name = "PATH", value_delimiter = ',')]
    config: Vec<PathBuf>,
    /// A Postgres of yours instead of the private one
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the private Postgres, the reports and the lock live [default: /var/lib/slowburn]
    #[arg(long, env = "SLOWBURN_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the dashboard and the API listen
    #[arg(
        long,
        env = "SLOWBURN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8420"
    )]
    listen: SocketAddr,
    /// Further host names this server is called by (changing requests under other names are refused)
    #[arg(long, env = "SLOWBURN_NAME", value_name = "HOST", value_delimiter = ',')]
    name: Vec<String>,
    /// Watch only this cgroup v2 directory and below [default: the root]
    #[arg(long, env = "SLOWBURN_CGROUP", value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Name of this slowburn's pins, when a host has several
    #[arg(
        long,
        env = "SLOWBURN_INSTANCE",
        value_name = "NAME",
        default_value = "default"
    )]
    instance: String,
    /// Length of a slot of the ledger, which is also how often objectives are judged: whole seconds that divide a minute
    #[arg(long, env = "SLOWBURN_SLOT", value_name = "DURATION", default_value = "10s", value_parser = slot)]
    slot: Duration,
    /// How long the ledger and events are kept: at least `3d`, and as long as the longest period of an objective
    #[arg(long, env = "SLOWBURN_KEEP_LEDGER", value_name = "DURATION", default_value = "400d", value_parser = keep_ledger)]
    keep_ledger: Duration,
    /// How long measurements are kept in memory while the database does not answer: a batch a second, the oldest goes
    /// when there are more, which costs resolution in time and no count
    #[arg(long, env = "SLOWBURN_INTAKE_BUFFER", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    intake_buffer: Duration,
    /// Interfaces on which runbooks may limit traffic, `NAME` or `NETNS_PATH:NAME`
    /// [default: those with a default route, when a runbook limits traffic]
    #[arg(
        long,
        env = "SLOWBURN_LIMIT_INTERFACE",
        value_name = "INTERFACE",
        value_delimiter = ','
    )]
    limit_interface: Vec<String>,
    /// Sources that are never limited, as prefixes
    #[arg(long, env = "SLOWBURN_ALLOW", value_name = "PREFIX", value_delimiter = ',')]
    allow: Vec<Prefix>,
    /// When to write the budget report: `second minute hour day-of-month month day-of-week`, UTC
    #[arg(long, env = "SLOWBURN_REPORT_SCHEDULE", value_name = "CRON", default_value = "0 0 9 * * Mon",
          value_parser = schedule::parse)]
    report_schedule: Schedule,
    /// When the kernel accounts what the probes cost, which costs about 65 ns a run of every BPF program of the host
    #[arg(
        long,
        env = "SLOWBURN_PROBE_STATISTICS",
        value_name = "WHEN",
        default_value = "sampled"
    )]
    probe_statistics: When,
    /// Share of one core that the probes may take, such as `2%`; past it the costliest of them does less (remote
    /// addresses, then routes; time to read; how often sockets are walked) [default: no limit]
    #[arg(long, env = "SLOWBURN_OVERHEAD_BUDGET", value_name = "SHARE", value_parser = share)]
    overhead_budget: Option<f64>,
    #[command(flatten)]
    maps: MapArgs,
}

/// The same, checked, and what only the demo and tests say.
#[derive(Debug)]
pub struct Options {
    pub config: Vec<PathBuf>,
    pub database_url: Option<String>,
    pub state_dir: PathBuf,
    pub listen: SocketAddr,
    pub names: Vec<String>,
    pub cgroup: Option<PathBuf>,
    pub instance: String,
    pub slot: Duration,
    pub keep_ledger: Duration,
    pub intake_buffer: Duration,
    /// `None`: those with a default route, if a runbook limits traffic.
    pub limit_interfaces: Option<Vec<Interface>>,
    pub allow: Vec<Prefix>,
    pub report_schedule: Schedule,
    pub maps: MapSizes,
    pub overhead: OverheadConfig,
}

impl Options {
    /// What definitions are warned by.
    pub fn ledger(&self) -> LedgerLimits {
        LedgerLimits {
            slot: self.slot,
            keep: self.keep_ledger,
        }
    }

    /// What the probes are told.
    pub fn measured(&self) -> AgentConfig {
        AgentConfig {
            cgroup: self.cgroup.clone(),
            instance: self.instance.clone(),
            sizes: self.maps,
            overhead: self.overhead,
        }
    }
}

impl TryFrom<RunArgs> for Options {
    type Error = anyhow::Error;

    fn try_from(args: RunArgs) -> Result<Options> {
        let config = if args.config.is_empty() && Path::new(DEFAULT_CONFIG).exists() {
            vec![PathBuf::from(DEFAULT_CONFIG)]
        } else {
            args.config
        };
        let named: Vec<Interface> = args.limit_interface.iter().map(|name| interface(name)).collect();
        Ok(Options {
            config,
            database_url: args.database_url,
            // Postgres is started elsewhere, and must find it from there.
            state_dir: std::path::absolute(args.state_dir.unwrap_or_else(state::default_directory))
                .context("find the state directory")?,
            listen: args.listen,
            names: args.name,
            cgroup: args.cgroup,
            instance: args.instance,
            slot: args.slot,
            keep_ledger: args.keep_ledger,
            intake_buffer: args.intake_buffer,
            limit_interfaces: (!named.is_empty()).then_some(named),
            allow: args.allow,
            report_schedule: args.report_schedule,
            maps: args.maps.into(),
            overhead: overhead(args.probe_statistics, args.overhead_budget)?,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Off,
    /// One second in ten
    Sampled,
    Always,
}

fn overhead(when: When, budget: Option<f64>) -> Result<OverheadConfig> {
    let watching = match when {
        When::Off if budget.is_some() => {
            anyhow::bail!(
                "`--overhead-budget` needs `--probe-statistics sampled` or `always`: what is not measured keeps no budget"
            )
        }
        When::Off => Watching::Off,
        When::Sampled => Watching::Sampled,
        When::Always => Watching::Always,
    };
    Ok(OverheadConfig { watching, budget })
}

/// `2%` or `0.02`.
fn share(text: &str) -> Result<f64, String> {
    let expected = || format!("`{text}` is no share above 0 and at most 100 %, such as `2%` or `0.02`");
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().map_err(|_| expected())? / scale;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err(expected())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    slo_engine::duration::parse(text).map_err(|error| error.to_string())
}

/// Slots begin with the minute, and what is measured comes once a second.
fn slot(text: &str) -> Result<Duration, String> {
    let slot = duration(text)?;
    if slot.subsec_nanos() == 0 && 60_u64.is_multiple_of(slot.as_secs()) {
        Ok(slot)
    } else {
        Err(format!(
            "`{text}` does not divide a minute into whole seconds, as `1s`, `5s`, `10s` and `1m` do"
        ))
    }
}

/// Days are thinned for two before they are kept.
pub fn keep_ledger(text: &str) -> Result<Duration, String> {
    let least = Duration::from_secs(3 * 86_400);
    match duration(text)? {
        keep if keep < least => Err("the ledger is kept for at least `3d`".to_owned()),
        keep => Ok(keep),
    }
}

/// `NAME`, or `NETNS_PATH:NAME` for one inside a network namespace.
fn interface(text: &str) -> Interface {
    match text.rsplit_once(':') {
        Some((namespace, name)) => Interface::within(name, namespace),
        None => Interface::here(text),
    }
}

/// Names of the interfaces over which this host is reached from afar, from the kernel's routing table.
pub fn with_default_route() -> std::io::Result<Vec<Interface>> {
    // Columns: interface, destination, ...; a default route goes to 00000000.
    let table = std::fs::read_to_string("/proc/net/route")?;
    let mut names: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let name = columns.next()?;
            (columns.next() == Some("00000000")).then_some(name)
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(Interface::here).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_divide_a_minute_into_whole_seconds() {
        for (text, seconds) in [("1s", 1), ("10s", 10), ("1m", 60)] {
            assert_eq!(slot(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["7s", "500ms", "1500ms", "2m", "0s", "1h"] {
            assert!(slot(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_is_a_share_of_a_core_and_needs_to_be_measured() {
        assert_eq!(share("2%"), Ok(0.02));
        assert_eq!(share("0.005"), Ok(0.005));
        for text in ["0", "-1%", "101%", "two", "nan", ""] {
            assert!(share(text).unwrap_err().contains("`2%`"), "{text}");
        }
        assert!(overhead(When::Off, Some(0.02)).is_err());
        assert!(overhead(When::Off, None).is_ok());
    }
}
