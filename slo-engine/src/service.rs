//! What the probes must look for, and what discovery found.
//!
//! In: definitions (they make [`WatchedService`]). Out: what probes match sockets against, and,
//! back from them, why a service carries its name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

mod pod;

pub use pod::PodMatch;

use crate::measurement::{Clock, Route, ServiceName, UnknownWord};

/// Thresholds a service may have: each is one pair of exact counters in the kernel.
pub const THRESHOLD_MAX: usize = 4;

/// How long a request may be in flight before it is booked as failed, unless the definition says.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A service that definitions speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedService {
    pub name: ServiceName,
    /// Any of these makes an endpoint the service's. Empty: the name that discovery finds decides.
    pub matches: Vec<EndpointMatch>,
    pub routes: Vec<Route>,
    /// At most [`THRESHOLD_MAX`], in order; they apply to every route of the service.
    pub thresholds: Vec<(Clock, Duration)>,
    pub timeout: Duration,
    pub long_poll: LongPoll,
}

/// Requests that are meant to wait, for news or for work: they count by their status, and are neither
/// slow nor overdue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum LongPoll {
    #[default]
    None,
    /// Of these routes, which are among the service's.
    Routes(Vec<Route>),
    /// All of the service's.
    All,
}

impl LongPoll {
    #[must_use]
    pub fn takes(&self, route: Option<&Route>) -> bool {
        match self {
            Self::None => false,
            Self::Routes(routes) => route.is_some_and(|route| routes.contains(route)),
            Self::All => true,
        }
    }
}

/// What makes an endpoint belong to a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointMatch {
    /// The listening port (client role: the remote port).
    Port(u16),
    /// A glob over the cgroup's path under the cgroup v2 root, without a leading `/`.
    Cgroup(String),
    /// A glob over the systemd unit's name; `.service` may be left out.
    Unit(String),
    /// Twelve or more digits of the container's id, or a glob over its name.
    Container(String),
    Kubernetes(PodMatch),
    /// The executable's path, or its base name when there is no `/` in it.
    Executable(String),
}

impl fmt::Display for EndpointMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port:{port}"),
            Self::Cgroup(glob) => write!(f, "cgroup:{glob}"),
            Self::Unit(name) => write!(f, "unit:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Kubernetes(pod) => write!(f, "kubernetes:{pod}"),
            Self::Executable(path) => write!(f, "executable:{path}"),
        }
    }
}

impl FromStr for EndpointMatch {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            what: "endpoint match",
            text: text.to_owned(),
        };
        match text.split_once(':') {
            Some(("port", port)) => port
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .map(Self::Port)
                .ok_or_else(unknown),
            Some(("cgroup", glob)) if !glob.is_empty() => Ok(Self::Cgroup(glob.to_owned())),
            Some(("unit", name)) if !name.is_empty() => Ok(Self::Unit(name.to_owned())),
            Some(("container", name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            Some(("kubernetes", pod)) => pod.parse().map(Self::Kubernetes).map_err(|()| unknown()),
            Some(("executable", path)) if !path.is_empty() => Ok(Self::Executable(path.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// A listener that discovery found, so that people see why a service carries its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    pub service: ServiceName,
    pub port: u16,
    pub cgroup: String,
    pub executable: Option<String>,
    /// One clause, such as ``port 8080 is matched by `checkout` ``.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_reads_back_from_its_stored_spelling() {
        for found in [
            EndpointMatch::Port(8080),
            EndpointMatch::Cgroup("system.slice/nginx*".to_owned()),
            EndpointMatch::Executable("/usr/bin/a:b".to_owned()),
            EndpointMatch::Unit("nginx@*".to_owned()),
            EndpointMatch::Container("0123456789ab".to_owned()),
            EndpointMatch::Kubernetes(PodMatch {
                namespace: Some("shop".to_owned()),
                pod: Some("web-*".to_owned()),
                labels: [("app.kubernetes.io/name", "web"), ("tier", "")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            }),
        ] {
            assert_eq!(found.to_string().parse(), Ok(found));
        }
        for bad in [
            "",
            "port:0",
            "port:70000",
            "cgroup:",
            "unit:",
            "kubernetes:",
            "kubernetes:node=x",
            "host:x",
        ] {
            assert!(bad.parse::<EndpointMatch>().is_err(), "{bad}");
        }
    }
}
