//! What happens by the calendar: the budget report.
//!
//! In: a cron expression (UTC) and the engine. Out: a Markdown file in the state directory and an event.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use cron::Schedule;
use slo_engine::{Engine, Partly, read, report};
use tokio_util::sync::CancellationToken;

/// The newest ones; a report over more is not read.
const ALERTS_MAX: u32 = 1000;

/// Reads a cron expression: `second minute hour day-of-month month day-of-week [year]`, in UTC.
pub fn parse(expression: &str) -> Result<Schedule, String> {
    Schedule::from_str(expression).map_err(|error| {
        format!(
            "{error}; write `second minute hour day-of-month month day-of-week`, for example `0 0 9 * * Mon`"
        )
    })
}

/// Writes a report each time the schedule says so, until cancelled.
pub async fn reports(engine: Engine, schedule: Schedule, directory: PathBuf, cancel: CancellationToken) {
    loop {
        let Some(due) = schedule.upcoming(Utc).next() else {
            tracing::warn!("the report schedule has no further date");
            return;
        };
        // A date in the past by the time we look is due at once.
        let pause = (due - Utc::now()).to_std().unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return,
        }
        match write_report(&engine, &directory, due).await {
            Ok(path) => tracing::info!(report.path = %path.display(), "wrote the budget report"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "could not write the budget report"),
        }
    }
}

async fn write_report(engine: &Engine, directory: &Path, now: DateTime<Utc>) -> Result<PathBuf> {
    let (slos, unread) =
        Partly::apart(read::slos(engine.pool(), now).await).context("read the objectives")?;
    let alerts = read::alerts(engine.pool(), None, ALERTS_MAX).await;
    let (alerts, unread_alerts) = Partly::apart(alerts).context("read the alerts")?;
    let mut text = report::markdown(&slos, &alerts, now);
    for left_out in [unread, unread_alerts].into_iter().flatten() {
        text.push_str(&format!("\nNot in this report: {left_out}.\n"));
    }
    tokio::fs::create_dir_all(directory)
        .await
        .context("make the report directory")?;
    let path = directory.join(format!("budget-{}.md", now.format("%Y-%m-%dT%H%M%SZ")));
    tokio::fs::write(&path, text)
        .await
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn a_schedule_is_read_in_utc() {
        let monday = parse("0 0 9 * * Mon").unwrap();
        let next = monday
            .after(&Utc.with_ymd_and_hms(2026, 11, 22, 15, 0, 0).unwrap())
            .next();
        assert_eq!(next, Some(Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).unwrap()));
    }

    #[test]
    fn a_bad_schedule_says_how_to_write_one() {
        assert!(
            parse("every monday")
                .unwrap_err()
                .contains("for example `0 0 9 * * Mon`")
        );
    }
}
