//! `slowburn demo`: an incident to watch, on this machine, with nothing pretended but the customers.
//!
//! `world` is a network of its own, `shop` three real services in it, `load` their customers and a flood;
//! `stage` sets them up beside a whole slowburn (`stack`) and a pager (`receiver`), and `story` plays the
//! incident and says what it saw. Everything is removed at the end, whatever the end is.

mod child;
mod crowd;
mod definitions;
mod figures;
pub mod load;
mod receiver;
mod scratch;
pub mod shop;
mod stack;
mod stage;
mod story;
mod terminal;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use load::LoadArgs;
pub use shop::ShopArgs;

use stage::Stage;
use story::Story;
use terminal::Terminal;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Plain lines only, also on a terminal
    #[arg(long)]
    headless: bool,
    /// Stay up afterwards, with a few customers, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where the dashboard listens; a free port is taken if this one is in use
    #[arg(long, default_value = "127.0.0.1:8420", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// Success only if each act of the story really happened.
pub async fn run(args: DemoArgs) -> Result<ExitCode> {
    let mut terminal = Terminal::new(args.headless);
    let interrupt = interrupt()?;
    terminal.line("slowburn demo: three services, their customers, one flood; about three minutes\n")?;
    world::require_root()?;
    let swept = sweep().context("remove what earlier demos left")?;
    if swept > 0 {
        terminal.tell("notice", &format!("removed what {swept} killed demo(s) had left"))?;
    }
    let mut stage = match Stage::set(args.listen, &mut terminal, &interrupt).await {
        Ok(stage) => stage,
        Err(_) if interrupt.is_cancelled() => return Ok(ExitCode::FAILURE),
        Err(error) => return Err(error),
    };
    let told = play(&args, &mut stage, &mut terminal, &interrupt).await;
    let struck = stage.strike().await.context("end the demo");
    let happened = told?;
    struck?;
    let end = match (happened, interrupt.is_cancelled()) {
        (true, _) => "is over",
        (false, true) => "was interrupted",
        (false, false) => "failed",
    };
    terminal.line(&format!("the demo {end}, and everything of it is removed"))?;
    Ok(if happened {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn play(
    args: &DemoArgs,
    stage: &mut Stage,
    terminal: &mut Terminal,
    interrupt: &CancellationToken,
) -> Result<bool> {
    let happened = Story::new(stage, terminal, interrupt).play().await?;
    if args.keep && !interrupt.is_cancelled() {
        stage.lighten().await?;
        terminal.line(&format!(
            "http://{} stays up, with a few customers, until Ctrl-C",
            stage.stack.address()
        ))?;
        interrupt.cancelled().await;
    }
    Ok(happened)
}

/// Removes what killed demos left, and returns how many they were.
fn sweep() -> Result<usize> {
    let mut dead = world::sweep()?;
    dead.extend(scratch::sweep(world::is_dead)?);
    dead.sort_unstable();
    dead.dedup();
    stack::sweep(&dead);
    Ok(dead.len())
}

/// Cancelled by Ctrl-C, by SIGTERM, and when the terminal is closed.
fn interrupt() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let mut received = signal(kind).context("listen for signals")?;
        let token = token.clone();
        tokio::spawn(async move {
            received.recv().await;
            token.cancel();
        });
    }
    Ok(token)
}
