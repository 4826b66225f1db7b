//! What this kernel's BPF can do beyond what the probes need. Each found by loading a program of a few
//! instructions: never by the version, which distributions change as they like.

use std::sync::LazyLock;

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};

use crate::bpf_syscall;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// Atomic exchanges (Linux 5.12). Without, the programs that never exchange are loaded.
    pub exchange: bool,
    /// `sock_ops` programs are told the network namespace's cookie (Linux 5.15).
    pub socket_netns: bool,
    /// `cgroup_skb` programs are (Linux 6.16).
    pub skb_netns: bool,
    /// Loops by callback (Linux 5.17), by which the frames of HTTP/2 are walked.
    pub loops: bool,
}

impl Features {
    /// Of this kernel, which does not change while it runs.
    pub fn here() -> Self {
        static HERE: LazyLock<Features> = LazyLock::new(|| Features {
            exchange: exchanges(),
            socket_netns: has(ProgramType::SockOps, BpfHelper::BPF_FUNC_get_netns_cookie),
            skb_netns: has(ProgramType::CgroupSkb, BpfHelper::BPF_FUNC_get_netns_cookie),
            loops: has(ProgramType::CgroupSkb, BpfHelper::BPF_FUNC_loop),
        });
        *HERE
    }

    /// What is missing without them, in plain words.
    pub fn absent(self) -> Vec<String> {
        let mut absent = Vec::new();
        if !self.exchange {
            absent.push(
                "this kernel has no atomic exchange: an answer and a reset that meet in the same nanoseconds may both be counted"
                    .to_owned(),
            );
        }
        if !self.socket_netns {
            absent.push(
                "network namespaces are not told apart: this kernel tells socket programs no cookie"
                    .to_owned(),
            );
        } else if !self.skb_netns {
            absent.push(
                "network namespaces are not told apart on sockets older than the probe: this kernel tells packet programs no cookie"
                    .to_owned(),
            );
        }
        if !self.loops {
            absent.push(
                "HTTP/2 is not followed, so its requests are not counted: this kernel has no loop by callback"
                    .to_owned(),
            );
        }
        absent
    }
}

/// An error that tells nothing counts as there: loading the programs themselves will name it.
fn has(kind: ProgramType, helper: BpfHelper) -> bool {
    is_helper_supported(kind, helper).unwrap_or(true)
}

/// The verifier refuses the opcode wherever it stands, also where nothing leads.
fn exchanges() -> bool {
    const EXCHANGE: [u64; 5] = [
        instruction(0x7a, 10, 0, -8, 0),    // *(u64 *)(r10 - 8) = 0
        instruction(0xb7, 1, 0, 0, 1),      // r1 = 1
        instruction(0xdb, 10, 1, -8, 0xe1), // r1 = xchg_64(r10 - 8, r1)
        instruction(0xb7, 0, 0, 0, 0),      // r0 = 0
        instruction(0x95, 0, 0, 0, 0),      // exit
    ];
    match bpf_syscall::program_load_socket_filter(&EXCHANGE) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EINVAL),
    }
}

/// `struct bpf_insn`, as this machine stores it.
const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let offset = offset.to_ne_bytes();
    let immediate = immediate.to_ne_bytes();
    u64::from_ne_bytes([
        code,
        if cfg!(target_endian = "little") {
            source << 4 | destination
        } else {
            destination << 4 | source
        },
        offset[0],
        offset[1],
        immediate[0],
        immediate[1],
        immediate[2],
        immediate[3],
    ])
}
