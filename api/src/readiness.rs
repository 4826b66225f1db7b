//! Whether this process can do its work. The binary knows; this crate only says it.

use crate::views::{CheckView, ReadinessView};

/// The binary holds the sender of a `watch` channel of this and updates it as parts come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub database: Part,
    pub probes: Part,
    pub definitions: Part,
    /// Whether objectives are judged: without it nobody is paged.
    pub evaluation: Part,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Ready,
    /// Not wanted here: `serve` has no probes. Does not make the process unready.
    Absent {
        reason: String,
    },
    /// It works, but not all of it can: a person should look. Does not make the process unready.
    Lacking {
        reason: String,
    },
    NotReady {
        reason: String,
    },
}

impl Readiness {
    /// What a process says while it starts. Its parts come in this order.
    pub fn starting() -> Self {
        let waits = |reason: &str| Part::NotReady {
            reason: reason.to_owned(),
        };
        Self {
            database: waits("the database is being opened"),
            probes: waits("the probes are attached when the database is there"),
            definitions: waits("the definitions are taken up when the probes are attached"),
            evaluation: waits("objectives are judged when everything else is there"),
        }
    }

    /// What a process says that has just started.
    pub fn ready() -> Self {
        Self {
            database: Part::Ready,
            probes: Part::Ready,
            definitions: Part::Ready,
            evaluation: Part::Ready,
        }
    }
}

impl From<&Readiness> for ReadinessView {
    fn from(readiness: &Readiness) -> Self {
        let checks: Vec<CheckView> = [
            ("database", &readiness.database),
            ("probes", &readiness.probes),
            ("definitions", &readiness.definitions),
            ("evaluation", &readiness.evaluation),
        ]
        .into_iter()
        .map(|(name, part)| {
            let (ready, reason) = match part {
                Part::Ready => (true, None),
                Part::Absent { reason } | Part::Lacking { reason } => (true, Some(reason.clone())),
                Part::NotReady { reason } => (false, Some(reason.clone())),
            };
            CheckView {
                name: name.to_owned(),
                ready,
                reason,
            }
        })
        .collect();
        Self {
            ready: checks.iter().all(|check| check.ready),
            checks,
        }
    }
}
