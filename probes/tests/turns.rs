//! Turns of protocols that nobody reads, at the socket edge: the counts equal what the client did.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::{Command, Output},
    time::{Duration, Instant},
};

use probes::agent::{Agent, AgentConfig, MapSizes};
use slo_engine::{
    measurement::{Batch, Clock, Gauge, Signal},
    service::WatchedService,
};
use support::{Place, Server, eventually, gauge, pause, read, value, watched};

fn timed(name: &str, port: u16, thresholds: &[u64]) -> WatchedService {
    let turnaround = |ms: &u64| (Clock::Turnaround, Duration::from_millis(*ms));
    WatchedService {
        thresholds: thresholds.iter().map(turnaround).collect(),
        ..watched(name, port)
    }
}

fn within(ms: u64) -> Signal {
    let threshold = Duration::from_millis(ms);
    Signal::Within {
        clock: Clock::Turnaround,
        threshold,
    }
}

fn over(ms: u64) -> Signal {
    let threshold = Duration::from_millis(ms);
    Signal::Over {
        clock: Clock::Turnaround,
        threshold,
    }
}

/// How many answers the histogram holds.
fn timed_answers(batch: &Batch, service: &str) -> u64 {
    let histograms = batch
        .histograms
        .iter()
        .filter(|h| h.service.as_str() == service && h.clock == Clock::Turnaround);
    histograms.flat_map(|h| &h.buckets).map(|(_, count)| count).sum()
}

/// A client of the line protocol of `support/peer.py`.
struct Talk {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    sent: Option<Instant>,
    /// From the last byte sent to the first line back, of each turn.
    turns: Vec<Duration>,
}

impl Talk {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self {
            stream,
            lines,
            sent: None,
            turns: Vec::new(),
        }
    }

    fn send(&mut self, text: &str) {
        self.sent = Some(Instant::now());
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// In one segment with the end of this side.
    fn send_with_fin(&mut self, text: &str) {
        use std::os::fd::AsRawFd as _;
        let flags = nix::sys::socket::MsgFlags::from_bits_retain(libc::MSG_MORE);
        let sent = nix::sys::socket::send(self.stream.as_raw_fd(), text.as_bytes(), flags).unwrap();
        assert_eq!(sent, text.len());
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Empty when the server has closed.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap_or(0);
        self.turns.extend(self.sent.take().map(|sent| sent.elapsed()));
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\n"));
        self.line()
    }
}

#[test]
fn every_turn_is_counted_once_and_timed() {
    let place = Place::new("turns");
    let mut agent = place.agent();
    agent.watch(&[timed("lines", 8301, &[50, 1000])]).unwrap();
    let server = place.peer(8301, &[]);
    let turns = server.beside(|| {
        let mut turns = Vec::new();
        for _ in 0..3 {
            let mut talk = Talk::connect(8301);
            for _ in 0..20 {
                assert_eq!(talk.ask("say hello"), "hello");
            }
            assert_eq!(talk.ask("sleep 120"), "slept");
            // One answer, however many segments it takes.
            assert_eq!(talk.ask("parts 3 20"), "part");
            assert_eq!([talk.line(), talk.line()], ["part", "part"]);
            // One request, however many segments it takes: its clock starts with the last of them.
            talk.send("eat 6\n");
            for _ in 0..3 {
                pause(Duration::from_millis(60));
                talk.send("xx");
            }
            assert_eq!(talk.line(), "eaten");
            talk.send("send 3000000\n");
            let mut bytes = vec![0; 3_000_000];
            talk.lines.read_exact(&mut bytes).unwrap();
            turns.append(&mut talk.turns);
        }
        turns
    });
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "lines", Signal::Answered), 72, "{batch:#?}");
    assert_eq!(timed_answers(&batch, "lines"), 72);
    for ms in [50, 1000] {
        assert_eq!(
            value(&batch, "lines", within(ms)) + value(&batch, "lines", over(ms)),
            72
        );
    }
    // No less than was injected, and no more than the client felt; what it downloads is not in its list.
    let slow = turns
        .iter()
        .filter(|turn| **turn > Duration::from_millis(50))
        .count();
    let over = value(&batch, "lines", over(50));
    assert!(
        (3..=u64::try_from(slow + 3).unwrap()).contains(&over),
        "{over}, {turns:?}"
    );
    assert_eq!(value(&batch, "lines", Signal::Unknown), 0);
}

#[test]
fn a_turn_that_is_not_answered_says_who_ended_it() {
    let place = Place::new("turn-ends");
    let mut agent = place.agent();
    agent.watch(&[watched("ends", 8302)]).unwrap();
    let server = place.peer(8302, &[]);
    server.beside(|| {
        assert_eq!(Talk::connect(8302).ask("say hello"), "hello");
        assert_eq!(Talk::connect(8302).ask("close"), "");
        assert_eq!(Talk::connect(8302).ask("reset"), "");
        // Whoever closes along with the last word says goodbye.
        let mut talk = Talk::connect(8302);
        assert_eq!(talk.ask("say hello"), "hello");
        talk.send_with_fin("nothing\n");
        assert_eq!(talk.line(), "");
        // Whoever waits and then closes has given up.
        let mut talk = Talk::connect(8302);
        talk.send("nothing\n");
        pause(Duration::from_millis(300));
    });
    let batch = eventually("all turns have ended", || {
        let batch = read(&mut agent);
        (value(&batch, "ends", Signal::ClientGaveUp) == 1).then_some(batch)
    });
    assert_eq!(value(&batch, "ends", Signal::Answered), 2);
    assert_eq!(value(&batch, "ends", Signal::ClosedUnanswered), 1);
    assert_eq!(value(&batch, "ends", Signal::ResetByServer), 1);
    assert_eq!(value(&batch, "ends", Signal::Unknown), 0);
}

/// A client's first word passes before there is a connection, and its clock starts then.
#[test]
fn a_first_word_that_a_listener_took_is_a_turn() {
    let place = Place::new("turn-deferred");
    let mut agent = place.agent();
    agent.watch(&[timed("deferred", 8309, &[50, 1000])]).unwrap();
    let server = place.peer(8309, &["--defer"]);
    server.beside(|| {
        for first in ["say hi", "say something-longer", "sleep 120"] {
            let mut talk = Talk::connect(8309);
            talk.ask(first);
            assert_eq!(talk.ask("say hello"), "hello");
        }
        // Two words, of which the listener took the first.
        let mut talk = Talk::connect(8309);
        talk.send("eat 6\n");
        pause(Duration::from_millis(60));
        talk.send("xxxxxx");
        assert_eq!(talk.line(), "eaten");
        // Nobody answers this one.
        assert_eq!(Talk::connect(8309).ask("close"), "");
    });
    let batch = eventually("all turns have ended", || {
        let batch = read(&mut agent);
        (value(&batch, "deferred", Signal::ClosedUnanswered) == 1).then_some(batch)
    });
    assert_eq!(value(&batch, "deferred", Signal::Answered), 7, "{batch:#?}");
    assert_eq!(timed_answers(&batch, "deferred"), 7);
    assert!(value(&batch, "deferred", over(50)) >= 1);
    assert_eq!(value(&batch, "deferred", over(1000)), 0);
    assert_eq!(value(&batch, "deferred", Signal::Unknown), 0);
}

#[test]
fn what_a_server_says_unasked_answers_nothing() {
    let place = Place::new("turn-greeting");
    let mut agent = place.agent();
    agent.watch(&[watched("greets", 8303)]).unwrap();
    let server = place.peer(8303, &["--greet"]);
    server.beside(|| {
        for _ in 0..5 {
            let mut talk = Talk::connect(8303);
            assert_eq!(talk.line(), "220 ready");
            assert_eq!(talk.ask("say hello"), "hello");
        }
    });
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "greets", Signal::Answered), 5, "{batch:#?}");
}

#[test]
fn a_server_that_hangs_is_overdue_and_one_that_only_listens_is_not() {
    let place = Place::new("turn-hang");
    let mut agent = place.agent();
    let service = |name, port| WatchedService {
        timeout: Duration::from_millis(600),
        ..timed(name, port, &[100])
    };
    agent
        .watch(&[service("hangs", 8304), service("sink", 8305)])
        .unwrap();
    let server = place.peer(8304, &[]);
    let sink = place.peer(8305, &[]);
    let sinking = sink.spawn_beside(|| {
        let mut talk = Talk::connect(8305);
        for _ in 0..3 {
            talk.send("nothing\n");
        }
        // Longer than the timeout.
        pause(Duration::from_millis(1500));
    });
    let client = server.spawn_beside(|| {
        let mut talk = Talk::connect(8304);
        assert_eq!(talk.ask("say hello"), "hello");
        talk.ask("sleep 1500")
    });
    eventually("the turn is overdue while it hangs", || {
        let batch = read(&mut agent);
        (value(&batch, "hangs", over(100)) == 1).then_some(())
    });
    eventually("the turn has timed out", || {
        let batch = read(&mut agent);
        (value(&batch, "hangs", Signal::TimedOut) == 1).then_some(())
    });
    assert_eq!(client.join().unwrap(), "slept");
    sinking.join().unwrap();
    let batch = eventually("the sink's connection has ended", || {
        let batch = read(&mut agent);
        (value(&batch, "sink", Signal::Unknown) == 1).then_some(batch)
    });
    assert_eq!(value(&batch, "hangs", Signal::Answered), 1);
    assert_eq!(value(&batch, "hangs", Signal::TimedOut), 1);
    assert_eq!(value(&batch, "hangs", over(100)), 1);
    for signal in [
        over(100),
        Signal::TimedOut,
        Signal::Answered,
        Signal::ClientGaveUp,
    ] {
        assert_eq!(value(&batch, "sink", signal), 0, "{signal}");
    }
    assert_eq!(gauge(&batch, "sink", Gauge::Overdue).unwrap_or(0.0), 0.0);
}

#[test]
fn a_server_that_hangs_is_overdue_though_its_settings_or_the_counters_have_changed() {
    let place = Place::new("turn-edit");
    let mut agent = place.agent();
    let service = |ms| WatchedService {
        timeout: Duration::from_millis(600),
        ..timed("edited", 8308, &[ms])
    };
    agent.watch(&[service(100)]).unwrap();
    let server = place.peer(8308, &[]);
    server.beside(|| assert_eq!(Talk::connect(8308).ask("say hello"), "hello"));
    let hang = || {
        server.beside(|| {
            let mut talk = Talk::connect(8308);
            talk.send("nothing\n");
            talk
        })
    };
    let hangs = |agent: &mut Agent, ms, times| {
        eventually("the turn is overdue, and has timed out", || {
            let batch = read(agent);
            let counted = [over(ms), Signal::TimedOut].map(|signal| value(&batch, "edited", signal));
            (counted == times).then_some(())
        });
    };
    agent.watch(&[service(200)]).unwrap();
    let hanging = hang();
    hangs(&mut agent, 200, [1, 1]);
    drop(hanging);
    drop(agent);

    let sizes = MapSizes {
        counts: 4096,
        ..MapSizes::default()
    };
    let mut agent = Agent::start(AgentConfig {
        sizes,
        ..place.config()
    })
    .unwrap();
    agent.watch(&[service(300)]).unwrap();
    let hanging = hang();
    hangs(&mut agent, 300, [1, 2]);
    drop(hanging);
}

#[test]
fn a_connection_older_than_the_probe_is_counted_once_its_service_is_named() {
    let place = Place::new("turn-older");
    let lines = place.peer(8306, &[]);
    let web = place.server(&["127.0.0.1:8307"]);
    let mut talk = lines.beside(|| {
        let mut talk = Talk::connect(8306);
        assert_eq!(talk.ask("say early"), "early");
        talk
    });
    let mut client = web.beside(|| {
        let mut client = support::Client::connect("127.0.0.1:8307");
        assert_eq!(client.get("/"), 200);
        // The rest of a body will be what the probe sees first.
        client.send("POST /sleep/1 HTTP/1.1\r\nContent-Length: 8\r\n\r\n1234");
        client
    });
    let mut agent = place.agent();
    agent
        .watch(&[watched("lines", 8306), watched("web", 8307)])
        .unwrap();
    for _ in 0..4 {
        assert_eq!(talk.ask("say late"), "late");
    }
    client.send("5678");
    assert_eq!(client.answer(), Some(200));
    for _ in 0..3 {
        assert_eq!(client.get("/"), 200);
    }
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "lines", Signal::Answered), 4, "{batch:#?}");
    assert_eq!(value(&batch, "web", Signal::Unknown), 1);
    assert_eq!(value(&batch, "web", Signal::Status(200)), 3);
    assert_eq!(value(&batch, "web", Signal::Answered), 0);
}

fn run(server: &Server, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = server.beside(move || command.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn redis_is_counted_command_by_command() {
    let place = Place::new("redis");
    let mut agent = place.agent();
    agent.watch(&[watched("redis", 8308)]).unwrap();
    let scratch = program::Scratch::new();
    let directory = scratch.path("");
    let server = place.program(
        8308,
        "redis-server",
        &[
            "--port",
            "8308",
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            &directory,
        ],
    );
    // A connection of its own for each of 20 clients; one command at a time.
    run(
        &server,
        "redis-benchmark",
        &["-p", "8308", "-c", "20", "-n", "2000", "-t", "set", "-q"],
    );
    let before = read(&mut agent);
    // The benchmark first asks for the configuration, by two commands sent at once: one turn.
    assert_eq!(value(&before, "redis", Signal::Answered), 2001, "{before:#?}");
    run(&server, "redis-cli", &["-p", "8308", "-e", "PING"]);
    let batch = read(&mut agent);
    let asked = value(&batch, "redis", Signal::Answered) - value(&before, "redis", Signal::Answered);
    assert_eq!(asked, 1);
    for signal in [
        Signal::ClosedUnanswered,
        Signal::ResetByServer,
        Signal::TimedOut,
        Signal::Unknown,
    ] {
        assert_eq!(value(&batch, "redis", signal), 0, "{signal}");
    }
}

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}
