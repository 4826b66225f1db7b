//! What is counted by, kept and put back: a set of definitions that cannot be taken up leaves no trace in the kernel.

use super::{Agent, AgentError};
use crate::{edge::settings, names::Names};

/// What an agent counts by at some time.
#[derive(Debug)]
pub struct Standing {
    names: Names,
    kernel: settings::Standing,
}

impl Agent {
    /// What is counted by now, for [`Agent::put_back`]. Before the first call of [`Agent::watch`], that is what the
    /// agent before this one left.
    pub fn standing(&self) -> Result<Standing, AgentError> {
        Ok(Standing {
            names: self.names.clone(),
            kernel: self.registry.standing()?,
        })
    }

    /// Counts by that again.
    pub fn put_back(&mut self, standing: Standing) -> Result<(), AgentError> {
        self.names = standing.names;
        self.registry.put_back(&standing.kernel)
    }
}
