//! The acts by name, and what their telling has in common. What each does, what must be seen for it to be
//! over, and what is told of it, is in `incident` and `recovery`.

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{Act, Story};

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
            Act::Hold => self.hold().await,
            Act::Release => self.release().await,
            Act::Calm => self.calm().await,
        }
    }

    pub(super) fn tell(&mut self, act: Act, what: &str) -> Result<()> {
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
