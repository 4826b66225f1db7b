//! HTTP/2 frames: the walk finds the same frames however segments cut them.

use probes_ebpf::http2::{Direction, FRAME_HEADER, begins_request, is_settings, kind};

use super::pieces;

/// Kind, flags, stream, length.
type Frame = (u8, u8, u32, u32);

pub fn ask(input: &[u8]) {
    let pieces = pieces(input);
    let bytes = pieces.concat();
    let mut direction = Direction::default();
    let mut seen = Vec::new();
    for piece in &pieces {
        walk(&mut direction, piece, &mut seen);
    }
    let (frames, left) = plain(&bytes);
    assert_eq!(seen, frames);
    assert_eq!(direction.left, left);
    if let (Some(head), Some((kind, _, stream, length))) = (bytes.first_chunk(), frames.first()) {
        if begins_request(head) {
            assert!(*kind == kind::HEADERS && stream % 2 == 1 && *length < 1 << 14);
        }
        assert_eq!(
            head.first_chunk().is_some_and(is_settings),
            *kind == 4 && head[4..9] == [0; 5] && length.is_multiple_of(6) && *length < 256
        );
    }
}

/// As the kernel does: whole headers at once, split ones by the byte, payloads in one go.
fn walk(direction: &mut Direction, mut bytes: &[u8], seen: &mut Vec<Frame>) {
    while !bytes.is_empty() {
        if direction.in_payload() {
            let there = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let length = direction.left.min(there);
            direction.take(length);
            bytes = &bytes[length as usize..];
            continue;
        }
        match bytes.first_chunk() {
            Some(header) if direction.have == 0 => {
                direction.begin(header);
                bytes = &bytes[FRAME_HEADER as usize..];
            }
            _ => {
                direction.take_header_byte(bytes[0]);
                bytes = &bytes[1..];
            }
        }
        if direction.in_payload() {
            seen.push((direction.kind, direction.flags, direction.stream, direction.left));
            if direction.left == 0 {
                direction.take(0);
            }
        }
    }
}

/// Every frame whose header is there, and what the last one's payload lacks.
fn plain(mut bytes: &[u8]) -> (Vec<Frame>, u32) {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        frames.push((head[3], head[4], stream, length));
        match rest.get(length as usize..) {
            Some(after) => bytes = after,
            None => {
                let there = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                return (frames, length - there);
            }
        }
    }
    (frames, 0)
}
