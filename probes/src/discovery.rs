//! What listens on this host, and whose it is.
//!
//! In: `/proc` and the cgroup hierarchy. Out: listening sockets with their network namespace, owner
//! and cgroup; and, with the services that definitions speak of, a name for each and why.

pub(crate) mod cgroup;
pub(crate) mod container;
pub(crate) mod listener;
pub(crate) mod naming;
pub(crate) mod owner;
