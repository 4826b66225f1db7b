//! HTTP/1.0 and 1.1, on the server's side.

use std::time::Duration;

use slo_engine::measurement::Role;

use super::{
    case::{CASE, Case, Wire, on},
    client::Client::{Ab, Curl, H2load, Older, Raw, Wrk},
    raw::Talk,
    server::{APACHE, CADDY, HAPROXY, HYPER, LIGHTTPD, NGINX, NODE, PYTHON, URING},
};

#[rustfmt::skip]
const MIXED: Case = Case {
    name: "keep-alive, statuses mixed",
    clients: &[Curl(&[
        "-o", "/dev/null", "URL/ok?[1-25]",
        "-o", "/dev/null", "URL/missing?[1-5]",
        "-o", "/dev/null", "URL/busy?[1-5]",
        "-o", "/dev/null", "URL/moved?[1-5]",
    ])],
    routes: &["GET /ok", "GET /missing"],
    at_least: 40,
    ..CASE
};

const LOAD: Case = Case {
    name: "keep-alive under load",
    clients: &[H2load(&["--h1", "-n2000", "-c8", "-t1", "URL/ok"])],
    at_least: 2000,
    ..CASE
};

const EACH: Case = Case {
    name: "one connection a request",
    clients: &[Ab(&["-n", "500", "-c", "8", "URL/ok"])],
    at_least: 500,
    ..CASE
};

const OLD: Case = Case {
    name: "HTTP/1.0",
    clients: &[Curl(&["-0", "-o", "/dev/null", "URL/ok?[1-20]"])],
    at_least: 20,
    ..CASE
};

const V6: Case = Case {
    name: "IPv6",
    clients: &[
        Curl(&["-o", "/dev/null", "URL6/ok?[1-20]"]),
        Ab(&["-n", "100", "-c", "4", "URL6/ok"]),
    ],
    at_least: 120,
    ..CASE
};

const HEAD: Case = Case {
    name: "HEAD",
    clients: &[Curl(&["-I", "-o", "/dev/null", "URL/ok?[1-20]"])],
    routes: &["HEAD /ok"],
    at_least: 20,
    ..CASE
};

const CHUNKED: Case = Case {
    name: "answers in chunks",
    clients: &[Curl(&[
        "-H",
        "Accept-Encoding: gzip",
        "-o",
        "/dev/null",
        "URL/chunked?[1-10]",
    ])],
    framed: true,
    at_least: 10,
    ..CASE
};

const DOWNLOAD: Case = Case {
    name: "downloads of 10 MB",
    clients: &[Curl(&[
        "-o",
        "/dev/null",
        "URL/big?[1-4]",
        "-o",
        "/dev/null",
        "URL/ok",
    ])],
    routes: &["GET /big"],
    at_least: 5,
    ..CASE
};

const UPLOAD: Case = Case {
    name: "uploads of 10 MB after 100 Continue",
    clients: &[Curl(&[
        "--data-binary",
        "@DIR/big",
        "-o",
        "/dev/null",
        "URL/upload?[1-4]",
    ])],
    routes: &["POST /upload"],
    at_least: 4,
    ..CASE
};

#[rustfmt::skip]
const UPLOAD_CHUNKED: Case = Case {
    name: "uploads in chunks",
    clients: &[Curl(&[
        "-H", "Transfer-Encoding: chunked", "-H", "Expect:",
        "--data-binary", "@DIR/middle", "-o", "/dev/null", "URL/upload?[1-4]",
    ])],
    framed: true,
    at_least: 4,
    ..CASE
};

const CONTINUE: Case = Case {
    name: "100 Continue before a short body",
    clients: &[Curl(&[
        "-H",
        "Expect: 100-continue",
        "-d",
        "short",
        "-o",
        "/dev/null",
        "URL/upload?[1-5]",
    ])],
    at_least: 5,
    ..CASE
};

const OLDER: Case = Case {
    name: "a connection older than the probe",
    clients: &[Older(|mut talk| {
        (0..20).filter(|_| talk.get("/ok") == 200).count() as u64
    })],
    at_least: 20,
    ..CASE
};

/// On either side of a threshold, and past all of them.
const DELAYS: Case = Case {
    name: "known delays around the thresholds",
    clients: &[
        H2load(&["--h1", "-n200", "-c4", "-t1", "URL/slow/2"]),
        H2load(&["--h1", "-n100", "-c4", "-t1", "URL/slow/40"]),
        Curl(&["-o", "/dev/null", "URL/slow/1200"]),
    ],
    routes: &["GET /slow/2", "GET /slow/40"],
    below_ms: &[20, 100, 1000],
    at_least: 301,
    ..CASE
};

const TIMED_OUT: Case = Case {
    name: "past its timeout, whatever comes later",
    clients: &[Curl(&[
        "-o",
        "/dev/null",
        "URL/slow/1500",
        "-o",
        "/dev/null",
        "URL/ok",
    ])],
    timeout: Duration::from_millis(300),
    below_ms: &[100],
    outcomes: &[("/slow/1500", "outcome:timed_out")],
    at_least: 2,
    ..CASE
};

/// As the client sees it; the server is not looked at.
const CALLER: Case = Case {
    role: Role::Client,
    ..MIXED
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

pub const CASES: &[Case] = &[
    on(&NGINX, MIXED),
    on(&APACHE, MIXED),
    on(&HAPROXY, MIXED),
    on(&LIGHTTPD, MIXED),
    on(&CADDY, MIXED),
    on(&PYTHON, MIXED),
    on(&NODE, MIXED),
    on(&HYPER, MIXED),
    on(&NGINX, LOAD),
    on(&APACHE, LOAD),
    on(&HAPROXY, LOAD),
    on(&LIGHTTPD, LOAD),
    on(&CADDY, LOAD),
    on(&NODE, LOAD),
    on(&HYPER, LOAD),
    on(&NGINX, EACH),
    on(&APACHE, EACH),
    on(&HAPROXY, EACH),
    on(&LIGHTTPD, EACH),
    on(&CADDY, EACH),
    on(&PYTHON, EACH),
    on(&NODE, EACH),
    on(&HYPER, EACH),
    on(&NGINX, OLD),
    on(&APACHE, OLD),
    on(&HAPROXY, OLD),
    on(&LIGHTTPD, OLD),
    on(&NGINX, V6),
    on(&APACHE, V6),
    on(&HAPROXY, V6),
    on(&LIGHTTPD, V6),
    on(&PYTHON, V6),
    on(&NODE, V6),
    on(&NGINX, HEAD),
    on(&APACHE, HEAD),
    on(&LIGHTTPD, HEAD),
    on(&CADDY, HEAD),
    on(&PYTHON, HEAD),
    on(&NODE, HEAD),
    on(&HYPER, HEAD),
    on(&NGINX, CHUNKED),
    on(&PYTHON, CHUNKED),
    on(&NODE, CHUNKED),
    on(&HYPER, CHUNKED),
    // By sendfile, by sendfile or mmap, by splice from another server, by write.
    on(&NGINX, DOWNLOAD),
    on(&APACHE, DOWNLOAD),
    on(&HAPROXY, DOWNLOAD),
    on(&LIGHTTPD, DOWNLOAD),
    on(&CADDY, DOWNLOAD),
    on(&NODE, DOWNLOAD),
    on(&HYPER, DOWNLOAD),
    on(&NGINX, UPLOAD),
    on(&HAPROXY, UPLOAD),
    on(&CADDY, UPLOAD),
    on(&PYTHON, UPLOAD),
    on(&NODE, UPLOAD),
    on(&HYPER, UPLOAD),
    on(&NGINX, UPLOAD_CHUNKED),
    on(&HAPROXY, UPLOAD_CHUNKED),
    on(&CADDY, UPLOAD_CHUNKED),
    on(&NODE, UPLOAD_CHUNKED),
    on(&HYPER, UPLOAD_CHUNKED),
    on(&PYTHON, CONTINUE),
    on(&NODE, CONTINUE),
    on(&NGINX, OLDER),
    on(&APACHE, OLDER),
    on(&PYTHON, OLDER),
    on(&HYPER, OLDER),
    on(&PYTHON, DELAYS),
    on(&NODE, DELAYS),
    on(&HYPER, DELAYS),
    on(&NODE, TIMED_OUT),
    on(&HYPER, TIMED_OUT),
    on(&URING, OLD),
    on(&URING, OLDER),
    Case {
        name: "keep-alive, by io_uring",
        server: &URING,
        clients: &[Curl(&["-o", "/dev/null", "URL/ok?[1-200]"])],
        at_least: 200,
        ..CASE
    },
    Case {
        name: "as the client sees it",
        ..CALLER
    },
    Case {
        name: "load, as the client sees it",
        role: Role::Client,
        ..LOAD
    },
    Case {
        name: "known delays, as the client sees them",
        server: &HYPER,
        role: Role::Client,
        ..DELAYS
    },
    Case {
        name: "three at once, then two",
        clients: &[Raw(|| {
            let mut talk = Talk::open();
            at_once(&mut talk, &["/ok", "/missing", "/ok"]) + at_once(&mut talk, &["/busy", "/moved"])
        })],
        routes: &["GET /ok", "GET /missing"],
        at_least: 5,
        ..CASE
    },
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
    Case {
        name: "a header in seven pieces",
        clients: &[Raw(|| in_pieces(11))],
        at_least: 5,
        ..CASE
    },
    Case {
        name: "wrk over several paths",
        clients: &[Wrk(&["-c8", "-d1s", "-s", "HERE/clients/mix.lua", "URL"])],
        routes: &["GET /ok", "GET /missing"],
        at_least: 500,
        ..CASE
    },
    Case {
        name: "downloads, segments as on a wire",
        wire: Wire::NoOffloads,
        ..DOWNLOAD
    },
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
    Case {
        name: "closed without an answer",
        clients: &[Raw(|| in_vain("/drop"))],
        outcomes: &[("/drop", "outcome:closed_unanswered")],
        at_least: 10,
        ..CASE
    },
    Case {
        name: "reset by the server",
        clients: &[Raw(|| in_vain("/cut"))],
        outcomes: &[("/cut", "outcome:reset_by_server")],
        at_least: 10,
        ..CASE
    },
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
