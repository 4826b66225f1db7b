//! The compiled object: what is fixed at load, and loading it over its pins.

use std::{fs, io, path::Path};

use aya::{Btf, Ebpf, EbpfLoader, programs::Program};

use super::layout::{Directories, connection_maps, counter_maps, latencies_max};
use crate::{agent::AgentError, bpffs, features::Features};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge"));
/// The same source without atomic exchanges.
static PLAIN: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge_plain"));

pub(crate) const IN: &str = "edge_in";
pub(crate) const OUT: &str = "edge_out";
pub(crate) const SOCKET: &str = "edge_socket";
pub(crate) const IN_FLIGHT: &str = "edge_in_flight";

/// Program and tracepoint.
pub(crate) const TRACEPOINTS: [(&str, &str); 3] = [
    ("edge_synack", "tcp_retransmit_synack"),
    ("edge_reset_sent", "tcp_send_reset"),
    ("edge_reset_received", "tcp_receive_reset"),
];

/// The object in the kernel, its cgroup programs loaded.
#[derive(Debug)]
pub(crate) struct Object {
    pub ebpf: Ebpf,
    /// What could not be loaded, and what is missing without it.
    pub absent: Vec<String>,
}

/// Loads maps and programs. Pinned maps are compared before they are reused.
pub(crate) fn load(directories: &Directories, tracefs: Option<&Path>) -> Result<Object, AgentError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| AgentError::Cpus { source })?;
    bpffs::check(&directories.connections, &connection_maps())?;
    bpffs::check(&directories.counters, &counter_maps(cpus))?;
    let synack_sport = tracefs
        .and_then(|root| field_offset(root, "tcp_retransmit_synack", "sport"))
        .unwrap_or(0);
    let features = Features::here();
    let mut object = open(Some(directories), latencies_max(cpus), features, synack_sport)
        .and_then(|ebpf| load_programs(ebpf, synack_sport != 0))
        .map_err(|error| AgentError::Load {
            reason: brief(&error),
        })?;
    object.absent.append(&mut features.absent());
    Ok(object)
}

/// Creates the maps, or opens them where they are pinned. No program is loaded yet.
pub(crate) fn open(
    directories: Option<&Directories>,
    latencies: u32,
    features: Features,
    synack_sport: u32,
) -> anyhow::Result<Ebpf> {
    let (skb_netns, socket_netns) = (u32::from(features.skb_netns), u32::from(features.socket_netns));
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries("LATENCIES", latencies)
        .override_global("SKB_NETNS", &skb_netns, true)
        .override_global("SOCKET_NETNS", &socket_netns, true)
        .override_global("SYNACK_SPORT", &synack_sport, true);
    if let Some(directories) = directories {
        for map in connection_maps() {
            loader.map_pin_path(map.name, directories.connections.join(map.name));
        }
        for map in counter_maps(1) {
            loader.map_pin_path(map.name, directories.counters.join(map.name));
        }
    }
    Ok(loader.load(if features.exchange { OBJECT } else { PLAIN })?)
}

fn load_programs(mut ebpf: Ebpf, port_is_known: bool) -> anyhow::Result<Object> {
    for name in [IN, OUT, SOCKET] {
        load_program(&mut ebpf, name)?;
    }
    let mut absent = Vec::new();
    if let Err(error) = load_program(&mut ebpf, IN_FLIGHT) {
        absent.push(format!(
            "requests in flight cannot be walked, so what is overdue counts only once it ends ({})",
            brief(&error)
        ));
    }
    for (name, tracepoint) in TRACEPOINTS {
        if let Err(error) = load_program(&mut ebpf, name) {
            absent.push(format!("tracepoint {tracepoint} is refused ({})", brief(&error)));
        }
    }
    if !port_is_known {
        absent.push(
            "tcp_retransmit_synack tells no port here, so SYN-ACKs sent again count for the host".to_owned(),
        );
    }
    Ok(Object { ebpf, absent })
}

/// Loads one program, whatever its kind.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<()> {
    match program(ebpf, name)? {
        Program::CgroupSkb(program) => program.load()?,
        Program::SockOps(program) => program.load()?,
        Program::TracePoint(program) => program.load()?,
        Program::Iter(program) => program.load("tcp", &Btf::from_sys_fs()?)?,
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
    let path = tracefs.join("events/tcp").join(tracepoint).join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(path = %path.display(), %error, "cannot read a tracepoint's format");
            }
            return None;
        }
    };
    parse_offset(&text, field)
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

/// An error chain in one line; of a verifier's log, its end.
pub(crate) fn brief(error: &anyhow::Error) -> String {
    const MOST: usize = 600;
    let text = format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let characters = text.chars().count();
    if characters <= MOST {
        return text;
    }
    let end: String = text.chars().skip(characters - MOST).collect();
    format!("… {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_kernels_get_loads_here_too() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let oldest = Features {
            exchange: false,
            socket_netns: false,
            skb_netns: false,
        };
        for features in [
            oldest,
            Features {
                exchange: true,
                ..oldest
            },
            Features {
                socket_netns: true,
                ..oldest
            },
        ] {
            let loaded = open(None, 1, features, 0).and_then(|ebpf| load_programs(ebpf, true));
            assert_eq!(loaded.unwrap().absent, [""; 0], "{features:?}");
        }
    }

    #[test]
    fn a_field_is_found_where_this_kernel_puts_it() {
        let format = "name: x\nformat:\n\tfield:const void * req;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;\n\tfield:__u8 saddr[4];\toffset:30;\tsize:4;\tsigned:0;\n";
        assert_eq!(parse_offset(format, "sport"), Some(24));
        assert_eq!(parse_offset(format, "saddr"), Some(30));
        assert_eq!(parse_offset(format, "dport"), None);
    }
}
