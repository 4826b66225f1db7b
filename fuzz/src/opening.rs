//! What a connection speaks: more bytes decide what was open and never overturn what was not.

use probes_ebpf::{
    opening::{OPENING, protocol_of},
    wire::protocol,
};

const METHODS: [&[u8]; 8] = [
    b"GET ",
    b"PUT ",
    b"POST ",
    b"HEAD ",
    b"PATCH ",
    b"TRACE ",
    b"DELETE ",
    b"OPTIONS ",
];
const CONNECT: &[u8] = b"CONNECT ";

pub fn ask(input: &[u8]) {
    let mut bytes = [0; OPENING];
    let length = input.len().min(OPENING);
    bytes[..length].copy_from_slice(&input[..length]);
    let mut decided = protocol::UNDECIDED;
    for length in 1..=length {
        let found = protocol_of(&only(&bytes, length, 0), of(length));
        // Bytes that are not there say nothing.
        let among_noise = protocol_of(&only(&bytes, length, 0xa5), of(length));
        assert_eq!(among_noise, found, "of {length}");
        if decided != protocol::UNDECIDED {
            assert_eq!(found, decided, "overturned by byte {length}");
        }
        decided = found;
    }
    if length == OPENING {
        assert_eq!(decided, plain(&bytes));
    }
}

fn of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The first `length` of these bytes, and `noise` behind them.
fn only(bytes: &[u8; OPENING], length: usize, noise: u8) -> [u8; OPENING] {
    let mut known = [noise; OPENING];
    known[..length].copy_from_slice(&bytes[..length]);
    known
}

/// The same question with all bytes there.
fn plain(bytes: &[u8]) -> u8 {
    if bytes.starts_with(b"\x16\x03") {
        return protocol::TLS;
    }
    if bytes.starts_with(b"PRI * HT") {
        return protocol::HTTP2;
    }
    // Whoever reads requests passes over the line; six bytes behind it are looked at.
    let behind_line = (bytes.strip_prefix(b"\r\n")).or_else(|| bytes.strip_prefix(b"\n"));
    if let Some(behind) = behind_line.and_then(|rest| rest.get(..6))
        && (METHODS.iter().chain([&CONNECT]))
            .any(|method| method.starts_with(behind) || behind.starts_with(method))
    {
        return protocol::UNDECIDED;
    }
    if bytes.starts_with(CONNECT) {
        return protocol::HTTP1;
    }
    let asks = METHODS.iter().any(|method| {
        let target = bytes.strip_prefix(*method).and_then(|rest| rest.first());
        target.is_some_and(|first| b"/*hH".contains(first))
    });
    if asks { protocol::HTTP1 } else { protocol::OTHER }
}
