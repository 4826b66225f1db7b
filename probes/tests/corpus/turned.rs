//! Turn after turn from the same state: the kernel's build (`BPF_PROG_TEST_RUN` of the object `replay_turns`) leaves
//! the state and the journal that the host's leaves, to the byte.

use std::slice;

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use probes_ebpf::{
    replay::turns::{Case, OFFSET, event},
    wire::what,
};

use super::{
    all,
    fuzz::turns::{self, Plan, Step, Turns, made},
    patience::needs_root,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/replay_turns"));
/// Of plays that are made up, beside those that fuzzing has kept.
const MADE: u64 = 400;

/// As the kernel holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Record(Case);

// SAFETY: plain integers without padding, of a fixed layout, which any bytes are.
unsafe impl Pod for Record {}

struct Kernel {
    object: Ebpf,
}

impl Kernel {
    fn load() -> Self {
        let mut object = Ebpf::load(OBJECT).unwrap();
        program(&mut object).load().unwrap();
        Self { object }
    }

    /// The case after a step.
    fn step(&mut self, case: &Case, step: &Step) -> Case {
        let mut cases: Array<&mut MapData, Record> = self.object.map_mut("CASE").unwrap().try_into().unwrap();
        cases.set(0, Record(*case), 0).unwrap();
        let mut packet = vec![0; OFFSET as usize];
        packet.extend_from_slice(&step.bytes);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet);
        let ran = program(&mut self.object).test_run(options).unwrap();
        assert_eq!(ran.return_value, 0);
        let cases: Array<&MapData, Record> = self.object.map("CASE").unwrap().try_into().unwrap();
        cases.get(&0, 0).unwrap().0
    }
}

fn program(object: &mut Ebpf) -> &mut SchedClassifier {
    object.program_mut("replay_turn").unwrap().try_into().unwrap()
}

fn bytes(case: &Case) -> &[u8] {
    // SAFETY: without padding, see above.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(case).cast(), size_of::<Case>()) }
}

#[test]
fn each_step_leaves_the_state_that_it_leaves_on_the_host() {
    needs_root();
    let mut kernel = Kernel::load();
    let (mut steps, mut answered, mut unanswered) = (0, 0, 0);
    let mut play = |input: &[u8]| {
        let Some(plan) = Plan::read(input) else {
            return;
        };
        let mut host = Turns::new(&plan);
        for step in &plan.steps {
            host.prepare(step);
            let case = kernel.step(&host.case, step);
            host.step(step);
            assert!(
                bytes(&case) == bytes(&host.case),
                "{step:?}: the kernel has\n{:?}\nand the host\n{:?}",
                case.connection,
                host.case.connection
            );
        }
        steps += plan.steps.len();
        for entry in host.entries().iter().filter(|entry| entry.event == event::ENDED) {
            let is_answered = entry.what == u32::from(what::ANSWERED);
            *(if is_answered {
                &mut answered
            } else {
                &mut unanswered
            }) += 1;
        }
    };
    all("turns", &mut play);
    for seed in 0..MADE {
        println!("seed {seed}");
        play(&made(seed));
    }
    println!("{steps} steps, {answered} answered, {unanswered} not");
    assert!(steps > 1000 && answered > 100 && unanswered > 100);
}

#[test]
fn made_up_turns() {
    for seed in 0..20_000 {
        println!("seed {seed}");
        turns::ask(&made(seed));
    }
}
