//! Compiles the BPF objects of `probes-ebpf` into `OUT_DIR`: `edge` and `limit`.
//!
//! With which compiler is what `scripts/setup` found out and wrote down: a nightly, or Debian's rustc-web
//! linked as a toolchain. Without a note it is `nightly`.

use std::fs;

const NOTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.bpf-toolchain");

fn main() -> anyhow::Result<()> {
    let note = fs::read_to_string(NOTE).unwrap_or_default();
    if !note.is_empty() {
        println!("cargo:rerun-if-changed={NOTE}");
    }
    let toolchain = if note.trim().is_empty() {
        "nightly"
    } else {
        note.trim()
    };
    if !toolchain.starts_with("nightly") {
        // SAFETY: a build script has one thread. A stable compiler builds `core` only when told that it may.
        unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    // Its progress would come out as 34 warnings.
    // SAFETY: a build script has one thread.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "probes-ebpf",
            root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../probes-ebpf"),
            ..Default::default()
        }],
        aya_build::Toolchain::Custom(toolchain),
    )
}
