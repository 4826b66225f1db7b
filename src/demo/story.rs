//! The incident, act by act. Each act is over when it is seen in what is really there: the database, the
//! kernel's limits, the pager's records, the customers' own seconds. None is over because time went by;
//! each has a time by which it must have been seen.

mod acts;
mod incident;
mod recovery;
mod summary;

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use remediation::LiveLimit;
use slo_engine::alert::AlertId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, thousands};
use super::load::Second;
use super::stage::Stage;
use super::terminal::Terminal;

/// How often an act looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const STATUS_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Steady,
    Flood,
    Burn,
    Alert,
    Page,
    Limit,
    Recovery,
    Resolved,
    Hold,
    Release,
    Calm,
}

impl Act {
    pub const ALL: [Self; 11] = [
        Self::Steady,
        Self::Flood,
        Self::Burn,
        Self::Alert,
        Self::Page,
        Self::Limit,
        Self::Recovery,
        Self::Resolved,
        Self::Hold,
        Self::Release,
        Self::Calm,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Flood => "flood",
            Self::Burn => "burn",
            Self::Alert => "alert",
            Self::Limit => "limit",
            Self::Page => "page",
            Self::Recovery => "recovery",
            Self::Resolved => "resolved",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Calm => "calm",
        }
    }

    /// By when it must have been seen, from the end of the act before.
    const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Release => 120,
            Self::Steady | Self::Hold => 90,
            Self::Flood | Self::Page | Self::Limit => 20,
            Self::Burn | Self::Calm => 30,
            Self::Alert | Self::Recovery => 45,
            Self::Resolved => 60,
        })
    }
}

/// What one look found.
enum Look<T> {
    Over(T),
    /// Not yet; and what was seen instead, in words.
    NotYet(String),
}

/// What is known of the incident so far.
#[derive(Debug, Default)]
struct Notes {
    done: Vec<Act>,
    flood_at: Option<DateTime<Utc>>,
    alert: Option<AlertId>,
    fired_at: Option<DateTime<Utc>>,
    /// As it was last seen in the kernel; it is gone when it has expired.
    limit: Option<LiveLimit>,
    limited_at: Option<DateTime<Utc>>,
    dedup_key: Option<String>,
    recovered_at: Option<DateTime<Utc>>,
    flood: Vec<Second>,
}

#[derive(Debug)]
pub struct Story<'a> {
    stage: &'a mut Stage,
    terminal: &'a mut Terminal,
    interrupt: &'a CancellationToken,
    notes: Notes,
    status_at: Instant,
}

impl<'a> Story<'a> {
    pub fn new(stage: &'a mut Stage, terminal: &'a mut Terminal, interrupt: &'a CancellationToken) -> Self {
        Self {
            stage,
            terminal,
            interrupt,
            notes: Notes::default(),
            status_at: Instant::now(),
        }
    }

    /// Plays all acts and sums up what was seen, however far it came.
    /// True when each act really happened.
    pub async fn play(&mut self) -> Result<bool> {
        let mut failure = None;
        for act in Act::ALL {
            match self.perform(act).await {
                Ok(()) => self.notes.done.push(act),
                Err(error) => {
                    failure = Some((act, error));
                    break;
                }
            }
        }
        if self.interrupt.is_cancelled() {
            self.terminal.tell("stop", "interrupted; removing everything")?;
            return Ok(false);
        }
        let summed_up = self.sum_up().await;
        if let Some((act, error)) = &failure {
            self.terminal
                .line(&format!("`{}` did not happen: {error:#}", act.name()))?;
            let rest: Vec<_> = Act::ALL
                .iter()
                .skip(self.notes.done.len() + 1)
                .map(|act| act.name())
                .collect();
            if !rest.is_empty() {
                self.terminal
                    .line(&format!("so neither did: {}", rest.join(", ")))?;
            }
        }
        summed_up?;
        Ok(failure.is_none())
    }

    /// Looks until it is over, while everything that should run does.
    async fn wait<T>(&mut self, act: Act, look: impl AsyncFn(&Self) -> Result<Look<T>>) -> Result<T> {
        let deadline = Instant::now() + act.patience();
        loop {
            self.stage.check()?;
            if let Some(live) = self.our_limit().await? {
                self.notes.limit = Some(live);
            }
            let instead = match look(self).await? {
                Look::Over(seen) => return Ok(seen),
                Look::NotYet(instead) => instead,
            };
            if Instant::now() > deadline {
                bail!("not seen within {} s; {instead}", act.patience().as_secs());
            }
            self.show(act).await?;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.interrupt.cancelled() => bail!("interrupted"),
            }
        }
    }

    /// The limit on the flood's source, if the kernel enforces one now.
    async fn our_limit(&self) -> Result<Option<LiveLimit>> {
        let Some(source) = self.stage.flood_source() else {
            return Ok(None);
        };
        let limits = self.stage.stack.limits().await?;
        Ok(limits.into_iter().find(|live| live.limit.source.contains(source)))
    }

    async fn show(&mut self, act: Act) -> Result<()> {
        if !self.terminal.is_live() || Instant::now() < self.status_at {
            return Ok(());
        }
        self.status_at = Instant::now() + STATUS_EVERY;
        let slo = self.stage.stack.slo().await?;
        let customers = Figures::of(self.stage.honest.last().as_ref());
        let burn = slo
            .burn
            .first()
            .map_or_else(|| "-".to_owned(), |burn| burn.burn_rate.round_dp(1).to_string());
        let dropped = self.notes.limit.as_ref().map_or(0, |live| live.dropped);
        let left = (slo.budget_remaining * rust_decimal::Decimal::ONE_HUNDRED).round();
        self.terminal.status(&format!(
            "{:<10}  customers {} p99 {}, burn {burn}x, budget {left} %, dropped {}",
            act.name(),
            customers.share_text(),
            customers.p99_text(),
            thousands(dropped),
        ))
    }
}
