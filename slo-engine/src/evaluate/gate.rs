//! How much evidence it takes before what burns fires.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::objective::Severity;

/// What the chance of counts like these may be at most, if errors occurred as often as the threshold allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceGate {
    /// Ratios alone decide, as in the Workbook.
    Off,
    At {
        page: Decimal,
        ticket: Decimal,
    },
}

impl EvidenceGate {
    /// What is not stated is as by default.
    #[must_use]
    pub fn stated(page: Option<Decimal>, ticket: Option<Decimal>) -> Self {
        Self::At {
            page: page.unwrap_or(Decimal::new(1, 2)).normalize(),
            ticket: ticket.unwrap_or(Decimal::new(5, 2)).normalize(),
        }
    }

    /// `None`: no evidence is asked for.
    pub(super) fn alpha(self, severity: Severity) -> Option<f64> {
        match (self, severity) {
            (Self::Off, _) => None,
            (Self::At { page, .. }, Severity::Page) => page.to_f64(),
            (Self::At { ticket, .. }, Severity::Ticket) => ticket.to_f64(),
        }
    }
}

impl Default for EvidenceGate {
    fn default() -> Self {
        Self::stated(None, None)
    }
}

/// As OpenSLO's annotation spells it, and as it is stored.
impl fmt::Display for EvidenceGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |chance: Decimal| (chance * Decimal::ONE_HUNDRED).normalize();
        match *self {
            Self::Off => f.write_str("off"),
            Self::At { page, ticket } => {
                write!(f, "page {}%, ticket {}%", percent(page), percent(ticket))
            }
        }
    }
}

/// Why a text is no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `off` nor some of `page 1%, ticket 5%`")]
pub struct NoEvidenceGate(pub String);

impl FromStr for EvidenceGate {
    type Err = NoEvidenceGate;

    fn from_str(text: &str) -> Result<Self, NoEvidenceGate> {
        let wrong = || NoEvidenceGate(text.to_owned());
        if text.trim() == "off" {
            return Ok(Self::Off);
        }
        let (mut page, mut ticket) = (None, None);
        for part in text.split(',') {
            let mut words = part.split_whitespace();
            let (Some(severity), Some(chance), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong());
            };
            let place = match severity.parse() {
                Ok(Severity::Page) => &mut page,
                Ok(Severity::Ticket) => &mut ticket,
                Err(_) => return Err(wrong()),
            };
            let percent = chance
                .strip_suffix('%')
                .and_then(|number| Decimal::from_str_exact(number).ok())
                .and_then(|percent| percent.checked_div(Decimal::ONE_HUNDRED));
            if percent.is_none() || place.is_some() {
                return Err(wrong());
            }
            *place = percent;
        }
        Ok(Self::stated(page, ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_reads_back_from_its_spelling_and_fills_in_what_is_left_out() {
        for (text, spelled) in [
            ("off", "off"),
            ("page 1%, ticket 5%", "page 1%, ticket 5%"),
            ("ticket 10%", "page 1%, ticket 10%"),
            ("ticket 0.50%,page 0.001%", "page 0.001%, ticket 0.5%"),
        ] {
            let gate: EvidenceGate = text.parse().unwrap();
            assert_eq!(gate.to_string(), spelled);
            assert_eq!(spelled.parse(), Ok(gate));
        }
        for wrong in [
            "",
            "on",
            "page",
            "page 1",
            "page 1% 5%",
            "page 1%, page 2%",
            "loud 1%",
        ] {
            assert_eq!(
                wrong.parse::<EvidenceGate>(),
                Err(NoEvidenceGate(wrong.to_owned()))
            );
        }
    }
}
