//! Acts seven to eleven: from the first well served customer back to calm.

use anyhow::{Context as _, Result};
use chrono::Utc;
use slo_engine::alert::AlertState;

use super::{Act, Look, Story};
use crate::demo::figures::{Figures, first_of_run_well};
use crate::demo::load::Second;
use crate::demo::receiver::Action;

/// So many good seconds in a row are a recovery.
const RECOVERY_SECONDS: usize = 4;
/// The flood must go on for so long, against the limit, without customers feeling it; the longest such
/// span is waited for while the limit stands.
const HOLD_SECONDS: usize = 20;
const CALM_SECONDS: usize = 8;

impl Story<'_> {
    /// Customers are served again while the flood still tries.
    pub(super) async fn recovery(&mut self) -> Result<()> {
        let limited_at = self.notes.limited_at.context("no limit was seen")?;
        let first = self
            .wait(Act::Recovery, async |story| {
                let flood = story
                    .stage
                    .flood
                    .as_ref()
                    .and_then(|flood| flood.last())
                    .context("the flood is over")?;
                let seconds = story.stage.honest.seconds();
                let during = seconds
                    .iter()
                    .filter(|second| second.at >= limited_at && second.at <= flood.at);
                Ok(first_of_run_well(during, RECOVERY_SECONDS).map_or_else(
                    || {
                        Look::NotYet(format!(
                            "customers: {} in the last second",
                            Figures::of(seconds.last()).share_text()
                        ))
                    },
                    |first| Look::Over(first.at),
                ))
            })
            .await?;
        self.notes.recovered_at = Some(first);
        let after = self.after_flood(Some(first));
        let since = Figures::of(
            self.stage
                .honest
                .seconds()
                .iter()
                .filter(|second| second.at >= first),
        );
        let (share, p99) = (since.share_text(), since.p99_text());
        self.tell(
            Act::Recovery,
            &format!("+{after}  customers are served again ({share}, p99 {p99}), the flood goes on"),
        )
    }

    pub(super) async fn resolved(&mut self) -> Result<()> {
        let id = self.notes.alert.context("no alert was seen")?;
        let key = self.notes.dedup_key.clone().context("no page was seen")?;
        let at = self
            .wait(Act::Resolved, async |story| {
                let alert = story.stage.stack.alert(id).await?;
                let Some(resolved_at) = alert.resolved_at.filter(|_| alert.state == AlertState::Resolved)
                else {
                    return Ok(Look::NotYet(format!("the alert is {}", alert.state)));
                };
                let told = story.stage.pager.accepted().into_iter();
                let mut told = told.filter(|r| r.event.action == Action::Resolve && r.event.dedup_key == key);
                Ok(told.next().map_or_else(
                    || Look::NotYet("the alert is resolved, but the pager was not told".to_owned()),
                    |_| Look::Over(resolved_at),
                ))
            })
            .await?;
        let after = self.after_flood(Some(at));
        self.tell(
            Act::Resolved,
            &format!("+{after}  the alert is over, and the pager was told"),
        )
    }

    /// The flood goes on, the limit stands, and customers feel nothing of it. Then the flood gives up.
    pub(super) async fn hold(&mut self) -> Result<()> {
        let recovered_at = self.notes.recovered_at.context("no recovery was seen")?;
        let figures = self
            .wait(Act::Hold, async |story| {
                let flood = story
                    .stage
                    .flood
                    .as_ref()
                    .and_then(|flood| flood.last())
                    .context("the flood is over")?;
                story
                    .our_limit()
                    .await?
                    .context("the limit is gone before its time")?;
                let seconds = story.stage.honest.seconds();
                let under = |second: &&Second| second.at >= recovered_at && second.at <= flood.at;
                let under: Vec<&Second> = seconds.iter().filter(under).collect();
                let last = &under[under.len().saturating_sub(HOLD_SECONDS)..];
                let figures = Figures::of(last.iter().copied());
                if last.len() == HOLD_SECONDS && figures.well() {
                    return Ok(Look::Over(figures));
                }
                let share = figures.share_text();
                Ok(Look::NotYet(format!(
                    "in the last {} s under the flood {share} were served in time",
                    last.len()
                )))
            })
            .await?;
        if let Some(flood) = self.stage.flood.take() {
            self.notes.flood = flood.end().await?;
        }
        let (share, p99) = (figures.share_text(), figures.p99_text());
        self.tell(
            Act::Hold,
            &format!("{HOLD_SECONDS} s of flood against the limit, customers: {share} in time, p99 {p99}; now the flood gives up"),
        )
    }

    /// The limit is gone by itself, and its run has come to its end.
    pub(super) async fn release(&mut self) -> Result<()> {
        let id = self.notes.alert.context("no alert was seen")?;
        let run = self
            .wait(Act::Release, async |story| {
                if story.our_limit().await?.is_some() {
                    return Ok(Look::NotYet("the limit still stands".to_owned()));
                }
                let detail = story
                    .stage
                    .stack
                    .run(id)
                    .await?
                    .context("the run is gone from the database")?;
                if detail.run.finished_at.is_none() {
                    return Ok(Look::NotYet(format!(
                        "the limit is gone, its run is {}",
                        detail.run.state
                    )));
                }
                Ok(Look::Over(detail.run))
            })
            .await?;
        let verdict = run.verdict.map_or_else(
            || "without a verdict".to_owned(),
            |verdict| format!("verdict {verdict}"),
        );
        self.tell(
            Act::Release,
            &format!("the limit is gone; run {} is {}, {verdict}", run.id, run.state),
        )
    }

    /// Without flood and without limit, all is as it was.
    pub(super) async fn calm(&mut self) -> Result<()> {
        let released_at = Utc::now();
        let figures = self
            .wait(Act::Calm, async |story| {
                let seconds = story.stage.honest.seconds();
                let after = seconds.iter().filter(|second| second.at >= released_at);
                let figures = Figures::of(after.clone());
                Ok(match first_of_run_well(after, CALM_SECONDS) {
                    Some(_) => Look::Over(figures),
                    None => Look::NotYet(format!("customers: {}", figures.share_text())),
                })
            })
            .await?;
        self.tell(
            Act::Calm,
            &format!(
                "customers: {} in time, p99 {}",
                figures.share_text(),
                figures.p99_text()
            ),
        )
    }
}
