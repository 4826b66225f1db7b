//! Connections that are counted by turns, as the kernel follows them: each turn that begins ends once, or is still in
//! flight; and where nothing is read of what is said, turns do not depend on how segments cut it.

use probes_ebpf::{
    http2::begins_request,
    opening::OPENING,
    replay::turns::{self as replay, Case, Entry, Packet, event, step},
    tls::{self, Payload},
    turns::{read_client, read_server},
    wire::{birth, flight, protocol, what},
};

use super::{head::length, walk::Random};

/// Where the client begins, and where the server does: soon, sequence numbers begin anew.
const FIRST: [u32; 2] = [u32::MAX - 300, u32::MAX - 500];

/// Bits of an input's first byte, of which the lowest two are the connection's birth.
mod flag {
    pub const BIRTH: u8 = 3;
    /// TCP does not tell.
    pub const SILENT: u8 = 4;
    pub const HAS_ANSWERED: u8 = 8;
    /// Where a client's first byte stands is known.
    pub const KNOWS_FIRST: u8 = 16;
    pub const UNNAMED: u8 = 32;
}

/// What a byte says of the next step: its lowest bits which, the fourth whether the server speaks, the others how much.
mod act {
    pub const MASK: u8 = 7;
    /// It begins with some that came before.
    pub const OVERLAPS: u8 = 3;
    /// Some are missing before it.
    pub const LEAPS: u8 = 4;
    /// It acknowledges less than has been said.
    pub const ACKNOWLEDGES_LESS: u8 = 5;
    pub const CLOSES: u8 = 6;
    pub const ENDS: u8 = 7;
    pub const SERVER: u8 = 8;
}

/// A segment, or an end when it has no bytes.
#[derive(Clone, Debug)]
pub struct Step {
    step: u32,
    is_servers: bool,
    seq: u32,
    ack: u32,
    is_new: bool,
    received: u32,
    outcome: u16,
    pub bytes: Vec<u8>,
}

pub struct Plan {
    flags: u8,
    pub steps: Vec<Step>,
    /// Every byte comes once, in order, and is acknowledged by whoever speaks next.
    is_calm: bool,
}

impl Plan {
    pub fn read(input: &[u8]) -> Option<Self> {
        let (&[flags, count], rest) = input.split_first_chunk()?;
        let (acts, mut text) = rest.split_at((2 * usize::from(count % 64)).min(rest.len()));
        // How far each side has come, as it speaks, and as the other side has it in one piece.
        let mut said = FIRST;
        let (mut steps, mut is_calm) = (Vec::new(), true);
        for act in acts.chunks_exact(2) {
            let (kind, much) = (act[0] & act::MASK, u32::from(act[0] >> 4));
            let is_servers = act[0] & act::SERVER != 0;
            let (speaks, hears) = (usize::from(is_servers), usize::from(!is_servers));
            let mut step = Step {
                step: step::SEGMENT,
                is_servers,
                seq: said[speaks],
                ack: said[hears],
                is_new: true,
                received: said[speaks],
                outcome: 0,
                bytes: Vec::new(),
            };
            is_calm &= kind < act::OVERLAPS;
            match kind {
                act::CLOSES => {
                    step.step = if is_servers {
                        step::CLOSES
                    } else {
                        step::PEER_CLOSES
                    }
                }
                act::ENDS => {
                    step.step = step::ENDS;
                    let outcomes = [
                        what::RESET_BY_SERVER,
                        what::CLOSED_UNANSWERED,
                        what::CLIENT_GAVE_UP,
                    ];
                    step.outcome = outcomes[usize::from(act[1]) % outcomes.len()];
                }
                act::OVERLAPS => step.seq = step.seq.wrapping_sub(much),
                act::LEAPS => step.seq = step.seq.wrapping_add(much),
                act::ACKNOWLEDGES_LESS => step.ack = step.ack.wrapping_sub(much),
                _ => {}
            }
            if step.step == step::SEGMENT {
                let (bytes, rest) = text.split_at((1 + usize::from(act[1])).min(text.len()));
                if bytes.is_empty() {
                    break;
                }
                (step.bytes, text) = (bytes.to_vec(), rest);
                let end = step.seq.wrapping_add(length(bytes));
                step.is_new = end.wrapping_sub(said[speaks]).cast_signed() > 0;
                if step.is_new {
                    said[speaks] = end;
                }
            }
            steps.push(step);
        }
        Some(Self {
            flags,
            steps,
            is_calm,
        })
    }

    /// What one side says before the other speaks, in one segment each.
    fn in_one_piece(&self) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for step in &self.steps {
            match steps.last_mut() {
                Some(last) if last.is_servers == step.is_servers => last.bytes.extend_from_slice(&step.bytes),
                _ => steps.push(step.clone()),
            }
        }
        Self {
            flags: self.flags,
            steps,
            is_calm: true,
        }
    }
}

/// The host's build.
pub struct Turns {
    pub case: Case,
}

impl Turns {
    pub fn new(plan: &Plan) -> Self {
        let mut case = Case::default();
        let connection = &mut case.connection;
        connection.birth = plan.flags & flag::BIRTH;
        if plan.flags & flag::KNOWS_FIRST != 0 && connection.birth == birth::ACCEPTED {
            connection.asked = u64::from(FIRST[0]);
        }
        connection.settings = u32::from(plan.flags & flag::UNNAMED == 0) * 7;
        case.tells = u32::from(plan.flags & flag::SILENT == 0);
        case.has_answered = u32::from(plan.flags & flag::HAS_ANSWERED != 0);
        Self { case }
    }

    /// What is told of a step but its bytes.
    pub fn prepare(&mut self, step: &Step) {
        let case = &mut self.case;
        let is_client = case.connection.birth == birth::OPENED;
        (case.seq, case.ack, case.step) = (step.seq, step.ack, step.step);
        case.is_ingress = u32::from(step.is_servers == is_client);
        case.is_new = u32::from(step.is_new);
        case.received = step.received;
        case.outcome = u32::from(step.outcome);
    }

    pub fn step(&mut self, step: &Step) {
        self.prepare(step);
        replay::step(&mut self.case, &mut Held(&step.bytes));
    }

    fn follow(plan: &Plan) -> Self {
        let mut turns = Self::new(plan);
        plan.steps.iter().for_each(|step| turns.step(step));
        turns
    }

    pub fn entries(&self) -> &[Entry] {
        let written = usize::try_from(self.case.journal.written).expect("few");
        &self.case.journal.entries[..written]
    }

    /// Outcomes of the turns that have ended.
    fn ended(&self) -> Vec<u32> {
        let ended = self.entries().iter().filter(|entry| entry.event == event::ENDED);
        ended.map(|entry| entry.what).collect()
    }
}

struct Held<'a>(&'a [u8]);

impl Payload for Held<'_> {
    fn length(&self) -> u32 {
        length(self.0)
    }

    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.0.get(at as usize..)?.first_chunk().copied()
    }
}

impl Packet for Held<'_> {
    fn opening(&mut self, length: u32) -> Option<[u8; OPENING]> {
        let mut opening = [0; OPENING];
        opening[..length as usize].copy_from_slice(&self.0[..length as usize]);
        Some(opening)
    }

    fn read_hello(&mut self) -> u64 {
        tls::client_hello(self)
    }

    fn read_client(&mut self, at: u32, state: u64) -> u64 {
        read_client(self, at, state)
    }

    fn read_server(&mut self, state: u64) -> u64 {
        read_server(self, state)
    }
}

pub fn ask(input: &[u8]) {
    let Some(plan) = Plan::read(input) else {
        return;
    };
    let turns = Turns::follow(&plan);
    let connection = &turns.case.connection;
    let begun = connection.flight >> flight::ORDINAL_SHIFT;
    let in_flight = u64::from(connection.flight & flight::IN_FLIGHT != 0);
    assert_eq!(turns.ended().len() as u64 + in_flight, begun);
    for entry in turns.entries() {
        assert!(
            entry.from_ns <= entry.to_ns,
            "it has ended before it began: {entry:?}"
        );
    }
    if plan.is_calm && connection.protocol == protocol::OTHER && is_left_unread(&plan) {
        let whole = Turns::follow(&plan.in_one_piece());
        assert_eq!(turns.ended(), whole.ended());
        assert_eq!(connection.flight, whole.case.connection.flight);
        assert_eq!(connection.client_end, whole.case.connection.client_end);
    }
}

/// Whether what is said is nothing that means anything here: HTTP, TLS or a goodbye; and known as such at once.
fn is_left_unread(plan: &Plan) -> bool {
    // What looks like a request of HTTP/2 stays undecided until more is said.
    let is_opening = |bytes: &[u8]| bytes.first_chunk().is_some_and(|head| !begins_request(head));
    let first = (plan.steps.first()).is_some_and(|step| !step.is_servers && is_opening(&step.bytes));
    let is_read = |step: &Step| matches!(step.bytes[0], b'X' | 1 | 0x16);
    first && plan.flags & flag::BIRTH == birth::ACCEPTED && !plan.steps.iter().any(is_read)
}

/// An input as a client and a server might make it, the same for each seed: see [`Plan::read`].
pub fn made(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let is_calm = random.below(3) == 0;
    let mut flags = random.byte(64);
    if is_calm {
        flags = flags & !flag::BIRTH | birth::ACCEPTED;
    }
    let count = random.byte(64);
    let (mut acts, mut text) = (Vec::new(), Vec::new());
    for index in 0..count {
        let mut act = random.byte(256);
        if is_calm {
            act &= !act::MASK;
        }
        if index == 0 {
            act = 0;
        }
        let said = match random.below(if is_calm { 1 } else { 6 }) {
            0 | 1 => vec![b'q'; 12 + random.below(40)],
            2 => b"X\0\0\0\x04".to_vec(),
            // A hello, or some of one; records.
            3 => record(0x16, &[&[1, 0, 0, 60, 3, 3][..], &[7; 40]].concat()),
            4 => record(0x14, &[1]),
            _ => {
                let lengths = [36, 53, 69, 23, 240, 30];
                record(0x17, &vec![0; lengths[random.below(lengths.len())]])
            }
        };
        acts.extend([act, u8::try_from(said.len() - 1).expect("short")]);
        text.extend(said);
    }
    [vec![flags, count], acts, text].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    [&[kind, 3, 3, 0, length], content].concat()
}
