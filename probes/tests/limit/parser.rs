//! The packet parser: the program in the kernel and the same source on the host agree, on anything.

use aya::{Pod, maps::Array, programs::Xdp};
use probes::limit::testing::Peers;
use probes_ebpf::{
    limit::packet::{self, EXTENSIONS_MAX},
    limit_wire::ParsedRecord,
};
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::{
    frame::{ACK, FrameBuilder, PSH_ACK, SYN, Transport},
    needs_root,
    program::{DROP, PASS, limiter, run, slow, tcp, udp},
};

/// The parser in the kernel, and the same source compiled for the host.
struct Parsers {
    peers: Peers,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words([u32; 8]);

// SAFETY: eight words, the very size of the record.
unsafe impl Pod for Words {}

impl Parsers {
    fn load() -> Self {
        Self {
            peers: Peers::load().unwrap(),
        }
    }

    fn assert_agree(&self, frame: &[u8]) {
        let program: &Xdp = self
            .peers
            .object
            .program("parse_only")
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(run(program, frame), PASS);
        let parsed: Array<_, Words> = self.peers.object.map("PARSED").unwrap().try_into().unwrap();
        let Words([outcome, charged, port, family, address @ ..]) = parsed.get(&0, 0).unwrap();
        let kernel = ParsedRecord {
            outcome,
            charged,
            port,
            family,
            address,
        };
        let host = ParsedRecord::from(packet::parse(&frame));
        assert_eq!(kernel, host, "{frame:02x?}");
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for source in ["10.9.0.1", "2001:db8::1"] {
        for base in [
            udp(source, 8080),
            tcp(source, 443, SYN, 0),
            tcp(source, 443, ACK, 0),
            tcp(source, 443, PSH_ACK, 100),
            FrameBuilder {
                transport: Transport::Other(58),
                ..udp(source, 1)
            },
        ] {
            frames.push(base.clone());
            frames.push(base.clone().tagged(0x8100, 7));
            frames.push(base.clone().tagged(0x88a8, 7).tagged(0x8100, 8));
            frames.push(base.clone().tagged(0x8100, 7).tagged(0x8100, 8).tagged(0x8100, 9));
            frames.push(FrameBuilder {
                options: vec![1; 40],
                fragment: 0x4000,
                ..base.clone()
            });
            frames.push(FrameBuilder {
                fragment: 0x2000,
                ..base.clone()
            });
            frames.push(FrameBuilder {
                fragment: 0x2001,
                ..base.clone()
            });
            let hop_by_hop = base.clone().extension(0, vec![0; 7]);
            frames.push(hop_by_hop.clone().extension(44, vec![0, 0, 1, 0, 0, 0, 9]));
            frames.push(hop_by_hop.clone().extension(44, vec![0, 0, 0xf8, 0, 0, 0, 9]));
            frames.push(
                hop_by_hop
                    .extension(43, [vec![2], vec![0; 22]].concat())
                    .extension(51, vec![1; 11]),
            );
            for count in EXTENSIONS_MAX - 1..EXTENSIONS_MAX + 2 {
                frames.push((0..count).fold(base.clone(), |frame, _| frame.extension(60, vec![0; 7])));
            }
        }
    }
    frames.iter().map(FrameBuilder::build).collect()
}

#[test]
fn the_parser_in_the_kernel_is_the_parser_on_the_host() {
    needs_root();
    let parsers = Parsers::load();
    let mut frames = 0;
    for frame in corpus() {
        for length in 14..=frame.len() {
            parsers.assert_agree(&frame[..length]);
            frames += 1;
        }
        for at in 12..frame.len().min(80) {
            for value in [0, 1, 0x0f, 0x44, 0x4f, 0x60, 0x81, 0xff] {
                let mut frame = frame.clone();
                frame[at] = value;
                parsers.assert_agree(&frame);
                frames += 1;
            }
        }
    }
    eprintln!("{frames} frames");
}

#[test]
fn the_parsers_agree_on_noise() {
    needs_root();
    let parsers = Parsers::load();
    let corpus = corpus();
    proptest!(ProptestConfig::with_cases(2000), |(
        index in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((12_usize..120, any::<u8>()), 0..6),
        length in 14_usize..160,
    )| {
        let mut frame = index.get(&corpus).clone();
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(length);
        parsers.assert_agree(&frame);
    });
}

#[test]
fn a_dropped_packet_never_was_an_answer() {
    needs_root();
    // The strictest rule there is on every port the frames of the corpus go to.
    let mut limiter = limiter();
    for (id, port) in [(1, 8080), (2, 443), (3, 1)] {
        limiter.apply(&slow(id, port, None, 1)).unwrap();
    }
    for frame in corpus() {
        let parsed = packet::parse(&frame.as_slice());
        let program = limiter.program().unwrap();
        let verdicts = [run(program, &frame), run(program, &frame), run(program, &frame)];
        let charged = parsed.is_ok_and(|segment| segment.charged);
        assert_eq!(verdicts.contains(&DROP), charged, "{parsed:?}");
    }
}
