//! The incident in numbers, as far as it was seen.

use std::time::Duration;

use anyhow::Result;
use rust_decimal::Decimal;

use super::Story;
use crate::demo::figures::{Figures, thousands};
use crate::demo::load::Second;
use crate::demo::receiver::Action;

/// The customers' first seconds are about opening connections, and are in no column.
const WARM_UP_SECONDS: usize = 5;

impl Story<'_> {
    pub(super) async fn sum_up(&mut self) -> Result<()> {
        let lines = [
            format!(
                "time to detect     {:>9}   flood's first request to alert",
                self.after_flood(self.notes.fired_at)
            ),
            format!(
                "time to mitigate   {:>9}   flood's first request to customers served well, flood going on",
                self.after_flood(self.notes.recovered_at)
            ),
            self.budget().await?,
            String::new(),
        ];
        self.terminal.line("")?;
        for line in lines.iter().chain(&self.customers()).chain(&self.enforcement()) {
            self.terminal.line(line)?;
        }
        self.terminal.line("")
    }

    async fn budget(&self) -> Result<String> {
        let slo = self.stage.stack.slo().await?;
        let spent = ((Decimal::ONE - slo.budget_remaining) * Decimal::ONE_HUNDRED).round();
        let target = (slo.target.ratio() * Decimal::ONE_HUNDRED).normalize();
        Ok(format!(
            "budget spent       {:>7} %   {} of {} requests were bad; {} allows {} ({target} % over {} min)",
            spent,
            thousands(slo.counts.bad),
            thousands(slo.counts.total()),
            slo.name,
            slo.budget_total_events.round(),
            slo.period.as_secs() / 60,
        ))
    }

    fn customers(&self) -> [String; 4] {
        let seconds = self.stage.honest.seconds();
        let flood_at = self.notes.flood_at;
        let recovered_at = self.notes.recovered_at;
        // A second that the flood began in belongs to it.
        let began = |second: &&Second| flood_at.is_some_and(|at| second.at + Duration::from_secs(1) > at);
        let recovered = |second: &&Second| recovered_at.is_some_and(|at| second.at >= at);
        let before = Figures::of(
            seconds
                .iter()
                .skip(WARM_UP_SECONDS)
                .filter(|second| !began(second)),
        );
        let during = Figures::of(
            seconds
                .iter()
                .filter(|second| began(second) && !recovered(second)),
        );
        let after = Figures::of(seconds.iter().filter(recovered));
        let row = |name: &str, text: fn(&Figures) -> String| {
            format!(
                "{name:<18} {:>9} {:>9} {:>9}",
                text(&before),
                text(&during),
                text(&after)
            )
        };
        [
            format!(
                "{:<18} {:>9} {:>9} {:>9}",
                "customers", "before", "during", "after"
            ),
            row("  served in time", Figures::share_text),
            row("  p99 of answers", Figures::p99_text),
            row("  requests", |figures| thousands(figures.sent)),
        ]
    }

    fn enforcement(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        if let Some(live) = &self.notes.limit {
            lines.push(format!(
                "limiter            {:>9} packets of {} dropped, {} passed",
                thousands(live.dropped),
                live.limit.source,
                thousands(live.passed),
            ));
        }
        let flood = Figures::of(&self.notes.flood);
        if flood.sent > 0 {
            lines.push(format!(
                "flood              {:>9} requests sent, {} answered",
                thousands(flood.sent),
                thousands(flood.ok + flood.late),
            ));
        }
        let told = self.stage.pager.accepted();
        let count = |action: Action| told.iter().filter(|record| record.event.action == action).count();
        lines.push(format!(
            "pages              {:>9} received, {} resolved, {} refused",
            count(Action::Trigger),
            count(Action::Resolve),
            self.stage.pager.refused().len(),
        ));
        lines.push(format!(
            "dashboard          http://{} (with `--keep` it stays up)",
            self.stage.stack.address()
        ));
        lines
    }
}
