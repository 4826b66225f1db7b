//! What user space has counted of HTTP/2: the kernel's counters again, in user space's own memory, so
//! that a total is the sum of the two and neither waits for the other.

use std::collections::BTreeMap;

use foldhash::HashMap;

use probes_ebpf::wire::{
    self, BUCKETS, CountKey, Endpoint, LatencyKey, ROUTE_OTHER, STATUSES, THRESHOLDS, bucket, clock, what,
};
use serde::{Deserialize, Serialize};
use slo_engine::{grpc, measurement::Clock};

use crate::edge::settings::Definition;

const DEFAULT_TIMEOUT_NS: u64 = 30_000_000_000;

/// Under which endpoint, settings and route something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    netns: u64,
    cgroup: u64,
    port: u16,
    role: u8,
    pub settings: u32,
    pub route: u16,
}

impl Place {
    pub fn new(endpoint: &Endpoint, settings: u32) -> Self {
        Self {
            netns: endpoint.netns,
            cgroup: endpoint.cgroup,
            port: endpoint.port,
            role: endpoint.role,
            settings,
            route: ROUTE_OTHER,
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            netns: self.netns,
            cgroup: self.cgroup,
            port: self.port,
            role: self.role,
            pad: [0; 5],
        }
    }
}

/// One request as it is timed. Monotonic nanoseconds throughout.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Timing {
    pub started_ns: u64,
    /// Of the last byte so far.
    pub last_byte_ns: u64,
    /// All of the request has come.
    pub is_complete: bool,
    /// Bits of thresholds that it was booked as over.
    pub over: u8,
    /// Booked as timed out: nothing more is counted of it.
    pub is_final: bool,
}

/// The one end of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub place: Place,
    pub timing: Timing,
    /// A status, one of `wire::what`, or gRPC's.
    pub outcome: u16,
    /// When the answer began or, without one, when it ended.
    pub end_ns: u64,
    /// When the last of the answer passed, which need not be its end.
    pub last_ns: u64,
    pub is_whole: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    pub first_ns: u64,
    pub value: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    first_ns: u64,
    within: [u64; THRESHOLDS],
    over: [u64; THRESHOLDS],
    sum_ns: u64,
    buckets: BTreeMap<u16, u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    counts: HashMap<(Place, u16), Count>,
    latencies: HashMap<Place, Latency>,
    /// To the last byte, of services that ask for it.
    last_bytes: HashMap<Place, Latency>,
    /// What could not be followed here, though the kernel told it, by settings.
    lost: HashMap<u32, Count>,
}

impl Count {
    fn since(first_ns: u64) -> Self {
        Self { first_ns, value: 0 }
    }
}

impl Tally {
    /// Counts a request that ended as `what`. `boot_ns` is when, should the counter be new.
    pub fn count(&mut self, place: &Place, what: u16, boot_ns: u64) {
        let counts = self.counts.entry((*place, what));
        counts.or_insert(Count::since(boot_ns)).value += 1;
    }

    /// Counts something that was lost of whose settings these are; 0 is nobody's.
    pub fn lose(&mut self, settings: u32, boot_ns: u64) {
        let lost = self.lost.entry(settings);
        lost.or_insert(Count::since(boot_ns)).value += 1;
    }

    pub fn lost(&self) -> impl Iterator<Item = (u32, Count)> {
        self.lost.iter().map(|(settings, count)| (*settings, *count))
    }

    fn latency(&mut self, place: &Place, boot_ns: u64) -> &mut Latency {
        self.latencies.entry(*place).or_insert_with(|| Latency {
            first_ns: boot_ns,
            ..Latency::default()
        })
    }

    /// Books the one end of a request, by the rules of the kernel's `request::end`.
    pub fn end(&mut self, ended: &Ended, definition: Option<&Definition>, boot_ns: u64) {
        let Ended {
            place,
            timing,
            outcome,
            end_ns,
            last_ns,
            is_whole,
        } = *ended;
        if timing.is_final {
            return;
        }
        let turnaround = end_ns.saturating_sub(timing.last_byte_ns);
        let is_answer = !(1000..what::GRPC).contains(&outcome);
        // A client that stops halfway through its request leaves no time to hold against the server.
        let is_timed = is_answer || timing.is_complete;
        let may_wait = definition.is_some_and(|definition| definition.is_long_poll(place.route));
        let is_late = is_timed && !may_wait && outcome != what::UNKNOWN && turnaround >= timeout(definition);
        let outcome = if is_late { what::TIMED_OUT } else { outcome };
        self.count(&place, outcome, boot_ns);
        if outcome == what::UNKNOWN || may_wait {
            return;
        }
        let is_good = is_answer && !is_server_error(outcome) && !is_late;
        let latency = self.latency(&place, boot_ns);
        for (index, clock, threshold_ns, elapsed) in elapsed(definition, &timing, end_ns, last_ns) {
            if timing.over & 1 << index != 0 {
                continue;
            }
            // An answer that was cut off has no last byte.
            let is_cut = clock == Clock::LastByte && !is_whole;
            if elapsed > threshold_ns {
                latency.over[index] += u64::from(is_timed);
            } else {
                latency.within[index] += u64::from(is_good && !is_cut);
            }
        }
        if is_answer && !is_late {
            latency.sum_ns += turnaround;
            let index = u16::try_from(bucket(turnaround)).unwrap_or(u16::MAX);
            *latency.buckets.entry(index).or_default() += 1;
        }
        if is_whole && is_answer && !is_late && definition.is_some_and(Definition::asks_for_last_byte) {
            let took = last_ns.saturating_sub(timing.started_ns);
            let latency = self.last_bytes.entry(place).or_insert_with(|| Latency {
                first_ns: boot_ns,
                ..Latency::default()
            });
            latency.sum_ns += took;
            let index = u16::try_from(bucket(took)).unwrap_or(u16::MAX);
            *latency.buckets.entry(index).or_default() += 1;
        }
    }

    /// Books what a request in flight has become, once. Whether it is past its smallest threshold.
    pub fn book_overdue(
        &mut self,
        place: &Place,
        definition: Option<&Definition>,
        timing: &mut Timing,
        now_ns: u64,
        boot_ns: u64,
    ) -> bool {
        let may_wait = definition.is_some_and(|definition| definition.is_long_poll(place.route));
        if !timing.is_complete || may_wait {
            return false;
        }
        if timing.is_final {
            return true;
        }
        let mut is_overdue = timing.over != 0;
        let shown = *timing;
        for (index, _, threshold_ns, elapsed) in elapsed(definition, &shown, now_ns, now_ns) {
            if elapsed > threshold_ns && timing.over & 1 << index == 0 {
                timing.over |= 1 << index;
                is_overdue = true;
                self.latency(place, boot_ns).over[index] += 1;
            }
        }
        if is_past_timeout(place, definition, timing, now_ns) {
            timing.is_final = true;
            is_overdue = true;
            self.count(place, what::TIMED_OUT, boot_ns);
        }
        is_overdue
    }

    /// Books an answer that has begun as over the thresholds to its last byte that it is past.
    pub fn book_unfinished(
        &mut self,
        place: &Place,
        definition: Option<&Definition>,
        timing: &mut Timing,
        now_ns: u64,
        boot_ns: u64,
    ) {
        if definition.is_none_or(|definition| definition.is_long_poll(place.route)) || timing.is_final {
            return;
        }
        let shown = *timing;
        for (index, clock, threshold_ns, elapsed) in elapsed(definition, &shown, now_ns, now_ns) {
            if clock == Clock::LastByte && elapsed > threshold_ns && timing.over & 1 << index == 0 {
                timing.over |= 1 << index;
                self.latency(place, boot_ns).over[index] += 1;
            }
        }
    }

    pub fn counts(&self) -> impl Iterator<Item = (CountKey, Count)> {
        self.counts.iter().map(|((place, what), count)| {
            let key = CountKey {
                endpoint: place.endpoint(),
                settings: place.settings,
                route: place.route,
                what: *what,
            };
            (key, *count)
        })
    }

    pub fn latencies(&self) -> impl Iterator<Item = (LatencyKey, wire::Latency)> {
        let last_bytes = self.last_bytes.iter();
        let last_bytes = last_bytes.map(|(place, latency)| (place, u16::from(clock::LAST_BYTE), latency));
        let others = self.latencies.iter();
        let others = others.map(|(place, latency)| (place, 0, latency));
        others.chain(last_bytes).map(|(place, clock, latency)| {
            let key = LatencyKey {
                endpoint: place.endpoint(),
                settings: place.settings,
                route: place.route,
                clock,
            };
            let mut buckets = [0; BUCKETS];
            for (index, count) in &latency.buckets {
                buckets[usize::from(*index)] = *count;
            }
            let cells = wire::Latency {
                first_ns: latency.first_ns,
                within: latency.within,
                over: latency.over,
                sum_ns: latency.sum_ns,
                statuses: [wire::Count::default(); STATUSES.len()],
                buckets,
            };
            (key, cells)
        })
    }
}

/// Whether a request in flight has been there for so long that it ends by that.
pub(crate) fn is_past_timeout(
    place: &Place,
    definition: Option<&Definition>,
    timing: &Timing,
    now_ns: u64,
) -> bool {
    let may_wait = definition.is_some_and(|definition| definition.is_long_poll(place.route));
    let waits_ns = now_ns.saturating_sub(timing.last_byte_ns);
    timing.is_complete && !may_wait && waits_ns >= timeout(definition)
}

/// The server errors among outcomes: 5xx, and gRPC's.
fn is_server_error(outcome: u16) -> bool {
    (500..600).contains(&outcome)
        || outcome
            .checked_sub(what::GRPC)
            .is_some_and(|code| grpc::SERVER_ERRORS >> code.min(31) & 1 == 1)
}

fn timeout(definition: Option<&Definition>) -> u64 {
    match definition.map(|definition| definition.timeout_ns) {
        None | Some(0) => DEFAULT_TIMEOUT_NS,
        Some(ns) => ns,
    }
}

/// Each threshold's place, clock and time, and the time that its clock shows when the answer begins at
/// `begins_ns` and ends at `last_ns`.
fn elapsed(
    definition: Option<&Definition>,
    timing: &Timing,
    begins_ns: u64,
    last_ns: u64,
) -> impl Iterator<Item = (usize, Clock, u64, u64)> {
    let thresholds = definition.map_or(&[][..], |definition| &definition.thresholds);
    let (started_ns, last_byte_ns) = (timing.started_ns, timing.last_byte_ns);
    let thresholds = thresholds.iter().take(THRESHOLDS).enumerate();
    thresholds.map(move |(index, (clock, threshold_ns))| {
        let (from, to) = match clock {
            Clock::FirstByte => (started_ns, begins_ns),
            Clock::LastByte => (started_ns, last_ns),
            _ => (last_byte_ns, begins_ns),
        };
        (index, *clock, *threshold_ns, to.saturating_sub(from))
    })
}
