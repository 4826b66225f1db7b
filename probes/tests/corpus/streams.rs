//! Connections of HTTP/2 over a wire, segment by segment as a peer of ours sends them: cut anywhere, sent again,
//! overlapping, out of order. The real programs leave the state that the host's build leaves of the same segments,
//! and each request is counted as it says.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Pod,
    maps::{Map, MapData, SkStorage},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use probes::agent::Agent;
use probes_ebpf::{
    http2_wire::{Http2, mode},
    replay::http2::event,
};
use slo_engine::{measurement::Signal, service::WatchedService};

use super::{
    fuzz::walk::{DIVIDER, FIRST, Plan, Random, Segment, Walk, fate, frame},
    support::{
        Inside, Place,
        by_hand::{ACK, NEAR, PSH, Peer, wire},
        eventually, read, watched,
    },
};

const SEEDS: Range<u16> = 0..40;
const PORT: u16 = 8188;
const SERVICE: &str = "streamed";

/// By route and status; no status is `unknown`.
type Counts = BTreeMap<(String, u16), u64>;

/// What a client says, and what it is answered with: a piece of each answer is a segment.
struct Play {
    plan: Plan,
    answers: Vec<Vec<u8>>,
    /// In the order in which they are asked.
    counts: Vec<(String, u16)>,
}

impl Play {
    fn new(seed: u16) -> Self {
        let mut random = Random(u64::from(seed));
        let mut asks = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
        let mut answers = vec![frame(4, 0, 0, &[])];
        let mut counts = Vec::new();
        for index in 0..=random.below(12) {
            let stream = u32::try_from(2 * index + 1).unwrap();
            let has_body = random.below(2) == 0;
            let is_routed = random.below(2) == 0;
            // GET or POST, http, a path, what is asked for and a field of any length.
            let mut block = vec![if has_body { 0x83 } else { 0x82 }, 0x86];
            block.extend(if is_routed { b"\x04\x03/a/" } else { b"\x04\x03/b/" });
            block.extend(b"\x41\x04near\x0f\x2b");
            let length = u8::try_from(random.below(120)).unwrap();
            block.push(length);
            block.resize(block.len() + usize::from(length), b'x');
            let flags = u8::from(!has_body);
            if random.below(4) == 0 {
                let (begin, rest) = block.split_at(random.below(block.len()));
                asks.extend(frame(1, flags, stream, begin));
                asks.extend(frame(9, 4, stream, rest));
            } else {
                asks.extend(frame(1, flags | 4, stream, &block));
            }
            if has_body {
                asks.extend(frame(0, 0, stream, &vec![b'P'; random.below(300)]));
                asks.extend(frame(0, 1, stream, &vec![0; random.below(30)]));
            }
            let (code, status) = [(0x88, 200), (0x8d, 404), (0x8e, 500)][random.below(3)];
            let mut answer = frame(1, 4, stream, &[code]);
            answer.extend(frame(0, 1, stream, b"an answer"));
            let end = answer.split_off(1 + random.below(answer.len() - 1));
            answers.extend([answer, end]);
            let route = if is_routed && !has_body {
                "GET /a/"
            } else {
                "other"
            };
            counts.push((route.to_owned(), status));
        }
        let mut input = vec![0, 0, 0, 31];
        input.extend((0..31).flat_map(|index| cut(&mut random, index, seed % 8 == 7)));
        input.extend(asks);
        input.extend(DIVIDER);
        let plan = Plan::read(&input).unwrap();
        Self {
            plan,
            answers,
            counts,
        }
    }
}

/// How long a segment is and what becomes of it, as a plan has it.
fn cut(random: &mut Random, index: usize, is_torn: bool) -> [u8; 2] {
    if is_torn {
        // More holes than one connection may leave open, behind a few requests.
        let fate = if index.is_multiple_of(2) {
            fate::COMES_LATER | 31 << 3
        } else {
            0
        };
        let length = if index == 0 { 255 } else { random.below(6) };
        return [u8::try_from(length).unwrap(), fate];
    }
    let fate = [0, 0, fate::COMES_LATER, fate::COMES_TWICE, fate::OVERLAPS][random.below(5)];
    let much = u8::try_from(random.below(8)).unwrap();
    let most = [20, 120, 256][random.below(3)];
    [u8::try_from(random.below(most)).unwrap(), fate | much << 3]
}

const SERVER: &str = r#"
import fcntl, json, socket, sys, termios, time
def has_said(calls):
    return int.from_bytes(fcntl.ioctl(calls, termios.TIOCOUTQ, bytes(4)), sys.byteorder) == 0
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
open_still = []
for line in sys.stdin:
    end, answers = json.loads(line)
    calls, _ = listener.accept()
    calls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    open_still.append(calls)
    got = 0
    while got < end:
        got += len(calls.recv(65536))
    for answer in answers:
        calls.sendall(bytes.fromhex(answer))
        while not has_said(calls):
            time.sleep(0.001)
    print("calls", calls.fileno(), flush=True)
"#;

struct Stage {
    agent: Agent,
    server: Inside,
    namespace: super::support::Server,
    states: SkStorage<MapData, State>,
    _place: Place,
}

/// As the kernel holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct State(Http2);

// SAFETY: plain integers of a fixed layout, which any bytes are.
unsafe impl Pod for State {}

impl Stage {
    fn new() -> Self {
        // Two processors would change the order of what is sent.
        let mut cpus = CpuSet::new();
        cpus.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
        let place = Place::new("streamed");
        let mut agent = place.agent();
        let service = WatchedService {
            routes: vec!["GET /a/".parse().unwrap()],
            ..watched(SERVICE, PORT)
        };
        agent.watch(&[service]).unwrap();
        let pin = pinned(
            Path::new("/sys/fs/bpf/slowburn").join(&place.name).as_path(),
            "HTTP2",
        )
        .unwrap();
        let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
        let namespace = place.server(&["127.0.0.1:8160"]);
        namespace.beside(wire);
        let mut server = place.spawn(&namespace, "python3", &["-c", SERVER, NEAR, &PORT.to_string()]);
        server.said("listening");
        Self {
            agent,
            server,
            namespace,
            states: map.try_into().unwrap(),
            _place: place,
        }
    }

    /// Plays it over the wire and to the host's build, and holds the one's state against the other's.
    fn play(&mut self, seed: u16, play: &Play) -> Walk {
        let hex = |answer: &Vec<u8>| {
            answer
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let answers: Vec<_> = play.answers.iter().map(hex).collect();
        let end = u32::try_from(play.plan.asks.len()).unwrap();
        self.server.say(&serde_json::to_string(&(end, answers)).unwrap());
        let mut peer =
            (self.namespace).beside(move || Peer::open_from(FIRST.wrapping_sub(1), 41_000 + seed, PORT));
        let mut answered = peer.heard();
        let mut host = Walk::new(&play.plan);
        for segment in play.plan.segments() {
            peer.send(segment.seq.wrapping_sub(FIRST), PSH | ACK, segment.bytes);
            host.segment(&segment);
        }
        for bytes in &play.answers {
            let seq = answered;
            host.segment(&Segment {
                asks: false,
                seq,
                bytes,
                is_seen: true,
            });
            answered = answered.wrapping_add(u32::try_from(bytes.len()).unwrap());
        }
        let expected = play.answers.concat();
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            heard.extend(peer.answer().payload);
            // What is not acknowledged keeps the next from being a segment of its own.
            peer.send(end, ACK, b"");
        }
        assert_eq!(heard, expected, "seed {seed}: the server has read what was sent");
        let calls = self.server.said("calls ").parse().unwrap();
        let socket = descriptor(self.server.id(), calls).unwrap();
        let state = self.states.get(&socket, 0).unwrap().0;
        assert_eq!(known(state), known(host.case.http2), "seed {seed}");
        host
    }
}

/// But for what is the kernel's own business: names, places in a packet.
fn known(mut state: Http2) -> String {
    state.cookie = 0;
    for direction in &mut state.directions {
        direction.offset = 0;
    }
    format!("{state:#?}")
}

/// The first file of this name.
fn pinned(directory: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(directory).ok()?.find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return pinned(&path, name);
        }
        path.ends_with(name).then_some(path)
    })
}

/// A descriptor of another process.
fn descriptor(process: u32, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls, whose descriptors are ours.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, process, 0);
        let process = OwnedFd::from_raw_fd(i32::try_from(process).unwrap());
        let found = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0);
        if found < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(i32::try_from(found).unwrap()))
    }
}

fn counted(agent: &mut Agent) -> Counts {
    let mut counts = Counts::new();
    for reading in &read(agent).readings {
        let series = &reading.series;
        if series.service.as_str() != SERVICE || reading.value == 0 {
            continue;
        }
        match (&series.signal, &series.route) {
            (Signal::Status(status), Some(route)) => {
                *counts.entry((route.to_string(), *status)).or_default() += reading.value;
            }
            (Signal::Unknown, _) => *counts.entry((String::new(), 0)).or_default() += reading.value,
            _ => {}
        }
    }
    counts
}

#[test]
fn connections_on_the_wire_are_followed_as_on_the_host() {
    let mut stage = Stage::new();
    let mut expected = Counts::new();
    let mut lost = 0;
    for seed in SEEDS {
        let play = Play::new(seed);
        let host = stage.play(seed, &play);
        if host.case.http2.mode == mode::TRACKED {
            for count in play.counts {
                *expected.entry(count).or_default() += 1;
            }
        } else {
            // None was answered before.
            lost += 1;
            let begun = host
                .journal
                .iter()
                .filter(|(entry, _)| entry.event == event::CHARGED);
            *expected.entry((String::new(), 0)).or_default() += begun.count() as u64;
        }
        let total = expected.values().sum::<u64>();
        let counts = eventually(&format!("seed {seed}: {expected:?}"), || {
            let counts = counted(&mut stage.agent);
            (counts.values().sum::<u64>() >= total).then_some(counts)
        });
        assert_eq!(counts, expected, "seed {seed}");
    }
    assert!(lost > 0, "{expected:?}");
    stage.server.end();
}
