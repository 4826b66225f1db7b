//! What this kernel and these privileges allow, found by trying. For `slowburn doctor`.
//!
//! In: nothing. Out: one line for each thing slowburn wants, with what to do about those that are
//! missing. Programs are tried by loading the very ones that would run; nothing is attached, and
//! nothing stays but mounts.

use std::{fs, path::Path, thread};

use nix::sched::{CloneFlags, setns};

use crate::{
    agent::chain,
    bpf_syscall, bpffs,
    edge::{
        layout::{MapSizes, counter_maps},
        object::{self, IN, IN_FLIGHT, OUT, SOCKET, TRACEPOINTS},
    },
    features::Features,
    limit, mounts, sock_diag,
};

/// One thing slowburn wants, and whether it can have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    /// What it is good for.
    pub gives: &'static str,
    pub ok: bool,
    /// Without it nothing can be measured.
    pub required: bool,
    pub detail: String,
    /// What to do about it, when it is not there.
    pub remedy: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("slowburn needs {} to load its probes: run it as root", missing.join(", "))]
pub struct NotPrivileged {
    pub missing: Vec<&'static str>,
}

/// Fails with a message in plain words unless this process may load programs, mount, and enter
/// network namespaces.
pub fn privileged() -> Result<(), NotPrivileged> {
    let missing = missing_capabilities();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(NotPrivileged { missing })
    }
}

/// Bits of `CapEff`, from `linux/capability.h`.
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (39, "CAP_BPF")];

fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = effective(&status);
    CAPABILITIES
        .iter()
        .filter(|(bit, _)| effective & (1 << bit) == 0)
        .map(|(_, name)| *name)
        .collect()
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or(0)
}

/// Memory of one map in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapMemory {
    /// Whose it is: `edge` counts, `limit` drops.
    pub object: &'static str,
    pub map: &'static str,
    pub bytes: u64,
}

/// Every map that is made with these sizes, the largest first. Beside them each socket takes its
/// records for as long as it lives: see [`MapSizes::bytes_of_socket`].
pub fn memory_of(sizes: &MapSizes) -> Vec<MapMemory> {
    let edge = sizes.bytes().into_iter().map(|(map, bytes)| ("edge", map, bytes));
    let limit = limit::map_bytes().map(|(map, bytes)| ("limit", map, bytes));
    let mut found: Vec<_> = edge
        .chain(limit)
        .map(|(object, map, bytes)| MapMemory { object, map, bytes })
        .collect();
    found.sort_by_key(|map| (std::cmp::Reverse(map.bytes), map.object, map.map));
    found
}

/// Every check, what is required first. Never fails: what cannot be tried is not ok.
pub fn check(sizes: &MapSizes) -> Vec<Check> {
    let mut checks = vec![privileges(), cgroup(), bpf_file_system()];
    checks.append(&mut programs(sizes));
    checks.push(tracefs());
    checks.push(namespaces());
    checks.push(accept_queues());
    checks.push(limiter());
    checks.push(statistics());
    checks.push(memory(sizes));
    checks
}

fn required(name: &'static str, gives: &'static str, found: Result<String, String>, remedy: &str) -> Check {
    let (ok, detail) = match found {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Check {
        name,
        gives,
        ok,
        required: true,
        detail,
        remedy: (!ok).then(|| remedy.to_owned()),
    }
}

fn extra(name: &'static str, gives: &'static str, found: Result<String, String>, remedy: &str) -> Check {
    Check {
        required: false,
        ..required(name, gives, found, remedy)
    }
}

fn privileges() -> Check {
    let missing = missing_capabilities();
    let found = if missing.is_empty() {
        Ok(String::new())
    } else {
        Err(format!("{} missing", missing.join(", ")))
    };
    required(
        "privileges",
        "loading programs, mounting, entering network namespaces",
        found,
        "run as root, or give the service CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN",
    )
}

/// What to do where there is no cgroup v2.
pub const NO_CGROUP: &str = "boot a kernel with CONFIG_CGROUPS, without `cgroup_disable=`; a hierarchy that is only not mounted is mounted by slowburn, which a container has to be allowed (`--privileged`, or the host's `/sys/fs/cgroup` as a volume)";

fn cgroup() -> Check {
    required(
        "cgroup v2",
        "where the programs are attached",
        mounts::cgroup_root()
            .map(|path| path.display().to_string())
            .map_err(|error| chain(&error)),
        NO_CGROUP,
    )
}

fn bpf_file_system() -> Check {
    let path = Path::new(bpffs::DEFAULT_ROOT);
    required(
        "bpf file system",
        "counters that outlive a killed slowburn",
        bpffs::ensure(path)
            .map(|()| path.display().to_string())
            .map_err(|error| chain(&error)),
        "mount -t bpf bpf /sys/fs/bpf",
    )
}

/// The programs themselves, each loaded and dropped.
fn programs(sizes: &MapSizes) -> Vec<Check> {
    let old_kernel =
        "use Linux 5.10 or later with CONFIG_CGROUP_BPF, and allow bpf(2) in the container's seccomp profile";
    let cpus = aya::util::nr_cpus().unwrap_or(1);
    let features = Features::here();
    let mut ebpf = match object::open(None, &counter_maps(sizes, cpus), features, 0) {
        Ok(ebpf) => ebpf,
        Err(error) => {
            let refused = Err(object::brief(&error));
            return vec![required("bpf", "counting in the kernel", refused, old_kernel)];
        }
    };
    let load = |ebpf: &mut aya::Ebpf, name| {
        object::load_program(ebpf, name)
            .map(|()| String::new())
            .map_err(|error| object::brief(&error))
    };
    let has = |there: bool| {
        if there {
            Ok(String::new())
        } else {
            Err(String::new())
        }
    };
    let mut checks = vec![
        required(
            "requests",
            "status, latency and route of HTTP/1 requests (cgroup_skb)",
            load(&mut ebpf, IN).and_then(|_| load(&mut ebpf, OUT)),
            old_kernel,
        ),
        required(
            "connections",
            "retransmits, failed connects, requests without an answer (sock_ops)",
            load(&mut ebpf, SOCKET),
            old_kernel,
        ),
        extra(
            "HTTP/2 and gRPC",
            "status, latency and route of their requests, stream by stream",
            has(features.loops).and_then(|_| {
                object::load_http2(&mut ebpf)
                    .map(|()| String::new())
                    .map_err(|error| object::brief(&error))
            }),
            "use Linux 5.17 or later; until then requests of HTTP/2 are not counted",
        ),
        extra(
            "overdue requests",
            "a hung service burns budget while it hangs (iter/tcp)",
            load(&mut ebpf, IN_FLIGHT),
            "boot a kernel with CONFIG_DEBUG_INFO_BTF, 5.11 or later; until then overdue requests count when they end",
        ),
        extra(
            "atomic exchange",
            "one count where an answer and a reset meet, one price for packets that race for a limit",
            has(features.exchange),
            "use Linux 5.12 or later; until then what meets in the same nanoseconds may count twice, or pass a limit",
        ),
        extra(
            "namespaces of sockets",
            "telling network namespaces apart",
            has(features.socket_netns),
            "use Linux 5.15 or later; until then connections count by port and cgroup",
        ),
        extra(
            "namespaces of packets",
            "telling network namespaces apart on connections older than slowburn",
            has(features.skb_netns),
            "use Linux 6.16 or later; until then such connections count by port and cgroup",
        ),
    ];
    for tracepoint in TRACEPOINTS {
        checks.push(extra(
            tracepoint.called,
            tracepoint.gives,
            object::load_tracepoint(&mut ebpf, &tracepoint).map(|()| String::new()),
            "use Linux 5.11 or later with CONFIG_DEBUG_INFO_BTF, and allow perf events (CAP_PERFMON, kernel.perf_event_paranoid)",
        ));
    }
    let reasons = mounts::tracefs().is_ok_and(|root| !object::reset_reasons(&root).is_empty());
    checks.push(extra(
        "reasons of resets",
        "why a connection was reset",
        has(reasons),
        "use Linux 6.10 or later; until then resets are counted without a reason",
    ));
    for (fields, called, gives, remedy) in [
        (
            &object::FIELDS[..],
            "the kernel's types",
            "why a connect failed, and the bytes of connections while they live (BTF)",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF; until then connects fail without a reason",
        ),
        (
            &object::HOME_FIELDS[..],
            "types of listeners",
            "whose SYN-ACKs are sent again, whatever the port (BTF)",
            "use Linux 5.15 or later with CONFIG_DEBUG_INFO_BTF; until then they count by port alone",
        ),
    ] {
        let untold = object::untold(fields);
        checks.push(extra(
            called,
            gives,
            if untold.is_empty() {
                Ok(String::new())
            } else {
                Err(untold.join(", "))
            },
            remedy,
        ));
    }
    let compiled = object::program(&mut ebpf, SOCKET).is_ok_and(|program| {
        let info = program.info();
        info.is_ok_and(|info| info.size_jitted() > 0)
    });
    checks.push(extra(
        "compiled programs",
        "the stated cost",
        if compiled {
            Ok(String::new())
        } else {
            Err("programs are interpreted, which is several times slower".to_owned())
        },
        "sysctl net.core.bpf_jit_enable=1",
    ));
    checks
}

fn tracefs() -> Check {
    extra(
        "tracefs",
        "where this kernel keeps the fields of its tracepoints",
        mounts::tracefs()
            .map(|path| path.display().to_string())
            .map_err(|error| chain(&error)),
        "mount -t tracefs tracefs /sys/kernel/tracing",
    )
}

fn namespaces() -> Check {
    let entered = thread::spawn(|| {
        let own = fs::File::open("/proc/self/ns/net").map_err(|error| error.to_string())?;
        setns(&own, CloneFlags::CLONE_NEWNET).map_err(|errno| errno.to_string())
    });
    let found = entered
        .join()
        .unwrap_or_else(|_| Err("the thread ended".to_owned()));
    extra(
        "network namespaces",
        "services in containers: their listeners and overdue requests",
        found.map(|()| String::new()),
        "give the service CAP_SYS_ADMIN",
    )
}

fn limiter() -> Check {
    extra(
        "limits",
        "dropping a flooding source before it costs anything (XDP)",
        limit::try_load()
            .map(|()| String::new())
            .map_err(|error| chain(&error)),
        "give the service CAP_NET_ADMIN; on kernels without XDP runbooks can still page and scale",
    )
}

fn accept_queues() -> Check {
    extra(
        "accept queues",
        "how full they are, and what listeners turned away (sock_diag)",
        sock_diag::listeners()
            .map(|_| String::new())
            .map_err(|error| error.to_string()),
        "load the module `tcp_diag`, or boot a kernel with CONFIG_INET_TCP_DIAG",
    )
}

fn statistics() -> Check {
    extra(
        "run-time statistics",
        "what the programs cost, measured all the time (BPF_ENABLE_STATS)",
        bpf_syscall::enable_statistics()
            .map(|_| String::new())
            .map_err(|error| error.to_string()),
        "use Linux 5.8 or later, or sysctl kernel.bpf_stats_enabled=1",
    )
}

/// The maps of the programs were made a moment ago, so this much can be had.
fn memory(sizes: &MapSizes) -> Check {
    let maps = memory_of(sizes);
    let total = |object| -> u64 {
        let found = maps.iter().filter(|map| map.object == object);
        found.map(|map| map.bytes).sum()
    };
    let [(_, every), (_, http2), (_, pipeline)] = MapSizes::bytes_of_socket();
    let detail = format!(
        "at most {} for counting, with room for {} latencies, and {} once a runbook limits traffic; \
         beside that {every} bytes a connection, {http2} more of HTTP/2, and {pipeline} more where answers are \
         followed to their last byte or requests come in pieces",
        mebibytes(total("edge")),
        sizes.latencies_here(),
        mebibytes(total("limit"))
    );
    extra("kernel memory", "what all maps take together", Ok(detail), "")
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_read_from_the_process_status() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            0x1ff_ffff_ffff
        );
        assert_eq!(effective("Name:\tx\n"), 0);
    }
}
