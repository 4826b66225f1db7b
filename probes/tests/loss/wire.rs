//! Two hosts with a wire between them, and what their kernels say of it.

use std::{fs, process::Command, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TcAttachType},
};
use probes::agent::Agent;
use slo_engine::measurement::{Batch, Signal};

use super::support::{Place, Server, client_value, eventually, pause, read, value};

static LOSS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/loss"));

/// Two hosts with a wire between them that loses packets in both directions.
pub struct Wire {
    pub server: Server,
    pub client: Server,
    programs: Vec<Ebpf>,
}

impl Wire {
    /// Loses nothing yet.
    pub fn new(place: &Place, listen: &str, seed: u64) -> Self {
        let server = place.server(&[listen]);
        let client = place.server(&["127.0.0.1:8399"]);
        let peer = client.child.id();
        server.beside(move || {
            ip(&format!("link add wire type veth peer name wire netns {peer}"));
        });
        let mut wire = Self {
            server,
            client,
            programs: Vec::new(),
        };
        for (side, host) in [(&wire.server, 2), (&wire.client, 1)] {
            wire.programs.push(side.beside(move || {
                ip(&format!("addr add 10.77.0.{host}/24 dev wire"));
                ip(&format!("addr add fd77::{host}/64 dev wire nodad"));
                ip("link set wire up");
                attach(if seed == 0 { 0 } else { seed + host })
            }));
        }
        wire
    }

    /// From now on one packet in so many; 0 is none.
    pub fn lose(&mut self, one_in: u64) {
        for side in 0..self.programs.len() {
            self.lose_at(side, one_in);
        }
    }

    /// Of what comes in at the server (0) or at the client (1).
    pub fn lose_at(&mut self, side: usize, one_in: u64) {
        let map = self.programs[side].map_mut("PACKETS").unwrap();
        let mut map: aya::maps::Array<_, u64> = map.try_into().unwrap();
        map.set(2, one_in, 0).unwrap();
    }

    /// What the kernel says of the server's side, and of the client's.
    pub fn kernel(&self) -> [Kernel; 2] {
        [Kernel::of(&self.server), Kernel::of(&self.client)]
    }

    /// What slowburn and the kernel say, at a time when nothing is sent again.
    pub fn settled(&self, agent: &mut Agent) -> (Batch, [Kernel; 2]) {
        eventually("what was lost is all sent again", || {
            let before = self.kernel();
            pause(Duration::from_millis(400));
            let batch = read(agent);
            (self.kernel() == before).then_some((batch, before))
        })
    }

    pub fn lost(&self) -> u64 {
        let lost = self.programs.iter().map(|ebpf| {
            let map: aya::maps::Array<_, u64> = ebpf.map("PACKETS").unwrap().try_into().unwrap();
            map.get(&1, 0).unwrap()
        });
        lost.sum()
    }
}

/// Attached until the object is dropped.
fn attach(seed: u64) -> Ebpf {
    let mut ebpf = EbpfLoader::new()
        .override_global("SEED", &seed, true)
        .load(LOSS)
        .unwrap();
    let program: &mut SchedClassifier = ebpf.program_mut("lose").unwrap().try_into().unwrap();
    program.load().unwrap();
    program.attach("wire", TcAttachType::Ingress).unwrap();
    ebpf
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "{arguments}");
}

/// What the kernel says of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// All segments sent again.
    pub segments: u64,
    /// SYNs and SYN-ACKs of these.
    pub syns: u64,
}

impl Kernel {
    fn of(side: &Server) -> Self {
        Self {
            segments: counter(side, "snmp", "Tcp:", "RetransSegs"),
            syns: counter(side, "netstat", "TcpExt:", "TCPSynRetrans"),
        }
    }
}

fn counter(side: &Server, table: &str, prefix: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/net/{table}", side.child.id())).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with(prefix));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|found| found == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

/// What `ss` tells of the connections of one side, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// `data_segs_out:12`.
    pub data_segments: u64,
    /// SYNs among them: `retrans:0/3`.
    pub sent_again: u64,
}

pub fn ss(side: &Server) -> Sockets {
    let text = side.beside(|| {
        let output = Command::new("ss")
            .args(["-tinH", "state", "connected"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let sum = |prefix: &str| {
        let fields = text
            .split_ascii_whitespace()
            .filter_map(|field| field.strip_prefix(prefix));
        let numbers = fields.map(|field| field.rsplit('/').next().unwrap().parse::<u64>().unwrap());
        numbers.sum()
    };
    Sockets {
        data_segments: sum("data_segs_out:"),
        sent_again: sum("retrans:"),
    }
}

/// Segments with data that slowburn says each side has sent, those that it sent again among them.
pub fn data_segments(batch: &Batch) -> [u64; 2] {
    let of: [fn(&Batch, &str, Signal) -> u64; 2] = [value, client_value];
    of.map(|value| value(batch, "shop", Signal::SegmentsSent) + value(batch, "shop", Signal::Retransmits))
}

/// As slowburn tells of each side.
pub fn told(batch: &Batch) -> [Kernel; 2] {
    let of: [fn(&Batch, &str, Signal) -> u64; 2] = [value, client_value];
    of.map(|value| {
        let syns = value(batch, "shop", Signal::SynRetransmits);
        Kernel {
            segments: value(batch, "shop", Signal::Retransmits) + syns,
            syns,
        }
    })
}
