//! A place of one's own in the kernel: cgroup, network namespace, instance; and small servers and
//! clients that say exactly what they did.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "tests panic")]

pub mod by_hand;
mod client;
pub mod process;
pub mod stage;
pub mod worker;

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub use client::{Client, FORGED_PORT, forge};

use chrono::Utc;
use client::reset_on_close;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::{signal, wait};
use nix::unistd::Pid;
use probes::agent::{Agent, AgentConfig, MapSizes};
use probes::overhead::OverheadConfig;
use slo_engine::{
    measurement::{Batch, Gauge, Loss, LossReason, Role, Route, Signal},
    service::WatchedService,
};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A child cgroup and an instance name; both are gone when it is dropped.
pub struct Place {
    pub name: String,
    pub cgroup: PathBuf,
}

impl Place {
    pub fn new(test: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t-{test}-{}-{number}", std::process::id());
        let cgroup = probes::mounts::cgroup_root().unwrap().join(&name);
        fs::create_dir(&cgroup).unwrap();
        Self { name, cgroup }
    }

    #[expect(clippy::print_stderr, reason = "what a kernel lacks")]
    pub fn agent(&self) -> Agent {
        let agent = Agent::start(self.config()).unwrap();
        // `scripts/test-kernels` sets this where a kernel lacks something, and writes down what.
        match std::env::var_os("SLOWBURN_TEST_DEGRADED") {
            Some(_) => eprintln!("degraded: {:#?}", agent.degraded()),
            None => assert_eq!(agent.degraded(), [""; 0]),
        }
        agent
    }

    pub fn config(&self) -> AgentConfig {
        AgentConfig {
            cgroup: Some(self.cgroup.clone()),
            instance: self.name.clone(),
            sizes: MapSizes::default(),
            overhead: OverheadConfig::default(),
        }
    }

    /// Runs a program to its end inside of the cgroup, and in the server's network namespace.
    pub fn run(&self, server: &Server, program: &str, arguments: &[&str]) -> String {
        let output = self.command(server, program, arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, not to its end.
    pub fn spawn(&self, server: &Server, program: &str, arguments: &[&str]) -> Inside {
        let mut command = self.command(server, program, arguments);
        Inside(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn command(&self, server: &Server, program: &str, arguments: &[&str]) -> Command {
        let procs = self.cgroup.join("cgroup.procs");
        let namespace = fs::File::open(format!("/proc/{}/ns/net", server.child.id())).unwrap();
        let mut command = Command::new(program);
        command.args(arguments);
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
        command
    }

    /// Starts [`serve`] at these addresses, in a process of its own inside the cgroup and a fresh
    /// network namespace. The test binary must call [`serve_when_asked`] in a test of that name.
    pub fn server(&self, addresses: &[&str]) -> Server {
        let procs = self.cgroup.join("cgroup.procs");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "serve_when_asked", "--nocapture"])
            .env(SERVE, addresses.join(","))
            .stdout(Stdio::piped());
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines.next().unwrap().unwrap() != READY {}
        Server { child }
    }
}

const SERVE: &str = "SLOWBURN_TEST_SERVE";
const READY: &str = "the servers listen";

/// The body of the child process: see [`Place::server`]. Nothing unless it was asked for.
pub fn serve_when_asked() {
    let Ok(addresses) = std::env::var(SERVE) else {
        return;
    };
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .unwrap();
    assert!(status.success());
    for address in addresses.split(',') {
        if let Some(rest) = address.strip_prefix("backlog=") {
            let (backlog, address) = rest.split_once(':').unwrap();
            listen_only(address.parse().unwrap(), backlog.parse().unwrap());
            continue;
        }
        let (address, is_deferred) = match address.strip_prefix("defer:") {
            Some(address) => (address, true),
            None => (address, false),
        };
        let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
        if is_deferred {
            // The kernel tells the server of a connection only once its first data is there.
            let seconds: libc::c_int = 5;
            // SAFETY: four bytes for a four byte option.
            let rc = unsafe {
                libc::setsockopt(
                    listener.as_raw_fd(),
                    libc::IPPROTO_TCP,
                    libc::TCP_DEFER_ACCEPT,
                    (&raw const seconds).cast(),
                    4,
                )
            };
            assert_eq!(rc, 0);
        }
        serve(listener);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "\n{READY}").unwrap();
    loop {
        thread::park();
    }
}

/// Listens and never accepts.
fn listen_only(address: SocketAddr, backlog: libc::c_int) {
    let listener = TcpListener::bind(address).unwrap();
    // Listening again only changes how many may wait.
    // SAFETY: a listening socket of ours.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), backlog) }, 0);
    std::mem::forget(listener);
}

pub struct Server {
    pub child: Child,
}

impl Server {
    /// Runs `work` on a thread in the server's network namespace, outside of its cgroup.
    pub fn spawn_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    pub fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn_beside(work).join().unwrap()
    }

    /// Hangs, knowing nothing of it, until it is let go on. On a busy machine its threads run on for a while
    /// after the signal was sent, so this waits until all of them have stopped.
    pub fn hang(&self) {
        self.signal(signal::Signal::SIGSTOP);
        let status = wait::waitpid(self.pid(), Some(wait::WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(status, wait::WaitStatus::Stopped(..)), "{status:?}");
    }

    pub fn go_on(&self) {
        self.signal(signal::Signal::SIGCONT);
    }

    fn signal(&self, what: signal::Signal) {
        signal::kill(self.pid(), what).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

/// A program that ends when its input does.
pub struct Inside(Child);

impl Inside {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The rest of the line that begins so.
    pub fn said(&mut self, beginning: &str) -> String {
        // Byte by byte, so that what follows is left for the next call.
        let lines = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).lines();
        let mut found = lines.filter_map(|line| Some(line.unwrap().strip_prefix(beginning)?.to_owned()));
        found.next().unwrap()
    }

    /// One line of input.
    pub fn go_on(&mut self) {
        self.say("");
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = probes::unload(&self.name);
        let deadline = Instant::now() + PATIENCE;
        while remove_cgroup(&self.cgroup).is_err() && Instant::now() < deadline {
            pause(Duration::from_millis(10));
        }
    }
}

/// With those beneath it: tests make units and pods of their own.
fn remove_cgroup(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "between polls, and where time itself is tested"
)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Polls `probe` until it gives something.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within_patience(PATIENCE, what, probe)
}

/// As [`eventually`], for what takes many reads. An emulated machine asks for so many times the patience.
pub fn within_patience<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let times = std::env::var("SLOWBURN_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap());
    let deadline = Instant::now() + patience * times;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        pause(Duration::from_millis(20));
    }
}

/// Programs attached to the cgroup, as another tool sees it.
pub fn programs_of(cgroup: &Path) -> usize {
    let output = Command::new("bpftool")
        .args(["cgroup", "show"])
        .arg(cgroup)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains("edge_")).count()
}

pub fn read(agent: &mut Agent) -> Batch {
    agent.read(Utc::now()).unwrap()
}

/// The sum over all routes.
pub fn value(batch: &Batch, service: &str, signal: Signal) -> u64 {
    of_routes(batch, service, None, signal)
}

pub fn route_value(batch: &Batch, service: &str, route: &str, signal: Signal) -> u64 {
    of_routes(batch, service, Some(route), signal)
}

/// As its caller sees it.
pub fn client_value(batch: &Batch, service: &str, signal: Signal) -> u64 {
    of_role(batch, service, Role::Client, None, signal)
}

fn of_routes(batch: &Batch, service: &str, route: Option<&str>, signal: Signal) -> u64 {
    of_role(batch, service, Role::Server, route, signal)
}

pub fn of_role(batch: &Batch, service: &str, role: Role, route: Option<&str>, signal: Signal) -> u64 {
    batch
        .readings
        .iter()
        .map(|reading| (&reading.series, reading.value))
        .filter(|(series, _)| series.service.as_str() == service && series.signal == signal)
        .filter(|(series, _)| series.role == role)
        .filter(|(series, _)| route.is_none() || series.route.as_ref().map(Route::as_str) == route)
        .map(|(_, value)| value)
        .sum()
}

pub fn gauge(batch: &Batch, service: &str, gauge: Gauge) -> Option<f64> {
    batch
        .gauges
        .iter()
        .find(|reading| {
            reading.service.as_str() == service && reading.role == Role::Server && reading.gauge == gauge
        })
        .map(|reading| reading.value)
}

/// Of all services together, and of none.
pub fn lost(batch: &Batch, reason: LossReason) -> u64 {
    let losses = batch.losses.iter().filter(|loss| loss.reason == reason);
    losses.map(|loss| loss.value).sum()
}

/// Of this service alone.
pub fn lost_of(batch: &Batch, service: &str, reason: LossReason) -> u64 {
    let is_of = |loss: &&Loss| loss.service.as_ref().is_some_and(|name| name.as_str() == service);
    let losses = batch.losses.iter().filter(|loss| loss.reason == reason);
    losses.filter(is_of).map(|loss| loss.value).sum()
}

pub fn watched(name: &str, port: u16) -> WatchedService {
    WatchedService {
        name: name.parse().unwrap(),
        matches: vec![format!("port:{port}").parse().unwrap()],
        routes: vec![],
        thresholds: vec![],
        timeout: Duration::from_secs(30),
        long_poll: slo_engine::service::LongPoll::None,
    }
}

/// A server that does what the path says: `/status/503`, `/sleep/120` (ms), `/close`, `/reset`,
/// `/continue` (100 first), `/early` (answer before the body), anything else 200. One thread a connection, keep-alive.
pub fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || converse(stream.unwrap()));
        }
    });
}

fn converse(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            if let Some(text) = header.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if header == "\r\n" {
                break;
            }
        }
        if path == "/reset" {
            reset_on_close(&stream);
            return;
        }
        if path == "/close" {
            return;
        }
        // With a body unread, the kernel resets; what comes after, of no socket any more, it resets again.
        if path == "/unread" {
            let mut body = vec![0; length];
            while reader.buffer().len() + stream.peek(&mut body).unwrap() < length {
                pause(Duration::from_millis(1));
            }
            return;
        }
        if path.starts_with("/continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let mut body = vec![0; length];
        if path == "/early" {
            // Too large, say: the answer leaves before the body is here.
            stream
                .write_all(b"HTTP/1.1 200 Word\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            reader.read_exact(&mut body).unwrap();
            continue;
        }
        reader.read_exact(&mut body).unwrap();
        let number = |prefix: &str| {
            let rest = path.strip_prefix(prefix)?;
            rest.parse::<u64>().ok()
        };
        if let Some(ms) = number("/sleep/") {
            pause(Duration::from_millis(ms));
        }
        let status = number("/status/").unwrap_or(200);
        let answer = format!("HTTP/1.1 {status} Word\r\nContent-Length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
