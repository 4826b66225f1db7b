//! Walks the sockets of network namespaces, so that requests are overdue while they hang.
//!
//! The iterator shows the namespace of whoever reads it, so a thread of its own goes from one to
//! the next. What is past a threshold is booked in the kernel, once; what comes back here are only
//! the gauges.

use std::{
    fs,
    io::{self, Read as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::mpsc,
    thread,
};

use nix::sched::{CloneFlags, setns};
use probes_ebpf::wire::{Endpoint, InFlight};

use crate::bpf_syscall;

/// What one walk saw.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub in_flight: Vec<InFlight>,
    /// Namespaces that could not be walked, and why.
    pub failed: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Walker {
    requests: mpsc::Sender<(Vec<PathBuf>, mpsc::Sender<Walk>)>,
}

impl Walker {
    /// Starts the thread. It ends with this value.
    pub fn start(program: BorrowedFd<'_>) -> io::Result<Self> {
        let link = bpf_syscall::link_create_iter(program)?;
        let (requests, inbox) = mpsc::channel::<(Vec<PathBuf>, mpsc::Sender<Walk>)>();
        thread::Builder::new()
            .name("slowburn-walk".to_owned())
            .spawn(move || {
                for (namespaces, reply) in inbox {
                    // Nobody waits any more when the agent is gone.
                    let _ = reply.send(walk(&link, &namespaces));
                }
            })?;
        Ok(Self { requests })
    }

    /// Walks each namespace, given as a file such as `/proc/1/ns/net`.
    pub fn walk(&self, namespaces: Vec<PathBuf>) -> Walk {
        let (reply, answer) = mpsc::channel();
        if self.requests.send((namespaces, reply)).is_ok()
            && let Ok(walk) = answer.recv()
        {
            return walk;
        }
        Walk {
            in_flight: Vec::new(),
            failed: vec!["the thread that walks sockets has ended".to_owned()],
        }
    }
}

fn walk(link: &OwnedFd, namespaces: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    for path in namespaces {
        match walk_one(link, path) {
            Ok(bytes) => walk
                .in_flight
                .extend(bytes.chunks_exact(size_of::<InFlight>()).map(parse)),
            // The process that held the namespace open ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => walk.failed.push(format!("{}: {error}", path.display())),
        }
    }
    walk
}

fn walk_one(link: &OwnedFd, path: &PathBuf) -> io::Result<Vec<u8>> {
    let namespace = fs::File::open(path)?;
    setns(&namespace, CloneFlags::CLONE_NEWNET)?;
    let mut bytes = Vec::new();
    fs::File::from(bpf_syscall::iter_create(link.as_fd())?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> InFlight {
    let word = |from: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[from..from + 8]);
        u64::from_ne_bytes(word)
    };
    InFlight {
        endpoint: Endpoint {
            netns: word(0),
            cgroup: word(8),
            port: u16::from_ne_bytes([bytes[16], bytes[17]]),
            role: bytes[18],
            pad: [0; 5],
        },
        settings: u32::from_ne_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]),
        overdue: bytes[28],
        pad: [0; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_the_kernel_lays_it_out() {
        let record = InFlight {
            endpoint: Endpoint {
                netns: 0x0102_0304_0506_0708,
                cgroup: 77,
                port: 8080,
                role: 1,
                pad: [0; 5],
            },
            settings: 9,
            overdue: 1,
            pad: [0; 3],
        };
        // SAFETY: a record without implicit padding, as bytes.
        let bytes =
            unsafe { std::slice::from_raw_parts((&raw const record).cast::<u8>(), size_of::<InFlight>()) };
        assert_eq!(parse(bytes), record);
    }
}
