//! The life of a run and of its steps.
//!
//! [`RunState::next`] and [`StepState::next`] are the only places that say what may follow what.

use std::fmt;

use crate::words::words;

/// Identity of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

words!(
    /// Whether a runbook acts or only says what it would do.
    Mode, "mode", { Active => "active", Shadow => "shadow" }
);

words!(
    /// Where a run is.
    RunState, "run state", {
        /// Decided, nothing done yet.
        Planned => "planned",
        /// Steps are being done.
        Applying => "applying",
        /// Everything is done; does it help?
        Verifying => "verifying",
        /// What was done stands, until its time to live ends or the alert resolves.
        Holding => "holding",
        /// What was done is being undone.
        Releasing => "releasing",
        /// It helped, and is over.
        Done => "done",
        /// A step could not be done; what was done before it was undone.
        Failed => "failed",
        /// It did not help and was undone.
        Reverted => "reverted",
        /// Its time ended without knowing whether it helped.
        Expired => "expired",
        /// Shadow mode: written down, not done.
        Shadowed => "shadowed",
        /// A guard said no.
        Refused => "refused",
        /// A person, or the alert's end, stopped it.
        Cancelled => "cancelled",
    }
);

words!(
    /// What verifying found.
    Verdict, "verdict", {
        Recovered => "recovered",
        NoEffect => "no_effect",
        Worse => "worse",
        /// Too little was measured to say. Never a success.
        Unknown => "unknown",
    }
);

words!(
    /// How a run ends once what it did is undone.
    Ending, "ending", {
        Done => "done",
        Failed => "failed",
        Reverted => "reverted",
        Expired => "expired",
        Cancelled => "cancelled",
    }
);

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEvent {
    /// The first step was claimed.
    Started,
    /// A guard said no.
    Refused,
    /// All steps of a shadow run are written down.
    Shadowed,
    /// Every step is done and some of them acted.
    Acted,
    /// Every step is done and none of them acted: nobody stood out, or the run only pages.
    NothingActed,
    Verdict(Verdict),
    /// What was done must be undone, and the run ends so.
    Undo(Ending),
    /// Nothing is left that stands.
    NothingStands(Ending),
}

/// An event that cannot happen in a state: a defect of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run cannot go on from `{state}` with {event:?}")]
pub struct IllegalRunEvent {
    pub state: RunState,
    pub event: RunEvent,
}

impl From<Ending> for RunState {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::Done,
            Ending::Failed => Self::Failed,
            Ending::Reverted => Self::Reverted,
            Ending::Expired => Self::Expired,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

impl Verdict {
    /// How a run with this verdict ends.
    #[must_use]
    pub fn ending(self) -> Ending {
        match self {
            Self::Recovered => Ending::Done,
            Self::NoEffect | Self::Worse => Ending::Reverted,
            Self::Unknown => Ending::Expired,
        }
    }

    /// Whether a person must be told.
    #[must_use]
    pub fn escalates(self) -> bool {
        self != Self::Recovered
    }
}

impl RunState {
    /// Over: nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        use RunState::{Cancelled, Done, Expired, Failed, Refused, Reverted, Shadowed};
        matches!(
            self,
            Done | Failed | Reverted | Expired | Shadowed | Refused | Cancelled
        )
    }

    /// What follows, or that it is no event of this state.
    ///
    /// # Errors
    /// When the event cannot happen in this state.
    pub fn next(self, event: RunEvent) -> Result<Self, IllegalRunEvent> {
        use RunState::{Applying, Holding, Planned, Refused, Releasing, Shadowed, Verifying};
        match (self, event) {
            (Planned, RunEvent::Started) => Ok(Applying),
            (Planned, RunEvent::Refused) => Ok(Refused),
            (Planned | Applying, RunEvent::Shadowed) => Ok(Shadowed),
            (Applying, RunEvent::Acted) => Ok(Verifying),
            // A run that only pages stays open until its alerts resolve.
            (Planned | Applying, RunEvent::NothingActed) => Ok(Holding),
            (Verifying, RunEvent::Verdict(Verdict::Recovered | Verdict::Unknown)) => Ok(Holding),
            (Verifying, RunEvent::Verdict(Verdict::NoEffect | Verdict::Worse)) => Ok(Releasing),
            (Planned | Applying | Verifying | Holding | Releasing, RunEvent::Undo(_)) => Ok(Releasing),
            (Planned | Applying | Holding | Releasing, RunEvent::NothingStands(ending)) => Ok(ending.into()),
            (state, event) => Err(IllegalRunEvent { state, event }),
        }
    }
}

words!(
    /// What a step does.
    StepKind, "step kind", {
        XdpLimit => "xdp_limit",
        Page => "page",
        Scale => "scale",
        /// Written by this crate after the last step that acts.
        Verify => "verify",
    }
);

words!(
    /// Where a step is.
    StepState, "step state", {
        Planned => "planned",
        /// The intent is committed; the effect may or may not have happened.
        Applying => "applying",
        Applied => "applied",
        /// The effect is being undone.
        Releasing => "releasing",
        Released => "released",
        Failed => "failed",
        /// There was nothing to do, or no longer.
        Skipped => "skipped",
        Shadowed => "shadowed",
    }
);

/// What happens to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEvent {
    Intended,
    Effected,
    NothingToDo,
    WrittenDown,
    GaveUp,
    Undo,
    Undone,
}

/// An event that cannot happen in a state: a defect of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step cannot go on from `{state}` with {event:?}")]
pub struct IllegalStepEvent {
    pub state: StepState,
    pub event: StepEvent,
}

impl StepState {
    /// What follows, or that it is no event of this state.
    ///
    /// # Errors
    /// When the event cannot happen in this state.
    pub fn next(self, event: StepEvent) -> Result<Self, IllegalStepEvent> {
        use StepState::{Applied, Applying, Failed, Planned, Released, Releasing, Shadowed, Skipped};
        match (self, event) {
            // Twice: an intent without a result is taken up again.
            (Planned | Applying, StepEvent::Intended) => Ok(Applying),
            (Applying, StepEvent::Effected) => Ok(Applied),
            (Planned | Applying, StepEvent::NothingToDo) => Ok(Skipped),
            (Planned, StepEvent::WrittenDown) => Ok(Shadowed),
            (Planned | Applying | Releasing, StepEvent::GaveUp) => Ok(Failed),
            // An intent may have taken effect, and a step that gave up may have done half.
            (Applying | Applied | Releasing | Failed, StepEvent::Undo) => Ok(Releasing),
            (Releasing, StepEvent::Undone) => Ok(Released),
            (state, event) => Err(IllegalStepEvent { state, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_word_reads_back() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>().unwrap(), *state);
        }
        for state in StepState::ALL {
            assert_eq!(state.as_str().parse::<StepState>().unwrap(), *state);
        }
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse::<Verdict>().unwrap(), *verdict);
        }
        assert!("won".parse::<Verdict>().is_err());
    }

    #[test]
    fn nothing_follows_a_final_state() {
        let events = [
            RunEvent::Started,
            RunEvent::Refused,
            RunEvent::Shadowed,
            RunEvent::Acted,
            RunEvent::NothingActed,
            RunEvent::Verdict(Verdict::Recovered),
            RunEvent::Undo(Ending::Done),
            RunEvent::NothingStands(Ending::Done),
        ];
        for state in RunState::ALL.iter().filter(|state| state.is_final()) {
            for event in events {
                assert!(state.next(event).is_err(), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn unknown_is_never_a_success() {
        assert_ne!(Verdict::Unknown.ending(), Ending::Done);
        assert!(Verdict::Unknown.escalates());
    }

    #[test]
    fn a_limit_that_helps_goes_through_every_state() {
        let mut state = RunState::Planned;
        for (event, expected) in [
            (RunEvent::Started, RunState::Applying),
            (RunEvent::Acted, RunState::Verifying),
            (RunEvent::Verdict(Verdict::Recovered), RunState::Holding),
            (RunEvent::Undo(Ending::Done), RunState::Releasing),
            (RunEvent::NothingStands(Ending::Done), RunState::Done),
        ] {
            state = state.next(event).unwrap();
            assert_eq!(state, expected);
        }
    }
}
