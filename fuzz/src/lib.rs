//! What is asked of the code that reads bytes which others chose: not only that it does not fall over,
//! but that it says the same as a plain reader, and the same however the bytes were cut.
//!
//! In: whatever the fuzzer, or a file of the corpus, holds. Out: nothing, or a panic.

pub mod conversation;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod opening;
pub mod tls;
pub mod turns;
pub mod walk;

mod chunks;
mod head;
mod messages;
/// User space's own decoder, from its sources: the crate around it would bring a kernel object along.
mod ours;
/// User space's own reader of bytes that came in any order, as well.
#[expect(dead_code, reason = "as user space has it")]
mod raw;

/// Cuts `input` where the first bytes of it say: a count, then that many distances. The pieces.
fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let Some((count, rest)) = input.split_first() else {
        return Vec::new();
    };
    let (distances, mut rest) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let mut pieces = Vec::new();
    for distance in distances {
        let (piece, after) = rest.split_at(usize::from(*distance).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
