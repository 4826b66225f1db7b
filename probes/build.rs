//! Compiles the BPF objects of `probes-ebpf` into `OUT_DIR`: `edge` and `limit`.

fn main() -> anyhow::Result<()> {
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "probes-ebpf",
            root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../probes-ebpf"),
            ..Default::default()
        }],
        aya_build::Toolchain::default(),
    )
}
