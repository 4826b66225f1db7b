//! The parts of this binary that are clients by hand. Each is a process: a socket is of the cgroup that it was made in.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
};

use super::{
    case::Case,
    client::Client,
    network::{Network, Side},
    raw::Talk,
    server::Protocol,
};

/// Whose client to be: its number and the title of its case.
const SPEAK: &str = "SLOWBURN_CONFORMANCE_SPEAK";
const ANSWERS: &str = "answers ";
const READY: &str = "ready";

pub fn speak_when_asked(cases: &[Case]) -> bool {
    let Ok(asked) = std::env::var(SPEAK) else {
        return false;
    };
    let (number, title) = asked.split_once(' ').unwrap();
    let case = cases.iter().find(|case| case.title() == title).unwrap();
    let answers = match case.clients[number.parse::<usize>().unwrap()] {
        Client::Raw(talk) => talk(),
        Client::Older(talk) => {
            let mut older = match case.server.protocol {
                Protocol::Http2 => Talk::open_http2(),
                _ => Talk::open(),
            };
            assert_eq!(older.get("/ok"), 200);
            say(READY);
            io::stdin().read_line(&mut String::new()).unwrap();
            talk(older)
        }
        _ => panic!("no client by hand: {asked}"),
    };
    say(&format!("{ANSWERS}{answers}"));
    true
}

fn say(line: &str) {
    let mut out = io::stdout();
    writeln!(out, "{line}").unwrap();
}

/// The network ends it, with its cgroup, if nothing else has.
pub struct Speaker(Child);

impl Speaker {
    pub fn start(network: &Network, case: &Case, number: usize) -> Self {
        let this = std::env::current_exe().unwrap();
        let child = network
            .command(Side::Client, this.to_str().unwrap(), &[])
            .env(SPEAK, format!("{number} {}", case.title()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// One that has asked for `/ok` over its connection, and waits.
    pub fn older(network: &Network, case: &Case, number: usize) -> Self {
        let mut speaker = Self::start(network, case, number);
        assert_eq!(speaker.said(), READY);
        speaker
    }

    pub fn go_on(mut self) -> Self {
        writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
        self
    }

    /// How many it got, at its end.
    pub fn answers(mut self) -> u64 {
        let said = self.said();
        assert!(self.0.wait().unwrap().success());
        said.strip_prefix(ANSWERS).unwrap().parse().unwrap()
    }

    fn said(&mut self) -> String {
        let mut line = String::new();
        // Byte by byte, so that what follows is left for the next call.
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.ends_with('\n'), "a client by hand has failed");
        line.trim_end().to_owned()
    }
}
