//! Child processes of the demo: started inside the world, tied to the demo's life.
//!
//! A child holds the other end of our pipe as its standard input and ends when that closes, so that even
//! a demo killed outright leaves no service and no load running.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, ChildStdout, Command};

/// How long a child may take to end after its standard input closed.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// How much of a failed child's log is repeated in the error.
const LOG_TAIL_LINES: usize = 5;

#[derive(Debug)]
pub struct Child {
    name: &'static str,
    process: tokio::process::Child,
    tie: Option<ChildStdin>,
    log: PathBuf,
}

impl Child {
    /// Starts `command` with its standard error in `<logs>/<name>.log`; its lines of standard output come back.
    pub fn start(
        name: &'static str,
        mut command: Command,
        logs: &Path,
    ) -> Result<(Self, Lines<BufReader<ChildStdout>>)> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("make log `{}`", log.display()))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            // Ctrl-C at the terminal is for the demo, which then ends its children in order.
            .process_group(0);
        let mut process = command.spawn().with_context(|| format!("start `{name}`"))?;
        let tie = process.stdin.take();
        let lines = process
            .stdout
            .take()
            .context("take the child's standard output")?;
        Ok((
            Self {
                name,
                process,
                tie,
                log,
            },
            BufReader::new(lines).lines(),
        ))
    }

    /// Resolves, always with an error, when the child has ended although nobody asked it to.
    pub async fn ended_early(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => anyhow::anyhow!("`{}` ended early ({status}){}", self.name, self.log_tail()),
            Err(error) => anyhow::Error::new(error).context(format!("wait for `{}`", self.name)),
        }
    }

    /// Says so if the child has ended although nobody asked it to.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self
            .process
            .try_wait()
            .with_context(|| format!("look after `{}`", self.name))?
        {
            bail!("`{}` ended early ({status}){}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Closes its standard input and waits; one that does not end is killed.
    pub async fn end(mut self) -> Result<()> {
        drop(self.tie.take());
        match tokio::time::timeout(END_PATIENCE, self.process.wait()).await {
            Ok(status) => status
                .map(drop)
                .with_context(|| format!("wait for `{}`", self.name)),
            Err(_) => self
                .process
                .kill()
                .await
                .with_context(|| format!("kill `{}`", self.name)),
        }
    }

    fn log_tail(&self) -> String {
        let Ok(text) = std::fs::read_to_string(&self.log) else {
            return String::new();
        };
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        if tail.is_empty() {
            String::new()
        } else {
            format!(", last words:\n{}", tail.join("\n"))
        }
    }
}

/// The child's side: resolves when standard input, a pipe, closes. Never, when not tied.
pub async fn untied(tied: bool) -> Result<()> {
    if !tied {
        return std::future::pending().await;
    }
    // Not `tokio::io::stdin`: its read blocks a thread, and the runtime would wait for that at the end.
    let input = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("take standard input")?;
    let mut input =
        pipe::Receiver::from_owned_fd(input).context("`--tied` wants a pipe as standard input")?;
    let mut nothing = [0; 64];
    while matches!(input.read(&mut nothing).await, Ok(1..)) {}
    Ok(())
}
