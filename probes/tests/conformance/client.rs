//! The clients: how each is run, and how many answers it says it got.

use std::{fs::File, path::Path, thread};

use nix::sched::{CloneFlags, setns};

use super::{
    case::Case,
    network::{Network, SERVER, SERVER_V6, Side},
    raw::Talk,
    server::{Protocol, Server, needs},
    speaker::Speaker,
};

/// Arguments of clients know these words.
const WORDS: [(&str, &str); 3] = [
    ("HERE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance")),
    ("URL6", "SCHEME://[SERVER_V6]:8080"),
    ("URL", "SCHEME://SERVER:8080"),
];

#[derive(Debug, Clone, Copy)]
pub enum Client {
    /// `URL`, `URL6` and `DIR` stand for the server and the case's directory.
    Curl(&'static [&'static str]),
    Ab(&'static [&'static str]),
    /// Stops at a time, with requests on their way: it says a little less than the server.
    Wrk(&'static [&'static str]),
    H2load(&'static [&'static str]),
    /// Any other, that says after these words how many answers it got.
    Says(&'static str, &'static [&'static str]),
    /// And one that does not.
    Silent(&'static [&'static str]),
    /// By hand; gives the number of answers.
    Raw(fn() -> u64),
    /// By hand, on a connection older than the probe that has asked for `/ok` before.
    Older(fn(Talk) -> u64),
}

/// How many answers a client got.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    Exactly(u64),
    AtLeast(u64),
}

impl Client {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Curl(_) => "curl",
            Self::Ab(_) => "ab",
            Self::Wrk(_) => "wrk",
            Self::H2load(_) => "h2load",
            Self::Says(_, words) | Self::Silent(words) => {
                let is_name =
                    |word: &&&str| **word != "env" && !word.contains('=') && !word.contains("/bin/");
                let name = words.iter().find(is_name).unwrap();
                name.rsplit('/').next().unwrap()
            }
            Self::Raw(_) | Self::Older(_) => "raw",
        }
    }
}

/// Runs one of the case's clients to its end. `older` is it, if it has its connection already.
pub fn run(
    network: &Network,
    case: &Case,
    which: usize,
    directory: &Path,
    older: Option<Speaker>,
) -> Answers {
    let (server, directory) = (case.server, directory.to_str().unwrap());
    let run = |program: &str, first: &[&str], rest: &[&str]| {
        needs(program);
        let words: Vec<String> = [first, rest]
            .concat()
            .iter()
            .map(|word| fill(word, server, directory))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = network.command(Side::Client, program, &words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (format!("{text}\n{errors}"), output.status)
    };
    match case.clients[which] {
        Client::Curl(rest) => {
            let told = "%{stderr}answered %{http_code}\n";
            let (text, _) = run(
                "curl",
                &[&["-sS", "--no-progress-meter", "-w", told], server.curl].concat(),
                rest,
            );
            let answers = text.lines().filter_map(|line| line.strip_prefix("answered "));
            Answers::Exactly(answers.filter(|status| *status != "000").count() as u64)
        }
        Client::Ab(rest) => {
            let (text, status) = run("ab", &["-q"], rest);
            assert!(status.success(), "{text}");
            Answers::Exactly(number(&text, "Complete requests:"))
        }
        Client::Wrk(rest) => {
            let (text, status) = run("wrk", &["-t1"], rest);
            assert!(status.success(), "{text}");
            let line = text.lines().find(|line| line.contains(" requests in ")).unwrap();
            Answers::AtLeast(line.trim().split(' ').next().unwrap().parse().unwrap())
        }
        Client::H2load(rest) => {
            let (text, status) = run("h2load", &[], rest);
            assert!(status.success(), "{text}");
            let line = text.lines().find(|line| line.starts_with("requests: ")).unwrap();
            let done = line.split(", ").find_map(|part| part.strip_suffix(" done"));
            Answers::Exactly(done.unwrap().parse().unwrap())
        }
        Client::Says(label, words) => {
            let (text, status) = run(words[0], &[], &words[1..]);
            assert!(status.success(), "{text}");
            Answers::Exactly(number(&text, label))
        }
        Client::Silent(words) => {
            let (text, status) = run(words[0], &[], &words[1..]);
            assert!(status.success(), "{text}");
            Answers::AtLeast(0)
        }
        Client::Raw(_) => Answers::Exactly(Speaker::start(network, case, which).answers()),
        Client::Older(_) => Answers::Exactly(older.unwrap().go_on().answers()),
    }
}

/// Runs `work` in the side's network namespace.
pub fn beside<T: Send + 'static>(
    network: &Network,
    side: Side,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let namespace = File::open(network.namespace_path(side)).unwrap();
    let worker = thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    });
    worker.join().unwrap()
}

fn fill(word: &str, server: &Server, directory: &str) -> String {
    let mut filled = word.to_owned();
    for (name, value) in WORDS {
        filled = filled.replace(name, value);
    }
    let scheme = if server.protocol == Protocol::Tls {
        "https"
    } else {
        "http"
    };
    filled
        .replace("SCHEME", scheme)
        .replace("SERVER_V6", SERVER_V6)
        .replace("SERVER", SERVER)
        .replace("DIR", directory)
}

fn number(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
    line.trim().parse().unwrap()
}
