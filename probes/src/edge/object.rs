//! The compiled object: what is fixed at load, and loading it over its pins.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use aya::{Btf, Ebpf, EbpfLoader, maps::ProgramArray, programs::Program};

use probes_ebpf::wire::kernel;
use slo_engine::measurement::ResetReason;

use super::layout::{self, Directories, MapSizes, connection_maps, counter_maps, http2_maps, source_maps};
use crate::{
    agent::AgentError,
    bpffs::{self, MapLayout},
    features::Features,
    kernel_types,
    loading::uninterrupted,
    mounts,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge"));
/// The same source without atomic exchanges.
static PLAIN: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge_plain"));

pub(crate) const IN: &str = "edge_in";
pub(crate) const OUT: &str = "edge_out";
pub(crate) const SOCKET: &str = "edge_socket";
/// Program, and the array it is called from.
pub(crate) const HTTP2: [(&str, &str); 2] = [
    ("edge_http2_in", layout::HTTP2_IN),
    ("edge_http2_out", layout::HTTP2_OUT),
];
pub(crate) const IN_FLIGHT: &str = "edge_in_flight";

pub(crate) struct Tracepoint {
    pub name: &'static str,
    /// What `doctor` calls it, and what it is good for.
    pub called: &'static str,
    pub gives: &'static str,
    /// The program that is told the socket, with BTF; taken where the kernel lets it.
    pub typed: Option<&'static str>,
    /// The program for where it does not.
    pub plain: Option<&'static str>,
}

pub(crate) const TRACEPOINTS: [Tracepoint; 4] = [
    Tracepoint {
        name: "tcp_rcv_space_adjust",
        called: "time to read",
        gives: "how long a request waits until its server reads it",
        typed: Some("edge_read"),
        plain: None,
    },
    Tracepoint {
        name: "tcp_retransmit_synack",
        called: "SYN-ACKs sent again",
        gives: "handshakes whose answer was lost, by service",
        typed: Some("edge_synacks"),
        plain: Some("edge_synack"),
    },
    Tracepoint {
        name: "tcp_send_reset",
        called: "resets sent",
        gives: "connections that this host reset, by service",
        typed: Some("edge_resets_sent"),
        plain: Some("edge_reset_sent"),
    },
    Tracepoint {
        name: "tcp_receive_reset",
        called: "resets received",
        gives: "connections that peers reset, by service",
        typed: Some("edge_resets_received"),
        plain: Some("edge_reset_received"),
    },
];

/// A field that programs read, with its word of `KERNEL`; one of a structure that is part of another lies
/// at the sum of both places.
type Field = (usize, &'static [(&'static str, &'static str)]);

/// Of connections.
pub(crate) const FIELDS: [Field; 7] = [
    (kernel::SOCK_ERROR, &[("sock", "sk_err")]),
    // Every socket begins with its `sock_common`.
    (kernel::SOCK_LOCAL_PORT, &[("sock_common", "skc_num")]),
    (kernel::TCP_BYTES_RECEIVED, &[("tcp_sock", "bytes_received")]),
    (kernel::TCP_BYTES_ACKED, &[("tcp_sock", "bytes_acked")]),
    (kernel::TCP_ROUND_TRIP, &[("tcp_sock", "srtt_us")]),
    (kernel::TCP_TOTAL_RETRANSMITS, &[("tcp_sock", "total_retrans")]),
    (kernel::TCP_SEGMENTS_SENT, &[("tcp_sock", "data_segs_out")]),
];

/// By which a listener's cgroup and namespace are found: all of them, or none is of use.
pub(crate) const HOME_FIELDS: [Field; 7] = [
    (
        kernel::SOCK_CGROUP,
        // Linux before 5.15 has a union here.
        &[("sock", "sk_cgrp_data"), ("sock_cgroup_data", "cgroup")],
    ),
    (kernel::CGROUP_NODE, &[("cgroup", "kn")]),
    (kernel::NODE_ID, &[("kernfs_node", "id")]),
    (kernel::STATE_PARENT, &[("cgroup_subsys_state", "parent")]),
    (kernel::STATE_CGROUP, &[("cgroup_subsys_state", "cgroup")]),
    // A structure of one pointer.
    (kernel::SOCK_NETNS, &[("sock_common", "skc_net")]),
    (kernel::NETNS_COOKIE, &[("net", "net_cookie")]),
];

fn offset(field: &Field) -> Option<u32> {
    let parts = field.1.iter();
    parts
        .map(|(structure, member)| kernel_types::offset(structure, member))
        .sum()
}

/// Those of `fields` that this kernel does not tell, by its structures' names.
pub(crate) fn untold(fields: &[Field]) -> Vec<String> {
    let untold = fields.iter().filter(|field| offset(field).is_none());
    let parts = untold.flat_map(|field| field.1);
    parts
        .map(|(structure, member)| format!("{structure}.{member}"))
        .collect()
}

/// The object in the kernel, its cgroup programs loaded.
#[derive(Debug)]
pub(crate) struct Object {
    pub ebpf: Ebpf,
    /// What could not be loaded, and what is missing without it.
    pub absent: Vec<String>,
    /// The meaning of each reason's number; empty where resets have none.
    pub reset_reasons: Vec<ResetReason>,
}

/// Loads maps and programs. Pinned maps are compared before they are reused.
pub(crate) fn load(
    directories: &Directories,
    sizes: &MapSizes,
    tracefs: Option<&Path>,
) -> Result<Object, AgentError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| AgentError::Cpus { source })?;
    bpffs::check(&directories.source, &source_maps())?;
    bpffs::check(&directories.connections, &connection_maps())?;
    bpffs::check(&directories.http2, &http2_maps())?;
    bpffs::check(&directories.counters, &counter_maps(sizes, cpus))?;
    let synack_sport = tracefs
        .and_then(|root| field_offset(root, "tcp_retransmit_synack", "sport"))
        .unwrap_or(0);
    let features = Features::here();
    let mut object = open(
        Some(directories),
        &counter_maps(sizes, cpus),
        features,
        synack_sport,
    )
    .and_then(|ebpf| load_programs(ebpf, features, synack_sport != 0))
    .map_err(|error| AgentError::Load {
        reason: brief(&error),
    })?;
    object.reset_reasons = tracefs.map_or_else(Vec::new, reset_reasons);
    if tracefs.is_some() && object.reset_reasons.is_empty() {
        let text = "resets are counted without a reason: this kernel's tcp_send_reset tells none";
        object.absent.push(text.to_owned());
    }
    object.absent.append(&mut features.absent());
    for (fields, so) in [
        (
            &FIELDS[..],
            "connects fail without a reason, and bytes are counted as a connection ends",
        ),
        (&HOME_FIELDS[..], "SYN-ACKs sent again count by port alone"),
    ] {
        let untold = untold(fields);
        if !untold.is_empty() {
            object.absent.push(format!(
                "this kernel does not tell its types (BTF: {}), so {so}",
                untold.join(", ")
            ));
        }
    }
    Ok(object)
}

/// Creates the maps, or opens them where they are pinned. No program is loaded yet.
pub(crate) fn open(
    directories: Option<&Directories>,
    counters: &[MapLayout],
    features: Features,
    synack_sport: u32,
) -> anyhow::Result<Ebpf> {
    let (skb_netns, socket_netns) = (u32::from(features.skb_netns), u32::from(features.socket_netns));
    let mut of_kernel = [0_u32; kernel::WORDS];
    for field in &FIELDS {
        of_kernel[field.0] = offset(field).unwrap_or(0);
    }
    if HOME_FIELDS.iter().all(|field| offset(field).is_some()) {
        for field in &HOME_FIELDS {
            of_kernel[field.0] = offset(field).unwrap_or(0);
        }
    }
    let tells_reasons = mounts::tracefs().is_ok_and(|root| !reset_reasons(&root).is_empty());
    of_kernel[kernel::RESET_REASON] = u32::from(tells_reasons);
    of_kernel[kernel::FOLLOWS_HTTP2] = u32::from(features.loops);
    let mut loader = EbpfLoader::new();
    for map in counters {
        loader.map_max_entries(map.name, map.max_entries);
    }
    loader
        .override_global("KERNEL", &of_kernel[..], true)
        .override_global("SKB_NETNS", &skb_netns, true)
        .override_global("SOCKET_NETNS", &socket_netns, true)
        .override_global("SYNACK_SPORT", &synack_sport, true);
    if let Some(directories) = directories {
        for map in source_maps() {
            loader.map_pin_path(map.name, directories.source.join(map.name));
        }
        for map in connection_maps() {
            loader.map_pin_path(map.name, directories.connections.join(map.name));
        }
        for map in http2_maps() {
            loader.map_pin_path(map.name, directories.http2.join(map.name));
        }
        for map in counters {
            loader.map_pin_path(map.name, directories.counters.join(map.name));
        }
    }
    Ok(loader.load(if features.exchange { OBJECT } else { PLAIN })?)
}

fn load_programs(mut ebpf: Ebpf, features: Features, port_is_known: bool) -> anyhow::Result<Object> {
    for name in [IN, OUT, SOCKET] {
        load_program(&mut ebpf, name)?;
    }
    let mut absent = Vec::new();
    if features.loops
        && let Err(error) = load_http2(&mut ebpf)
    {
        absent.push(format!(
            "HTTP/2 is not followed, so its requests are not counted ({})",
            brief(&error)
        ));
    }
    if let Err(error) = load_program(&mut ebpf, IN_FLIGHT) {
        absent.push(format!(
            "requests in flight cannot be walked, so what is overdue counts only once it ends ({})",
            brief(&error)
        ));
    }
    for tracepoint in TRACEPOINTS {
        absent.extend(load_tracepoint(&mut ebpf, &tracepoint).err());
    }
    let is_told = ebpf
        .program("edge_synacks")
        .is_some_and(|program| program.fd().is_ok());
    if !is_told && !port_is_known {
        absent.push(
            "tcp_retransmit_synack tells no port here, so SYN-ACKs sent again count for the host".to_owned(),
        );
    }
    Ok(Object {
        ebpf,
        absent,
        reset_reasons: Vec::new(),
    })
}

/// Loads the program that is told the socket, else the one that is not.
pub(crate) fn load_tracepoint(ebpf: &mut Ebpf, tracepoint: &Tracepoint) -> Result<(), String> {
    let name = tracepoint.name;
    let typed = tracepoint.typed.map(|program| load_program(ebpf, program));
    if matches!(typed, Some(Ok(()))) {
        return Ok(());
    }
    let Some(plain) = tracepoint.plain else {
        let refused = typed.and_then(Result::err);
        return Err(format!(
            "tracepoint {name} is refused, so nobody tells what it would count ({})",
            refused.as_ref().map(brief).unwrap_or_default()
        ));
    };
    load_program(ebpf, plain).map_err(|error| format!("tracepoint {name} is refused ({})", brief(&error)))?;
    match typed {
        Some(Err(error)) => Err(format!(
            "{name} does not tell the socket, so the host's count has what services have too ({})",
            brief(&error)
        )),
        _ => Ok(()),
    }
}

/// The words that this kernel has for the reasons of resets, by number.
pub(crate) fn reset_reasons(tracefs: &Path) -> Vec<ResetReason> {
    let Some(format) = format_of(tracefs, "tcp_send_reset") else {
        return Vec::new();
    };
    parse_symbols(&format, "REC->reason")
        .iter()
        .map(|name| ResetReason::of_kernel(name))
        .collect()
}

/// Loads the programs that follow HTTP/2 to where those of an earlier agent run: swapped in at once.
pub(crate) fn load_http2(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    for (name, _) in HTTP2 {
        load_program(ebpf, name)?;
    }
    for (name, array) in HTTP2 {
        let fd = program(ebpf, name)?.fd()?.try_clone()?;
        let map = ebpf
            .map_mut(array)
            .with_context(|| format!("the object has no map `{array}`"))?;
        ProgramArray::try_from(map)?.set(0, &fd, 0)?;
    }
    Ok(())
}

/// Loads one program, whatever its kind.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<()> {
    match program(ebpf, name)? {
        Program::CgroupSkb(program) => uninterrupted(|| program.load())?,
        Program::SockOps(program) => uninterrupted(|| program.load())?,
        Program::TracePoint(program) => uninterrupted(|| program.load())?,
        Program::Iter(program) => {
            let btf = Btf::from_sys_fs()?;
            uninterrupted(|| program.load("tcp", &btf))?;
        }
        Program::BtfTracePoint(program) => {
            let tracepoint = TRACEPOINTS
                .iter()
                .find(|tracepoint| tracepoint.typed == Some(name));
            let tracepoint = tracepoint.ok_or_else(|| anyhow::anyhow!("`{name}` has no tracepoint"))?;
            let btf = Btf::from_sys_fs()?;
            uninterrupted(|| program.load(tracepoint.name, &btf))?;
        }
        _ => anyhow::bail!("`{name}` is of an unexpected kind"),
    }
    Ok(())
}

pub(crate) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Program> {
    ebpf.program_mut(name)
        .ok_or_else(|| anyhow::anyhow!("the object has no program `{name}`"))
}

/// Where a field stands in a tracepoint's record, as this kernel lays it out.
fn field_offset(tracefs: &Path, tracepoint: &str, field: &str) -> Option<u32> {
    parse_offset(&format_of(tracefs, tracepoint)?, field)
}

fn format_of(tracefs: &Path, tracepoint: &str) -> Option<String> {
    let path = tracefs.join("events/tcp").join(tracepoint).join("format");
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(path = %path.display(), %error, "cannot read a tracepoint's format");
            }
            None
        }
    }
}

/// The names of the values of a field, such as `{ 0, "NOT_SPECIFIED" }, { 1, "NO_SOCKET" }`.
fn parse_symbols<'a>(format: &'a str, field: &str) -> Vec<&'a str> {
    let list = format.split_once(&format!("__print_symbolic({field},"));
    let list = list.map_or("", |(_, list)| list.split(')').next().unwrap_or(""));
    let mut names = Vec::new();
    for pair in list.split('{').skip(1) {
        let Some((number, name)) = pair.split_once(',') else {
            break;
        };
        // Numbers that are not told in their order are none that can be looked up.
        if number.trim().parse() != Ok(names.len()) {
            break;
        }
        names.extend(name.split('"').nth(1));
    }
    names
}

fn parse_offset(format: &str, field: &str) -> Option<u32> {
    for line in format.lines() {
        let Some(rest) = line.trim().strip_prefix("field:") else {
            continue;
        };
        let mut parts = rest.split(';').map(str::trim);
        let declaration = parts.next()?;
        let name = declaration.rsplit(' ').next()?.split('[').next()?;
        if name == field {
            return parts.next()?.strip_prefix("offset:")?.parse().ok();
        }
    }
    None
}

/// An error chain in one line; of a verifier's log, what it stopped at.
pub(crate) fn brief(error: &anyhow::Error) -> String {
    const MOST: usize = 600;
    let chain = format!("{error:#}");
    let text = match chain.split_once("Verifier output:") {
        Some((head, log)) => format!("{head} {}", verdict(log)),
        None => chain,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST).collect()
}

/// The last line of a verifier's log before its figures, which come last.
fn verdict(log: &str) -> &str {
    let is_figure = |line: &&str| {
        ["verification time", "stack depth", "processed "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines = log.lines().map(str::trim).take_while(|line| !is_figure(line));
    lines.filter(|line| !line.is_empty()).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_kernels_get_loads_here_too() {
        // Rather than to pass where nothing is loaded.
        assert!(nix::unistd::geteuid().is_root(), "loading a program needs root");
        let absent = |features: Features| {
            let loaded = open(None, &counter_maps(&MapSizes::default(), 1), features, 0)
                .and_then(|ebpf| load_programs(ebpf, features, true));
            loaded.unwrap().absent
        };
        let here = Features::here();
        // What an older kernel refuses to all, it refuses to each of these.
        let expected = absent(here);
        let oldest = Features {
            exchange: false,
            socket_netns: false,
            skb_netns: false,
            loops: false,
        };
        let exchange = here.exchange;
        let told_less = Features {
            skb_netns: false,
            ..here
        };
        for features in [oldest, Features { exchange, ..oldest }, told_less] {
            // What a kernel without loops lacks, its features tell.
            let refused = |text: &&String| features.loops || !text.starts_with("HTTP/2");
            let expected: Vec<_> = expected.iter().filter(refused).collect();
            assert_eq!(
                absent(features).iter().collect::<Vec<_>>(),
                expected,
                "{features:?}"
            );
        }
        assert_eq!(oldest.absent().len(), 3, "each is told in words");
    }

    #[test]
    fn of_a_refused_program_the_reason_is_told() {
        let error = anyhow::anyhow!(
            "the BPF_PROG_LOAD syscall returned EINVAL. Verifier output: 6: (b7) r4 = 0\n7: (85) call x#107\nunknown func x#107\nverification time 365 usec\nstack depth 0\nprocessed 7 insns\n\n: Invalid argument"
        );
        assert_eq!(
            brief(&error),
            "the BPF_PROG_LOAD syscall returned EINVAL. unknown func x#107"
        );
    }

    #[test]
    fn a_field_is_found_where_this_kernel_puts_it() {
        let format = "name: x\nformat:\n\tfield:const void * req;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;\n\tfield:__u8 saddr[4];\toffset:30;\tsize:4;\tsigned:0;\n";
        assert_eq!(parse_offset(format, "sport"), Some(24));
        assert_eq!(parse_offset(format, "saddr"), Some(30));
        assert_eq!(parse_offset(format, "dport"), None);
    }

    #[test]
    fn reasons_of_resets_are_numbered_as_this_kernel_does() {
        let format = r#"print fmt: "state=%s reason=%s", __print_symbolic(REC->state, { 1, "TCP_ESTABLISHED" }), __print_symbolic(REC->reason, { 0, "NOT_SPECIFIED" }, { 1, "NO_SOCKET" }, { 2, "TCP_FLAGS" })"#;
        assert_eq!(
            parse_symbols(format, "REC->reason"),
            ["NOT_SPECIFIED", "NO_SOCKET", "TCP_FLAGS"]
        );
        assert!(parse_symbols(format, "REC->other").is_empty());
    }
}
