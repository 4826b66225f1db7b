//! Packet after packet from the same state: the kernel's build (`BPF_PROG_TEST_RUN` of the object `replay`)
//! leaves the state that the host's leaves, to the byte.

use std::slice;

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
    util::nr_cpus,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use probes_ebpf::{conversation::Scratch, replay::Case, wire::asking};

use super::{
    all,
    fuzz::conversation::{Conversation, Segment, conversations},
    patience::needs_root,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/replay"));
/// What the kernel takes in front of a payload.
const ETHERNET: usize = 14;
const CPU: usize = 0;

/// As the kernel holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Record<T>(T);

// SAFETY: plain integers without padding, of a fixed layout, which any bytes are.
unsafe impl Pod for Record<Case> {}
// SAFETY: as above.
unsafe impl Pod for Record<Scratch> {}

struct Kernel {
    object: Ebpf,
}

impl Kernel {
    fn load() -> Self {
        // What is laid out to be read is a processor's own.
        let mut cpus = CpuSet::new();
        cpus.set(CPU).unwrap();
        sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
        let mut object = Ebpf::load(OBJECT).unwrap();
        program(&mut object).load().unwrap();
        Self { object }
    }

    fn set(&mut self, case: &Case, scratch: &Scratch) {
        let everywhere = vec![Record(*scratch); nr_cpus().unwrap()];
        let mut scratches: PerCpuArray<&mut MapData, Record<Scratch>> =
            self.object.map_mut("SCRATCH").unwrap().try_into().unwrap();
        scratches
            .set(0, PerCpuValues::try_from(everywhere).unwrap(), 0)
            .unwrap();
        let mut cases: Array<&mut MapData, Record<Case>> =
            self.object.map_mut("CASE").unwrap().try_into().unwrap();
        cases.set(0, Record(*case), 0).unwrap();
    }

    fn get(&self) -> (Case, Scratch) {
        let cases: Array<&MapData, Record<Case>> = self.object.map("CASE").unwrap().try_into().unwrap();
        let scratches: PerCpuArray<&MapData, Record<Scratch>> =
            self.object.map("SCRATCH").unwrap().try_into().unwrap();
        (cases.get(&0, 0).unwrap().0, scratches.get(&0, 0).unwrap()[CPU].0)
    }

    fn run(&mut self, segment: &Segment) {
        let mut packet = vec![0; ETHERNET];
        packet.extend_from_slice(segment.bytes);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet);
        let ran = program(&mut self.object).test_run(options).unwrap();
        assert_eq!(ran.return_value, 0);
    }
}

fn program(object: &mut Ebpf) -> &mut SchedClassifier {
    object.program_mut("replay_packet").unwrap().try_into().unwrap()
}

fn bytes<T>(record: &T) -> &[u8]
where
    Record<T>: Pod,
{
    // SAFETY: without padding, see above.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
}

/// Runs each segment on both sides, from the state that the host's build had reached.
fn follow(kernel: &mut Kernel, asks: u8, segments: &[Segment]) {
    let mut host = Conversation::new(asks);
    for segment in segments {
        host.prepare(segment);
        kernel.set(&host.case, &host.scratch);
        kernel.run(segment);
        host.segment(segment);
        let (case, scratch) = kernel.get();
        if bytes(&case) != bytes(&host.case) || bytes(&scratch) != bytes(&*host.scratch) {
            panic!(
                "{segment:?}: the kernel has\n{case:?}\nand the host\n{:?}",
                host.case
            );
        }
    }
}

#[test]
fn each_packet_leaves_the_state_that_it_leaves_on_the_host() {
    needs_root();
    let mut kernel = Kernel::load();
    let mut packets = 0;
    all("conversation", |input| {
        conversations(input, |asks, segments| {
            follow(&mut kernel, asks, segments);
            packets += segments.len();
        });
    });
    assert!(packets > 100, "{packets}");
}

#[test]
fn a_body_in_chunks_of_an_earlier_build_ends_where_it_would_have() {
    let mut host = Conversation::new(0);
    let mut seq = u32::try_from(host.case.connection.asked).unwrap();
    let mut ask = |host: &mut Conversation, bytes: &[u8]| {
        let asks = true;
        host.segment(&Segment { asks, seq, bytes });
        seq = seq.wrapping_add(u32::try_from(bytes.len()).unwrap());
        host.case.connection.asking & asking::CHUNKED != 0
    };
    assert!(ask(
        &mut host,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    ));
    // It kept how much of the last chunk stands at the end of what has come, and no more.
    host.case.connection.request_end = 3;
    assert!(!ask(&mut host, b"\r\n"));
}
