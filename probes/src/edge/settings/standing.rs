//! Which endpoints and ports the kernel counts under which ids, read and put back. What the ids mean stays written: they are
//! never given out again.

use std::collections::HashMap;

use probes_ebpf::wire::{Endpoint, Naming};

use super::{Raw, Registry};
use crate::agent::AgentError;

#[derive(Debug)]
pub(crate) struct Standing {
    endpoints: HashMap<Endpoint, Naming>,
    ports: HashMap<u32, u32>,
}

impl Registry {
    pub fn standing(&self) -> Result<Standing, AgentError> {
        let endpoints = self.endpoints.iter().map(|entry| {
            let (Raw(endpoint), Raw(naming)) = entry.map_err(AgentError::map("read", "ENDPOINTS"))?;
            Ok((endpoint, naming))
        });
        let ports = self
            .ports
            .iter()
            .map(|entry| entry.map_err(AgentError::map("read", "PORTS")));
        Ok(Standing {
            endpoints: endpoints.collect::<Result<_, AgentError>>()?,
            ports: ports.collect::<Result<_, AgentError>>()?,
        })
    }

    pub fn put_back(&mut self, standing: &Standing) -> Result<(), AgentError> {
        let now = self.standing()?;
        for endpoint in now.endpoints.keys() {
            if !standing.endpoints.contains_key(endpoint) {
                self.endpoints
                    .remove(&Raw(*endpoint))
                    .map_err(AgentError::map("write", "ENDPOINTS"))?;
            }
        }
        for (endpoint, naming) in &standing.endpoints {
            if now.endpoints.get(endpoint) != Some(naming) {
                self.endpoints
                    .insert(Raw(*endpoint), Raw(*naming), 0)
                    .map_err(AgentError::map("write", "ENDPOINTS"))?;
            }
        }
        for port in now.ports.keys() {
            if !standing.ports.contains_key(port) {
                self.ports
                    .remove(port)
                    .map_err(AgentError::map("write", "PORTS"))?;
            }
        }
        for (port, id) in &standing.ports {
            if now.ports.get(port) != Some(id) {
                self.ports
                    .insert(port, id, 0)
                    .map_err(AgentError::map("write", "PORTS"))?;
            }
        }
        self.raise_generation()
    }
}
