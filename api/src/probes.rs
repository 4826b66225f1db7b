//! What the probes of this process cost and hold, for `/metrics`. Empty where there are none.

use std::sync::{Mutex, PoisonError};

use crate::exposition::{Exposition, Kind};

/// The binary writes it after each read; a scrape shows what was written last.
#[derive(Debug, Default)]
pub struct ProbeGauges(Mutex<ProbeState>);

#[derive(Debug, Clone, Default)]
pub struct ProbeState {
    pub programs: Vec<ProgramState>,
    pub maps: Vec<MapState>,
    /// What each probe leaves out to stay within the overhead budget: 0 is nothing.
    pub modes: Vec<(&'static str, u64)>,
}

/// Over the time that the kernel kept statistics.
#[derive(Debug, Clone)]
pub struct ProgramState {
    pub program: String,
    pub runs: u64,
    pub seconds: f64,
    /// Of one core, lately.
    pub share: f64,
}

#[derive(Debug, Clone)]
pub struct MapState {
    pub map: &'static str,
    pub entries: u64,
    pub capacity: u64,
}

impl ProbeGauges {
    pub fn set(&self, state: ProbeState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn write(&self, page: &mut Exposition) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let programs = || {
            let each = state.programs.iter();
            each.map(|found| (vec![("program", found.program.as_str())], found))
        };
        page.family(
            "slowburn_probe_sampled_runs_total",
            Kind::Counter,
            "Runs of a program while the kernel kept statistics: by default one second in ten.",
            programs().map(|(labels, found)| (labels, found.runs)),
        );
        page.family(
            "slowburn_probe_sampled_seconds_total",
            Kind::Counter,
            "CPU time of these runs, the statistics' own included.",
            programs().map(|(labels, found)| (labels, found.seconds)),
        );
        page.family(
            "slowburn_probe_cpu_ratio",
            Kind::Gauge,
            "Share of one core that a program took when it was last watched.",
            programs().map(|(labels, found)| (labels, found.share)),
        );
        if !state.programs.is_empty() {
            page.family(
                "slowburn_probe_mode",
                Kind::Gauge,
                "What is left out to stay within the overhead budget, 0 is nothing. Of requests: 1 remote addresses, 2 routes, \
                 too; of reads: 1 how long requests wait for theirs; of walks: 1 four of five.",
                state.modes.iter().map(|(probe, mode)| (vec![("probe", *probe)], *mode)),
            );
        }
        let maps = || state.maps.iter().map(|found| (vec![("map", found.map)], found));
        page.family(
            "slowburn_probe_map_entries",
            Kind::Gauge,
            "Keys in a map of the kernel's.",
            maps().map(|(labels, found)| (labels, found.entries)),
        );
        page.family(
            "slowburn_probe_map_capacity",
            Kind::Gauge,
            "Keys that fit: what comes after is lost, and counted as lost.",
            maps().map(|(labels, found)| (labels, found.capacity)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_shown_and_nothing_where_there_are_no_probes() {
        let gauges = ProbeGauges::default();
        let mut page = Exposition::default();
        gauges.write(&mut page);
        assert_eq!(page.finish(), "");
        gauges.set(ProbeState {
            programs: vec![ProgramState {
                program: "edge_in".to_owned(),
                runs: 7,
                seconds: 0.5,
                share: 0.25,
            }],
            maps: vec![MapState {
                map: "COUNTS",
                entries: 3,
                capacity: 16,
            }],
            modes: vec![("requests", 1), ("walks", 0)],
        });
        let mut page = Exposition::default();
        gauges.write(&mut page);
        let text = page.finish();
        for line in [
            "slowburn_probe_sampled_runs_total{program=\"edge_in\"} 7",
            "slowburn_probe_sampled_seconds_total{program=\"edge_in\"} 0.5",
            "slowburn_probe_cpu_ratio{program=\"edge_in\"} 0.25",
            "slowburn_probe_mode{probe=\"requests\"} 1",
            "slowburn_probe_mode{probe=\"walks\"} 0",
            "slowburn_probe_map_entries{map=\"COUNTS\"} 3",
            "slowburn_probe_map_capacity{map=\"COUNTS\"} 16",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
    }
}
