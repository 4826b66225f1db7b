//! Which remote addresses ask most.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use slo_engine::measurement::ServiceName;

use super::{settings::Definitions, table::Sources};
use crate::agent::AgentError;

/// One remote address of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    pub source: IpAddr,
    pub per_second: f64,
}

/// Between two readings; one old enough is reused.
const SPAN: Duration = Duration::from_millis(400);
const STALE: Duration = Duration::from_secs(10);
/// How many are named.
const MOST: usize = 32;

type Totals = HashMap<(ServiceName, IpAddr), u64>;

pub(crate) struct SourceTable {
    map: Sources,
    capacity: usize,
    last: Option<(Instant, Totals)>,
}

impl SourceTable {
    pub fn new(map: Sources, capacity: u32) -> Self {
        Self {
            map,
            capacity: capacity as usize,
            last: None,
        }
    }

    /// The heaviest first. Takes two readings, so it may take [`SPAN`].
    pub fn heaviest(
        &mut self,
        service: &ServiceName,
        definitions: &Definitions,
    ) -> Result<Vec<Source>, AgentError> {
        let usable = |(at, _): &(Instant, Totals)| (SPAN..STALE).contains(&at.elapsed());
        let (from, before) = match self.last.take().filter(usable) {
            Some(last) => last,
            None => {
                let at = Instant::now();
                let totals = self.read(definitions)?;
                pass(SPAN);
                (at, totals)
            }
        };
        let at = Instant::now();
        let now = self.read(definitions)?;
        let seconds = (at - from).as_secs_f64();
        let mut sources: Vec<Source> = now
            .iter()
            .filter(|((name, _), _)| name == service)
            .filter_map(|(key, total)| {
                // An entry that was evicted and came back counts from zero.
                let grown = total - before.get(key).copied().unwrap_or(0).min(*total);
                (grown > 0).then(|| Source {
                    source: key.1,
                    per_second: to_f64(grown) / seconds,
                })
            })
            .collect();
        sources.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
        sources.truncate(MOST);
        self.last = Some((at, now));
        Ok(sources)
    }

    fn read(&self, definitions: &Definitions) -> Result<Totals, AgentError> {
        let mut totals = Totals::new();
        // When the entry just read has been evicted, the kernel starts over: the walk would count
        // twice, and under enough new sources never end.
        let mut seen = HashSet::new();
        for key in self.map.keys().take(2 * self.capacity) {
            let key = key.map_err(AgentError::map("read", "SOURCES"))?;
            if !seen.insert(key) {
                continue;
            }
            // Evicted between the two calls: as if it had not been seen.
            let Ok(values) = self.map.get(&key, 0) else {
                continue;
            };
            let Some(definition) = definitions.get(key.0.settings) else {
                continue;
            };
            let mut bytes = [0; 16];
            for (chunk, word) in bytes.chunks_exact_mut(4).zip(key.0.address) {
                chunk.copy_from_slice(&word.to_ne_bytes());
            }
            let address = IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical();
            *totals.entry((definition.service.clone(), address)).or_default() += values.iter().sum::<u64>();
        }
        Ok(totals)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a rate needs two readings some time apart"
)]
fn pass(span: Duration) {
    std::thread::sleep(span);
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people and for ranking")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
