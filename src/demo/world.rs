//! The demo's own small internet: namespaces on a bridge, and a cgroup subtree of its own.
//!
//! In: nothing but root and `ip` of iproute2.
//! Out: a [`World`] in which a command can be started at a [`Place`], already inside its namespace and
//! its cgroup when it executes, so that no socket is ever made outside of what the probes watch.
//! Nothing here touches the machine's own network. All of it is removed on drop, and what a killed demo
//! left behind is removed by the next one (`sweep`).

mod cgroup;
mod namespace;
mod sweep;

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::unistd::write;
use tokio::process::Command;

pub use sweep::{is_dead, sweep};

/// Namespaces are called `sb-<pid>-<place>`.
const NAMESPACE_PREFIX: &str = "sb-";
/// The cgroup subtree is called `slowburn-demo-<pid>`.
const CGROUP_PREFIX: &str = "slowburn-demo-";
/// Each place has one interface, and in every namespace it has this name.
const INTERFACE: &str = "eth0";
const BRIDGE: &str = "br0";
const BRIDGE_NAMESPACE: &str = "hub";
/// How many customers the honest place has, each with addresses of its own.
const HONEST_CLIENTS: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Web,
    Checkout,
    Stock,
    Honest,
    Flood,
}

impl Place {
    pub const ALL: [Self; 5] = [Self::Web, Self::Checkout, Self::Stock, Self::Honest, Self::Flood];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Checkout => "checkout",
            Self::Stock => "stock",
            Self::Honest => "honest",
            Self::Flood => "flood",
        }
    }

    /// The cgroup below the demo's own. Everybody who only asks shares one.
    pub const fn cgroup(self) -> &'static str {
        match self {
            Self::Honest | Self::Flood => "clients",
            service => service.name(),
        }
    }

    /// Last byte of the place's addresses, IPv4 and IPv6 alike.
    fn hosts(self) -> Vec<u8> {
        match self {
            Self::Web => vec![11],
            Self::Checkout => vec![12],
            Self::Stock => vec![13],
            Self::Honest => (21..21 + HONEST_CLIENTS).collect(),
            Self::Flood => vec![66],
        }
    }
}

#[derive(Debug)]
pub struct World {
    namespaces: namespace::Namespaces,
    cgroup: cgroup::Subtree,
    ipv6: bool,
}

impl World {
    /// Builds all of it, or removes what was built and says what could not be.
    pub fn create() -> Result<Self> {
        require_root()?;
        let pid = std::process::id();
        let mut world = Self {
            cgroup: cgroup::Subtree::create(&format!("{CGROUP_PREFIX}{pid}"))?,
            namespaces: namespace::Namespaces::new(format!("{NAMESPACE_PREFIX}{pid}-")),
            ipv6: namespace::has_ipv6(),
        };
        for place in Place::ALL {
            world.cgroup.add(place.cgroup())?;
        }
        world.namespaces.add_bridge(BRIDGE_NAMESPACE, BRIDGE)?;
        for place in Place::ALL {
            let addresses = world.addresses(place);
            world
                .namespaces
                .add_joined(place.name(), INTERFACE, &addresses)
                .with_context(|| format!("join namespace of `{}` to the bridge", place.name()))?;
        }
        Ok(world)
    }

    /// Where the probes attach: everything of the demo, nothing else of this machine.
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// As the probes name cgroups: relative to the cgroup v2 root.
    pub fn cgroup_name(&self, place: Place) -> String {
        format!("{}/{}", self.cgroup.name(), place.cgroup())
    }

    pub fn has_ipv6(&self) -> bool {
        self.ipv6
    }

    /// What all its namespaces' names begin with.
    pub fn namespace_prefix(&self) -> &str {
        self.namespaces.prefix()
    }

    pub fn namespace(&self, place: Place) -> PathBuf {
        self.namespaces.path(place.name())
    }

    pub fn interface(&self) -> &'static str {
        INTERFACE
    }

    /// All addresses of a place, IPv4 first.
    pub fn addresses(&self, place: Place) -> Vec<IpAddr> {
        let hosts = place.hosts();
        let v4 = hosts.iter().map(|&host| IpAddr::V4(ipv4(host)));
        let v6 = hosts
            .iter()
            .filter(|_| self.ipv6)
            .map(|&host| IpAddr::V6(ipv6(host)));
        v4.chain(v6).collect()
    }

    /// This program, started at `place`. The child is in its namespace and its cgroup before it executes.
    pub fn command(&self, place: Place) -> Result<Command> {
        let path = self.namespace(place);
        let namespace = File::open(&path).with_context(|| format!("open namespace `{}`", path.display()))?;
        let members = self.cgroup.members(place.cgroup())?;
        let program = std::env::current_exe().context("find this program's own file")?;
        let mut command = Command::new(program);
        let enter = move || -> io::Result<()> {
            write(members.as_fd(), b"0")?;
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(())
        };
        // SAFETY: between fork and exec only write(2) and setns(2) are called, on descriptors opened
        // before the fork; neither allocates, locks nor touches what another thread may hold.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }
}

pub fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    bail!(
        "the demo needs root: it makes network namespaces and loads BPF programs (try `sudo slowburn demo`)"
    )
}

const fn ipv4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 115, 98, host)
}

/// A unique local prefix whose letters spell `slowb`.
const fn ipv6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd73, 0x6c6f, 0x7762, 0, 0, 0, 0, host as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_places_share_an_address() {
        let mut hosts: Vec<u8> = Place::ALL.iter().flat_map(|place| place.hosts()).collect();
        let all = hosts.len();
        hosts.sort_unstable();
        hosts.dedup();
        assert_eq!(hosts.len(), all);
    }
}
