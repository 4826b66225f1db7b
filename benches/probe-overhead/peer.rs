//! What is often done instead: bpftrace, timing each read and write of the server.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use nix::unistd::Pid;

/// The calls that nginx answers a request with; the last probe to be attached tells that all are.
const PROGRAM: &str = r#"
tracepoint:syscalls:sys_enter_read, tracepoint:syscalls:sys_enter_recvfrom, tracepoint:syscalls:sys_enter_write,
tracepoint:syscalls:sys_enter_writev, tracepoint:syscalls:sys_enter_sendto, tracepoint:syscalls:sys_enter_sendfile64
/comm == "nginx"/ { @began[tid] = nsecs }
tracepoint:syscalls:sys_exit_read, tracepoint:syscalls:sys_exit_recvfrom, tracepoint:syscalls:sys_exit_write,
tracepoint:syscalls:sys_exit_writev, tracepoint:syscalls:sys_exit_sendto, tracepoint:syscalls:sys_exit_sendfile64
/@began[tid]/ { @ns[probe] = hist(nsecs - @began[tid]); delete(@began[tid]); }
interval:ms:100 { printf("ready\n"); }
"#;

pub struct Bpftrace(Child);

impl Bpftrace {
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new("bpftrace")
            .args(["-B", "none", "-e", PROGRAM])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("run bpftrace")?;
        let said = BufReader::new(child.stdout.take().context("no output")?);
        let bpftrace = Self(child);
        let mut lines = said.lines();
        while lines.next().context("bpftrace ended")?? != "ready" {}
        // It goes on saying so: somebody must listen.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(bpftrace)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Nanoseconds that its programs ran since they were loaded, as the kernel tells who holds them.
    pub fn nanoseconds(&self) -> anyhow::Result<u64> {
        let mut programs = BTreeMap::new();
        for descriptor in fs::read_dir(format!("/proc/{}/fdinfo", self.0.id()))? {
            let text = fs::read_to_string(descriptor?.path())?;
            let field = |name| {
                let value = text.lines().find_map(|line| line.strip_prefix(name));
                value.and_then(|value| value.trim().parse::<u64>().ok())
            };
            if let (Some(id), Some(ns)) = (field("prog_id:"), field("run_time_ns:")) {
                programs.insert(id, ns);
            }
        }
        let ns = programs.values().sum();
        ensure!(ns > 0, "the kernel tells nothing of bpftrace's programs");
        Ok(ns)
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
