//! `slowburn unload`: removes every program, link, pin and limit of an instance from the kernel.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::Result;

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
}

pub fn run(args: &UnloadArgs) -> Result<ExitCode> {
    let removed = probes::unload(&args.instance)?;
    writeln!(
        stdout(),
        "removed {removed} pin(s) of instance `{}`; nothing of it runs in the kernel",
        args.instance
    )?;
    Ok(ExitCode::SUCCESS)
}
