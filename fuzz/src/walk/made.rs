//! Inputs as clients and servers might send them, the same for each seed.

use super::plan::{
    DIVIDER, PREFACE, fate,
    flag::{IN_TURNS, UNDECIDED},
};

/// Numbers that are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) % most as u64).expect("less than that")
    }

    pub fn byte(&mut self, most: usize) -> u8 {
        u8::try_from(self.below(most)).expect("at most 256")
    }
}

/// See `Plan::read`.
pub fn made(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    // One in four finds the ring full at some time, one in two has a segment that does not pass or goes missing.
    let refused = if random.below(4) == 0 { random.byte(256) } else { 0 };
    let streams = 1 + random.below(9);
    let mut asks = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let mut answers = frame(4, 0, 0, &[]);
    answers.extend(frame(4, 1, 0, &[]));
    for index in 0..streams {
        let stream = u32::try_from(2 * index + 1).expect("few");
        add_message(&mut random, &mut asks, stream);
        if random.below(8) == 0 {
            answers.extend(frame(5, 4, stream, &[0, 0, 0, 2, 0x82]));
        }
        add_message(&mut random, &mut answers, stream);
    }
    let mut flags = random.byte(32);
    let mut lengths: Vec<u8> = if random.below(3) == 0 {
        // Segments begin where frames do, and the preface comes late.
        flags = flags & IN_TURNS | UNDECIDED;
        lengths(&asks)
    } else {
        let most = [20, 120, 256][random.below(3)];
        (0..random.below(32)).map(|_| random.byte(most)).collect()
    };
    lengths.truncate(31);
    let count = u8::try_from(lengths.len()).expect("few");
    let mut input = vec![flags, refused, random.byte(56), count];
    let is_whole = random.below(2) == 0;
    for (index, length) in lengths.into_iter().enumerate() {
        let mut fate = random.byte(256);
        if flags & !IN_TURNS == UNDECIDED && random.below(4) != 0 {
            fate = if index == 0 { fate::COMES_LATER } else { 0 };
        }
        if is_whole && matches!(fate & fate::MASK, fate::UNSEEN | fate::MISSING) {
            fate &= !fate::MASK;
        }
        // Not much later, as a rule.
        if random.below(4) != 0 {
            fate &= 0x0f;
        }
        input.extend([length, fate]);
    }
    input.extend(asks);
    input.extend(DIVIDER);
    input.extend(answers);
    input
}

/// Of the preface with the first frame, and of each frame behind it, as a plan has them.
fn lengths(mut text: &[u8]) -> Vec<u8> {
    let (mut lengths, mut before) = (Vec::new(), PREFACE.len());
    while let [_, high, low, ..] = text {
        let length = usize::from(u16::from_be_bytes([*high, *low])) + 9;
        lengths.push(u8::try_from(before + length - 1).unwrap_or(u8::MAX));
        text = &text[length..];
        before = 0;
    }
    lengths
}

/// A header block, perhaps in two frames, perhaps a body, perhaps trailers; and what passes beside it.
fn add_message(random: &mut Random, to: &mut Vec<u8>, stream: u32) {
    let mut block = vec![0x82, 0x86, 0x84, 0x41];
    let most = [8, 40, 300][random.below(3)];
    block.resize(4 + random.below(most), 0x61);
    let (has_body, has_trailers) = (random.below(2) == 0, random.below(4) == 0);
    let ends = u8::from(!has_body && !has_trailers);
    if random.below(5) == 0 {
        to.extend(frame(1, ends, stream, &block));
        to.extend(frame(9, 4, stream, &[0x88]));
    } else {
        to.extend(frame(1, 4 | ends, stream, &block));
    }
    match random.below(6) {
        0 => to.extend(frame(8, 0, 0, &[0, 0, 1, 0])),
        1 => to.extend(frame(6, 0, 0, &[7; 8])),
        2 => to.extend(frame(2, 0, stream, &[0, 0, 0, 0, 9])),
        _ => {}
    }
    if has_body {
        for _ in 0..random.below(3) {
            to.extend(frame(0, 0, stream, &vec![b'P'; random.below(200)]));
        }
        to.extend(frame(
            0,
            u8::from(!has_trailers),
            stream,
            &vec![0; random.below(100)],
        ));
    }
    if has_trailers {
        to.extend(frame(1, 5, stream, &[0x88, 0x40]));
    } else if random.below(8) == 0 {
        to.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    [
        &length.to_be_bytes()[1..],
        &[kind, flags],
        &stream.to_be_bytes(),
        payload,
    ]
    .concat()
}
