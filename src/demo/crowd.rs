//! Customers, honest or not: one load generator in the world, and what its seconds were.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;

use super::child::Child;
use super::definitions::LATE_MS;
use super::load::Second;
use super::world::{Place, World};

/// What a crowd does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub place: Place,
    /// How many of the place's addresses it uses; `None`: all.
    pub sources: Option<usize>,
    pub requests: &'static [&'static str],
    pub rate: u32,
    pub seconds: u32,
}

#[derive(Debug)]
pub struct Crowd {
    child: Child,
    seconds: Arc<Mutex<Vec<Second>>>,
    reader: JoinHandle<Result<()>>,
}

impl Crowd {
    pub fn start(world: &World, logs: &std::path::Path, targets: &[SocketAddr], plan: Plan) -> Result<Self> {
        let mut command = world.command(plan.place)?;
        command.args(["demo-load", "--tied"]);
        command.args([
            "--rate",
            &plan.rate.to_string(),
            "--seconds",
            &plan.seconds.to_string(),
        ]);
        command.args(["--late-ms", &LATE_MS.to_string()]);
        for target in targets {
            command.args(["--target", &target.to_string()]);
        }
        let sources = world.addresses(plan.place);
        for source in sources.iter().take(plan.sources.unwrap_or(sources.len())) {
            command.args(["--from", &source.to_string()]);
        }
        for request in plan.requests {
            command.args(["--request", request]);
        }
        let (child, lines) = Child::start(plan.place.name(), command, logs)?;
        let seconds = Arc::default();
        let reader = tokio::spawn(read(lines, Arc::clone(&seconds)));
        Ok(Self {
            child,
            seconds,
            reader,
        })
    }

    /// The seconds that are complete, in order.
    pub fn seconds(&self) -> MutexGuard<'_, Vec<Second>> {
        // The reader only ever appends: what a panic left is whole.
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn last(&self) -> Option<Second> {
        self.seconds().last().cloned()
    }

    pub fn check(&mut self) -> Result<()> {
        self.child.check()
    }

    /// Ends the load and returns all that was told of it.
    pub async fn end(self) -> Result<Vec<Second>> {
        self.child.end().await?;
        self.reader.await.context("read the load's seconds")??;
        Ok(std::mem::take(
            &mut *self.seconds.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

async fn read(mut lines: Lines<BufReader<ChildStdout>>, seconds: Arc<Mutex<Vec<Second>>>) -> Result<()> {
    while let Some(line) = lines.next_line().await.context("read the load's output")? {
        let second = serde_json::from_str(&line).with_context(|| format!("read the load's line `{line}`"))?;
        seconds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(second);
    }
    Ok(())
}
