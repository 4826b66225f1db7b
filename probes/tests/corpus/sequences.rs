//! Conversations over a wire, segment by segment as a peer of ours sends them: cut anywhere, sent again,
//! overlapping, out of order. What the real programs count is what the host's build says of the same segments.

use std::collections::BTreeMap;
use std::ops::Range;

use probes::agent::Agent;
use probes_ebpf::replay::{Entry, event};
use slo_engine::{
    measurement::{Batch, Signal},
    service::WatchedService,
};

use super::{
    fuzz::{
        conversation::{Conversation, Segment, route_of},
        walk::Random,
    },
    support::{Inside, Place, by_hand, eventually, read, watched},
};
use by_hand::{ACK, NEAR, PSH, Peer, wire};

/// Those that send what they send in order, and those that do not.
const IN_ORDER: Range<u16> = 0..16;
const OUT_OF_ORDER: Range<u16> = 16..40;
const PORT: u16 = 8187;
const SERVICE: &str = "played";

/// A method is known by so many bytes.
const METHOD: usize = 8;

/// Requests, and the route that each is counted under.
const REQUESTS: [(&str, &str); 7] = [
    ("GET /a/1 HTTP/1.1\r\nHost: near\r\n\r\n", "GET /a/"),
    (
        "GET /a/path/that/is/longer/than/what/is/carried/over/from/a/segment/to/the/next HTTP/1.1\r\n\
         Cookie: a-cookie-that-is-longer-than-what-is-carried-over-from-a-segment-to-the-next\r\n\r\n",
        "GET /a/",
    ),
    ("\r\nGET /b HTTP/1.1\r\nHost: near\r\n\r\n", "other"),
    (
        "POST /form HTTP/1.1\r\ncontent-length:38\r\n\r\nGET /a/ HTTP/1.1\r\nHost: no request\r\n\r\n",
        "POST *",
    ),
    ("POST /empty HTTP/1.1\nContent-Length: 0\n\n", "POST *"),
    ("HEAD /a/2 HTTP/1.1\r\nHost: near\r\n\r\n", "other"),
    ("OPTIONS /c HTTP/1.1\r\n\r\n", "other"),
];

/// Answers, and those to `HEAD`. Each begins a segment.
const ANSWERS: [&[&str]; 5] = [
    &["HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nHTTP/1.1 500 no\r\n"],
    &[
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnone\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    ],
    &["HTTP/1.1 204 None\r\nX: y\r\n\r\n"],
    &[
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
    ],
    &["HTTP/1.0 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"],
];
const TO_HEAD: &[&str] = &["HTTP/1.1 206 Part\r\nContent-Length: 70000\r\n\r\n"];

/// Requests in one flight, and the answers to all of them once they are here.
struct Round {
    /// Places in the stream of requests, in the order they are sent.
    segments: Vec<Range<usize>>,
    end: usize,
    answers: Vec<Vec<u8>>,
}

struct Play {
    requests: Vec<u8>,
    rounds: Vec<Round>,
    /// Of its requests.
    count: u64,
    is_in_order: bool,
    /// One request at a time, in one segment, and every answer in turn: nothing waits behind another.
    is_calm: bool,
}

impl Play {
    fn new(seed: u16) -> Self {
        let mut random = Random(u64::from(seed));
        let mut play = Self {
            requests: Vec::new(),
            rounds: Vec::new(),
            count: 0,
            is_in_order: IN_ORDER.contains(&seed),
            is_calm: seed.is_multiple_of(4),
        };
        let rounds = if play.is_calm {
            ANSWERS.len()
        } else {
            1 + random.below(3)
        };
        for _ in 0..rounds {
            play.add_round(&mut random);
        }
        play
    }

    fn add_round(&mut self, random: &mut Random) {
        let begin = self.requests.len();
        let mut answers = Vec::new();
        let (most, cuts_end) = if self.is_calm { (1, 1) } else { (5, 7) };
        for _ in 0..=random.below(most) {
            let (mut request, _) = REQUESTS[random.below(REQUESTS.len())];
            if self.requests.is_empty() {
                // The first bytes of all show what is spoken.
                request = request.trim_start();
            }
            self.requests.extend_from_slice(request.as_bytes());
            self.count += 1;
            let answer = match request.starts_with("HEAD") {
                true => TO_HEAD,
                false if self.is_calm => ANSWERS[self.rounds.len()],
                false => ANSWERS[random.below(ANSWERS.len())],
            };
            for part in answer {
                let whole = !self.is_calm && random.below(2) == 0;
                let (first, then) = part.split_at(if whole { part.len() } else { 12 + random.below(9) });
                answers.push(first.as_bytes().to_vec());
                answers.push(then.as_bytes().to_vec());
            }
        }
        answers.retain(|answer| !answer.is_empty());
        let end = self.requests.len();
        let mut cuts: Vec<usize> = (0..random.below(cuts_end))
            .map(|_| begin + random.below(end - begin))
            .collect();
        if !self.is_in_order && self.rounds.is_empty() {
            // Who loses bytes of its first method speaks something else.
            cuts.retain(|cut| *cut >= METHOD);
        }
        cuts.extend([begin, end]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut segments: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        for place in &mut segments {
            // It brings some of what came before again.
            if random.below(3) == 0 {
                place.start -= random.below(60).min(place.start);
            }
        }
        for _ in 0..random.below(3) {
            let again = segments[random.below(segments.len())].clone();
            segments.push(again);
        }
        if !self.is_in_order && segments.len() > 1 {
            // As do those of the first segment.
            let from = usize::from(self.rounds.is_empty());
            let one = from + random.below(segments.len() - from);
            let other = from + random.below(segments.len() - from);
            segments.swap(one, other);
        }
        self.rounds.push(Round {
            segments,
            end,
            answers,
        });
    }
}

const NO_ROUTE: &str = "";

/// What is counted: requests by route and status, answers to none, and what was lost.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    answered: BTreeMap<(String, u16), u64>,
    unknown: u64,
    lost: u64,
}

impl Counts {
    fn add(&mut self, entry: &Entry) {
        match entry.event {
            event::ENDED => {
                let is_its = |text: &str| route_of(text.trim_start().as_bytes()) == entry.route;
                let route = REQUESTS.iter().find(|(text, _)| is_its(text));
                let route = route.map_or(NO_ROUTE, |(_, route)| route);
                *self.answered.entry((route.to_owned(), entry.what)).or_default() += 1;
            }
            event::UNASKED => self.unknown += 1,
            event::LOST => self.lost += 1,
            _ => {}
        }
    }

    /// Of what is missing the route may be, too.
    fn without_routes(self) -> Self {
        let mut answered = BTreeMap::new();
        for ((_, status), count) in self.answered {
            *answered.entry((NO_ROUTE.to_owned(), status)).or_default() += count;
        }
        Self { answered, ..self }
    }

    fn total(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.unknown
    }

    fn of(batch: &Batch) -> Self {
        let mut counts = Self::default();
        for reading in &batch.readings {
            let series = &reading.series;
            if series.service.as_str() != SERVICE || reading.value == 0 {
                continue;
            }
            match (&series.signal, &series.route) {
                (Signal::Status(status), Some(route)) => {
                    *counts.answered.entry((route.to_string(), *status)).or_default() += reading.value;
                }
                (Signal::Unknown, _) => counts.unknown += reading.value,
                _ => {}
            }
        }
        let of_service = |service: &slo_engine::measurement::ServiceName| service.as_str() == SERVICE;
        let losses = batch
            .losses
            .iter()
            .filter(|loss| loss.service.as_ref().is_some_and(of_service));
        counts.lost = losses.map(|loss| loss.value).sum();
        counts
    }
}

const SERVER: &str = r#"
import fcntl, json, socket, sys, termios, time
def has_said(calls):
    return int.from_bytes(fcntl.ioctl(calls, termios.TIOCOUTQ, bytes(4)), sys.byteorder) == 0
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
open_still = []
for line in sys.stdin:
    rounds = json.loads(line)
    calls, _ = listener.accept()
    calls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    open_still.append(calls)
    got = 0
    for end, answers in rounds:
        while got < end:
            got += len(calls.recv(65536))
        for answer in answers:
            calls.sendall(answer.encode())
            while not has_said(calls):
                time.sleep(0.001)
"#;

struct Stage {
    agent: Agent,
    server: Inside,
    namespace: super::support::Server,
    _place: Place,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new("played");
        let mut agent = place.agent();
        let service = WatchedService {
            routes: ["GET /a/", "POST *"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
            ..watched(SERVICE, PORT)
        };
        agent.watch(&[service]).unwrap();
        let namespace = place.server(&["127.0.0.1:8159"]);
        namespace.beside(wire);
        let mut server = place.spawn(&namespace, "python3", &["-c", SERVER, NEAR, &PORT.to_string()]);
        server.said("listening");
        Self {
            agent,
            server,
            namespace,
            _place: place,
        }
    }

    /// Plays it over the wire and to the host's build, and gives what that says.
    fn play(&mut self, seed: u16, play: &Play) -> Conversation {
        let rounds: Vec<_> = (play.rounds.iter())
            .map(|round| {
                let text = |answer: &Vec<u8>| String::from_utf8(answer.clone()).unwrap();
                (round.end, round.answers.iter().map(text).collect::<Vec<_>>())
            })
            .collect();
        self.server.say(&serde_json::to_string(&rounds).unwrap());
        // Half of the streams reach the end of the sequence numbers.
        let first = if seed % 4 < 2 { 1_000_000 } else { u32::MAX - 100 };
        let mut peer = (self.namespace).beside(move || Peer::open_from(first, 40_000 + seed, PORT));
        let mut host = Conversation::new(0);
        host.case.connection.asked = u64::from(first.wrapping_add(1));
        let mut answered = 0;
        for round in &play.rounds {
            for place in &round.segments {
                let at = u32::try_from(place.start).unwrap();
                let bytes = &play.requests[place.clone()];
                peer.send(at, PSH | ACK, bytes);
                let seq = first.wrapping_add(1).wrapping_add(at);
                host.segment(&Segment {
                    asks: true,
                    seq,
                    bytes,
                });
            }
            for bytes in &round.answers {
                host.segment(&Segment {
                    asks: false,
                    seq: answered,
                    bytes,
                });
                answered += u32::try_from(bytes.len()).unwrap();
            }
            let expected = round.answers.concat();
            let mut heard = Vec::new();
            while heard.len() < expected.len() {
                heard.extend(peer.answer().payload);
                // What is not acknowledged keeps the next from being a segment of its own.
                peer.send(u32::try_from(round.end).unwrap(), ACK, b"");
            }
            assert_eq!(heard, expected, "seed {seed}: the server has read what was sent");
        }
        host
    }
}

#[test]
fn sequences_on_the_wire_are_counted_as_on_the_host() {
    let mut stage = Stage::new();
    let mut expected = Counts::default();
    let mut missing = 0;
    for seed in IN_ORDER.chain(OUT_OF_ORDER) {
        let play = Play::new(seed);
        let host = stage.play(seed, &play);
        let entries = host.entries().collect::<Vec<_>>();
        entries.iter().for_each(|entry| expected.add(entry));
        // Its name is found by looking for who listens.
        let mut counted = eventually(&format!("seed {seed}: {expected:?}"), || {
            let counted = Counts::of(&read(&mut stage.agent));
            (counted.total() >= expected.total()).then_some(counted)
        });
        if play.is_in_order {
            assert_eq!(entries.len() as u64, play.count, "seed {seed}: each is answered");
        } else {
            missing += entries.iter().filter(|entry| entry.event != event::ENDED).count();
            expected = expected.without_routes();
            counted = counted.without_routes();
        }
        assert_eq!(counted, expected, "seed {seed}: {entries:?}");
    }
    // Else nothing was out of order enough to matter.
    assert!(missing > 0);
    stage.server.end();
}
