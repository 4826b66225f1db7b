//! The `slowburn` binary: one file per command, wiring only.

mod database;
mod definitions;
mod demo;
mod doctor;
mod expand;
mod limiter;
mod limits;
mod maps;
mod run;
mod schedule;
mod state;
mod telemetry;
mod unload;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use telemetry::{LogFormat, Telemetry};

/// SLOs on every service of this host, measured by eBPF, kept in Postgres, defended by runbooks.
#[derive(Debug, Parser)]
#[command(name = "slowburn", version, max_term_width = 100)]
struct Cli {
    /// What to log: a level, or `target=level` pairs [default: info; warn in the demo, which tells its own story]
    #[arg(long, global = true, env = "SLOWBURN_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "SLOWBURN_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on this host: probes, engine, remediation, API and dashboard
    Run(Box<run::RunArgs>),
    /// Watch an incident happen and be handled, in namespaces of its own; stops by itself
    Demo(demo::DemoArgs),
    /// Check definitions; every mistake with its place and a way out
    Validate(validate::ValidateArgs),
    /// Print definitions as OpenSLO v1, whatever form they were written in
    Expand(expand::ExpandArgs),
    /// What this kernel and these privileges allow, and what to do about the rest
    Doctor(doctor::DoctorArgs),
    /// Show or clear the traffic limits in the kernel; works without the daemon
    Limits(limits::LimitsArgs),
    /// Remove every program, link, pin and limit of an instance from the kernel
    Unload(unload::UnloadArgs),
    #[command(hide = true)]
    DemoService(demo::ShopArgs),
    #[command(hide = true)]
    DemoLoad(demo::LoadArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The one TLS provider of the process; a second installation would be the only way to fail.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return report(&anyhow::anyhow!("a TLS provider was installed twice"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("start the runtime")),
    };
    let outcome = runtime.block_on(execute(cli));
    outcome.unwrap_or_else(|error| report(&error))
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let level = if matches!(cli.command, Command::Demo(_)) {
        "warn"
    } else {
        "info,sqlx=warn"
    };
    let telemetry = Telemetry::start(cli.log.as_deref().unwrap_or(level), cli.log_format)?;
    let outcome = match cli.command {
        Command::Run(args) => run::run(*args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Validate(args) => validate::run(&args).await,
        Command::Expand(args) => expand::run(&args),
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Limits(args) => limits::run(&args),
        Command::Unload(args) => unload::run(&args),
        Command::DemoService(args) => demo::shop::run(args).await,
        Command::DemoLoad(args) => demo::load::run(args).await,
    };
    // Blocks until the last spans are sent, which the runtime's other threads do.
    tokio::task::spawn_blocking(move || telemetry.shutdown()).await?;
    outcome
}

#[expect(
    clippy::print_stderr,
    reason = "`main` is the one place that tells the user what went wrong"
)]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("slowburn: {error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
