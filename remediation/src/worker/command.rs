//! Runs a command: arguments as they are, no shell, nothing of our environment, a time limit.
//!
//! The command learns what it is for from a few variables, and must itself be able to tell a
//! repetition: `SLOWBURN_STEP_KEY` is the same over all attempts.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::Failure;
use crate::notice::cut;
use crate::store::run::RunRow;
use crate::store::step::Claim;

pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of each stream is kept; the rest is read and dropped, so that the command never blocks.
const KEPT: usize = 4 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Apply,
    Undo,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Undo => "undo",
        }
    }
}

pub(super) async fn execute(
    words: &[String],
    timeout: Duration,
    path: &str,
    claim: &Claim,
    run: &RunRow,
    purpose: Purpose,
) -> Result<Value, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::for_good("stored command is empty"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("SLOWBURN_RUN", run.id.to_string())
        .env("SLOWBURN_RUNBOOK", &run.runbook)
        .env("SLOWBURN_SERVICE", &run.service)
        .env("SLOWBURN_OBJECTIVE", &run.objective)
        .env("SLOWBURN_STEP_KEY", &claim.idempotency_key)
        .env("SLOWBURN_PURPOSE", purpose.word())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that its children end with it.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(traceparent) = &claim.traceparent {
        command.env("TRACEPARENT", traceparent);
    }
    let mut child = command.spawn().map_err(|error| Failure {
        error: format!("could not start `{program}`: {error}"),
        again: error.kind() != std::io::ErrorKind::NotFound,
        after: None,
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let finished = tokio::time::timeout(timeout, drain(&mut child)).await;
    let Ok(finished) = finished else {
        if let Some(group) = group
            && let Err(error) = killpg(Pid::from_raw(group), Signal::SIGKILL)
        {
            tracing::warn!(%error, "process group could not be ended");
        }
        // Reaps it; killed, it does not take long.
        child
            .wait()
            .await
            .map_err(|error| Failure::again(format!("`{program}`: {error}")))?;
        let limit = slo_engine::duration::format(timeout);
        return Err(Failure::again(format!(
            "`{program}` took longer than {limit} and was ended"
        )));
    };
    let (status, stdout, stderr) =
        finished.map_err(|error| Failure::again(format!("`{program}`: {error}")))?;
    if status.success() {
        return Ok(json!({ "exit_status": 0, "stdout": shown(&stdout) }));
    }
    Err(Failure::again(format!(
        "`{program}` ended with {status}: {}",
        shown(&stderr)
    )))
}

async fn drain(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(keep(stdout), keep(stderr), child.wait());
    Ok((status?, stdout?, stderr?))
}

/// The first bytes of a stream; reads it to its end.
async fn keep(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let Some(mut stream) = stream else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    let mut buffer = [0; 4 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(kept);
        }
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// As one line of text, short enough for a row.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let flat: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    cut(flat.trim(), 1_000)
}
