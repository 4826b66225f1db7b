//! Which servers there are, and how to read their logs.

use nix::sys::signal::{SIGINT, SIGTERM};

use super::server::{Entry, Protocol, Server};

const PLAIN: Server = Server {
    name: "",
    protocol: Protocol::Http1,
    curl: &[],
    programs: &[],
    files: &[],
    words: &[],
    sockets: 1,
    log: "access.log",
    ask: &[],
    line: words,
    sends_by: "",
    stop: SIGTERM,
};

/// What a server of TLS adds.
const TLS: Server = Server {
    protocol: Protocol::Tls,
    curl: &["-k", "--http1.1"],
    ..PLAIN
};

/// What one of HTTP/2 on clear text adds.
const H2: Server = Server {
    protocol: Protocol::Http2,
    // All at once: this curl cannot go on with a connection that has been idle.
    curl: &["--http2-prior-knowledge", "-Z", "--parallel-immediate"],
    ..PLAIN
};

const NGINX_COMMAND: &[&str] = &["nginx", "-c", "DIR/nginx.conf", "-e", "DIR/error.log"];

pub const NGINX: Server = Server {
    name: "nginx",
    programs: &[NGINX_COMMAND],
    files: &["nginx.conf"],
    words: &[("LISTENS", ""), ("IDLE", "75s")],
    sockets: 2,
    ..PLAIN
};
pub const NGINX_SENDFILE: Server = Server {
    sends_by: "sendfile",
    ..NGINX
};
pub const NGINX_IDLE: Server = Server {
    words: &[("LISTENS", ""), ("IDLE", "1s")],
    ..NGINX
};
pub const NGINX_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    words: &[("LISTENS", "http2"), ("IDLE", "75s")],
    ..NGINX
};
pub const NGINX_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    files: &["nginx.conf", "tls.conf"],
    words: &[("LISTENS", "ssl"), ("IDLE", "75s"), ("VERSION", "TLSv1.3")],
    ..NGINX
};
pub const NGINX_TLS_OLD: Server = Server {
    name: "nginx, TLS 1.2",
    words: &[("LISTENS", "ssl"), ("IDLE", "75s"), ("VERSION", "TLSv1.2")],
    ..NGINX_TLS
};

const APACHE_COMMAND: &[&str] = &["apache2", "-f", "DIR/apache.conf", "-D", "FOREGROUND"];

pub const APACHE: Server = Server {
    name: "apache",
    programs: &[APACHE_COMMAND],
    files: &["apache.conf"],
    words: &[("PROTOCOL", "")],
    ..PLAIN
};
pub const APACHE_SENDFILE: Server = Server {
    sends_by: "sendfile",
    ..APACHE
};
pub const APACHE_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    programs: &[APACHE_COMMAND],
    // By default it waits for data: a preface passes the probe before there is a connection.
    words: &[(
        "PROTOCOL",
        "LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so\nProtocols h2c http/1.1",
    )],
    ..APACHE
};
pub const APACHE_UPGRADES: Server = Server {
    name: "apache, h2c",
    protocol: Protocol::Upgraded,
    ..APACHE_H2
};
pub const APACHE_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    words: &[(
        "PROTOCOL",
        "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nSSLEngine on\nSSLCertificateFile DIR/tls.pem",
    )],
    ..APACHE
};

/// Some answers are its own, the rest it fetches from an nginx behind it over a unix socket.
pub const HAPROXY: Server = Server {
    name: "haproxy",
    programs: &[
        &["nginx", "-c", "DIR/files.conf", "-e", "DIR/error.log"],
        &["haproxy", "-f", "DIR/haproxy.cfg"],
    ],
    files: &["haproxy.cfg", "files.conf"],
    words: HAPROXY_WORDS,
    sockets: 2,
    log: "output-1",
    ..PLAIN
};
pub const HAPROXY_SPLICE: Server = Server {
    sends_by: "splice",
    ..HAPROXY
};
const HAPROXY_WORDS: &[(&str, &str)] = &[
    ("LISTENS", ""),
    ("FILES", "unix@DIR/files.sock"),
    ("BEHIND", "unix:DIR/files.sock"),
    ("IDLE", "60s"),
];
/// It answers 400 to a connection on which nothing was asked.
pub const HAPROXY_UNASKED: Server = Server {
    words: &[
        ("option http-ignore-probes", ""),
        ("LISTENS", ""),
        ("FILES", "unix@DIR/files.sock"),
        ("BEHIND", "unix:DIR/files.sock"),
        ("IDLE", "60s"),
    ],
    ..HAPROXY
};
pub const HAPROXY_IDLE: Server = Server {
    words: &[
        ("LISTENS", ""),
        ("FILES", "unix@DIR/files.sock"),
        ("BEHIND", "unix:DIR/files.sock"),
        ("IDLE", "1s"),
    ],
    ..HAPROXY
};
pub const HAPROXY_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    words: &[
        ("LISTENS", "proto h2"),
        ("FILES", "unix@DIR/files.sock"),
        ("BEHIND", "unix:DIR/files.sock"),
        ("IDLE", "60s"),
    ],
    ..HAPROXY
};
pub const HAPROXY_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    words: &[
        ("LISTENS", "ssl crt DIR/tls.pem"),
        ("FILES", "unix@DIR/files.sock"),
        ("BEHIND", "unix:DIR/files.sock"),
        ("IDLE", "60s"),
    ],
    ..HAPROXY
};
/// The nginx behind it, asked over TCP: what it logs is what HAProxy has called.
pub const BEHIND_HAPROXY: Server = Server {
    name: "nginx behind haproxy",
    words: &[
        ("LISTENS", ""),
        ("FILES", "10.77.0.1:8090"),
        ("BEHIND", "10.77.0.1:8090"),
        ("IDLE", "60s"),
    ],
    log: "files.log",
    ..HAPROXY
};

pub const LIGHTTPD: Server = Server {
    name: "lighttpd",
    programs: &[&["lighttpd", "-D", "-f", "DIR/lighttpd.conf"]],
    files: &["lighttpd.conf"],
    sockets: 2,
    stop: SIGINT,
    ..PLAIN
};
pub const LIGHTTPD_SENDFILE: Server = Server {
    sends_by: "sendfile",
    ..LIGHTTPD
};
pub const LIGHTTPD_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    ..LIGHTTPD
};

pub const CADDY: Server = Server {
    name: "caddy",
    programs: &[&[
        "caddy",
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        "DIR/Caddyfile",
    ]],
    files: &["Caddyfile"],
    words: &[("SITE", ":8080"), ("CERTIFICATE", "")],
    line: json,
    ..PLAIN
};
pub const CADDY_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    ..CADDY
};
/// TLS by Go.
pub const CADDY_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    words: &[
        ("SITE", "https://:8080"),
        ("CERTIFICATE", "tls DIR/tls.pem DIR/tls.pem"),
    ],
    ..CADDY
};

pub const PYTHON: Server = Server {
    name: "python",
    programs: &[&["/usr/bin/python3", "HERE/servers/server.py"]],
    log: "output-0",
    ..PLAIN
};
pub const PYTHON_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    programs: &[&["/usr/bin/python3", "HERE/servers/server.py", "DIR/tls.pem"]],
    ..PYTHON
};

pub const NODE: Server = Server {
    name: "node",
    programs: &[&["node", "HERE/servers/server.mjs", "http"]],
    log: "output-0",
    ..PLAIN
};
pub const NODE_IDLE: Server = Server {
    programs: &[&["node", "HERE/servers/server.mjs", "http", "1000"]],
    ..NODE
};
pub const NODE_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    programs: &[&["node", "HERE/servers/server.mjs", "http2"]],
    ..NODE
};
pub const NODE_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    programs: &[&["node", "HERE/servers/server.mjs", "https", "60000", "DIR/tls.pem"]],
    ..NODE
};

/// By axum, which takes HTTP/2 for what it is.
pub const HYPER: Server = Server {
    name: "hyper",
    programs: &[&["SELF", "hyper"]],
    log: "output-0",
    ..PLAIN
};
pub const HYPER_H2: Server = Server {
    protocol: H2.protocol,
    curl: H2.curl,
    ..HYPER
};
/// TLS by rustls.
pub const HYPER_TLS: Server = Server {
    protocol: TLS.protocol,
    curl: TLS.curl,
    programs: &[&["SELF", "rustls", "DIR/tls.pem"]],
    ..HYPER
};

/// This suite's own, by io_uring.
pub const URING: Server = Server {
    name: "io_uring",
    programs: &[&["SELF", "uring"]],
    log: "output-0",
    ..PLAIN
};

/// By nghttp2. It logs each frame and no request: one status for each that it answered, all of them of `/ok`.
pub const NGHTTPD: Server = Server {
    name: "nghttpd",
    protocol: H2.protocol,
    curl: H2.curl,
    programs: &[&["nghttpd", "-v", "--no-tls", "-d", "DIR", "8080"]],
    sockets: 2,
    log: "output-0",
    line: status_of_ok,
    ..PLAIN
};

/// gRPC in Python.
pub const GRPC: Server = Server {
    name: "grpcio",
    protocol: Protocol::Http2,
    programs: &[&[
        "/usr/bin/python3",
        "HERE/../http2/programs/calls.py",
        "serve",
        "[::]:8080",
    ]],
    log: "output-0",
    ..PLAIN
};

pub const REDIS: Server = Server {
    name: "redis",
    protocol: Protocol::Turns,
    programs: &[&["redis-server", "DIR/redis.conf"]],
    files: &["redis.conf"],
    ask: &["redis-cli", "-s", "DIR/redis.sock", "INFO", "commandstats"],
    log: "asked",
    line: commands,
    ..PLAIN
};

pub const POSTGRES: Server = Server {
    name: "postgres",
    protocol: Protocol::Turns,
    programs: &[&["sh", "HERE/servers/postgres.sh", "DIR"]],
    log: "errors-0",
    line: statements,
    stop: SIGINT,
    ..PLAIN
};

/// Method, path and status.
fn words(line: &str) -> Option<(Entry, u64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, path, status] = words[..] else {
        return None;
    };
    path.starts_with('/').then(|| (entry(method, path, status), 1))
}

fn status_of_ok(line: &str) -> Option<(Entry, u64)> {
    let status = line.trim().strip_prefix(":status: ")?;
    Some((entry("GET", "/ok", status), 1))
}

fn json(line: &str) -> Option<(Entry, u64)> {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let request = &line["request"];
    let word = |name: &str| request[name].as_str().unwrap();
    let status = line["status"].to_string();
    Some((entry(word("method"), word("uri"), &status), 1))
}

/// Redis's own count of each command.
fn commands(line: &str) -> Option<(Entry, u64)> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let (calls, _) = rest.split_once(',')?;
    Some((entry(name, "", ""), calls.parse().unwrap()))
}

/// Each query is a turn, and so is the start of each session.
fn statements(line: &str) -> Option<(Entry, u64)> {
    let (_, said) = line.split_once("LOG:  ")?;
    let kinds = ["statement: ", "execute ", "connection authorized: "];
    let kind = kinds.iter().find(|kind| said.starts_with(**kind))?;
    Some((entry(kind, "", ""), 1))
}

fn entry(method: &str, path: &str, status: &str) -> Entry {
    (method.to_owned(), path.to_owned(), status.to_owned())
}
