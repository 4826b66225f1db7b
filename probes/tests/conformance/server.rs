//! A server: how it is started and ended, and what its log says it answered.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use nix::{sys::signal, unistd::Pid};

use super::{
    eventually, hyper,
    network::{Network, Side},
};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
const PATIENCE: Duration = Duration::from_secs(60);
pub const PORT: u16 = 8080;

/// `DIR` in arguments and files is the case's own directory, `HERE` that of this suite.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub protocol: Protocol,
    /// What curl has to be told besides.
    pub curl: &'static [&'static str],
    /// The parts of this binary that are servers are called `SELF`, and their name.
    pub programs: &'static [&'static [&'static str]],
    /// Files of `servers/` that are copied into the directory, with these words replaced.
    pub files: &'static [&'static str],
    pub words: &'static [(&'static str, &'static str)],
    /// Listening sockets to wait for.
    pub sockets: usize,
    pub log: &'static str,
    /// A command that tells what there is no log of, run before the end.
    pub ask: &'static [&'static str],
    /// What a line of the log says was answered, and how often.
    pub line: fn(&str) -> Option<(Entry, u64)>,
    /// The system call by which it is to be seen to send, of the program in front; empty where that is its own affair.
    pub sends_by: &'static str,
    /// Ends it once the connections at work are done.
    pub stop: signal::Signal,
}

/// What is spoken, and so what a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// On clear text, by prior knowledge.
    Http2,
    /// HTTP/2 by upgrade: a connection's first request is answered by 101, and again on stream 1.
    Upgraded,
    /// Nobody reads it, so what is counted are turns.
    Turns,
    /// Turns, of HTTP/1 inside.
    Tls,
}

/// Method, path and outcome of what was answered.
pub type Entry = (String, String, String);
/// How often each was.
pub type Log = BTreeMap<Entry, u64>;

/// A server at work; the network ends it, with its cgroup, if nothing else has.
pub struct Running {
    server: &'static Server,
    children: Vec<Child>,
}

pub fn start(server: &'static Server, network: &Network, directory: &Path) -> Running {
    // Workers that gave up root read the files and write the logs.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(directory.join("ok"), "fine\n").unwrap();
    fs::write(directory.join("middle"), vec![b'x'; 200_000]).unwrap();
    fs::write(directory.join("big"), vec![b'x'; 10 << 20]).unwrap();
    if server.protocol == Protocol::Tls {
        certificate(directory);
    }
    let at = directory.to_str().unwrap();
    for file in server.files {
        let mut text = fs::read_to_string(format!("{HERE}/servers/{file}")).unwrap();
        for (word, value) in server.words {
            text = text.replace(word, value);
        }
        fs::write(directory.join(file), text.replace("DIR", at)).unwrap();
    }
    let mut children = Vec::new();
    for (number, line) in server.programs.iter().enumerate() {
        let is_in_front = number + 1 == server.programs.len();
        let traced = if is_in_front { trace(server) } else { Vec::new() };
        let words = filled(&[traced.as_slice(), *line].concat(), at);
        needs(&words[0]);
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let output = |kind: &str| fs::File::create(directory.join(format!("{kind}-{number}"))).unwrap();
        let mut command = network.command(Side::Server, &words[0], &rest);
        command
            .env("HOME", at)
            .stdout(output("output"))
            .stderr(output("errors"));
        if line[0] == "SELF" {
            command.env(hyper::SERVE, rest.join(" "));
        }
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
    Running { server, children }
}

/// What the server's command follows, so that its calls are written down. It stays the process that is waited for.
fn trace(server: &Server) -> Vec<&'static str> {
    match server.sends_by {
        "" => Vec::new(),
        call => vec![
            "strace",
            "-D",
            "-f",
            "--seccomp-bpf",
            "-e",
            call,
            "-o",
            "DIR/calls",
        ],
    }
}

fn filled(line: &[&str], at: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    let word = |word: &&str| match *word {
        "SELF" => this.to_str().unwrap().to_owned(),
        word => word.replace("DIR", at).replace("HERE", HERE),
    };
    line.iter().map(word).collect()
}

/// A key and a certificate of its own, in one file, that any user may read.
fn certificate(directory: &Path) {
    let path = directory.join("tls.pem");
    let path = path.to_str().unwrap();
    let options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test -days 2 -addext subjectAltName=IP:10.77.0.1";
    needs("openssl");
    let made = Command::new("openssl")
        .args(options.split(' '))
        .args(["-keyout", path, "-out", "-"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let key = fs::read(path).unwrap();
    fs::write(path, [key, made.stdout].concat()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
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
    pub fn finish(mut self, network: &Network, directory: &Path) {
        // A client that stops by the clock leaves requests behind: they are read, answered and logged, and then
        // the end of their connection is. A server told to end would leave them unread.
        let here = format!("sport = :{PORT}");
        eventually("the connections to end", PATIENCE, || {
            let sockets = network.output(Side::Server, "ss", &["-Htn", &here]);
            sockets.trim().is_empty().then_some(())
        });
        if let [program, rest @ ..] = self.server.ask {
            let rest = filled(rest, directory.to_str().unwrap());
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            fs::write(
                directory.join("asked"),
                network.output(Side::Server, program, &rest),
            )
            .unwrap();
        }
        // What is in front first: it still needs what is behind it.
        for child in self.children.iter_mut().rev() {
            let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
            signal::kill(id, self.server.stop).unwrap();
            eventually("the server to end", PATIENCE, || child.try_wait().unwrap());
        }
        // Whoever traces it ends after it.
        eventually("the call by which it sends", PATIENCE, || {
            let is_made = |calls: String| calls.contains(&format!("{}(", self.server.sends_by));
            let calls = fs::read_to_string(directory.join("calls"));
            (self.server.sends_by.is_empty() || calls.is_ok_and(is_made)).then_some(())
        });
    }
}

pub fn log(server: &Server, directory: &Path) -> Log {
    let mut log = Log::new();
    let text = fs::read_to_string(directory.join(server.log)).unwrap_or_default();
    for (entry, count) in text.lines().filter_map(server.line) {
        *log.entry(entry).or_default() += count;
    }
    log
}
