//! Rate limits in the kernel: who may send how much to which port of this host, and until when.
//!
//! Owns the XDP object `limit`, its pins under `<bpffs>/slowburn/<instance>/limit-<layout>/`, and
//! every write to them. In: rules, and a lease that a live daemon renews each second. Out: the
//! rules that stand with what each passed and dropped. Nothing here knows why a rule is wanted.
//!
//! A limit cannot outlive its reason: the kernel enforces a rule only before the rule's own
//! deadline, only while the lease of at most ten seconds runs, and never more than a floor of one
//! packet a second. Everything that can be done to the rules can be done through the pins, by any
//! process, without loading an object and without the daemon: see [`RuleTable`].
//!
//! What a packet costs: TCP segments that open a connection or carry payload, and every UDP
//! datagram. Packets are counted as the driver (native) or the stack (generic) hands them over, so
//! segments merged by receive offload count once. A rule for an exact source or the longest prefix
//! wins over shorter ones and over the rule for every source.

mod attach;
mod clock;
mod error;
mod layout;
mod limiter;
mod maps;
mod netlink;
mod object;
mod prefix;
mod rule;
mod table;

pub use attach::{Attachment, Interface, InterfaceName, Mode};
pub use error::LimitError;
pub(crate) use layout::map_bytes;
pub use limiter::{Config, Existing, Limiter, attachments, panic_clear, unload};
#[doc(hidden)]
pub use object::testing;
pub use prefix::{Prefix, PrefixError};
pub use rule::{AllowList, Counts, LiveRule, PortCounters, Rule};
pub use table::RuleTable;

/// Whether the kernel takes the program; nothing is attached.
pub(crate) fn try_load() -> Result<(), LimitError> {
    object::load(None).map(drop)
}

/// No lease is longer; the kernel takes a longer one for none.
pub const LEASE_MAX: std::time::Duration =
    std::time::Duration::from_nanos(probes_ebpf::limit_wire::LEASE_MAX_NANOSECONDS);

/// No rule lives longer, whoever asks.
pub const RULE_LIFE_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
