//! User side of the probes: capability checks, attaching, discovery, and reading pinned maps into
//! cumulative measurements.
//!
//! In: what to watch, from `slo-engine`'s definitions. Out: batches of cumulative readings, each
//! carrying its losses. Nothing is subtracted here, and nothing here knows what a budget is.

pub mod agent;
pub mod bpf_syscall;
pub mod bpffs;
pub mod capability;
mod discovery;
mod edge;
mod features;
pub mod hpack;
mod http2;
mod kernel_types;
pub mod limit;
mod listeners;
mod loading;
pub mod mounts;
mod names;
pub mod overhead;
mod sock_diag;
pub mod statistics;
mod unload;
mod watcher;

pub use unload::{UnloadError, in_use, instances, unload};
