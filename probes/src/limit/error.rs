//! Why a limit could not be put in place, taken away or read.

use std::{io, path::PathBuf};

use aya::maps::MapError;

use super::{Interface, Prefix};
use crate::bpffs::BpffsError;

#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// The kernel refused the object. The verifier's log is cut to its end.
    #[error("the kernel refused the limiter: {reason}")]
    Load { reason: String },
    #[error("cannot {operation} `{map}`")]
    Map {
        operation: &'static str,
        map: &'static str,
        #[source]
        source: Box<MapError>,
    },
    #[error("no limiter of this version is loaded under `{}`", path.display())]
    NotLoaded { path: PathBuf },
    #[error("cannot enter the network namespace `{}`", path.display())]
    Namespace { path: PathBuf, source: io::Error },
    #[error("there is no interface {interface}")]
    UnknownInterface { interface: Interface },
    #[error(
        "{interface} already runs the XDP program {program}, which is not this limiter's; it was left alone"
    )]
    Foreign { interface: Interface, program: String },
    #[error("{interface} takes no XDP program: native: {native}, generic: {generic}")]
    Attach {
        interface: Interface,
        native: io::Error,
        generic: io::Error,
    },
    #[error("cannot {operation} the link of {interface}")]
    Link {
        operation: &'static str,
        interface: Interface,
        source: io::Error,
    },
    #[error("rule {id}: {problem}")]
    InvalidRule { id: u32, problem: &'static str },
    #[error("rule {id}: port {port} is on the allow list")]
    AllowedPort { id: u32, port: u16 },
    #[error("rule {id}: source `{source_prefix}` is on the allow list, by `{by}`")]
    AllowedSource {
        id: u32,
        source_prefix: Prefix,
        by: Prefix,
    },
    #[error("rule {id}: rule {by} already limits this source on port {port}")]
    SourceTaken { id: u32, by: u32, port: u16 },
    #[error("there is room for {most} {what}")]
    Full { what: &'static str, most: u32 },
    #[error("limits are switched off by the panic flag; resume them first")]
    Panicked,
    #[error("a lease of {asked:?} is longer than {most:?}")]
    LeaseTooLong {
        asked: std::time::Duration,
        most: std::time::Duration,
    },
}

impl LimitError {
    /// For `map_err`: which map, and what was being done to it.
    pub(super) fn map<E: Into<MapError>>(
        operation: &'static str,
        map: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Map {
            operation,
            map,
            source: Box::new(source.into()),
        }
    }
}
