//! What each act does, what must be seen for it to be over, and what is told of it.

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use slo_engine::alert::AlertState;
use slo_engine::objective::Severity;

use super::{Act, Look, Story};
use crate::demo::figures::{Figures, first_of_run_well, thousands};
use crate::demo::receiver::{Action, Record};

/// Seconds of calm that the story begins with.
const STEADY_SECONDS: usize = 25;
/// Of these, the last so many must have been good: the first ones still open connections.
const STEADY_GOOD_SECONDS: usize = 10;
/// Of what the customers sent, the kernel must have counted at least this share a moment later.
const COUNTED_SHARE: f64 = 0.9;
/// So many good seconds in a row are a recovery.
const RECOVERY_SECONDS: usize = 4;
const CALM_SECONDS: usize = 4;

impl Story<'_> {
    pub(super) async fn perform(&mut self, act: Act) -> Result<()> {
        match act {
            Act::Steady => self.steady().await,
            Act::Flood => self.flood().await,
            Act::Burn => self.burn().await,
            Act::Alert => self.alert().await,
            Act::Limit => self.limit().await,
            Act::Page => self.page().await,
            Act::Recovery => self.recovery().await,
            Act::Resolved => self.resolved().await,
            Act::Release => self.release().await,
            Act::Calm => self.calm().await,
        }
    }

    async fn steady(&mut self) -> Result<()> {
        let (counted, bad, figures) = self
            .wait(Act::Steady, async |story| {
                let (seconds, sent, last) = {
                    let seconds = story.stage.honest.seconds();
                    let last = seconds.len().saturating_sub(STEADY_GOOD_SECONDS);
                    (seconds.len(), Figures::of(&*seconds).sent, Figures::of(&seconds[last..]))
                };
                let counts = story.stage.stack.slo().await?.counts;
                let enough = counts.total() as f64 >= sent as f64 * COUNTED_SHARE;
                if seconds >= STEADY_SECONDS && enough && last.well() {
                    return Ok(Look::Over((counts.total(), counts.bad, last)));
                }
                Ok(Look::NotYet(format!(
                    "customers sent {sent}, of the last {STEADY_GOOD_SECONDS} s {} were served well; the kernel counted {}",
                    last.share_text(),
                    counts.total()
                )))
            })
            .await?;
        let (counted, share, p99) = (thousands(counted), figures.share_text(), figures.p99_text());
        self.tell(
            Act::Steady,
            &format!("web answered {counted} requests, {bad} badly; customers: {share} in time, p99 {p99}"),
        )
    }

    async fn flood(&mut self) -> Result<()> {
        self.stage.start_flood()?;
        let at = self
            .wait(Act::Flood, async |story| {
                let first = story
                    .stage
                    .flood
                    .as_ref()
                    .and_then(|flood| flood.seconds().first().cloned());
                Ok(first.map_or_else(
                    || Look::NotYet("no second of it is over".to_owned()),
                    |first| Look::Over(first.at),
                ))
            })
            .await?;
        self.notes.flood_at = Some(at);
        let source = self
            .stage
            .flood_source()
            .map(|source| source.to_string())
            .unwrap_or_default();
        self.tell(
            Act::Flood,
            &format!(
                "{source} sends {} checkouts/s, far more than web can do",
                self.stage.flood_rate()
            ),
        )
    }

    async fn burn(&mut self) -> Result<()> {
        let (rate, window, bad) = self
            .wait(Act::Burn, async |story| {
                let slo = story.stage.stack.slo().await?;
                let Some(tier) = slo.tiers.iter().find(|tier| tier.severity == Severity::Page) else {
                    bail!("the objective has no tier that pages");
                };
                if tier.burn_rate_short > tier.threshold.value() {
                    return Ok(Look::Over((tier.burn_rate_short, tier.short, slo.counts.bad)));
                }
                Ok(Look::NotYet(format!(
                    "it burns {} over {} s",
                    tier.burn_rate_short,
                    tier.short.as_secs()
                )))
            })
            .await?;
        let (rate, window) = (rate.round_dp(1), window.as_secs());
        self.tell(
            Act::Burn,
            &format!(
                "web's budget burns at {rate} times its pace over {window} s: {} bad so far",
                thousands(bad)
            ),
        )
    }

    async fn alert(&mut self) -> Result<()> {
        let alert = self
            .wait(Act::Alert, async |story| {
                let alerts = story.stage.stack.alerts().await?;
                let page = alerts.into_iter().find(|alert| alert.severity == Severity::Page);
                Ok(match page {
                    Some(alert) if alert.fired_at.is_some() => Look::Over(alert),
                    Some(alert) => Look::NotYet(format!("its alert is {}", alert.state)),
                    None => {
                        let slo = story.stage.stack.slo().await?;
                        let burns = slo
                            .tiers
                            .iter()
                            .map(|t| format!("{} {}/{}", t.name, t.burn_rate_long, t.burn_rate_short));
                        Look::NotYet(format!(
                            "no alert is open; burn rates long/short: {}",
                            burns.collect::<Vec<_>>().join(", ")
                        ))
                    }
                })
            })
            .await?;
        self.notes.alert = Some(alert.id);
        self.notes.fired_at = alert.fired_at;
        let after = self.after_flood(alert.fired_at);
        let burn = alert.evidence.burn_rate_long.round_dp(1);
        let seconds = alert.evidence.long.length().num_seconds();
        self.tell(
            Act::Alert,
            &format!(
                "{} fires {after} after the flood began: burn rate {burn} over {seconds} s",
                alert.tier
            ),
        )
    }

    async fn limit(&mut self) -> Result<()> {
        let id = self.notes.alert.context("no alert was seen")?;
        let live = self
            .wait(Act::Limit, async |story| {
                if let Some(live) = story.notes.limit.as_ref().filter(|live| live.dropped > 0) {
                    return Ok(Look::Over(live.clone()));
                }
                let others = story.stage.stack.limits().await?.len();
                let run = story.stage.stack.run(id).await?.map_or_else(
                    || "no run was queued".to_owned(),
                    |detail| {
                        let reason = detail
                            .run
                            .reason
                            .map(|reason| format!(" ({reason})"))
                            .unwrap_or_default();
                        let errors = detail.steps.iter().filter_map(|step| step.error.as_deref());
                        format!(
                            "its run is {}{reason} {}",
                            detail.run.state,
                            errors.collect::<Vec<_>>().join("; ")
                        )
                    },
                );
                Ok(Look::NotYet(format!(
                    "{run}; {others} limits stand on web, none of them has dropped the flood's packets"
                )))
            })
            .await?;
        self.notes.limited_at = Some(Utc::now());
        let lasts = (live.limit.expires_at - Utc::now()).num_seconds();
        let (source, rate, mode) = (live.limit.source, live.limit.rate_per_second, live.mode);
        self.tell(
            Act::Limit,
            &format!(
                "XDP ({mode}) lets {source} send {rate}/s to web, for {lasts} s at most; it drops already"
            ),
        )
    }

    async fn page(&mut self) -> Result<()> {
        let record = self
            .wait(Act::Page, async |story| {
                let mut accepted = story.stage.pager.accepted().into_iter();
                Ok(accepted
                    .find(|record| record.event.action == Action::Trigger)
                    .map_or_else(
                        || {
                            let refused = story.stage.pager.refused();
                            Look::NotYet(format!(
                                "the pager accepted nothing and refused {}: {}",
                                refused.len(),
                                refused.join("; ")
                            ))
                        },
                        Look::Over,
                    ))
            })
            .await?;
        let Record { at, event } = record;
        let after = self.after_flood(Some(at));
        self.notes.dedup_key = Some(event.dedup_key);
        self.tell(
            Act::Page,
            &format!(
                "the pager got, {after} after the flood began: \"{}\" ({})",
                event.summary, event.severity
            ),
        )
    }

    /// Customers are served again while the flood still tries.
    async fn recovery(&mut self) -> Result<()> {
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
        self.tell(Act::Recovery, &format!("customers are served again, {after} after the flood began ({share}, p99 {p99}); the flood goes on"))
    }

    async fn resolved(&mut self) -> Result<()> {
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
            &format!("the alert ended {after} after the flood began, and the pager was told"),
        )?;
        if let Some(flood) = self.stage.flood.take() {
            self.notes.flood = flood.end().await?;
        }
        self.terminal.tell("", "the flood gives up")
    }

    /// The limit is gone by itself, and its run has come to its end.
    async fn release(&mut self) -> Result<()> {
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
    async fn calm(&mut self) -> Result<()> {
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

    fn tell(&mut self, act: Act, what: &str) -> Result<()> {
        self.terminal.tell(act.name(), what)
    }

    /// How long after the flood's beginning, in words.
    pub(super) fn after_flood(&self, at: Option<DateTime<Utc>>) -> String {
        match (at, self.notes.flood_at) {
            (Some(at), Some(flood_at)) => format!("{:.1} s", (at - flood_at).as_seconds_f64()),
            _ => "-".to_owned(),
        }
    }
}
