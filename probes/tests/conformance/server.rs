//! The servers: how each is started, and what its log says it answered.

use std::{
    collections::BTreeMap, convert::Infallible, fs, os::unix::fs::PermissionsExt as _, path::Path,
    process::Child, time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract,
    http::{StatusCode, Uri},
};
use nix::{sys::signal, unistd::Pid};

use super::{
    eventually,
    network::{Network, Side},
    uring,
};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
const PATIENCE: Duration = Duration::from_secs(60);
pub const PORT: u16 = 8080;
const SERVE: &str = "SLOWBURN_CONFORMANCE_SERVE";

/// `DIR` in arguments and configuration is the case's own directory, `HERE` that of this suite.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    programs: &'static [&'static [&'static str]],
    /// Files of `servers/` that are copied into the directory.
    files: &'static [&'static str],
    /// Listening sockets to wait for.
    sockets: usize,
    log: &'static str,
    /// Ends it once the connections at work are done.
    stop: signal::Signal,
}

const PLAIN: Server = Server {
    name: "",
    programs: &[],
    files: &[],
    sockets: 1,
    log: "access.log",
    stop: signal::SIGTERM,
};

const NGINX_COMMAND: &[&str] = &["nginx", "-c", "DIR/nginx.conf", "-e", "DIR/error.log"];

pub const NGINX: Server = Server {
    name: "nginx",
    programs: &[NGINX_COMMAND],
    files: &["nginx.conf"],
    sockets: 2,
    ..PLAIN
};

pub const APACHE: Server = Server {
    name: "apache",
    programs: &[&["apache2", "-f", "DIR/apache.conf", "-D", "FOREGROUND"]],
    files: &["apache.conf"],
    ..PLAIN
};

/// Some answers are its own, the rest it fetches from an nginx behind it over a unix socket.
pub const HAPROXY: Server = Server {
    name: "haproxy",
    programs: &[
        &["nginx", "-c", "DIR/files.conf", "-e", "DIR/error.log"],
        &["haproxy", "-f", "DIR/haproxy.cfg"],
    ],
    files: &["haproxy.cfg", "files.conf"],
    sockets: 2,
    log: "output-1",
    ..PLAIN
};

pub const LIGHTTPD: Server = Server {
    name: "lighttpd",
    programs: &[&["lighttpd", "-D", "-f", "DIR/lighttpd.conf"]],
    files: &["lighttpd.conf"],
    sockets: 2,
    stop: signal::SIGINT,
    ..PLAIN
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
    ..PLAIN
};

pub const PYTHON: Server = Server {
    name: "python",
    programs: &[&["/usr/bin/python3", "HERE/servers/server.py"]],
    log: "output-0",
    ..PLAIN
};

pub const NODE: Server = Server {
    name: "node",
    programs: &[&["node", "HERE/servers/server.mjs"]],
    log: "output-0",
    ..PLAIN
};

pub const HYPER: Server = Server {
    name: "hyper",
    programs: &[&["SELF"]],
    log: "output-0",
    ..PLAIN
};

/// This suite's own, by io_uring.
pub const URING: Server = Server {
    name: "io_uring",
    programs: &[&["SELF"]],
    log: "output-0",
    ..PLAIN
};

/// A server at work; the network ends it, with its cgroup, if nothing else has.
pub struct Running {
    children: Vec<Child>,
    stop: signal::Signal,
}

pub fn start(server: &Server, network: &Network, directory: &Path) -> Running {
    // Workers that gave up root read the files and write the logs.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(directory.join("ok"), "fine\n").unwrap();
    fs::write(directory.join("middle"), vec![b'x'; 200_000]).unwrap();
    fs::write(directory.join("big"), vec![b'x'; 10 << 20]).unwrap();
    let at = directory.to_str().unwrap();
    for file in server.files {
        let text = fs::read_to_string(format!("{HERE}/servers/{file}")).unwrap();
        fs::write(directory.join(file), text.replace("DIR", at)).unwrap();
    }
    let this = std::env::current_exe().unwrap();
    let mut children = Vec::new();
    for (number, line) in server.programs.iter().enumerate() {
        let words: Vec<String> = line
            .iter()
            .map(|word| match *word {
                "SELF" => this.to_str().unwrap().to_owned(),
                word => word.replace("DIR", at).replace("HERE", HERE),
            })
            .collect();
        needs(&words[0]);
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let output = |kind: &str| fs::File::create(directory.join(format!("{kind}-{number}"))).unwrap();
        let mut command = network.command(Side::Server, &words[0], &rest);
        command
            .env(SERVE, server.name)
            .env("HOME", at)
            .stdout(output("output"))
            .stderr(output("errors"));
        children.push(command.spawn().unwrap());
    }
    let listening = format!("sport = :{PORT}");
    eventually("the server to listen", PATIENCE, || {
        for (number, child) in children.iter_mut().enumerate() {
            if let Some(status) = child.try_wait().unwrap() {
                let said = fs::read_to_string(directory.join(format!("errors-{number}"))).unwrap();
                let logged = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                panic!("{} ended at its start with {status}: {said}{logged}", server.name);
            }
        }
        let sockets = network.output(Side::Server, "ss", &["-Hltn", &listening]);
        (sockets.lines().count() >= server.sockets).then_some(())
    });
    Running {
        children,
        stop: server.stop,
    }
}

/// Fails, rather than skips, where a program is missing.
pub fn needs(program: &str) {
    let found = program.starts_with('/')
        || std::env::var("PATH")
            .unwrap_or_default()
            .split(':')
            .any(|directory| Path::new(directory).join(program).exists());
    assert!(found, "`{program}` is not here; install by `make setup`");
}

impl Running {
    /// Lets it finish; its log is complete then.
    pub fn finish(mut self, network: &Network) {
        // A client that stops by the clock leaves requests behind: they are read, answered and logged, and then
        // the end of their connection is. A server told to end would leave them unread.
        let here = format!("sport = :{PORT}");
        eventually("the connections to end", PATIENCE, || {
            let sockets = network.output(Side::Server, "ss", &["-Htn", &here]);
            sockets.trim().is_empty().then_some(())
        });
        // What is in front first: it still needs what is behind it.
        for child in self.children.iter_mut().rev() {
            let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
            signal::kill(id, self.stop).unwrap();
            eventually("the server to end", PATIENCE, || child.try_wait().unwrap());
        }
    }
}

/// Method, path and outcome of what was answered, with how often.
pub type Log = BTreeMap<(String, String, String), u64>;

pub fn log(server: &Server, directory: &Path) -> Log {
    let mut log = Log::new();
    let text = fs::read_to_string(directory.join(server.log)).unwrap_or_default();
    for line in text.lines() {
        let entry = if line.starts_with('{') {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |of: &serde_json::Value| of.as_str().unwrap().to_owned();
            let request = &entry["request"];
            (
                word(&request["method"]),
                word(&request["uri"]),
                entry["status"].to_string(),
            )
        } else {
            let mut words = line.split(' ').map(str::to_owned);
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some(method), Some(path), Some(status), None) if path.starts_with('/') => {
                    (method, path, status)
                }
                _ => continue,
            }
        };
        *log.entry(entry).or_default() += 1;
    }
    log
}

/// The parts of this binary that are servers: hyper, by axum, and the one by io_uring.
pub fn serve_when_asked() -> bool {
    let Ok(name) = std::env::var(SERVE) else {
        return false;
    };
    if name == URING.name {
        uring::serve(&std::net::TcpListener::bind(("::", PORT)).unwrap());
    }
    assert_eq!(name, HYPER.name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("::", PORT)).await.unwrap();
        let router = Router::new().fallback(answer);
        axum::serve(listener, router).await.unwrap();
    });
    true
}

#[expect(clippy::print_stdout, reason = "this is the log that the suite reads")]
async fn answer(request: extract::Request) -> (StatusCode, Body) {
    let (head, body) = request.into_parts();
    let uri: Uri = head.uri;
    let read = axum::body::to_bytes(body, usize::MAX).await;
    let path = uri.path();
    let status = match path {
        "/missing" => StatusCode::NOT_FOUND,
        "/broken" => StatusCode::INTERNAL_SERVER_ERROR,
        "/busy" => StatusCode::SERVICE_UNAVAILABLE,
        _ if read.is_err() => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    if let Some(wait) = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    println!("{} {uri} {}", head.method, status.as_u16());
    let pieces = || (0..5).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 5000])));
    let body = match path {
        "/chunked" => Body::from_stream(tokio_stream::iter(pieces())),
        "/big" => Body::from(vec![b'x'; 10 << 20]),
        _ => Body::from("fine\n"),
    };
    (status, body)
}
