//! A capture by an AF_PACKET socket at the server's side, paired by a reader that knows nothing of slowburn.

use std::{
    fs,
    io::Read as _,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use nix::{sys::signal, unistd::Pid};

use super::{
    client::beside,
    eventually,
    network::{Network, SERVER, Side},
    server::{PORT, needs},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Where marks are sent: to a port that nobody reads.
const MARKS: u16 = 9;

pub struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

/// A request and its answer on the wire.
#[derive(Debug, Clone)]
pub struct Pair {
    pub method: String,
    pub path: String,
    pub status: u16,
    pub turnaround_ns: u64,
}

impl Capture {
    /// Keeps the first bytes of each packet, which hold its headers, or `whole` packets, of which there must be few.
    pub fn start(network: &Network, side: Side, directory: &Path, whole: bool) -> Self {
        needs("tcpdump");
        let file = directory.join("capture");
        let filter = format!("tcp port {PORT} or udp port {MARKS}");
        let kept = if whole {
            "-s 66000 -B 131072"
        } else {
            "-s 2048 -B 65536"
        };
        let options = format!("{kept} -i eth0 -U --immediate-mode -Z root --time-stamp-precision=nano -w");
        let mut arguments: Vec<&str> = options.split(' ').collect();
        arguments.extend([file.to_str().unwrap(), &filter]);
        let tcpdump = network
            .command(side, "tcpdump", &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let capture = Self { tcpdump, file };
        capture.wait_for_mark(network, "the capture begins");
        capture
    }

    /// Packets are written in their order: when the mark is in the file, all before it are.
    fn wait_for_mark(&self, network: &Network, mark: &'static str) {
        eventually(mark, PATIENCE, || {
            beside(network, move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(mark.as_bytes(), (SERVER, MARKS)).unwrap();
            });
            let written = fs::read(&self.file).unwrap_or_default();
            let tail = &written[written.len().saturating_sub(4096)..];
            tail.windows(mark.len())
                .any(|window| window == mark.as_bytes())
                .then_some(())
        });
    }

    pub fn pairs(mut self, network: &Network) -> Vec<Pair> {
        self.wait_for_mark(network, "the capture ends");
        let id = Pid::from_raw(i32::try_from(self.tcpdump.id()).unwrap());
        signal::kill(id, signal::SIGINT).unwrap();
        self.tcpdump.wait().unwrap();
        let mut said = String::new();
        let mut errors = self.tcpdump.stderr.take().unwrap();
        errors.read_to_string(&mut said).unwrap();
        assert!(
            said.contains("\n0 packets dropped by kernel"),
            "not all was captured: {said}"
        );
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/programs/pair.py");
        let file = self.file.to_str().unwrap();
        let text = network.output(
            Side::Client,
            "/usr/bin/python3",
            &[reader, file, &PORT.to_string()],
        );
        text.lines().map(pair).collect()
    }
}

fn pair(line: &str) -> Pair {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, path, status, turnaround] = words[..] else {
        panic!("no pair: {line}")
    };
    Pair {
        method: method.to_owned(),
        path: path.to_owned(),
        status: status.parse().unwrap(),
        turnaround_ns: turnaround.parse().unwrap(),
    }
}
