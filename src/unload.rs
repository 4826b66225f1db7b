//! `slowburn unload`: removes every program, link, pin and limit of an instance from the kernel.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

#[derive(Debug, clap::Args)]
pub struct UnloadArgs {
    /// Which instance's pins
    #[arg(
        long,
        env = "SLOWBURN_INSTANCE",
        default_value = "default",
        value_name = "NAME"
    )]
    instance: String,
    /// Even while a slowburn measures with them: from then on it sees nothing
    #[arg(long)]
    force: bool,
}

pub fn run(args: &UnloadArgs) -> Result<ExitCode> {
    probes::capability::privileged()?;
    let instance = &args.instance;
    ensure!(
        args.force || !probes::in_use(instance).context("look whether the instance is in use")?,
        "a slowburn that runs measures with instance `{instance}`\nhint: stop it first, or say `--force` to blind it"
    );
    let removed = probes::unload(instance)?;
    let mut out = stdout().lock();
    if removed > 0 {
        writeln!(
            out,
            "removed {removed} pin(s) of instance `{instance}`; nothing of it runs in the kernel"
        )?;
    } else {
        writeln!(
            out,
            "instance `{instance}` has nothing in the kernel{}",
            others(instance, |_| true)?
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What to try instead when an instance has not what is asked of it.
pub fn others(instance: &str, has_it: impl Fn(&str) -> bool) -> Result<String> {
    let mut names = probes::instances().context("list the instances")?;
    names.retain(|name| name != instance && has_it(name));
    names.sort();
    Ok(if names.is_empty() {
        String::new()
    } else {
        format!("; instances that have: {}", names.join(", "))
    })
}
