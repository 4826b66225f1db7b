//! HTTP/1 as it comes on the wire: in pieces, several at once, with losses, and with ends of all kinds.

use super::{
    case::{CASE, Case, Wire, on},
    client::Client::{Ab, Curl, H2load, Older, Raw, Wrk},
    http1::{DOWNLOAD, LOAD, UPLOAD},
    raw::Talk,
    servers::{HAPROXY_IDLE, HAPROXY_UNASKED, NGINX_IDLE, NODE, NODE_IDLE},
};

/// A segment a byte, and one that ends inside of a word.
fn in_pieces(length: usize) -> u64 {
    let mut talk = Talk::open();
    let request = b"GET /ok HTTP/1.1\r\nHost: test\r\nX-Long-Name: some value of a header\r\n\r\n";
    let answers = (0..5).filter(|_| {
        talk.send_in_pieces(request.chunks(length));
        talk.answer() == 200
    });
    answers.count() as u64
}

/// All that is asked is on its way before the first answer is read.
fn at_once(talk: &mut Talk, paths: &[&str]) -> u64 {
    let ask = |path: &&str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    talk.send(&paths.iter().map(ask).collect::<String>());
    paths.iter().filter(|_| talk.answer() != 0).count() as u64
}

/// Asks on a connection of its own each time, and is not answered.
fn in_vain(path: &str) -> u64 {
    for _ in 0..10 {
        let mut talk = Talk::open();
        talk.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(talk.answer(), 0);
    }
    0
}

/// The server closes what has been idle, and nothing of it is a request.
const IDLE: Case = Case {
    name: "closed by the server while idle",
    clients: &[Raw(|| {
        for _ in 0..3 {
            let mut talk = Talk::open();
            assert_eq!((talk.get("/ok"), talk.get("/ok"), talk.answer()), (200, 200, 0));
        }
        6
    })],
    at_least: 6,
    ..CASE
};

/// Nothing was asked, so what is answered is no outcome.
const UNASKED: Case = Case {
    name: "answers to nothing",
    clients: &[
        Raw(|| {
            for _ in 0..5 {
                let mut talk = Talk::open();
                talk.asks_no_more();
                assert_eq!(talk.answer(), 400);
            }
            0
        }),
        Curl(&["-o", "/dev/null", "URL/ok?[1-20]"]),
    ],
    at_least: 20,
    ..CASE
};

/// One request, however long the conversation that it opens.
pub const UPGRADE: Case = Case {
    name: "101, and a conversation behind it",
    clients: &[Raw(|| {
        for _ in 0..3 {
            let mut talk = Talk::open();
            talk.send(
                "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            );
            assert_eq!(talk.answer(), 101);
            for _ in 0..10 {
                talk.send("GET / HTTP/1.1");
                talk.skip(14);
            }
        }
        3
    })],
    at_least: 3,
    ..CASE
};

pub const PIPELINED: Case = Case {
    name: "three at once, then two",
    clients: &[Raw(|| {
        let mut talk = Talk::open();
        at_once(&mut talk, &["/ok", "/missing", "/ok"]) + at_once(&mut talk, &["/busy", "/moved"])
    })],
    routes: &["GET /ok", "GET /missing"],
    at_least: 5,
    ..CASE
};

pub const IN_PIECES: Case = Case {
    name: "a header in seven pieces",
    clients: &[Raw(|| in_pieces(11))],
    at_least: 5,
    ..CASE
};

/// As the wire takes them.
pub const UNCUT: Case = Case {
    name: "downloads, segments as on a wire",
    wire: Wire::NoOffloads,
    ..DOWNLOAD
};

pub const CLOSED: Case = Case {
    name: "closed without an answer",
    clients: &[Raw(|| in_vain("/drop"))],
    outcomes: &[("/drop", "outcome:closed_unanswered")],
    at_least: 10,
    ..CASE
};

pub const RESET: Case = Case {
    name: "reset by the server",
    clients: &[Raw(|| in_vain("/cut"))],
    outcomes: &[("/cut", "outcome:reset_by_server")],
    at_least: 10,
    ..CASE
};

/// The last that is asked on a connection older than the probe has no answer.
fn last_in_vain(mut talk: Talk, path: &str) -> u64 {
    assert_eq!(talk.get("/ok"), 200);
    talk.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    assert_eq!(talk.answer(), 0);
    1
}

pub const OLDER_CLOSED: Case = Case {
    name: "older than the probe, closed without an answer",
    clients: &[
        Older(|talk| last_in_vain(talk, "/drop")),
        Older(|talk| last_in_vain(talk, "/drop")),
    ],
    at_least: 4,
    ..CLOSED
};

pub const OLDER_RESET: Case = Case {
    name: "older than the probe, reset by the server",
    clients: &[
        Older(|talk| last_in_vain(talk, "/cut")),
        Older(|talk| last_in_vain(talk, "/cut")),
    ],
    at_least: 4,
    ..RESET
};

pub const OLDER_LEFT: Case = Case {
    name: "older than the probe, the client goes away first",
    clients: &[Older(|mut talk| {
        // nginx lets one a second pass, so the older one waits until its client has gone.
        let mut first = Talk::open();
        assert_eq!(first.get("/wait"), 200);
        talk.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
        // Of two answers on another connection, the second comes after nginx has read this.
        assert_eq!((first.get("/ok"), first.get("/ok")), (200, 200));
        talk.reset();
        3
    })],
    below_ms: &[5000],
    at_least: 4,
    ..CASE
};

pub const CASES: &[Case] = &[
    on(&NGINX_IDLE, IDLE),
    on(&HAPROXY_IDLE, IDLE),
    on(&NODE_IDLE, IDLE),
    on(&NODE, UPGRADE),
    on(&HAPROXY_UNASKED, UNASKED),
    PIPELINED,
    Case {
        // The next request may come on one processor while an answer leaves on another.
        name: "pipelined under load",
        clients: &[H2load(&[
            "--h1",
            "-n4000",
            "-c4",
            "-t1",
            "-m4",
            "URL/ok",
            "URL/missing",
            "URL/ok",
        ])],
        routes: &["GET /ok", "GET /missing"],
        at_least: 4000,
        ..CASE
    },
    Case {
        name: "four at once, a thousand times",
        // One that stops by the clock resets what it has not read: nginx logs answers then that never left.
        clients: &[Raw(|| {
            let mut talk = Talk::open();
            let times = (0..1000).map(|_| at_once(&mut talk, &["/ok", "/missing", "/ok", "/busy"]));
            times.sum()
        })],
        routes: &["GET /ok", "GET /missing"],
        at_least: 4000,
        ..CASE
    },
    Case {
        name: "a header, a byte a segment",
        clients: &[Raw(|| in_pieces(1))],
        at_least: 5,
        ..CASE
    },
    IN_PIECES,
    Case {
        name: "wrk over several paths",
        clients: &[Wrk(&["-c8", "-d1s", "-s", "HERE/clients/mix.lua", "URL"])],
        routes: &["GET /ok", "GET /missing"],
        at_least: 500,
        ..CASE
    },
    UNCUT,
    Case {
        name: "uploads, segments as on a wire",
        wire: Wire::NoOffloads,
        ..UPLOAD
    },
    Case {
        name: "load, segments as on a wire",
        wire: Wire::NoOffloads,
        ..LOAD
    },
    Case {
        name: "downloads, 2 % of segments lost",
        wire: Wire::Lossy,
        ..DOWNLOAD
    },
    Case {
        // What comes after a lost segment comes before it.
        name: "uploads, 2 % of segments lost",
        wire: Wire::Lossy,
        ..UPLOAD
    },
    Case {
        name: "keep-alive, 2 % of segments lost",
        clients: &[Ab(&["-k", "-n", "2000", "-c", "8", "URL/ok"])],
        wire: Wire::Lossy,
        at_least: 2000,
        ..CASE
    },
    Case {
        name: "one connection a request, 2 % of segments lost",
        clients: &[Ab(&["-n", "300", "-c", "8", "URL/ok"])],
        wire: Wire::Lossy,
        at_least: 300,
        ..CASE
    },
    Case {
        name: "answers without a body",
        clients: &[Curl(&[
            "-o",
            "/dev/null",
            "URL/empty?[1-5]",
            "-o",
            "/dev/null",
            "URL/ok?[1-5]",
        ])],
        at_least: 10,
        ..CASE
    },
    CLOSED,
    RESET,
    OLDER_CLOSED,
    OLDER_RESET,
    OLDER_LEFT,
    Case {
        name: "the client goes away first",
        clients: &[Raw(|| {
            // nginx lets one a second pass, so the others wait until their clients have gone.
            let mut first = Talk::open();
            assert_eq!(first.get("/wait"), 200);
            for _ in 0..5 {
                let mut talk = Talk::open();
                talk.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
                // Of two answers on another connection, the second comes after nginx has read this.
                assert_eq!((first.get("/ok"), first.get("/ok")), (200, 200));
                talk.reset();
            }
            11
        })],
        below_ms: &[5000],
        at_least: 16,
        ..CASE
    },
];
