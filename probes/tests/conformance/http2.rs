//! HTTP/2 by prior knowledge, and gRPC.

use super::{
    case::{BY_CLIENT, CASE, Case, on, over},
    client::Client::{Curl, H2load, Says, Silent},
    http1::{DOWNLOAD, HEAD, MIXED, OLDER, UPLOAD},
    servers::{
        APACHE_H2, APACHE_UPGRADES, CADDY_H2, GRPC, HAPROXY_H2, HYPER_H2, LIGHTTPD_H2, NGHTTPD, NGINX_H2,
        NODE_H2,
    },
};

/// Many streams at once on each connection, answered in whatever order.
#[rustfmt::skip]
const INTERLEAVED: Case = Case {
    name: "HTTP/2, streams interleaved",
    clients: &[H2load(&["-n2000", "-c4", "-t1", "-m16", "URL/ok", "URL/missing", "URL/busy", "URL/ok"])],
    routes: &["GET /ok", "GET /missing"],
    at_least: 2000,
    ..CASE
};

const ONE_BY_ONE: Case = Case {
    name: "HTTP/2, a stream at a time",
    clients: &[H2load(&["-n500", "-c4", "-t1", "-m1", "URL/ok"])],
    at_least: 500,
    ..CASE
};

const H2_V6: Case = Case {
    name: "HTTP/2, IPv6",
    clients: &[H2load(&["-n200", "-c4", "-t1", "-m8", "URL6/ok"])],
    at_least: 200,
    ..CASE
};

const AT_ONCE: Case = Case {
    name: "HTTP/2, downloads at once",
    clients: &[Curl(&[
        "-o",
        "/dev/null",
        "URL/big?[1-3]",
        "-o",
        "/dev/null",
        "URL/ok?[1-20]",
    ])],
    routes: &["GET /big"],
    at_least: 23,
    ..CASE
};

const H2_MIXED: Case = over("HTTP/2, statuses mixed", MIXED);
const H2_HEAD: Case = over("HTTP/2, HEAD", HEAD);
const H2_DOWNLOAD: Case = over("HTTP/2, downloads of 10 MB", DOWNLOAD);
const H2_UPLOAD: Case = over("HTTP/2, uploads of 10 MB", UPLOAD);

/// On either side of a threshold, in one connection.
const H2_DELAYS: Case = Case {
    name: "HTTP/2, known delays around the thresholds",
    clients: &[
        H2load(&["-n200", "-c2", "-t1", "-m4", "URL/slow/2", "URL/slow/40"]),
        Curl(&["-o", "/dev/null", "URL/slow/1200"]),
    ],
    routes: &["GET /slow/2", "GET /slow/40"],
    below_ms: &[20, 100, 1000],
    at_least: 201,
    ..CASE
};

/// Its tables are not known, so nobody says what was answered.
const H2_OLDER: Case = Case {
    outcomes: &[("/ok", "outcome:unknown")],
    losses: 1,
    ..over("HTTP/2, a connection older than the probe", OLDER)
};

const UPGRADED: Case = Case {
    name: "HTTP/2, by upgrade",
    // Each of them says of one answer what the log has of two. Apache cuts off what is longer than a window.
    clients: &[
        Silent(&["curl", "-sS", "--http2", "-o", "/dev/null", "URL/ok"]),
        Silent(&["curl", "-sS", "--http2", "-o", "/dev/null", "URL/missing"]),
        Silent(&["nghttp", "--upgrade", "--null-out", "URL/ok"]),
        Silent(&["nghttp", "--upgrade", "--null-out", "URL/missing"]),
    ],
    routes: &["GET /ok"],
    // Until it is answered, a request that will be by 101 is overdue like any other.
    below_ms: &[],
    at_least: 8,
    ..CASE
};

const CALLS: Case = Case {
    server: &GRPC,
    routes: &["POST /test.Calls/Stream"],
    ..CASE
};

/// `calls.py` makes calls of one kind, and says how many were answered.
macro_rules! calls {
    ($kind:literal) => {
        calls!($kind, "SERVER:8080")
    };
    ($kind:literal, $target:literal) => {
        &[Says(
            "answered",
            &[
                "/usr/bin/python3",
                "HERE/../http2/programs/calls.py",
                "call",
                $target,
                $kind,
            ],
        )]
    };
}

pub const CASES: &[Case] = &[
    on(&NGINX_H2, H2_MIXED),
    on(&APACHE_H2, H2_MIXED),
    on(&HAPROXY_H2, H2_MIXED),
    on(&LIGHTTPD_H2, H2_MIXED),
    on(&CADDY_H2, H2_MIXED),
    on(&NODE_H2, H2_MIXED),
    on(&HYPER_H2, H2_MIXED),
    on(&NGINX_H2, INTERLEAVED),
    on(&APACHE_H2, INTERLEAVED),
    on(&HAPROXY_H2, INTERLEAVED),
    on(&LIGHTTPD_H2, INTERLEAVED),
    on(&CADDY_H2, INTERLEAVED),
    on(&NODE_H2, INTERLEAVED),
    on(&HYPER_H2, INTERLEAVED),
    on(&NGINX_H2, ONE_BY_ONE),
    on(&HYPER_H2, ONE_BY_ONE),
    on(&NGHTTPD, ONE_BY_ONE),
    on(&NGINX_H2, H2_V6),
    on(&NGHTTPD, H2_V6),
    on(&NGINX_H2, AT_ONCE),
    on(&NODE_H2, AT_ONCE),
    on(&NGINX_H2, H2_HEAD),
    on(&NODE_H2, H2_HEAD),
    on(&NGINX_H2, H2_DOWNLOAD),
    on(&CADDY_H2, H2_DOWNLOAD),
    on(&NGINX_H2, H2_UPLOAD),
    on(&HYPER_H2, H2_UPLOAD),
    on(&NODE_H2, H2_DELAYS),
    on(&HYPER_H2, H2_DELAYS),
    on(&APACHE_UPGRADES, UPGRADED),
    Case {
        seen: BY_CLIENT,
        ..on(
            &APACHE_UPGRADES,
            over("HTTP/2, by upgrade, as the client sees it", UPGRADED),
        )
    },
    on(&NGINX_H2, H2_OLDER),
    on(&NODE_H2, H2_OLDER),
    Case {
        seen: BY_CLIENT,
        ..on(&NGINX_H2, over("HTTP/2, as the client sees it", INTERLEAVED))
    },
    Case {
        name: "calls with one answer, by code",
        clients: calls!("unary"),
        at_least: 271,
        ..CALLS
    },
    Case {
        name: "calls with one answer, IPv6",
        clients: calls!("unary", "[SERVER_V6]:8080"),
        at_least: 271,
        ..CALLS
    },
    Case {
        name: "calls whose answers stream",
        clients: calls!("streaming"),
        at_least: 5,
        ..CALLS
    },
    Case {
        name: "calls whose requests stream",
        clients: calls!("collecting"),
        at_least: 5,
        ..CALLS
    },
    Case {
        name: "calls that stream both ways",
        clients: calls!("echoing"),
        at_least: 5,
        ..CALLS
    },
    Case {
        name: "calls that the client cancels",
        clients: calls!("cancelled"),
        at_least: 3,
        ..CALLS
    },
];
