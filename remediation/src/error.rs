//! What can go wrong around an effect. What goes wrong *in* one is a row, not an error.

use slo_engine::EngineError;
use slo_engine::measurement::{NameError, UnknownWord};

use crate::limits::LimitsError;
use crate::run::{IllegalRunEvent, IllegalStepEvent, RunId};

/// Why nothing could be decided, done or recorded. Trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Limits(#[from] LimitsError),
    #[error("engine failed")]
    Engine(#[from] EngineError),
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    #[error("run {0} is over")]
    RunIsOver(RunId),
    #[error("stored row cannot be read")]
    Stored(#[from] Stored),
    #[error("defect in the life of a run")]
    Run(#[from] IllegalRunEvent),
    #[error("defect in the life of a step")]
    Step(#[from] IllegalStepEvent),
    #[error("build the HTTP client")]
    Http(#[from] reqwest::Error),
}

/// A row that another release wrote, or someone changed by hand.
#[derive(Debug, thiserror::Error)]
pub enum Stored {
    #[error(transparent)]
    Word(#[from] UnknownWord),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("document does not have the expected shape")]
    Document(#[from] serde_json::Error),
    #[error("`{0}` is out of range")]
    Number(String),
}

macro_rules! through_stored {
    ($($source:ty),+) => {
        $(impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Self::Stored(source.into())
            }
        })+
    };
}
through_stored!(UnknownWord, NameError, serde_json::Error);

/// An error with all its causes, for a row or a line of the log.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_with_the_first_cause() {
        let error = Error::Limits(LimitsError::Failed("map is full".into()));
        assert_eq!(chain(&error), "limiter failed: map is full");
    }
}
