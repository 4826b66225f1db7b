//! Totals over moves, also over those that were cut short.

use std::fs;

use aya::maps::PerCpuValues;
use probes_ebpf::wire::{ROUTE_NONE, ROUTE_OTHER, role};

use super::*;
use crate::{
    bpffs,
    edge::{
        layout::{Directories, MapSizes, counter_maps},
        object,
        settings::{Definition, Registry},
    },
    features::Features,
};

/// Pinned maps of one's own, without a program.
struct Pins(Directories);

impl Pins {
    fn new(test: &str) -> Self {
        let root = Path::new(bpffs::DEFAULT_ROOT);
        bpffs::ensure(root).unwrap();
        let (sizes, cpus) = (MapSizes::default(), aya::util::nr_cpus().unwrap());
        let instance = format!("t-{test}-{}", std::process::id());
        let directories = Directories::new(root, &instance, &sizes, cpus).unwrap();
        bpffs::create(&directories.source).unwrap();
        bpffs::create(&directories.connections).unwrap();
        bpffs::create(&directories.http2).unwrap();
        bpffs::create(&directories.counters).unwrap();
        object::open(
            Some(&directories),
            &counter_maps(&sizes, cpus),
            Features::here(),
            0,
        )
        .unwrap();
        Self(directories)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.instance);
    }
}

fn key(port: u16, settings: u32) -> CountKey {
    CountKey {
        endpoint: Endpoint {
            cgroup: 5,
            port,
            role: role::SERVER,
            ..Endpoint::default()
        },
        settings,
        route: ROUTE_NONE,
        what: 200,
    }
}

fn put(counters: &mut Counters, key: CountKey, value: u64) {
    put_since(counters, key, value, 9);
}

fn put_since(counters: &mut Counters, key: CountKey, value: u64, first_ns: u64) {
    let cpus = aya::util::nr_cpus().unwrap();
    let share = Raw(Count { first_ns, value });
    let shares = PerCpuValues::try_from(vec![share; cpus]).unwrap();
    counters.counts.insert(Raw(key), shares, 0).unwrap();
}

fn total(counters: &Counters) -> u64 {
    let counted = counters.counts.iter().map(|entry| {
        let (_, shares) = entry.unwrap();
        shares.iter().map(|Raw(share)| share.value).sum::<u64>()
    });
    let gone = counters.gone_counts.iter().map(|entry| entry.unwrap().1.0.value);
    counted.sum::<u64>() + gone.sum::<u64>()
}

fn setup(pins: &Pins) -> (Counters, Registry, u32) {
    let mut registry = Registry::open(&pins.0, &[]).unwrap();
    let definition = Definition {
        service: "shop".parse().unwrap(),
        thresholds: vec![],
        timeout_ns: 1,
        routes: vec![],
        long_poll: slo_engine::service::LongPoll::None,
    };
    let id = registry.id(&definition).unwrap();
    (Counters::open(&pins.0.counters).unwrap(), registry, id)
}

#[test]
fn what_is_gone_becomes_one_key_and_what_has_no_name_stays() {
    let pins = Pins::new("fold");
    let (mut counters, mut registry, id) = setup(&pins);
    let cpus = aya::util::nr_cpus().unwrap() as u64;
    let unnamed = key(3, 0).endpoint;
    registry.name(key(2, 0).endpoint, id).unwrap();
    for (port, settings, value) in [(1, id, 10), (2, 0, 20), (3, 0, 30), (4, id, 40)] {
        put(&mut counters, key(port, settings), value);
    }
    let mut folder = Folder::open(&pins.0.counters, &mut counters).unwrap();
    let definitions = &registry.definitions;
    let moved = folder
        .fold(&mut counters, definitions, |endpoint| endpoint.port != 4)
        .unwrap();
    assert_eq!(moved, 2);
    assert_eq!(total(&counters), 100 * cpus);
    let left: Vec<u16> = counters
        .counts
        .keys()
        .map(|key| key.unwrap().0.endpoint.port)
        .collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&4) && left.contains(&unnamed.port));
    let gone: Vec<_> = counters.gone_counts.iter().map(|entry| entry.unwrap()).collect();
    assert_eq!(gone.len(), 1, "counted with and without a name, it is one series");
    assert_eq!(gone[0].1.0.value, 30 * cpus);
    assert_eq!(gone[0].1.0.first_ns, 9);
    let request = CountKey {
        route: ROUTE_OTHER,
        ..key(2, 0)
    };
    let to = without_endpoint(&request, &counters, definitions).unwrap();
    assert_eq!((to.settings, to.route), (id, ROUTE_UNTIMED));
}

#[test]
fn a_move_that_was_cut_short_anywhere_is_done_once() {
    for reached in ["journal", "added", "removed"] {
        let pins = Pins::new(&format!("cut-{reached}"));
        let (mut counters, registry, id) = setup(&pins);
        put(&mut counters, key(1, id), 10);
        put(&mut counters, key(2, id), 7);
        let before = total(&counters);
        let mut folder = Folder::open(&pins.0.counters, &mut counters).unwrap();
        let definitions = &registry.definitions;
        folder
            .fold(&mut counters, definitions, |endpoint| endpoint.port == 1)
            .unwrap();

        // By hand, as far as it got.
        let from = key(2, id);
        let to = without_endpoint(&from, &counters, definitions).unwrap();
        let total_after = Count {
            first_ns: 9,
            value: before,
        };
        let step = Move {
            from,
            to,
            total: total_after,
            moved: Count {
                first_ns: 9,
                value: 7 * aya::util::nr_cpus().unwrap() as u64,
            },
        };
        folder.counts.journal.set(0, Raw(step), 0).unwrap();
        if reached != "journal" {
            counters.gone_counts.insert(Raw(to), Raw(total_after), 0).unwrap();
        }
        if reached == "removed" {
            counters.counts.remove(&Raw(from)).unwrap();
        }

        for _ in 0..2 {
            Folder::open(&pins.0.counters, &mut counters).unwrap();
            assert_eq!(total(&counters), before, "{reached}");
            assert_eq!(counters.counts.keys().count(), 0, "{reached}");
        }
    }
}

#[test]
fn what_is_counted_while_a_key_moves_is_moved_after_it() {
    let pins = Pins::new("late");
    let (mut counters, registry, id) = setup(&pins);
    let cpus = aya::util::nr_cpus().unwrap() as u64;
    let from = key(1, id);
    put(&mut counters, from, 10);
    let mut folder = Folder::open(&pins.0.counters, &mut counters).unwrap();
    let to = without_endpoint(&from, &counters, &registry.definitions).unwrap();
    let mut begin = |counters: &mut Counters| {
        let Counters {
            counts, gone_counts, ..
        } = counters;
        assert!(folder.counts.begin(counts, gone_counts, from, to).unwrap());
    };
    begin(&mut counters);
    put(&mut counters, from, 13);
    Folder::open(&pins.0.counters, &mut counters).unwrap();
    assert_eq!((total(&counters), counters.counts.keys().count()), (13 * cpus, 0));
    // A key of the same name that has appeared since holds nothing of what has moved.
    put(&mut counters, from, 100);
    begin(&mut counters);
    counters.counts.remove(&Raw(from)).unwrap();
    put_since(&mut counters, from, 7, 10);
    Folder::open(&pins.0.counters, &mut counters).unwrap();
    assert_eq!(
        (total(&counters), counters.counts.keys().count()),
        (120 * cpus, 0)
    );
}
