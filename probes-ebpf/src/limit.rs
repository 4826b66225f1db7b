//! The limiter's decisions, free of the kernel: the same code runs in the XDP program and in host
//! tests.

#[cfg(target_arch = "bpf")]
pub mod frame;
pub mod packet;
pub mod rate;
