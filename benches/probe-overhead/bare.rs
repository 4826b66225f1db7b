//! Programs that do nothing, beside the probes on the same cgroup.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use anyhow::Context as _;
use probes::bpf_syscall::{link_create_cgroup, program_load_cgroup_skb};

/// `r0 = 1; exit`: let it pass.
const PASS: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];

pub struct Bare {
    programs: [OwnedFd; 2],
    _links: [OwnedFd; 2],
}

impl Bare {
    pub fn attach(cgroup: &Path) -> anyhow::Result<Self> {
        let cgroup = fs::File::open(cgroup)?;
        let attach = |is_egress| -> anyhow::Result<_> {
            let program = program_load_cgroup_skb(&PASS, is_egress).context("load an empty program")?;
            let link = link_create_cgroup(program.as_fd(), cgroup.as_fd(), is_egress)
                .context("attach an empty program")?;
            Ok((program, link))
        };
        let (ingress, egress) = (attach(false)?, attach(true)?);
        Ok(Self {
            programs: [ingress.0, egress.0],
            _links: [ingress.1, egress.1],
        })
    }

    /// What the kernel accounts for both.
    pub fn spent(&mut self) -> anyhow::Result<Spent> {
        let mut all = Spent::default();
        for program in &self.programs {
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
            let of = |name| -> anyhow::Result<u64> {
                let value = text.lines().find_map(|line| line.strip_prefix(name));
                Ok(value.context("no run time")?.trim().parse()?)
            };
            all.nanoseconds += of("run_time_ns:")?;
            all.runs += of("run_cnt:")?;
        }
        Ok(all)
    }
}

#[derive(Default)]
pub struct Spent {
    pub nanoseconds: u64,
    pub runs: u64,
}
