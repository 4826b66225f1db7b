//! gRPC's status codes, by number and by name.

/// By number, from 0.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Every code, a bit each.
pub const ALL: u32 = (1 << NAMES.len()) - 1;

/// What OpenTelemetry's semantic conventions call an error of the server: UNKNOWN, DEADLINE_EXCEEDED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS, a bit each.
pub const SERVER_ERRORS: u32 = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

/// The code's bit in a set of codes; none for what is no code.
pub(crate) fn bit(code: u8) -> u32 {
    1_u32.checked_shl(u32::from(code)).unwrap_or(0) & ALL
}

pub(crate) fn codes() -> impl Iterator<Item = (u8, &'static str)> {
    (0..).zip(NAMES)
}

/// The bits that a word after `grpc:` names: `UNAVAILABLE`, `14`, `server_error`, `no_server_error`.
pub(crate) fn bits_of(word: &str) -> Option<u32> {
    match word {
        "server_error" => Some(SERVER_ERRORS),
        "no_server_error" => Some(ALL & !SERVER_ERRORS),
        _ => codes()
            .find(|(code, name)| *name == word || code.to_string() == word)
            .map(|(code, _)| bit(code)),
    }
}
