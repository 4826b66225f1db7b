//! The XDP program on the real kernel by `BPF_PROG_TEST_RUN`: no network, exact counts.

use std::{
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, Map, MapData},
    programs::Xdp,
};
use probes::{
    bpffs,
    limit::{
        AllowList, LimitError, Rule,
        testing::{self, Unpinned, declared_layout},
    },
};
use probes_ebpf::{limit::packet::EXTENSIONS_MAX, limit_wire::RULES_MAX};

use crate::{
    frame::{ACK, FIN_ACK, FrameBuilder, PSH_ACK, RST, SYN, Transport},
    needs_root, rule,
};

pub const PASS: u32 = 2;
pub const DROP: u32 = 1;

pub fn run(program: &Xdp, frame: &[u8]) -> u32 {
    testing::run(program, frame, 1).unwrap().1
}

pub struct Fixture {
    unpinned: Unpinned,
    since: Instant,
}

impl Deref for Fixture {
    type Target = Unpinned;

    fn deref(&self) -> &Unpinned {
        &self.unpinned
    }
}

impl DerefMut for Fixture {
    fn deref_mut(&mut self) -> &mut Unpinned {
        &mut self.unpinned
    }
}

impl Fixture {
    /// What a bucket of [`slow`] can have been refilled by: nothing, unless the machine is busy.
    fn refilled(&self) -> u64 {
        self.since.elapsed().as_secs()
    }
}

pub fn limiter() -> Fixture {
    let mut unpinned = Unpinned::load().unwrap();
    unpinned.table.renew_lease(Duration::from_secs(10)).unwrap();
    Fixture {
        unpinned,
        since: Instant::now(),
    }
}

/// One packet a second, so that a test sees exactly the burst.
pub fn slow(id: u32, port: u16, source: Option<&str>, burst: u32) -> Rule {
    rule(id, port, source, 1, burst)
}

/// Packets that pass out of a hundred.
fn passed(limiter: &mut Unpinned, frame: &FrameBuilder) -> u64 {
    let frame = frame.build();
    let program = limiter.program().unwrap();
    (0..100).map(|_| u64::from(run(program, &frame) == PASS)).sum()
}

#[track_caller]
fn assert_passed(limiter: &mut Fixture, frame: &FrameBuilder, expected: u64) {
    let passed = passed(limiter, frame);
    assert!(
        (expected..=expected + limiter.refilled()).contains(&passed),
        "{passed}, expected {expected}"
    );
}

pub fn udp(source: &str, port: u16) -> FrameBuilder {
    let destination = if source.contains(':') {
        "2001:db8::2"
    } else {
        "10.9.0.2"
    };
    FrameBuilder::new(source, destination, port, Transport::Udp).payload(20)
}

pub fn tcp(source: &str, port: u16, flags: u8, payload: usize) -> FrameBuilder {
    let destination = if source.contains(':') {
        "2001:db8::2"
    } else {
        "10.9.0.2"
    };
    FrameBuilder::new(source, destination, port, Transport::Tcp(flags)).payload(payload)
}

#[test]
fn the_object_has_the_declared_layout() {
    needs_root();
    let limiter = Unpinned::load().unwrap();
    assert_eq!(limiter.object.maps().count(), declared_layout().len());
    for declared in declared_layout() {
        let (_, map) = limiter
            .object
            .maps()
            .find(|(name, _)| *name == declared.name)
            .unwrap();
        let (Map::Array(data) | Map::PerCpuArray(data) | Map::LpmTrie(data)) = map else {
            panic!("{} is of another type", declared.name);
        };
        bpffs::compare(declared.name.as_ref(), &data.info().unwrap(), declared).unwrap();
    }
}

#[test]
fn a_burst_passes_and_the_rest_is_dropped_and_counted() {
    needs_root();
    for (source, flavour) in [
        ("10.9.0.1", None),
        ("2001:db8::1", None),
        ("10.9.0.1", Some(())),
        ("2001:db8::1", Some(())),
    ] {
        let mut limiter = limiter();
        limiter
            .apply(&slow(1, 8080, flavour.map_or(Some(source), |()| None), 5))
            .unwrap();
        let frame = udp(source, 8080);
        assert_passed(&mut limiter, &frame, 5);
        assert_passed(&mut limiter, &udp(source, 8081), 100);
        for tagged in [
            frame.clone().tagged(0x8100, 7),
            frame.tagged(0x88a8, 9).tagged(0x8100, 7),
        ] {
            assert_passed(&mut limiter, &tagged, 0);
        }
        let live = &limiter.table.list().unwrap()[0];
        assert_eq!(live.passed + live.dropped, 300);
        assert!((5..=5 + limiter.refilled()).contains(&live.passed), "{live:?}");
        let ports = limiter.table.port_counters().unwrap();
        assert_eq!(
            (ports[0].port, ports[0].passed, ports[0].dropped),
            (8080, live.passed, live.dropped)
        );
    }
}

#[test]
fn only_what_costs_the_service_something_is_charged() {
    needs_root();
    for source in ["10.9.0.1", "2001:db8::1"] {
        let mut limiter = limiter();
        limiter.apply(&slow(1, 80, Some(source), 1)).unwrap();
        for (flags, payload) in [(ACK, 0), (FIN_ACK, 0), (RST, 0), (RST | ACK, 0)] {
            assert_passed(&mut limiter, &tcp(source, 80, flags, payload), 100);
        }
        let live = &limiter.table.list().unwrap()[0];
        assert_eq!((live.passed, live.dropped), (0, 0));
        assert_passed(&mut limiter, &tcp(source, 80, SYN, 0), 1);
        for (flags, payload) in [(SYN, 0), (PSH_ACK, 1), (FIN_ACK, 1400), (ACK, 1)] {
            assert_passed(&mut limiter, &tcp(source, 80, flags, payload), 0);
        }
    }
}

#[test]
fn what_cannot_be_judged_passes_and_is_counted() {
    needs_root();
    let mut limiter = limiter();
    limiter.apply(&slow(1, 8080, None, 1)).unwrap();
    let frame = udp("10.9.0.1", 8080);
    assert_passed(&mut limiter, &frame, 1);
    // A later fragment whose bytes happen to look like the port of a service.
    assert_passed(
        &mut limiter,
        &FrameBuilder {
            fragment: 0x0010,
            ..frame.clone()
        },
        100,
    );
    assert_passed(
        &mut limiter,
        &FrameBuilder {
            fragment: 0x2000,
            ..frame.clone()
        },
        0,
    );
    for protocol in [1, 47, 58, 132] {
        let other = FrameBuilder {
            transport: Transport::Other(protocol),
            ..frame.clone()
        };
        assert_passed(&mut limiter, &other, 100);
    }
    let mut arp = frame.build();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let program = limiter.program().unwrap();
    assert_eq!(run(program, &arp), PASS);
    assert_eq!(run(program, &frame.build()[..30]), PASS);
    let mut short_header = frame.build();
    short_header[14] = 0x44;
    assert_eq!(run(program, &short_header), PASS);
    let endless = (0..=EXTENSIONS_MAX).fold(udp("2001:db8::1", 8080), |frame, _| {
        frame.extension(60, vec![0; 7])
    });
    assert_eq!(run(program, &endless.build()), PASS);
    let counts = limiter.table.counts().unwrap();
    assert_eq!(
        (
            counts.later_fragments,
            counts.truncated,
            counts.malformed,
            counts.too_many_extensions
        ),
        (100, 1, 1, 1)
    );
}

#[test]
fn a_source_does_not_pay_for_another() {
    needs_root();
    let mut limiter = limiter();
    limiter.apply(&slow(1, 8080, Some("10.9.0.1"), 3)).unwrap();
    assert_passed(&mut limiter, &udp("10.9.0.1", 8080), 3);
    assert_passed(&mut limiter, &udp("10.9.0.3", 8080), 100);
    assert_passed(&mut limiter, &udp("2001:db8::1", 8080), 100);
    // A prefix has one bucket, and the longest prefix wins.
    limiter.apply(&slow(2, 8080, Some("10.9.0.0/24"), 7)).unwrap();
    let both = passed(&mut limiter, &udp("10.9.0.3", 8080)) + passed(&mut limiter, &udp("10.9.0.4", 8080));
    assert!((7..=7 + limiter.refilled()).contains(&both), "{both}");
    assert_passed(&mut limiter, &udp("10.9.0.1", 8080), 0);
    // Every other source has a bucket of its own.
    limiter.apply(&slow(3, 8080, None, 4)).unwrap();
    for host in 0..=255 {
        assert_passed(&mut limiter, &udp(&format!("10.77.1.{host}"), 8080), 4);
        assert_passed(&mut limiter, &udp(&format!("2001:db8:77:{host:x}::1"), 8080), 4);
    }
    // In IPv6 a source is a /64.
    assert_passed(&mut limiter, &udp("2001:db8:77:1::2", 8080), 0);
    let of_all = &limiter.table.list().unwrap()[2];
    assert_eq!(of_all.passed + of_all.dropped, 51_300);
    assert!(
        (2048..=2048 + 513 * limiter.refilled()).contains(&of_all.passed),
        "{of_all:?}"
    );
}

#[test]
fn a_rule_can_be_changed_and_released() {
    needs_root();
    let mut limiter = limiter();
    let frame = udp("10.9.0.1", 8080);
    let rule = slow(1, 8080, Some("10.9.0.1"), 5);
    limiter.apply(&rule).unwrap();
    assert_passed(&mut limiter, &frame, 5);
    // Applying a rule again does not refill its bucket.
    limiter.apply(&rule).unwrap();
    assert_passed(&mut limiter, &frame, 0);
    let error = limiter.apply(&Rule { id: 2, ..rule }).unwrap_err();
    assert!(
        matches!(
            error,
            LimitError::SourceTaken {
                id: 2,
                by: 1,
                port: 8080
            }
        ),
        "{error}"
    );
    limiter.apply(&Rule { burst: 50, ..rule }).unwrap();
    assert_passed(&mut limiter, &frame, 45);
    limiter.apply(&Rule { port: 8081, ..rule }).unwrap();
    assert_passed(&mut limiter, &frame, 100);
    assert_passed(&mut limiter, &udp("10.9.0.1", 8081), 5);
    let released = limiter.table.release(1).unwrap().unwrap();
    assert_eq!(
        (released.rule.port, released.passed + released.dropped),
        (8081, 100)
    );
    assert_passed(&mut limiter, &udp("10.9.0.1", 8081), 100);
    assert_eq!(limiter.table.release(1).unwrap(), None);
}

#[test]
fn without_a_lease_or_in_a_panic_everything_passes() {
    needs_root();
    let mut limiter = limiter();
    let frame = udp("10.9.0.1", 8080);
    limiter.apply(&slow(1, 8080, None, 1)).unwrap();
    assert_passed(&mut limiter, &frame, 1);
    limiter.table.renew_lease(Duration::ZERO).unwrap();
    assert_passed(&mut limiter, &frame, 100);
    let error = limiter.table.renew_lease(Duration::from_secs(11)).unwrap_err();
    assert_eq!(error.to_string(), "a lease of 11s is longer than 10s");
    // A lease far ahead, such as one by an older clock, is no lease.
    let Some(Map::Array(control)) = limiter.object.map("CONTROL") else {
        panic!("no control map")
    };
    let data = MapData::from_id(control.info().unwrap().id()).unwrap();
    let mut words: Array<MapData, u64> = Map::Array(data).try_into().unwrap();
    words
        .set(probes_ebpf::limit_wire::control::LEASE, u64::MAX / 2, 0)
        .unwrap();
    assert_passed(&mut limiter, &frame, 100);
    limiter.table.renew_lease(Duration::from_secs(10)).unwrap();
    assert_passed(&mut limiter, &frame, 0);
    assert_eq!(limiter.table.panic_clear().unwrap().len(), 1);
    assert_passed(&mut limiter, &frame, 100);
    let refused = limiter.apply(&slow(2, 8080, None, 1)).unwrap_err();
    assert!(matches!(refused, LimitError::Panicked));
    limiter.table.resume().unwrap();
    limiter.apply(&slow(2, 8080, None, 1)).unwrap();
    assert_passed(&mut limiter, &frame, 1);
}

#[test]
fn the_allow_list_spares_what_a_rule_would_drop() {
    needs_root();
    let mut limiter = limiter();
    let prefixes = ["10.9.0.0/30", "2001:db8:5::/48"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    limiter
        .allow(&AllowList {
            ports: vec![8443],
            prefixes,
        })
        .unwrap();
    limiter.apply(&slow(1, 8080, None, 2)).unwrap();
    limiter.apply(&slow(2, 8443, None, 2)).unwrap();
    assert_passed(&mut limiter, &udp("10.9.0.1", 8080), 100);
    assert_passed(&mut limiter, &udp("10.9.0.4", 8080), 2);
    assert_passed(&mut limiter, &udp("2001:db8:5::9", 8080), 100);
    assert_passed(&mut limiter, &udp("2001:db8:6::9", 8080), 2);
    assert_passed(&mut limiter, &udp("10.9.0.4", 8443), 100);
    let spared = limiter.table.counts().unwrap().spared;
    assert!(
        spared <= 3 * 98 && spared + 3 * limiter.refilled() >= 3 * 98,
        "{spared}"
    );
    // A list set anew takes away what it no longer holds.
    limiter
        .allow(&AllowList {
            ports: vec![],
            prefixes: vec![],
        })
        .unwrap();
    assert_passed(&mut limiter, &udp("10.9.0.1", 8080), 0);
    assert_passed(&mut limiter, &udp("10.9.0.4", 8443), 0);
}

#[test]
fn a_table_that_is_full_says_so() {
    needs_root();
    let mut limiter = limiter();
    let of = |id: u32| slow(id, 8080, Some(&format!("10.1.{}.{}", id >> 8, id & 255)), 1);
    for id in 0..RULES_MAX {
        limiter.apply(&of(id)).unwrap();
    }
    let error = limiter.apply(&of(RULES_MAX)).unwrap_err();
    assert_eq!(error.to_string(), "there is room for 1024 rules");
    limiter.table.renew_lease(Duration::from_secs(10)).unwrap();
    assert_passed(&mut limiter, &udp("10.1.3.255", 8080), 1);
    assert_eq!(limiter.table.clear().unwrap().len(), 1024);
    assert!(limiter.table.list().unwrap().is_empty());
    // A port without rules gives up its counters when there is no room, one with rules never.
    for port in 1..=256 {
        limiter.apply(&slow(u32::from(port), port, None, 1)).unwrap();
    }
    let error = limiter.apply(&slow(257, 257, None, 1)).unwrap_err();
    assert_eq!(error.to_string(), "there is room for 256 service ports");
    limiter.table.release(7).unwrap();
    limiter.apply(&slow(257, 257, None, 1)).unwrap();
}
