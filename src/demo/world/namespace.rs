//! Network namespaces, veth pairs and one bridge, made by `ip` of iproute2.
//!
//! Every namespace is named, so that `ip netns` shows the demo's network to whoever is curious, and so
//! that a limiter can be pointed at an interface by the namespace's path.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";

#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    hub: Option<(String, String)>,
    made: Vec<String>,
}

impl Namespaces {
    pub fn new(prefix: String) -> Self {
        Self {
            prefix,
            hub: None,
            made: Vec::new(),
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{}{name}", self.prefix))
    }

    pub fn add_bridge(&mut self, name: &str, bridge: &str) -> Result<()> {
        let hub = self.add(name)?;
        // The bridge learns nothing from protocols here: it forwards from its first frame on.
        ip(&[
            "-n",
            &hub,
            "link",
            "add",
            bridge,
            "type",
            "bridge",
            "forward_delay",
            "0",
            "mcast_snooping",
            "0",
        ])?;
        ip(&["-n", &hub, "link", "set", bridge, "up"])?;
        self.hub = Some((hub, bridge.to_owned()));
        Ok(())
    }

    pub fn add_joined(&mut self, name: &str, interface: &str, addresses: &[IpAddr]) -> Result<()> {
        let (hub, bridge) = self
            .hub
            .clone()
            .context("a bridge comes before what is joined to it")?;
        let namespace = self.add(name)?;
        let port = format!("to-{name}");
        let veth = ["type", "veth", "peer", "name", &port, "netns", &hub];
        ip(&[&["-n", &namespace, "link", "add", interface][..], &veth[..]].concat())?;
        for address in addresses {
            // Duplicate detection would hold an IPv6 address back for a second; these are ours alone.
            let (with_length, flags): (_, &[&str]) = match address {
                IpAddr::V4(v4) => (format!("{v4}/24"), &[]),
                IpAddr::V6(v6) => (format!("{v6}/64"), &["nodad"]),
            };
            ip(&[
                &["-n", &namespace, "address", "add", &with_length, "dev", interface],
                flags,
            ]
            .concat())?;
        }
        ip(&["-n", &hub, "link", "set", &port, "master", &bridge, "up"])?;
        ip(&["-n", &namespace, "link", "set", interface, "up"])
    }

    fn add(&mut self, name: &str) -> Result<String> {
        let full = format!("{}{name}", self.prefix);
        ip(&["netns", "add", &full])?;
        self.made.push(full.clone());
        ip(&["-n", &full, "link", "set", "lo", "up"])?;
        Ok(full)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in self.made.drain(..).rev() {
            if let Err(error) = remove(&name) {
                tracing::warn!(
                    namespace = name,
                    error = format!("{error:#}"),
                    "a namespace of the demo stays behind"
                );
            }
        }
    }
}

pub fn remove(name: &str) -> Result<()> {
    ip(&["netns", "delete", name])
}

/// Whether namespaces made now will have IPv6.
pub fn has_ipv6() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6")
        .is_ok_and(|text| text.trim() == "0")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let said = || format!("`ip {}`", arguments.join(" "));
    let output = match Command::new("ip").args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "`ip` was not found: the demo builds its network with it (Debian: `apt-get install iproute2`)"
            )
        }
        other => other.with_context(|| format!("start {}", said()))?,
    };
    if !output.status.success() {
        bail!(
            "{} failed: {}",
            said(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
