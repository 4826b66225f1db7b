//! Which settings each endpoint has, written where the kernel reads it.
//!
//! In: services with their routes and thresholds, and the endpoints that are theirs. Out: ids. An
//! id never changes meaning and is never reused while the pins live, so that a counter found after
//! a restart, or after a rename, still says what it counted.

use std::collections::{BTreeMap, HashMap};

use aya::maps::lpm_trie;
use probes_ebpf::wire::{
    Endpoint, LONG_POLL, NAME_MAX, Naming, ROUTE_TEXT, RouteText, SETTINGS_MAX, Settings, THRESHOLDS, asks,
    clock, control, is_long_poll,
};
use slo_engine::{
    measurement::{Clock, Route, ServiceName},
    service::LongPoll,
};

mod standing;

pub(crate) use standing::Standing;

use super::{
    layout::Directories,
    table::{Control, Counters, Endpoints, Ports, Raw, Routes, SettingsTable, open},
};
use crate::{
    agent::AgentError,
    overhead::{Modes, Probe},
};

/// Ids from here on are for services that somebody defined.
const DISCOVERED_MAX: u32 = SETTINGS_MAX - 1024;

/// Everything that counters of one id have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Definition {
    pub service: ServiceName,
    /// Only clocks the kernel runs.
    pub thresholds: Vec<(Clock, u64)>,
    pub timeout_ns: u64,
    /// Sorted; the id of a route is its place here, from 1.
    pub routes: Vec<Route>,
    /// Of these, sorted too.
    pub long_poll: LongPoll,
}

impl Definition {
    /// The route that the kernel counted under `id`.
    pub fn route(&self, id: u16) -> Route {
        let found = usize::from(id & !LONG_POLL).checked_sub(1);
        let found = found.and_then(|place| self.routes.get(place));
        found.cloned().unwrap_or_else(Route::other)
    }

    pub fn asks_for_last_byte(&self) -> bool {
        self.thresholds.iter().any(|(clock, _)| *clock == Clock::LastByte)
    }

    /// Every route with its id.
    pub fn numbered(&self) -> impl Iterator<Item = (u16, &Route)> {
        (1..).zip(&self.routes).map(|(number, route)| {
            let is_long_poll = matches!(&self.long_poll, LongPoll::Routes(routes) if routes.contains(route));
            (number | if is_long_poll { LONG_POLL } else { 0 }, route)
        })
    }

    /// Whether requests counted under the route's `id` are meant to wait.
    pub fn is_long_poll(&self, id: u16) -> bool {
        self.long_poll == LongPoll::All || is_long_poll(id)
    }
}

/// What the ids of one counter directory mean.
#[derive(Debug, Default)]
pub(crate) struct Definitions(BTreeMap<u32, Definition>);

impl Definitions {
    pub fn read(settings: &SettingsTable, routes: &Routes) -> Result<Self, AgentError> {
        let mut by_id: BTreeMap<u32, BTreeMap<u16, Route>> = BTreeMap::new();
        for entry in routes.iter() {
            let (key, route) = entry.map_err(AgentError::map("read", "ROUTES"))?;
            let data = key.data();
            if let (Some(text), Ok(id)) = (route_of(&data.0, key.prefix_len()), u16::try_from(route)) {
                by_id.entry(data.0.settings).or_default().insert(id, text);
            }
        }
        let mut found = BTreeMap::new();
        for id in 1..SETTINGS_MAX {
            let record = settings
                .get(&id, 0)
                .map_err(AgentError::map("read", "SETTINGS"))?;
            if record.0.name[0] == 0 {
                continue;
            }
            match definition_of(&record.0, by_id.remove(&id).unwrap_or_default()) {
                Some(definition) => {
                    found.insert(id, definition);
                }
                None => tracing::warn!(id, "settings in a pinned map cannot be read"),
            }
        }
        Ok(Self(found))
    }

    pub fn get(&self, id: u32) -> Option<&Definition> {
        self.0.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Definition)> {
        self.0.iter().map(|(id, definition)| (*id, definition))
    }

    fn id_of(&self, definition: &Definition) -> Option<u32> {
        // The newest wins, though two ids never have the same meaning unless an agent was killed.
        self.0
            .iter()
            .rev()
            .find(|(_, known)| *known == definition)
            .map(|(id, _)| *id)
    }
}

/// Writes names to where the kernel looks.
pub(crate) struct Registry {
    settings: SettingsTable,
    routes: Routes,
    endpoints: Endpoints,
    ports: Ports,
    control: Control,
    pub definitions: Definitions,
    /// Ids up to this one are taken, here or by counters of another layout: a request in flight
    /// over an upgrade still carries one of those.
    last_id: u32,
}

impl Registry {
    /// `earlier` are the counters of other layouts: what they named keeps its name from the first
    /// packet on.
    pub fn open(directories: &Directories, earlier: &[(Counters, Definitions)]) -> Result<Self, AgentError> {
        let settings: SettingsTable = open!(directories.counters, "SETTINGS", Array)?;
        let routes: Routes = open!(directories.counters, "ROUTES", LpmTrie)?;
        let definitions = Definitions::read(&settings, &routes)?;
        let taken = earlier.iter().map(|(_, known)| known).chain([&definitions]);
        let last_id = taken
            .filter_map(|known| known.0.keys().next_back().copied())
            .max()
            .unwrap_or(0);
        let is_new = definitions.0.is_empty();
        let mut registry = Self {
            settings,
            routes,
            endpoints: open!(directories.counters, "ENDPOINTS", HashMap)?,
            ports: open!(directories.counters, "PORTS", HashMap)?,
            control: open!(directories.source, "CONTROL", Array)?,
            definitions,
            last_id,
        };
        for (_, known) in earlier {
            registry.adopt(known)?;
        }
        if is_new {
            for (counters, _) in earlier {
                registry.inherit(&counters.endpoints)?;
            }
        }
        Ok(registry)
    }

    /// Takes over the ids of another layout as they are: while its programs are replaced one by one,
    /// connections carry them from maps to maps, and their thresholds have to be there, too.
    fn adopt(&mut self, known: &Definitions) -> Result<(), AgentError> {
        for (id, definition) in &known.0 {
            if self.definitions.get(*id).is_none() {
                self.write(*id, definition)?;
            }
        }
        Ok(())
    }

    fn inherit(&mut self, endpoints: &Endpoints) -> Result<(), AgentError> {
        for entry in endpoints.iter() {
            let (endpoint, naming) = entry.map_err(AgentError::map("read", "ENDPOINTS"))?;
            // As it stands: what is counted of it without settings is its first's.
            if self.definitions.get(naming.0.current).is_some() {
                self.endpoints
                    .insert(endpoint, naming, 0)
                    .map_err(AgentError::map("write", "ENDPOINTS"))?;
            }
        }
        Ok(())
    }

    /// The id of a definition: the one it had before, or a new one.
    pub fn id(&mut self, definition: &Definition) -> Result<u32, AgentError> {
        self.id_below(SETTINGS_MAX, definition)
    }

    /// As [`Registry::id`], for what only discovery named: whoever listens on one port after
    /// another must not use up the ids of definitions.
    pub fn discovered_id(&mut self, definition: &Definition) -> Result<u32, AgentError> {
        self.id_below(DISCOVERED_MAX, definition)
    }

    fn id_below(&mut self, most: u32, definition: &Definition) -> Result<u32, AgentError> {
        if let Some(id) = self.definitions.id_of(definition) {
            return Ok(id);
        }
        let id = self.last_id + 1;
        if id >= most {
            return Err(AgentError::SettingsFull {
                service: definition.service.clone(),
            });
        }
        self.write(id, definition)?;
        self.last_id = id;
        Ok(id)
    }

    fn write(&mut self, id: u32, definition: &Definition) -> Result<(), AgentError> {
        self.write_routes(id, definition)?;
        // The record comes last: an id without one means nothing.
        self.settings
            .set(id, Raw(record_of(definition)), 0)
            .map_err(AgentError::map("write", "SETTINGS"))?;
        self.definitions.0.insert(id, definition.clone());
        Ok(())
    }

    fn write_routes(&mut self, id: u32, definition: &Definition) -> Result<(), AgentError> {
        // An agent that was killed halfway may have left routes under this id.
        let failed = AgentError::map("read", "ROUTES");
        let stale: Vec<_> = self.routes.keys().collect::<Result<_, _>>().map_err(failed)?;
        for key in stale.into_iter().filter(|key| key.data().0.settings == id) {
            self.routes
                .remove(&key)
                .map_err(AgentError::map("write", "ROUTES"))?;
        }
        for (number, route) in definition.numbered() {
            let Some((bits, text)) = text_of(id, route) else {
                continue;
            };
            let key = lpm_trie::Key::new(bits, Raw(text));
            self.routes
                .insert(&key, u32::from(number), 0)
                .map_err(AgentError::map("write", "ROUTES"))?;
        }
        Ok(())
    }

    /// Makes the kernel count endpoints as `wanted` says. Wildcards that are no longer wanted go;
    /// endpoints stay, because what was counted for them keeps its name.
    pub fn apply(
        &mut self,
        wanted: &HashMap<Endpoint, u32>,
        ports: &HashMap<u16, u32>,
    ) -> Result<(), AgentError> {
        let mut changed = false;
        let mut full = None;
        for (endpoint, id) in wanted {
            match self.name(*endpoint, *id) {
                Ok(is_new) => changed |= is_new,
                Err(error) => full = Some(error),
            }
        }
        let failed = AgentError::map("read", "ENDPOINTS");
        let known: Vec<_> = self.endpoints.keys().collect::<Result<_, _>>().map_err(failed)?;
        for key in known {
            let is_wildcard = key.0.port == 0 || (key.0.netns == 0 && key.0.cgroup == 0);
            if is_wildcard && !wanted.contains_key(&key.0) {
                self.endpoints
                    .remove(&key)
                    .map_err(AgentError::map("write", "ENDPOINTS"))?;
                changed = true;
            }
        }
        if changed {
            self.raise_generation()?;
        }
        self.apply_ports(ports)?;
        full.map_or(Ok(()), Err)
    }

    /// Drops the names of endpoints unless `keep` says otherwise; connections that know theirs keep it.
    /// Says how many are left.
    pub fn forget(&mut self, keep: impl Fn(&Endpoint) -> bool) -> Result<u64, AgentError> {
        let failed = AgentError::map("read", "ENDPOINTS");
        let known: Vec<_> = self.endpoints.keys().collect::<Result<_, _>>().map_err(failed)?;
        let mut left = 0;
        for key in known {
            if keep(&key.0) {
                left += 1;
                continue;
            }
            self.endpoints
                .remove(&key)
                .map_err(AgentError::map("write", "ENDPOINTS"))?;
        }
        Ok(left)
    }

    /// Gives one endpoint a name; says whether that is new to the kernel.
    pub fn name(&mut self, endpoint: Endpoint, id: u32) -> Result<bool, AgentError> {
        let naming = match self.endpoints.get(&Raw(endpoint), 0) {
            Ok(Raw(found)) if found.current == id => return Ok(false),
            Ok(Raw(found)) => Naming {
                current: id,
                first: found.first,
            },
            Err(_) => Naming {
                current: id,
                first: id,
            },
        };
        self.endpoints
            .insert(Raw(endpoint), Raw(naming), 0)
            .map_err(AgentError::map("write", "ENDPOINTS"))?;
        Ok(true)
    }

    /// Makes every connection look its settings up again. 0 is what new connections start from.
    pub fn raise_generation(&mut self) -> Result<(), AgentError> {
        let failed = AgentError::map("read", "CONTROL");
        let generation = self.control.get(&control::GENERATION, 0).map_err(failed)?;
        let next = match (generation + 1) & u64::from(u32::MAX) {
            0 => 1,
            next => next,
        };
        self.control
            .set(control::GENERATION, next, 0)
            .map_err(AgentError::map("write", "CONTROL"))
    }

    /// Tells the kernel which cgroup's packets it sees.
    pub fn set_within(&mut self, cgroup: u64) -> Result<(), AgentError> {
        self.control
            .set(control::WITHIN, cgroup, 0)
            .map_err(AgentError::map("write", "CONTROL"))
    }

    /// Tells the kernel how much to do for each request and each read.
    pub fn set_modes(&mut self, modes: Modes) -> Result<(), AgentError> {
        for (word, probe) in [(control::MODE, Probe::Requests), (control::READS, Probe::Reads)] {
            self.control
                .set(word, modes.of(probe), 0)
                .map_err(AgentError::map("write", "CONTROL"))?;
        }
        Ok(())
    }

    fn apply_ports(&mut self, wanted: &HashMap<u16, u32>) -> Result<(), AgentError> {
        let failed = AgentError::map("read", "PORTS");
        let known: Vec<u32> = self.ports.keys().collect::<Result<_, _>>().map_err(failed)?;
        for port in known {
            if !u16::try_from(port).is_ok_and(|port| wanted.contains_key(&port)) {
                self.ports
                    .remove(&port)
                    .map_err(AgentError::map("write", "PORTS"))?;
            }
        }
        for (port, id) in wanted {
            let port = u32::from(*port);
            if self.ports.get(&port, 0).ok() != Some(*id) {
                self.ports
                    .insert(port, *id, 0)
                    .map_err(AgentError::map("write", "PORTS"))?;
            }
        }
        Ok(())
    }
}

fn record_of(definition: &Definition) -> Settings {
    let mut name = [0; NAME_MAX];
    let text = definition.service.as_str().as_bytes();
    name[..text.len()].copy_from_slice(text);
    let mut record = Settings {
        name,
        threshold_ns: [0; THRESHOLDS],
        timeout_ns: definition.timeout_ns,
        clock: [0; THRESHOLDS],
        route_count: u16::try_from(definition.routes.len()).unwrap_or(u16::MAX),
        asks: 0,
        pad: 0,
    };
    if definition.long_poll == LongPoll::All {
        record.asks |= asks::LONG_POLL;
    }
    for (index, (clock, ns)) in definition.thresholds.iter().take(THRESHOLDS).enumerate() {
        record.threshold_ns[index] = *ns;
        record.clock[index] = match clock {
            Clock::FirstByte => clock::FIRST_BYTE,
            Clock::LastByte => clock::LAST_BYTE,
            _ => clock::TURNAROUND,
        };
        if record.clock[index] == clock::LAST_BYTE {
            record.asks |= asks::LAST_BYTE;
        }
    }
    record
}

/// `routes` are by their ids.
fn definition_of(record: &Settings, routes: BTreeMap<u16, Route>) -> Option<Definition> {
    let length = record.name.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
    let service = std::str::from_utf8(&record.name[..length]).ok()?.parse().ok()?;
    let thresholds = record
        .clock
        .iter()
        .zip(record.threshold_ns)
        .filter_map(|(clock, ns)| match *clock {
            clock::TURNAROUND => Some((Clock::Turnaround, ns)),
            clock::FIRST_BYTE => Some((Clock::FirstByte, ns)),
            clock::LAST_BYTE => Some((Clock::LastByte, ns)),
            _ => None,
        })
        .collect();
    let mut routes: Vec<(u16, Route)> = routes.into_iter().collect();
    routes.sort_by_key(|(id, _)| id & !LONG_POLL);
    let waiting = routes.iter().filter(|(id, _)| is_long_poll(*id));
    let waiting: Vec<Route> = waiting.map(|(_, route)| route.clone()).collect();
    let long_poll = if record.asks & asks::LONG_POLL != 0 {
        LongPoll::All
    } else if waiting.is_empty() {
        LongPoll::None
    } else {
        LongPoll::Routes(waiting)
    };
    Some(Definition {
        service,
        thresholds,
        timeout_ns: record.timeout_ns,
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        long_poll,
    })
}

/// The trie's key of a route, and how many bits of it count.
pub(crate) fn text_of(settings: u32, route: &Route) -> Option<(u32, RouteText)> {
    let line = format!("{} {}", route.method()?, route.prefix()?);
    let bytes = line.as_bytes();
    let length = bytes.len().min(ROUTE_TEXT);
    let mut text = [0; ROUTE_TEXT];
    text[..length].copy_from_slice(&bytes[..length]);
    let bits = u32::try_from((4 + length) * 8).ok()?;
    Some((bits, RouteText { settings, text }))
}

fn route_of(text: &RouteText, bits: u32) -> Option<Route> {
    let length = usize::try_from(bits / 8).ok()?.checked_sub(4)?;
    let line = std::str::from_utf8(text.text.get(..length)?).ok()?;
    let (method, prefix) = line.split_once(' ')?;
    let prefix = if prefix.is_empty() { "*" } else { prefix };
    format!("{method} {prefix}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_reads_back_from_the_records_the_kernel_keeps() {
        let routes: Vec<Route> = ["GET *", "GET /api/", "POST /orders"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let definition = Definition {
            service: "checkout".parse().unwrap(),
            thresholds: vec![
                (Clock::Turnaround, 250_000_000),
                (Clock::FirstByte, 1_000_000_000),
                (Clock::LastByte, 2_000_000_000),
            ],
            timeout_ns: 30_000_000_000,
            routes: routes.clone(),
            long_poll: LongPoll::None,
        };
        for long_poll in [
            LongPoll::None,
            LongPoll::Routes(routes[1..].to_vec()),
            LongPoll::All,
        ] {
            let definition = Definition {
                long_poll,
                ..definition.clone()
            };
            let by_id = definition
                .numbered()
                .map(|(id, route)| (id, route.clone()))
                .collect();
            assert_eq!(definition_of(&record_of(&definition), by_id), Some(definition));
        }
        for route in routes {
            let (bits, text) = text_of(7, &route).unwrap();
            assert_eq!(route_of(&text, bits), Some(route));
        }
    }
}
