//! What the end-to-end tests share: a small network of their own, a slowburn of their own, patience.
//!
//! Every test makes its own namespaces, cgroup, instance name, state directory and port, and removes them
//! when it ends, so tests run beside each other and beside a slowburn that runs on the machine.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod delays;
pub mod network;
pub mod nginx;
pub mod open_loop;
pub mod patience;
pub mod slowburn;

pub use patience::{eventually, needs_root, pause};
