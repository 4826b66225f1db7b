//! Acts one to six: from calm to a limit in the kernel and a page at the pager.

use anyhow::{Context as _, Result, bail};
use chrono::Utc;
use slo_engine::objective::Severity;

use super::{Act, Look, Story};
use crate::demo::figures::{Figures, thousands};
use crate::demo::receiver::{Action, Record};

/// Seconds of calm that the story begins with.
const STEADY_SECONDS: usize = 30;
/// Of these, the last so many must have been good: the first ones still open connections.
const STEADY_GOOD_SECONDS: usize = 10;
/// Of what the customers sent, the kernel must have counted at least this share a moment later.
const COUNTED_SHARE: f64 = 0.9;

impl Story<'_> {
    pub(super) async fn steady(&mut self) -> Result<()> {
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

    pub(super) async fn flood(&mut self) -> Result<()> {
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
                "{source} sends {} checkouts/s, more than web can do; + counts from its start, a moment ago",
                self.stage.flood_rate()
            ),
        )
    }

    pub(super) async fn burn(&mut self) -> Result<()> {
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

    pub(super) async fn alert(&mut self) -> Result<()> {
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
        let burning = alert
            .evidence
            .burning()
            .context("the alert stands on no burn rate")?;
        let burn = burning.burn_rate_long.round_dp(1);
        let seconds = burning.long.length().num_seconds();
        self.tell(
            Act::Alert,
            &format!(
                "+{after}  {} fires: burn rate {burn} over {seconds} s",
                alert.tier
            ),
        )
    }

    pub(super) async fn limit(&mut self) -> Result<()> {
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
        let after = self.after_flood(self.notes.limited_at);
        let lasts = (live.limit.expires_at - Utc::now()).num_seconds();
        let (source, rate, mode) = (live.limit.source, live.limit.rate_per_second, live.mode);
        self.tell(
            Act::Limit,
            &format!(
                "+{after}  XDP ({mode}) lets {source} send {rate}/s to web, for {lasts} s at most, and drops the rest"
            ),
        )
    }

    pub(super) async fn page(&mut self) -> Result<()> {
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
            &format!("+{after}  the pager got: {} ({})", event.summary, event.severity),
        )
    }
}
