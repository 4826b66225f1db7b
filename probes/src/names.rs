//! Which endpoint is which service: joins what definitions say with what listens.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use probes_ebpf::wire::{Endpoint, THRESHOLDS, role};
use slo_engine::{
    measurement::{Route, ServiceName},
    service::{DEFAULT_TIMEOUT, Discovered, EndpointMatch, LongPoll, WatchedService},
};

use crate::{
    agent::AgentError,
    discovery::{
        cgroup::Hierarchy,
        listener::{Listener, Scan},
        naming::{self, Named},
    },
    edge::settings::{Definition, Registry},
    features::Features,
    watcher::Watcher,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    watched: Option<Vec<WatchedService>>,
    listeners: Vec<(Listener, Named)>,
    /// Where somebody listens: namespace and port.
    listening: HashSet<(u64, u16)>,
    /// Endpoints that have a name because somebody may ask there.
    wanted: HashSet<Endpoint>,
    /// Pods that were said to tell no labels.
    silent: HashSet<String>,
}

impl Names {
    pub fn watch(&mut self, services: &[WatchedService]) {
        for service in services {
            if service.thresholds.len() > THRESHOLDS {
                tracing::warn!(
                    service = %service.name,
                    "thresholds beyond the first {THRESHOLDS} are not counted"
                );
            }
        }
        self.watched = Some(services.to_vec());
    }

    pub fn is_set(&self) -> bool {
        self.watched.is_some()
    }

    /// Writes the names of everything that listens, and of what may.
    pub fn apply(
        &mut self,
        scan: &Scan,
        watcher: &Watcher,
        registry: &mut Registry,
    ) -> Result<(), AgentError> {
        let Some(watched) = &self.watched else {
            return Ok(());
        };
        self.listeners = scan
            .listeners
            .iter()
            .filter_map(|listener| Some((listener.clone(), naming::name(listener, watched)?)))
            .collect();
        for (listener, _) in &self.listeners {
            if let Some(pod) = listener
                .home
                .container
                .as_ref()
                .and_then(|found| found.pod.as_ref())
                && pod.labels.is_none()
                && wants_labels(watched)
                && self.silent.insert(pod.uid.clone())
            {
                tracing::warn!(
                    pod = pod.name,
                    pod.uid,
                    "the pod tells no labels, so no match by labels takes it: mount them by the downward API at `/etc/podinfo/labels`, or match by `namespace` and `pod`"
                );
            }
        }
        let mut wanted = HashMap::new();
        let mut ports: BTreeMap<u16, HashSet<u32>> = BTreeMap::new();
        let mut cgroups: BTreeMap<(u64, bool), HashSet<u32>> = BTreeMap::new();
        let mut anywhere: BTreeMap<(u64, u16), HashSet<u32>> = BTreeMap::new();
        let mut full = None;
        for (listener, named) in &self.listeners {
            let id = match id_of(&named.service, watched, registry) {
                Ok(id) => id,
                Err(error) => {
                    // What is defined and finds no room is said before what was discovered.
                    if full.is_none() || watched.iter().any(|known| known.name == named.service) {
                        full = Some(error);
                    }
                    continue;
                }
            };
            wanted.insert(
                endpoint(listener.netns, listener.cgroup_id, listener.port, role::SERVER),
                id,
            );
            ports.entry(listener.port).or_default().insert(id);
            let here = (listener.cgroup_id, listener.port);
            anywhere.entry(here).or_default().insert(id);
            let is_root = listener.home.cgroup.is_empty();
            cgroups
                .entry((listener.home.cgroup_id, is_root))
                .or_default()
                .insert(id);
        }
        // A service's own calls are measured where its cgroup is its own.
        for ((cgroup, is_root), ids) in cgroups {
            if let Some(id) = only(&ids).filter(|_| !is_root && cgroup != 0) {
                wanted.insert(endpoint(0, cgroup, 0, role::CLIENT), id);
            }
        }
        // Programs that are not told the namespace look for the endpoint without one.
        if !Features::here().skb_netns {
            for ((cgroup, port), ids) in anywhere {
                if let Some(id) = only(&ids).filter(|_| cgroup != 0) {
                    wanted.insert(endpoint(0, cgroup, port, role::SERVER), id);
                }
            }
        }
        self.add_wildcards(watched, watcher, registry, &mut wanted)?;
        let ports = ports
            .into_iter()
            .filter_map(|(port, ids)| Some((port, only(&ids)?)))
            .collect();
        self.listening = scan
            .listeners
            .iter()
            .map(|found| (found.netns, found.port))
            .collect();
        self.wanted = wanted.keys().copied().collect();
        registry.apply(&wanted, &ports)?;
        full.map_or(Ok(()), Err)
    }

    /// What is known before anybody listens: ports, and cgroups that exist.
    fn add_wildcards(
        &self,
        watched: &[WatchedService],
        watcher: &Watcher,
        registry: &mut Registry,
        wanted: &mut HashMap<Endpoint, u32>,
    ) -> Result<(), AgentError> {
        let wants_cgroups = watched.iter().flat_map(|service| &service.matches).any(|wish| {
            matches!(
                wish,
                EndpointMatch::Cgroup(_) | EndpointMatch::Unit(_) | EndpointMatch::Container(_)
            )
        });
        let cgroups = if wants_cgroups {
            watcher.cgroups()
        } else {
            Vec::new()
        };
        // The first service that matches wins, as it does when a listener is named.
        for service in watched.iter().rev() {
            if service.matches.is_empty() {
                continue;
            }
            let id = registry.id(&definition(&service.name, watched))?;
            for wish in &service.matches {
                match wish {
                    EndpointMatch::Port(port) => {
                        wanted.insert(endpoint(0, 0, *port, role::SERVER), id);
                    }
                    _ => {
                        for (path, cgroup) in cgroups.iter().filter(|(path, _)| naming::covers(wish, path)) {
                            // What is in no cgroup of its own is everybody's.
                            if !path.is_empty() {
                                wanted.insert(endpoint(0, *cgroup, 0, role::SERVER), id);
                                // Who calls need not listen.
                                wanted.insert(endpoint(0, *cgroup, 0, role::CLIENT), id);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Names an endpoint that was counted under an identity no listener has. Says whether it did.
    /// `cgroups` are given once nobody can be expected to listen there any more.
    pub fn name_endpoint(
        &self,
        endpoint: &Endpoint,
        cgroups: Option<&Hierarchy>,
        registry: &mut Registry,
    ) -> Result<bool, AgentError> {
        let watched = self.watched.as_deref().unwrap_or_default();
        let same_port = |listener: &Listener| {
            listener.port == endpoint.port && (listener.netns == endpoint.netns || endpoint.netns == 0)
        };
        let known = self
            .listeners
            .iter()
            .find(|(listener, _)| same_port(listener))
            .map(|(_, named)| named.clone());
        let by_port = || {
            let wish = EndpointMatch::Port(endpoint.port);
            let service = watched.iter().find(|service| service.matches.contains(&wish))?;
            Some(Named {
                service: service.name.clone(),
                because: String::new(),
            })
        };
        let last = || naming::without_listener(endpoint.port, cgroups?.path(endpoint.cgroup).as_deref());
        let Some(named) = known.or_else(by_port).or_else(last) else {
            return Ok(false);
        };
        let id = id_of(&named.service, watched, registry)?;
        registry.name(*endpoint, id)
    }

    /// The service of a socket that the kernel says listens there.
    pub fn of_listener(&self, netns: u64, port: u16, cgroup: u64) -> Option<&ServiceName> {
        let mut here = self
            .listeners
            .iter()
            .filter(|(listener, _)| (listener.netns, listener.port) == (netns, port));
        let exact = here.clone().find(|(listener, _)| listener.cgroup_id == cgroup);
        // Its process may have moved to another cgroup since.
        let (_, named) = exact.or_else(|| here.next())?;
        Some(&named.service)
    }

    /// Whether somebody listens at an endpoint's port. A namespace that is not known may be any.
    pub fn is_listening(&self, endpoint: &Endpoint) -> bool {
        if endpoint.netns == 0 {
            return self.listening.iter().any(|(_, port)| *port == endpoint.port);
        }
        [endpoint.netns, 0]
            .iter()
            .any(|netns| self.listening.contains(&(*netns, endpoint.port)))
    }

    pub fn is_wanted(&self, endpoint: &Endpoint) -> bool {
        self.wanted.contains(endpoint)
    }

    pub fn discovered(&self) -> Vec<Discovered> {
        self.listeners
            .iter()
            .map(|(listener, named)| Discovered {
                service: named.service.clone(),
                port: listener.port,
                cgroup: listener.home.cgroup.clone(),
                executable: listener
                    .home
                    .executable
                    .as_ref()
                    .map(|path| path.to_string_lossy().into_owned()),
                because: named.because.clone(),
            })
            .collect()
    }
}

fn wants_labels(watched: &[WatchedService]) -> bool {
    let mut wishes = watched.iter().flat_map(|service| &service.matches);
    wishes.any(|wish| matches!(wish, EndpointMatch::Kubernetes(pod) if !pod.labels.is_empty()))
}

fn id_of(
    service: &ServiceName,
    watched: &[WatchedService],
    registry: &mut Registry,
) -> Result<u32, AgentError> {
    let definition = definition(service, watched);
    if watched.iter().any(|known| known.name == *service) {
        registry.id(&definition)
    } else {
        registry.discovered_id(&definition)
    }
}

/// What a service's counters have in common; one that nobody defined has no thresholds.
fn definition(service: &ServiceName, watched: &[WatchedService]) -> Definition {
    let known = watched.iter().find(|known| known.name == *service);
    let mut routes: Vec<Route> = known.map(|known| known.routes.clone()).unwrap_or_default();
    routes.retain(|route| route.method().is_some());
    routes.sort();
    routes.dedup();
    let mut long_poll = known.map(|known| known.long_poll.clone()).unwrap_or_default();
    if let LongPoll::Routes(waiting) = &mut long_poll {
        waiting.retain(|route| routes.contains(route));
        waiting.sort();
        waiting.dedup();
        if waiting.is_empty() {
            long_poll = LongPoll::None;
        }
    }
    let thresholds = known.map(|known| known.thresholds.as_slice()).unwrap_or_default();
    Definition {
        service: service.clone(),
        thresholds: thresholds
            .iter()
            .take(THRESHOLDS)
            .map(|(clock, threshold)| (*clock, nanoseconds(*threshold)))
            .collect(),
        timeout_ns: nanoseconds(known.map_or(DEFAULT_TIMEOUT, |known| known.timeout)),
        routes,
        long_poll,
    }
}

fn endpoint(netns: u64, cgroup: u64, port: u16, role: u8) -> Endpoint {
    Endpoint {
        netns,
        cgroup,
        port,
        role,
        pad: [0; 5],
    }
}

fn only(ids: &HashSet<u32>) -> Option<u32> {
    match ids.len() {
        1 => ids.iter().next().copied(),
        _ => None,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
