//! SYN-ACKs sent again that no tracing program may see.
//!
//! A machine's kernel may be built to run no tracing program while it is in the context of a process
//! that it protects, such as the first one of a sandbox. A softirq that comes over that process then
//! sends SYN-ACKs again unseen. The kernel's own trace does see them, and over whom.

use std::{fs, path::PathBuf};

use probes::mounts;

use super::wire::Kernel;

pub struct Unseen {
    /// A trace of our own, beside everybody else's.
    instance: PathBuf,
    port: u16,
}

impl Unseen {
    /// From now on, of what a listener on this port sends again.
    pub fn watch(name: &str, port: u16) -> Self {
        let instance = mounts::tracefs().unwrap().join("instances").join(name);
        fs::create_dir(&instance).unwrap();
        let unseen = Self { instance, port };
        fs::write(unseen.event().join("filter"), format!("sport == {port}")).unwrap();
        fs::write(unseen.event().join("enable"), "1").unwrap();
        unseen
    }

    /// What is told, and, where some are missing in it, those that were sent again over the first process.
    pub fn with(&self, mut told: [Kernel; 2], kernel: [Kernel; 2]) -> [Kernel; 2] {
        if told[0].syns < kernel[0].syns {
            let hidden = self.over_init();
            told[0].syns += hidden;
            told[0].segments += hidden;
        }
        told
    }

    fn event(&self) -> PathBuf {
        self.instance.join("events/tcp/tcp_retransmit_synack")
    }

    /// How many were sent again over a thread of the first process.
    pub fn over_init(&self) -> u64 {
        let threads: Vec<String> = fs::read_dir("/proc/1/task")
            .unwrap()
            .map(|thread| thread.unwrap().file_name().into_string().unwrap())
            .collect();
        let trace = fs::read_to_string(self.instance.join("trace")).unwrap();
        let sport = format!(" sport={} ", self.port);
        let over = trace.lines().filter(|line| {
            // `comm-7     [001] ..s1. 71552.987221: tcp_retransmit_synack: family=AF_INET sport=8303 …`
            let thread = line
                .split('[')
                .next()
                .and_then(|task| task.trim().rsplit('-').next());
            line.contains(&sport) && thread.is_some_and(|thread| threads.iter().any(|one| one == thread))
        });
        over.count() as u64
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = fs::write(self.event().join("enable"), "0");
        let _ = fs::remove_dir(&self.instance);
    }
}
