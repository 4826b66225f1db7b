//! What this kernel and these privileges allow, found by trying. For `slowburn doctor`.

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

/// Fails with a message in plain words unless this process may load programs and mount.
pub fn privileged() -> Result<(), NotPrivileged> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(NotPrivileged) }
}

#[derive(Debug, thiserror::Error)]
#[error("slowburn must run as root to load its probes")]
pub struct NotPrivileged;

/// Every check.
pub fn check() -> Vec<Check> {
    Vec::new()
}
