//! A capture by an AF_PACKET socket at the server's side, paired by a reader that knows nothing of slowburn.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use nix::{sys::signal, unistd::Pid};

use super::{
    case::{Case, Seen},
    client::beside,
    eventually,
    network::{Network, SERVER, Side},
    server::{Protocol, needs},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Where marks are sent: to a port that nobody reads.
const MARKS: u16 = 9;

pub struct Capture {
    tcpdump: Child,
    file: PathBuf,
    marks_from: Side,
}

/// A request and its answer on the wire.
#[derive(Debug, Clone)]
pub struct Pair {
    pub method: String,
    pub path: String,
    pub status: String,
    pub turnaround_ns: u64,
}

impl Capture {
    /// Keeps the first bytes of each packet, which hold its headers, or whole packets, of which there must be few.
    pub fn start(network: &Network, case: &Case, directory: &Path) -> Self {
        let Seen {
            side, port, device, ..
        } = case.seen;
        let whole = case.framed || case.server.protocol == Protocol::Http2;
        needs("tcpdump");
        let file = directory.join("capture");
        let filter = format!("tcp port {port} or udp port {MARKS}");
        // The buffer (KiB) holds all packets of the largest case, should the capture not run before its end.
        let kept = if whole {
            "-s 66000 -B 524288"
        } else {
            "-s 2048 -B 65536"
        };
        let options =
            format!("{kept} -i {device} -U --immediate-mode -Z root --time-stamp-precision=nano -w");
        let mut arguments: Vec<&str> = options.split(' ').collect();
        arguments.extend([file.to_str().unwrap(), &filter]);
        let tcpdump = network
            .command(side, "tcpdump", &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let capture = Self {
            tcpdump,
            file,
            // What a host sends to itself is on its loopback device.
            marks_from: if device == "lo" { side } else { Side::Client },
        };
        capture.wait_for_mark(network, "the capture begins");
        capture
    }

    /// Packets are written in their order: when the mark is in the file, all before it are.
    fn wait_for_mark(&self, network: &Network, mark: &'static str) {
        eventually(mark, PATIENCE, || {
            beside(network, self.marks_from, move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(mark.as_bytes(), (SERVER, MARKS)).unwrap();
            });
            last_of(&self.file)
                .unwrap_or_default()
                .windows(mark.len())
                .any(|window| window == mark.as_bytes())
                .then_some(())
        });
    }

    /// None where the wire does not show what a request is.
    pub fn pairs(mut self, network: &Network, case: &Case) -> Option<Vec<Pair>> {
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
        let reader = match case.server.protocol {
            Protocol::Http1 => "pair.py",
            Protocol::Http2 => "pair_http2.py",
            Protocol::Turns => "pair_turns.py",
            Protocol::Tls if case.alone => "pair_tls.py",
            Protocol::Tls | Protocol::Upgraded => return None,
        };
        let reader = format!("{}/../tests/programs/{reader}", env!("CARGO_MANIFEST_DIR"));
        let (file, port) = (self.file.to_str().unwrap(), case.seen.port.to_string());
        let text = network.output(Side::Client, "/usr/bin/python3", &[&reader, file, &port]);
        Some(text.lines().map(pair).collect())
    }
}

/// The end of a file that may be large and is asked for often, beside the capture that writes it.
fn last_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

fn pair(line: &str) -> Pair {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, path, status, turnaround] = words[..] else {
        panic!("no pair: {line}")
    };
    Pair {
        method: method.to_owned(),
        path: path.to_owned(),
        status: status.to_owned(),
        turnaround_ns: turnaround.parse().unwrap(),
    }
}
