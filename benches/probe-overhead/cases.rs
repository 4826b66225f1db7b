//! The ways that a request can take through the probes, each with a client that takes it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
};

use anyhow::{Context as _, ensure};

use super::nginx::{HTTP1, HTTP2, Nginx, REDIS, TLS};

pub struct Case {
    pub name: &'static str,
    /// Else only that it was answered is known.
    pub has_status: bool,
    /// By user space, which reads headers when it comes to it.
    pub is_counted_later: bool,
    by: By,
}

/// Who asks.
enum By {
    Wrk(&'static str, &'static [&'static str], u16),
    Ab,
    H2load(&'static [&'static str], u16),
    Redis,
    /// Requests in so many segments each.
    Pieces(usize),
}

/// What a browser sends, about.
const BROWSER: [&str; 14] = [
    "-H",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "-H",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "-H",
    "Accept-Language: en-US,en;q=0.5",
    "-H",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "-H",
    "Referer: http://shop.example.com/catalogue/page-17.html",
    "-H",
    "Cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark; consent=1",
    "-H",
    "Cache-Control: no-cache, no-store, max-age=0, must-revalidate, proxy-revalidate",
];

const fn http(name: &'static str, by: By) -> Case {
    Case {
        name,
        has_status: true,
        is_counted_later: false,
        by,
    }
}

pub const CASES: [Case; 10] = [
    http(
        "HTTP/1.1 GET, one segment, keep-alive",
        By::Wrk("index.html", &[], HTTP1),
    ),
    http(
        "the same with a browser's header, 530 bytes",
        By::Wrk("index.html", &BROWSER, HTTP1),
    ),
    http("one connection a request", By::Ab),
    http("POST of 100 bytes", By::H2load(&["--h1", "-d"], HTTP1)),
    http("header in two segments", By::Pieces(2)),
    http("eight requests pipelined", By::H2load(&["--h1", "-m8"], HTTP1)),
    http("a body of 1 MB", By::Wrk("large", &[], HTTP1)),
    Case {
        is_counted_later: true,
        ..http("HTTP/2 in clear, four streams", By::H2load(&["-m4"], HTTP2))
    },
    Case {
        has_status: false,
        ..http("HTTPS, HTTP/1.1 in TLS 1.3", By::Wrk("index.html", &[], TLS))
    },
    Case {
        has_status: false,
        ..http("any other TCP, redis PING", By::Redis)
    },
];

const REDIS_REQUESTS: &str = "20000";

impl Case {
    /// Requests by the client's own count.
    pub fn run(&self, nginx: &Nginx) -> anyhow::Result<u64> {
        match self.by {
            By::Wrk(path, more, port) => {
                let scheme = if port == TLS { "https" } else { "http" };
                let url = format!("{scheme}://127.0.0.1:{port}/{path}");
                let text = said(
                    nginx
                        .beside("wrk")?
                        .args(["-t1", "-c16", "-d1s"])
                        .args(more)
                        .arg(url),
                )?;
                ensure!(!text.contains("Non-2xx"), "wrk met errors:\n{text}");
                before(&text, " requests in ")
            }
            By::Ab => {
                let url = format!("http://127.0.0.1:{HTTP1}/index.html");
                let text = said(nginx.beside("ab")?.args(["-q", "-n4000", "-c8"]).arg(url))?;
                after(&text, "Complete requests:")
            }
            By::H2load(more, port) => {
                let mut command = nginx.beside("h2load")?;
                command.args(["-t1", "-c4", "-n20000"]).args(more);
                if more.contains(&"-d") {
                    command.arg(nginx.file("body"));
                }
                let text = said(command.arg(format!("http://127.0.0.1:{port}/posted")))?;
                ensure!(
                    text.contains(" 0 failed, 0 errored"),
                    "h2load met errors:\n{text}"
                );
                before(&text, " succeeded,")
            }
            By::Redis => {
                let mut command = nginx.beside("redis-benchmark")?;
                command.args(["-p", &REDIS.to_string(), "-t", "ping_mbulk", "-n", REDIS_REQUESTS]);
                said(&mut command)?;
                Ok(REDIS_REQUESTS.parse()?)
            }
            By::Pieces(pieces) => in_pieces(nginx, pieces),
        }
    }
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("run the client")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "the client failed:\n{text}");
    Ok(text)
}

fn before(text: &str, what: &str) -> anyhow::Result<u64> {
    let head = text
        .lines()
        .find_map(|line| line.split_once(what))
        .map(|(head, _)| head);
    let number = head.and_then(|head| head.rsplit([' ', ',']).next());
    Ok(number
        .with_context(|| format!("no {what:?} in\n{text}"))?
        .parse()?)
}

fn after(text: &str, what: &str) -> anyhow::Result<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(what));
    Ok(number
        .with_context(|| format!("no {what:?} in\n{text}"))?
        .trim()
        .parse()?)
}

const OWN_REQUESTS: u64 = 2000;

/// From a thread of its own, which alone enters the server's namespace.
fn in_pieces(nginx: &Nginx, pieces: usize) -> anyhow::Result<u64> {
    let ask = || -> anyhow::Result<u64> {
        nginx.enter()?;
        let mut stream = TcpStream::connect(("127.0.0.1", HTTP1))?;
        stream.set_nodelay(true)?;
        let request = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: in pieces\r\n\r\n";
        let mut answer = [0; 4096];
        for _ in 0..OWN_REQUESTS {
            for piece in request.chunks(request.len().div_ceil(pieces)) {
                stream.write_all(piece)?;
            }
            let length = stream.read(&mut answer)?;
            ensure!(
                answer[..length].starts_with(b"HTTP/1.1 200"),
                "no answer to a request in pieces"
            );
            ensure!(answer[..length].ends_with(b"hello\n"), "an answer in pieces");
        }
        Ok(OWN_REQUESTS)
    };
    thread::scope(|scope| scope.spawn(ask).join()).map_err(|_| anyhow::anyhow!("the client panicked"))?
}
