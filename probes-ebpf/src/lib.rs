//! Records that BPF programs and user space share, one module per BPF object.
//!
//! The programs themselves are the binaries of this package; on the host they are empty, so that
//! the workspace builds, tests and lints with the stable compiler.

#![cfg_attr(not(test), no_std)]

/// Whether a binary is the build for kernels without atomic exchanges: the same source under another name.
#[must_use]
pub const fn is_plain(binary: &str) -> bool {
    let (name, suffix) = (binary.as_bytes(), b"_plain");
    let mut index = 0;
    while index < suffix.len() {
        if name.len() < suffix.len() || name[name.len() - suffix.len() + index] != suffix[index] {
            return false;
        }
        index += 1;
    }
    true
}

pub mod conversation;
pub mod http1;
pub mod http2;
pub mod http2_wire;
pub mod limit;
pub mod limit_wire;
pub mod opening;
pub mod replay;
pub mod tls;
pub mod turns;
pub mod wire;
