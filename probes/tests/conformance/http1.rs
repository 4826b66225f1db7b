//! HTTP/1.0 and 1.1, on the server's side.

use std::time::Duration;

use super::{
    case::{CASE, Case, on},
    client::Client::{Ab, Curl, H2load, Older},
    servers::{
        APACHE, APACHE_SENDFILE, CADDY, HAPROXY, HAPROXY_SPLICE, HYPER, LIGHTTPD, LIGHTTPD_SENDFILE, NGINX,
        NGINX_SENDFILE, NODE, PYTHON, URING,
    },
};

#[rustfmt::skip]
pub const MIXED: Case = Case {
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

pub const LOAD: Case = Case {
    name: "keep-alive under load",
    clients: &[H2load(&["--h1", "-n2000", "-c8", "-t1", "URL/ok"])],
    at_least: 2000,
    ..CASE
};

pub const EACH: Case = Case {
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

pub const V6: Case = Case {
    name: "IPv6",
    clients: &[
        Curl(&["-o", "/dev/null", "URL6/ok?[1-20]"]),
        Ab(&["-n", "100", "-c", "4", "URL6/ok"]),
    ],
    at_least: 120,
    ..CASE
};

pub const HEAD: Case = Case {
    name: "HEAD",
    clients: &[Curl(&["-I", "-o", "/dev/null", "URL/ok?[1-20]"])],
    routes: &["HEAD /ok"],
    at_least: 20,
    ..CASE
};

pub const CHUNKED: Case = Case {
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

pub const DOWNLOAD: Case = Case {
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

pub const UPLOAD: Case = Case {
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

pub const CONTINUE: Case = Case {
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

pub const OLDER: Case = Case {
    name: "a connection older than the probe",
    clients: &[Older(|mut talk| {
        (0..20).filter(|_| talk.get("/ok") == 200).count() as u64
    })],
    at_least: 20,
    ..CASE
};

/// On either side of a threshold, and past all of them.
pub const DELAYS: Case = Case {
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
    on(&NGINX_SENDFILE, DOWNLOAD),
    on(&APACHE_SENDFILE, DOWNLOAD),
    on(&HAPROXY_SPLICE, DOWNLOAD),
    on(&LIGHTTPD_SENDFILE, DOWNLOAD),
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
];
