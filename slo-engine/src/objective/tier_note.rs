//! What became of a default tier that does not suit a target and a period.

use std::fmt;

use rust_decimal::Decimal;

use super::{BurnRate, TierName};

/// A default tier that is not as the defaults say, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierNote {
    pub tier: TierName,
    /// What the default came to for this period.
    pub computed: BurnRate,
    pub change: TierChange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierChange {
    /// Even a total outage burns no faster than this, so the tier could never fire.
    LeftOutUnreachable { max_burn_rate: Decimal },
    /// The tier's long window is longer than the period.
    LeftOutLongerThanPeriod,
    /// Below 1 it would fire while the objective is met, so it was raised to 1.
    ClampedToOne,
}

impl fmt::Display for TierNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tier,
            computed,
            change,
        } = self;
        match change {
            TierChange::LeftOutUnreachable { max_burn_rate } => write!(
                f,
                "default tier `{tier}` left out: its burn rate {computed} cannot be exceeded, a total outage burns at {}",
                max_burn_rate.round_dp(4).normalize()
            ),
            TierChange::LeftOutLongerThanPeriod => {
                write!(
                    f,
                    "default tier `{tier}` left out: its window is longer than the period"
                )
            }
            TierChange::ClampedToOne => write!(
                f,
                "default tier `{tier}` raised from burn rate {} to 1: below 1 it fires while the objective is met",
                computed.value().round_dp(4).normalize()
            ),
        }
    }
}
