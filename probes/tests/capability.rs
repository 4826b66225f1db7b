//! What `slowburn doctor` is told.

#![allow(clippy::unwrap_used, reason = "tests panic")]

use probes::{agent::MapSizes, capability};

#[test]
fn a_machine_on_which_the_tests_run_has_everything() {
    assert!(capability::privileged().is_ok());
    let checks = capability::check(&MapSizes::default());
    assert!(checks.len() >= 10);
    for check in checks {
        assert!(check.ok, "{check:?}");
        assert_eq!(check.remedy, None);
    }
}

#[test]
fn smaller_maps_take_less_memory_and_more_cpus_no_more_latencies() {
    let total = |sizes: &MapSizes| -> u64 {
        let found = capability::memory_of(sizes);
        found
            .iter()
            .filter(|map| map.object == "edge")
            .map(|map| map.bytes)
            .sum()
    };
    let small = MapSizes {
        counts: 2048,
        latency_mib: 4,
        sources: 1024,
        endpoints: 512,
    };
    assert!(total(&small) < total(&MapSizes::default()));
    let latencies = capability::memory_of(&small);
    let latencies = latencies.iter().find(|map| map.map == "LATENCIES").unwrap();
    assert!(latencies.bytes <= (4 << 20) + (64 << 10), "{latencies:?}");
}
