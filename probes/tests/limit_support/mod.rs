//! What the limiter's tests share: frames built byte by byte, and two network namespaces joined by
//! a veth pair, which go away with the value.

pub mod frame;
pub mod network;

/// Tests of the kernel need root. They say so when they are skipped.
pub fn is_root() -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    eprintln!("skipped: needs root (CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN)");
    false
}
