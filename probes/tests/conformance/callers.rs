//! HTTP/1 as the client sees it; the server is not looked at.

use super::{
    case::{BY_SERVER_AS_CLIENT, CASE, Case, by_client, on},
    client::Client::Curl,
    http1::{CHUNKED, CONTINUE, DELAYS, DOWNLOAD, HEAD, LOAD, MIXED, OLDER, UPLOAD},
    odd::{CLOSED, IN_PIECES, OLDER_CLOSED, OLDER_RESET, PIPELINED, RESET, UNCUT, UPGRADE},
    servers::{BEHIND_HAPROXY, HYPER, NODE, PYTHON},
};

pub const CASES: &[Case] = &[
    by_client("as the client sees it", MIXED),
    by_client("load, as the client sees it", LOAD),
    on(&HYPER, by_client("known delays, as the client sees them", DELAYS)),
    by_client("three at once, then two, as the client sees them", PIPELINED),
    by_client("HEAD, as the client sees it", HEAD),
    by_client("answers in chunks, as the client sees them", CHUNKED),
    by_client("downloads of 10 MB, as the client sees them", DOWNLOAD),
    by_client("uploads of 10 MB, as the client sees them", UPLOAD),
    by_client("downloads, segments as on a wire, as the client sees them", UNCUT),
    on(
        &PYTHON,
        by_client("100 Continue, as the client sees it", CONTINUE),
    ),
    on(&NODE, by_client("101, as the client sees it", UPGRADE)),
    by_client("a header in seven pieces, as the client sees it", IN_PIECES),
    by_client("closed without an answer, as the client sees it", CLOSED),
    by_client("reset by the server, as the client sees it", RESET),
    by_client("a connection older than the probe, as the client sees it", OLDER),
    by_client(
        "older than the probe, closed without an answer, as the client sees it",
        OLDER_CLOSED,
    ),
    by_client(
        "older than the probe, reset by the server, as the client sees it",
        OLDER_RESET,
    ),
    Case {
        name: "calls of what is behind it",
        server: &BEHIND_HAPROXY,
        clients: &[Curl(&[
            "-o",
            "/dev/null",
            "URL/broken?[1-20]",
            "-o",
            "/dev/null",
            "URL/none?[1-20]",
        ])],
        seen: BY_SERVER_AS_CLIENT,
        at_least: 40,
        ..CASE
    },
];
