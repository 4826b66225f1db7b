//! An open-loop client: it asks by the clock, whether or not anybody answers, over a connection a request.
//!
//! It runs in a process of its own on the client's side: a test binary that uses it has a test named
//! `open_loop_client` that calls [`run_when_asked`].

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, thread};

use super::network::{Network, Side};
use super::pause;

const ASKED: &str = "SLOWBURN_TEST_OPEN_LOOP";
const SAID: &str = "answered after";

/// When to ask, and whom.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub address: &'static str,
    pub requests: u32,
    pub every: Duration,
}

/// How long an answer took by the client's clock, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// From the moment the request was due: connecting is part of it.
    pub since_due: f64,
    /// From the first byte of the request written.
    pub since_first_byte: f64,
}

/// Runs the load to its end.
#[track_caller]
pub fn run(network: &Network, load: Load) -> Vec<Answer> {
    let test = env::current_exe().unwrap();
    let arguments = ["--exact", "open_loop_client", "--nocapture"];
    let output = network
        .command(Side::Client, test.to_str().unwrap(), &arguments)
        .env(
            ASKED,
            format!("{} {} {}", load.address, load.requests, load.every.as_micros()),
        )
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "the client failed:\n{text}");
    let answers: Vec<Answer> = text
        .lines()
        .filter_map(|line| line.strip_prefix(SAID)?.trim().split_once(' '))
        .map(|(since_due, since_first_byte)| Answer {
            since_due: since_due.parse().unwrap(),
            since_first_byte: since_first_byte.parse().unwrap(),
        })
        .collect();
    assert_eq!(answers.len(), load.requests as usize, "every request is answered");
    answers
}

/// The body of the client's process. Nothing unless it was asked for.
pub fn run_when_asked() {
    let Ok(asked) = env::var(ASKED) else { return };
    let mut words = asked.split(' ');
    let address = words.next().unwrap().to_owned();
    let requests: u32 = words.next().unwrap().parse().unwrap();
    let every = Duration::from_micros(words.next().unwrap().parse().unwrap());
    let start = Instant::now();
    let asking: Vec<_> = (0..requests)
        .map(|number| {
            let due = start + every * number;
            pause(due.saturating_duration_since(Instant::now()));
            let address = address.clone();
            thread::spawn(move || ask(&address, due))
        })
        .collect();
    let mut out = std::io::stdout().lock();
    // libtest has begun a line.
    writeln!(out).unwrap();
    for asked in asking {
        let Answer {
            since_due,
            since_first_byte,
        } = asked.join().unwrap();
        writeln!(out, "{SAID} {since_due:.3} {since_first_byte:.3}").unwrap();
    }
}

fn ask(address: &str, due: Instant) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = Instant::now();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: single\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer[..1]).unwrap();
    let (since_due, since_first_byte) = (due.elapsed(), asked.elapsed());
    stream.read_exact(&mut answer[1..]).unwrap();
    assert_eq!(&answer, b"HTTP/1.0 200 OK");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    Answer {
        since_due: since_due.as_secs_f64() * 1000.0,
        since_first_byte: since_first_byte.as_secs_f64() * 1000.0,
    }
}
