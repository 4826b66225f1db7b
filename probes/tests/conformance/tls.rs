//! HTTP/1 inside TLS, a request at a time: as many turns as the log has requests.

use super::{
    case::{CASE, Case, on, over},
    client::Client::{Ab, Curl, H2load},
    http1::{DELAYS, DOWNLOAD, HEAD, MIXED, UPLOAD, V6},
    servers::{
        APACHE_TLS, CADDY_TLS, HAPROXY_TLS, HYPER_TLS, NGINX_TLS, NGINX_TLS_OLD, NODE_TLS, PYTHON_TLS,
    },
};

/// Routes are inside.
const fn inside(name: &'static str, case: Case) -> Case {
    Case {
        routes: &[],
        ..over(name, case)
    }
}

const TLS_MIXED: Case = inside("TLS, statuses mixed", MIXED);
const TLS_DOWNLOAD: Case = inside("TLS, downloads of 10 MB", DOWNLOAD);
const TLS_UPLOAD: Case = inside("TLS, uploads of 10 MB", UPLOAD);
const TLS_V6: Case = inside("TLS, IPv6", V6);
const TLS_HEAD: Case = inside("TLS, HEAD", HEAD);

/// A handshake for each, all but the first by a ticket of the one before.
const TICKETS: Case = Case {
    name: "TLS, sessions that are resumed",
    clients: &[Curl(&[
        "-H",
        "Connection: close",
        "-o",
        "/dev/null",
        "URL/ok?[1-20]",
    ])],
    at_least: 20,
    ..CASE
};

const TLS_EACH: Case = Case {
    name: "TLS, one connection a request",
    clients: &[Ab(&["-n", "100", "-c", "4", "URL/ok"])],
    at_least: 100,
    ..CASE
};

const TLS_LOAD: Case = Case {
    name: "TLS under load",
    clients: &[H2load(&["--h1", "-n1000", "-c4", "-t1", "URL/ok"])],
    at_least: 1000,
    ..CASE
};

/// On either side of a threshold: no answer is a ticket's time.
const TLS_DELAYS: Case = Case {
    alone: true,
    ..inside("TLS, known delays around the thresholds", DELAYS)
};

const KNOWN_CLIENT: Case = Case {
    name: "TLS, a certificate of the client's",
    clients: &[Curl(&[
        "--cert",
        "DIR/tls.pem",
        "-o",
        "/dev/null",
        "URL/ok?[1-20]",
    ])],
    at_least: 20,
    ..CASE
};

pub const CASES: &[Case] = &[
    // OpenSSL, Go, rustls, and OpenSSL in other hands.
    on(&NGINX_TLS, TLS_MIXED),
    on(&NGINX_TLS_OLD, TLS_MIXED),
    on(&CADDY_TLS, TLS_MIXED),
    on(&HYPER_TLS, TLS_MIXED),
    on(&APACHE_TLS, TLS_MIXED),
    on(&HAPROXY_TLS, TLS_MIXED),
    on(&NODE_TLS, TLS_MIXED),
    on(&PYTHON_TLS, TLS_MIXED),
    on(&NGINX_TLS, TICKETS),
    on(&NGINX_TLS_OLD, TICKETS),
    on(&CADDY_TLS, TICKETS),
    on(&HYPER_TLS, TICKETS),
    on(&NGINX_TLS, TLS_EACH),
    on(&CADDY_TLS, TLS_EACH),
    on(&HYPER_TLS, TLS_EACH),
    on(&NGINX_TLS, TLS_LOAD),
    on(&CADDY_TLS, TLS_LOAD),
    on(&HYPER_TLS, TLS_LOAD),
    on(&NGINX_TLS, TLS_DOWNLOAD),
    on(&HYPER_TLS, TLS_DOWNLOAD),
    on(&CADDY_TLS, TLS_UPLOAD),
    on(&HYPER_TLS, TLS_HEAD),
    on(&NGINX_TLS, TLS_V6),
    on(&HYPER_TLS, TLS_V6),
    on(&NODE_TLS, TLS_DELAYS),
    on(&HYPER_TLS, TLS_DELAYS),
    on(&NGINX_TLS, KNOWN_CLIENT),
    on(&NGINX_TLS_OLD, KNOWN_CLIENT),
];
