//! What the programs cost, as the kernel accounts it.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::Ebpf;

/// Runs of one program since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    pub program: String,
    pub runs: u64,
    pub nanoseconds: u64,
}

/// The kernel tells it in the descriptor's `fdinfo` only.
pub(crate) fn read(object: &Ebpf) -> Vec<ProgramStatistics> {
    let mut found: Vec<_> = object
        .programs()
        .filter_map(|(name, program)| {
            let fd = program.fd().ok()?.as_fd().as_raw_fd();
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            Some(ProgramStatistics {
                program: name.to_owned(),
                runs: field(&text, "run_cnt:"),
                nanoseconds: field(&text, "run_time_ns:"),
            })
        })
        .collect();
    found.sort_by(|a, b| a.program.cmp(&b.program));
    found
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
