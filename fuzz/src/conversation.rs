//! A conversation of HTTP/1 as the kernel follows it: what a plain reader makes of the two streams, however the
//! segments are cut and whoever speaks first.

use std::ops::Range;

use probes_ebpf::{
    conversation::{ANSWER_PARTS, REQUEST_PARTS, Scratch, Slice, all_parts},
    http1::Chunks,
    replay::{self, Case, Entry, event},
    wire::{answering, asking, asks, flight, protocol, request, role},
};

use super::{
    head::length,
    messages::{self, Answers, Requests},
    pieces,
};

/// Between the requests and the answers.
const DIVIDER: &[u8] = b"\n--\n";
/// Where both streams begin: soon, sequence numbers begin anew.
const FIRST: u32 = u32::MAX - 700;

/// A segment, of requests or of answers.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub asks: bool,
    pub seq: u32,
    pub bytes: &'a [u8],
}

pub fn ask(input: &[u8]) {
    let Some((asks, again, text, pieces)) = read(input) else {
        return;
    };
    let (requests, answers) = divide(&text);
    // Whatever they are, they are read.
    Conversation::new(asks).follow(&both(requests, answers, &pieces, again));

    let requests = messages::requests(requests);
    let answers = messages::answers(answers, &requests.list);
    let followed = |segments: &[Segment]| {
        let mut conversation = Conversation::new(asks);
        conversation.follow(segments);
        conversation
    };
    let whole = followed(&both(requests.text, answers.text, &[], 0));
    let expected: Vec<Entry> = (requests.list.iter().zip(&answers.list))
        .map(|(request, answer)| ended(request, answer.status))
        .collect();
    assert_eq!(whole.ended(), expected);
    let cut = followed(&both(requests.text, answers.text, &pieces, again));
    assert_eq!(cut.left(), whole.left(), "cut");
    let in_turns = followed(&in_turns(&requests, &answers, &pieces));
    // An answer may come before its request is complete.
    let known = |entries: Vec<Entry>| -> Vec<Entry> {
        let known = |entry: Entry| Entry {
            request: entry.request & !u16::from(request::COMPLETE),
            ..entry
        };
        entries.into_iter().map(known).collect()
    };
    assert_eq!(known(in_turns.ended()), known(expected), "in turns");
}

/// What the service asks for, how much each segment brings again, and the text and how long its pieces are.
fn read(input: &[u8]) -> Option<(u8, usize, Vec<u8>, Vec<usize>)> {
    let (first, rest) = input.split_first()?;
    let pieces = pieces(rest);
    let lengths = pieces.iter().map(|piece| piece.len()).collect();
    Some((
        first & asks::LAST_BYTE,
        usize::from(first >> 1),
        pieces.concat(),
        lengths,
    ))
}

/// The segments that an input stands for, for another build to follow: what it asks for, and two conversations.
pub fn conversations(input: &[u8], mut with: impl FnMut(u8, &[Segment])) {
    let Some((asks, again, text, pieces)) = read(input) else {
        return;
    };
    let (requests, answers) = divide(&text);
    with(asks, &both(requests, answers, &pieces, again));
    let requests = messages::requests(requests);
    let answers = messages::answers(answers, &requests.list);
    with(asks, &in_turns(&requests, &answers, &pieces));
}

fn divide(text: &[u8]) -> (&[u8], &[u8]) {
    let at = text.windows(DIVIDER.len()).position(|place| place == DIVIDER);
    match at {
        // The line feed may be what ends a header.
        Some(at) => (&text[..=at], &text[at + DIVIDER.len()..]),
        None => (text, &[]),
    }
}

fn ended(request: &messages::Request, status: u16) -> Entry {
    Entry {
        event: event::ENDED,
        what: status,
        route: request.route,
        request: u16::from(request.request),
        settings: SETTINGS,
    }
}

/// What the journal calls the route of a whole request.
pub fn route_of(request: &[u8]) -> u16 {
    messages::requests(request).list[0].route
}

const SETTINGS: u32 = 7;

/// The host's build.
pub struct Conversation {
    pub case: Case,
    pub scratch: Box<Scratch>,
}

impl Conversation {
    pub fn new(asks: u8) -> Self {
        let mut case = Case::default();
        case.connection.role = role::SERVER;
        case.connection.protocol = protocol::HTTP1;
        case.connection.settings = SETTINGS;
        case.connection.asks = asks;
        case.connection.asked = u64::from(FIRST);
        Self {
            case,
            scratch: Box::default(),
        }
    }

    pub fn follow(&mut self, segments: &[Segment]) {
        for segment in segments {
            self.segment(segment);
        }
    }

    /// What is told of a segment but its bytes.
    pub fn prepare(&mut self, segment: &Segment) {
        self.case.asks = u32::from(segment.asks);
        self.case.seq = segment.seq;
    }

    pub fn segment(&mut self, segment: &Segment) {
        self.prepare(segment);
        let Self { case, scratch } = self;
        let bytes = &mut Slice(segment.bytes);
        if !replay::arrive(case, bytes, scratch, length(segment.bytes)) {
            return;
        }
        let most = if segment.asks { REQUEST_PARTS } else { ANSWER_PARTS };
        let is_followed = all_parts(most, || replay::part(case, bytes, scratch));
        replay::leave(case, bytes, scratch, is_followed);
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let written = usize::try_from(self.case.journal.written).expect("few");
        assert!(written <= self.case.journal.entries.len());
        self.case.journal.entries.into_iter().take(written)
    }

    fn ended(&self) -> Vec<Entry> {
        self.entries()
            .filter(|entry| entry.event != event::OVER)
            .collect()
    }

    /// What must not depend on where segments end: not times, and not where one began.
    fn left(&self) -> Left {
        let Case {
            connection, pipeline, ..
        } = &self.case;
        let is_upgraded = matches!(connection.protocol, protocol::UPGRADED | protocol::SWITCHED);
        let place = pipeline.answering;
        Left {
            entries: self.entries().collect(),
            asking: connection.asking & !asking::PIPELINE,
            ends: connection.request_end,
            asked: connection.asked,
            protocol: connection.protocol,
            flight: connection.flight & flight::IN_FLIGHT,
            waiting: pipeline.pushed - pipeline.taken + (connection.flight & flight::IN_FLIGHT),
            flags: connection.flags,
            answering: if is_upgraded { 0 } else { place },
            remaining: if place == answering::BODY {
                pipeline.remaining
            } else {
                0
            },
            chunks: if place == answering::CHUNKS {
                pipeline.chunks
            } else {
                Chunks::default()
            },
            ending: pipeline.ending.flight & flight::IN_FLIGHT,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Left {
    entries: Vec<Entry>,
    asking: u8,
    ends: u64,
    asked: u64,
    protocol: u8,
    flight: u64,
    waiting: u64,
    flags: u8,
    answering: u8,
    remaining: u64,
    chunks: Chunks,
    ending: u64,
}

/// All requests, then all answers, each cut as the pieces are long. Segments bring so much of the one
/// before `again`.
fn both<'a>(requests: &'a [u8], answers: &'a [u8], pieces: &[usize], again: usize) -> Vec<Segment<'a>> {
    let mut segments = Vec::new();
    for (asks, text) in [(true, requests), (false, answers)] {
        for place in cut(text.len(), pieces) {
            segments.push(Segment::at(
                asks,
                text,
                place.start.saturating_sub(again)..place.end,
            ));
        }
    }
    segments
}

/// Each answer as soon as its request is known.
fn in_turns<'a>(requests: &Requests<'a>, answers: &Answers<'a>, pieces: &[usize]) -> Vec<Segment<'a>> {
    let (mut answered, mut segments) = (0, Vec::new());
    for place in cut(requests.text.len(), pieces) {
        segments.push(Segment::at(true, requests.text, place.clone()));
        let known = requests
            .list
            .iter()
            .filter(|request| request.known_at <= place.end);
        let end = match known.count().checked_sub(1).map(|last| answers.list.get(last)) {
            None => 0,
            Some(Some(answer)) => answer.end,
            Some(None) => answers.text.len(),
        };
        for place in cut(end - answered, pieces) {
            let place = answered + place.start..answered + place.end;
            segments.push(Segment::at(false, answers.text, place));
        }
        answered = end;
    }
    segments
}

impl<'a> Segment<'a> {
    fn at(asks: bool, text: &'a [u8], place: Range<usize>) -> Self {
        Self {
            asks,
            seq: FIRST.wrapping_add(length(&text[..place.start])),
            bytes: &text[place],
        }
    }
}

/// Segments as long as these pieces, the last as long as need be. None is empty.
fn cut(length: usize, pieces: &[usize]) -> Vec<Range<usize>> {
    let (mut at, mut places) = (0_usize, Vec::new());
    let before_last = pieces.iter().take(pieces.len().saturating_sub(1));
    for next in before_last.chain([&length]) {
        let end = at.saturating_add(*next).min(length);
        if at < end {
            places.push(at..end);
        }
        at = end;
    }
    places
}
