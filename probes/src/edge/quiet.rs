//! Which endpoints are gone: nobody listens there, nothing is open, and nothing has been counted for
//! some reads.
//!
//! In: what each read found of every endpoint. Out: those whose keys may go. Being wrong costs no
//! count: an endpoint that comes back gets new keys, and their sum is what is reported.

use std::collections::{BTreeSet, HashMap, HashSet};

use probes_ebpf::wire::{CountKey, Endpoint, Latency, role, what};

use super::table::Raw;

/// What the kernel's maps hold of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Another one whenever anything of the endpoint has grown.
    sum: u64,
    opened: u64,
    closed: u64,
    /// Some of it is in maps that the kernel still fills.
    is_current: bool,
}

/// Of every endpoint, as one read found it.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    endpoints: HashMap<Endpoint, Activity>,
    /// Keys in maps that the kernel still fills.
    pub counts: u64,
    pub latencies: u64,
}

impl Activities {
    pub fn count(&mut self, key: &CountKey, value: u64, is_current: bool) {
        self.counts += u64::from(is_current);
        if !is_somebodys(&key.endpoint) {
            return;
        }
        let activity = self.of(&key.endpoint, is_current);
        activity.sum = activity.sum.wrapping_add(value);
        match key.what {
            what::ACCEPTED | what::CONNECTED => activity.opened += value,
            what::CLOSED => activity.closed += value,
            _ => {}
        }
    }

    /// Most answers are counted here, and requests that are overdue are booked here before they are counted at all.
    pub fn latency(&mut self, endpoint: &Endpoint, shares: &[Raw<Latency>], is_current: bool) {
        self.latencies += u64::from(is_current);
        if !is_somebodys(endpoint) {
            return;
        }
        let activity = self.of(endpoint, is_current);
        for Raw(share) in shares {
            let answered = share.statuses.iter().map(|status| &status.value);
            for counted in share.over.iter().chain(answered) {
                activity.sum = activity.sum.wrapping_add(*counted);
            }
        }
    }

    fn of(&mut self, endpoint: &Endpoint, is_current: bool) -> &mut Activity {
        let activity = self.endpoints.entry(*endpoint).or_default();
        activity.is_current |= is_current;
        activity
    }

    /// The network namespaces in which somebody calls.
    pub fn callers(&self) -> BTreeSet<u64> {
        let calling = self
            .endpoints
            .keys()
            .filter(|endpoint| endpoint.role == role::CLIENT);
        calling.map(|endpoint| endpoint.netns).collect()
    }

    pub fn contains(&self, endpoint: &Endpoint) -> bool {
        self.endpoints.contains_key(endpoint)
    }
}

/// The host's own counters, and those of a port wherever it is, are few and never gone.
fn is_somebodys(endpoint: &Endpoint) -> bool {
    endpoint.port != 0 && (endpoint.netns != 0 || endpoint.cgroup != 0)
}

/// What can be told of an endpoint from outside of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Somebody listens.
    Listening,
    /// Nobody needs to listen, and whoever calls may call again.
    Caller,
    Gone,
}

/// Reads in a row that must find nothing new.
const READS_GONE: u32 = 5;
const READS_CALLER: u32 = 60;
/// When the end of a connection was never seen: some ends have no event.
const READS_OPEN: u32 = 600;

/// For how many reads each endpoint has been at rest.
#[derive(Debug, Default)]
pub(crate) struct Quiet(HashMap<Endpoint, (Activity, u32)>);

impl Quiet {
    /// Endpoints that are gone, after one more read. In crowded maps no caller is waited for. `presence` is asked only where it decides.
    pub fn gone(
        &mut self,
        activities: &Activities,
        is_crowded: bool,
        presence: impl Fn(&Endpoint) -> Presence,
    ) -> HashSet<Endpoint> {
        self.0.retain(|endpoint, _| activities.contains(endpoint));
        // A connection may change its identity between birth and end, but never port and namespace.
        let mut by_port: HashMap<(u64, u16, u8), (u64, u64)> = HashMap::new();
        for (endpoint, activity) in &activities.endpoints {
            let port = by_port.entry(port_of(endpoint)).or_default();
            port.0 += activity.opened;
            port.1 += activity.closed;
        }
        let mut gone = HashSet::new();
        for (endpoint, activity) in &activities.endpoints {
            let (last, reads) = self.0.entry(*endpoint).or_default();
            if last != activity {
                (*last, *reads) = (*activity, 0);
                continue;
            }
            *reads = reads.saturating_add(1);
            let (opened, closed) = by_port.get(&port_of(endpoint)).copied().unwrap_or_default();
            let is_open = activity.opened > activity.closed && opened > closed;
            let least = if is_open { READS_OPEN } else { READS_GONE };
            if *reads < least || !activity.is_current {
                continue;
            }
            let is_gone = match presence(endpoint) {
                Presence::Listening => false,
                Presence::Caller => *reads >= READS_CALLER || is_crowded,
                Presence::Gone => true,
            };
            if is_gone {
                gone.insert(*endpoint);
            }
        }
        gone
    }
}

fn port_of(endpoint: &Endpoint) -> (u64, u16, u8) {
    (endpoint.netns, endpoint.port, endpoint.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(cgroup: u64) -> Endpoint {
        Endpoint {
            netns: 1,
            cgroup,
            port: 80,
            role: 1,
            pad: [0; 5],
        }
    }

    fn read(counts: &[(u64, u16, u64)]) -> Activities {
        let mut activities = Activities::default();
        for (cgroup, what, value) in counts {
            let key = CountKey {
                endpoint: endpoint(*cgroup),
                what: *what,
                ..CountKey::default()
            };
            activities.count(&key, *value, true);
        }
        activities
    }

    /// How many reads of the same it takes until the endpoint is gone.
    fn reads_until_gone(found: &Activities, presence: Presence) -> Option<u32> {
        let mut quiet = Quiet::default();
        (0..=READS_OPEN).find(|_| quiet.gone(found, false, |_| presence).contains(&endpoint(7)))
    }

    #[test]
    fn an_endpoint_at_rest_is_gone_once_nobody_listens_and_nothing_is_open() {
        let closed = read(&[(7, what::ACCEPTED, 3), (7, what::CLOSED, 3), (7, 200, 5)]);
        assert_eq!(reads_until_gone(&closed, Presence::Listening), None);
        assert_eq!(reads_until_gone(&closed, Presence::Gone), Some(READS_GONE));
        assert_eq!(reads_until_gone(&closed, Presence::Caller), Some(READS_CALLER));
        let open = read(&[(7, what::ACCEPTED, 3), (7, what::CLOSED, 2)]);
        assert_eq!(reads_until_gone(&open, Presence::Gone), Some(READS_OPEN));
    }

    #[test]
    fn a_connection_that_ended_under_another_cgroup_is_not_open() {
        let moved = read(&[(7, what::ACCEPTED, 3), (8, what::CLOSED, 3)]);
        assert_eq!(reads_until_gone(&moved, Presence::Gone), Some(READS_GONE));
    }

    #[test]
    fn whatever_is_counted_starts_the_rest_anew() {
        let mut quiet = Quiet::default();
        for value in 0..u64::from(READS_GONE) * 4 {
            let found = read(&[(7, 200, value)]);
            assert!(quiet.gone(&found, true, |_| Presence::Gone).is_empty());
        }
    }
}
