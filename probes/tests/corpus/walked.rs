//! Packet after packet of HTTP/2 from the same state: the kernel's build (`BPF_PROG_TEST_RUN` of the object
//! `replay_http2`) leaves the state, the slots and the journal that the host's leaves, to the byte.

use std::slice;

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use probes_ebpf::{
    http2_wire::{Early, event},
    replay::http2::{self as replay, Case, OFFSET},
};

use super::{
    all,
    fuzz::walk::{self, Plan, Segment, Walk, made},
    patience::needs_root,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/replay_http2"));
/// Of plays that are made up, beside those that fuzzing has kept.
const MADE: u64 = 300;

/// As the kernel holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Record<T>(T);

// SAFETY: plain integers without padding, of a fixed layout, which any bytes are.
unsafe impl Pod for Record<Case> {}
// SAFETY: as above.
unsafe impl Pod for Record<Early> {}

struct Kernel {
    object: Ebpf,
}

impl Kernel {
    fn load() -> Self {
        let mut object = Ebpf::load(OBJECT).unwrap();
        program(&mut object).load().unwrap();
        Self { object }
    }

    fn set(&mut self, case: &Case) {
        let mut cases: Array<&mut MapData, Record<Case>> =
            self.object.map_mut("CASE").unwrap().try_into().unwrap();
        cases.set(0, Record(*case), 0).unwrap();
    }

    fn case(&self) -> Box<Case> {
        let cases: Array<&MapData, Record<Case>> = self.object.map("CASE").unwrap().try_into().unwrap();
        Box::new(cases.get(&0, 0).unwrap().0)
    }

    fn set_slot(&mut self, slot: usize, early: &Early) {
        let mut slots: Array<&mut MapData, Record<Early>> =
            self.object.map_mut("HTTP2_EARLY").unwrap().try_into().unwrap();
        let slot = u32::try_from(slot).unwrap();
        slots.set(slot, Record(*early), 0).unwrap();
    }

    fn slot(&self, slot: usize) -> Box<Early> {
        let slots: Array<&MapData, Record<Early>> =
            self.object.map("HTTP2_EARLY").unwrap().try_into().unwrap();
        let slot = u32::try_from(slot).unwrap();
        Box::new(slots.get(&slot, 0).unwrap().0)
    }

    fn run(&mut self, segment: &Segment) {
        let mut packet = vec![0; OFFSET as usize];
        packet.extend_from_slice(segment.bytes);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet);
        let ran = program(&mut self.object).test_run(options).unwrap();
        assert_eq!(ran.return_value, 0);
    }
}

fn program(object: &mut Ebpf) -> &mut SchedClassifier {
    object.program_mut("replay_segment").unwrap().try_into().unwrap()
}

fn bytes(case: &Case) -> &[u8] {
    // SAFETY: without padding, see above.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(case).cast(), size_of::<Case>()) }
}

/// What was reached, so that it is known to have been.
#[derive(Debug, Default)]
struct Reached {
    packets: usize,
    /// Those that found something kept, or left it so.
    with_early: usize,
    holes: usize,
    whole_again: usize,
    lost: usize,
    unknown: usize,
}

/// Runs each segment on both sides, from the state that the host's build had reached.
fn follow(kernel: &mut Kernel, plan: &Plan, reached: &mut Reached) {
    let mut host = Walk::new(plan);
    let segments = plan.segments();
    for segment in &segments {
        if !segment.is_seen {
            host.segment(segment);
            continue;
        }
        host.prepare(segment);
        kernel.set(&host.case);
        let held = host.slots.taken();
        kernel.run(segment);
        host.segment(segment);
        let case = kernel.case();
        assert!(
            bytes(&case) == bytes(&host.case),
            "{segment:?}: the kernel has\n{:?}{:?}\nand the host\n{:?}{:?}",
            case.http2,
            &case.journal.entries[..usize::try_from(case.journal.written).unwrap()],
            host.case.http2,
            &host.case.journal.entries[..usize::try_from(host.case.journal.written).unwrap()],
        );
        let mut touched = host.slots.taken();
        reached.with_early += usize::from(!(held.is_empty() && touched.is_empty()));
        touched.extend(held);
        for slot in touched {
            let (kernel, host) = (kernel.slot(slot), &host.slots.get()[slot]);
            let place = |early: &Early| (early.owner, early.seq, early.length);
            let length = usize::try_from(host.length).unwrap();
            assert_eq!(place(&kernel), place(host), "{segment:?}: slot {slot}");
            assert!(
                kernel.bytes[..length] == host.bytes[..length],
                "{segment:?}: slot {slot}"
            );
        }
    }
    // The next one finds all of them free.
    for slot in host.slots.taken() {
        kernel.set_slot(
            slot,
            &Early {
                owner: 0,
                ..host.slots.get()[slot]
            },
        );
    }
    reached.packets += segments.len();
    for (entry, _) in &host.journal {
        match (entry.event, entry.record.kind) {
            (replay::event::TOLD, event::HOLE) => reached.holes += 1,
            (replay::event::TOLD, event::WHOLE) => reached.whole_again += 1,
            (replay::event::TOLD, event::LOST) => reached.lost += 1,
            (replay::event::UNKNOWN, _) => reached.unknown += 1,
            _ => {}
        }
    }
}

#[test]
fn each_packet_leaves_the_state_that_it_leaves_on_the_host() {
    needs_root();
    let mut kernel = Kernel::load();
    let mut reached = Reached::default();
    let mut play = |input: &[u8]| {
        if let Some(plan) = Plan::read(input) {
            follow(&mut kernel, &plan, &mut reached);
        }
    };
    all("walk", &mut play);
    for seed in 0..MADE {
        println!("seed {seed}");
        play(&made(seed));
    }
    println!("{reached:?}");
    assert!(reached.packets > 1000 && reached.with_early > 100);
    assert!(reached.holes > 10 && reached.whole_again > 10 && reached.lost > 10 && reached.unknown > 10);
}

#[test]
fn made_up_walks() {
    for seed in 0..4000 {
        println!("seed {seed}");
        walk::ask(&made(seed));
    }
}
