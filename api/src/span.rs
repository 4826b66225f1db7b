//! A span of time in a query, in the engine's spelling: `90s`, `15m`, `30d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(Duration);

impl Span {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub fn get(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = slo_engine::duration::parse(&text).map_err(serde::de::Error::custom)?;
        // Answers are in steps of whole seconds.
        if span < Duration::from_secs(1) {
            return Err(serde::de::Error::custom(format!(
                "`{text}` is shorter than a second"
            )));
        }
        Ok(Self(span))
    }
}
