//! Records that BPF programs and user space share, one module per BPF object.
//!
//! The programs themselves are the binaries of this package; on the host they are empty, so that
//! the workspace builds, tests and lints with the stable compiler.

#![cfg_attr(not(test), no_std)]

pub mod limit;
pub mod limit_wire;
pub mod wire;
