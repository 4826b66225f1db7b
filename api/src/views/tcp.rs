//! Connections of a service, as TCP tells of them.

use std::collections::BTreeMap;

use serde::Serialize;
use slo_engine::measurement::Role;
use slo_engine::read;
use utoipa::ToSchema;

use super::number::{millis, whole};

/// Null in the role that nothing was counted for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionsView {
    /// Those that the service accepts.
    pub server: Option<TcpView>,
    /// Those that it opens to others.
    pub client: Option<TcpView>,
}

/// Counts are those of the window; `open`, `accept_queue` and `accept_backlog` are of now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TcpView {
    /// Accepted by a server, opened by a client.
    pub opened: u64,
    pub open: Option<u64>,
    pub bytes_received: u64,
    /// Acknowledged by the peer.
    pub bytes_sent: u64,
    /// Segments with data, each when it was first sent: those sent again are `retransmits`.
    pub segments_sent: u64,
    pub retransmits: u64,
    pub syn_retransmits: u64,
    /// Segments that told the peer to stop sending.
    pub zero_windows_sent: u64,
    pub zero_windows_received: u64,
    pub resets_sent: u64,
    pub resets_received: u64,
    /// Part of `resets_sent`, by the kernel's own reason.
    pub resets_sent_because: BTreeMap<String, u64>,
    /// Given up by TCP, as the peer acknowledged nothing any more.
    pub timeouts: u64,
    pub rtt_p50_ms: Option<f64>,
    pub rtt_p99_ms: Option<f64>,
    /// Connections that wait to be accepted.
    pub accept_queue: Option<u64>,
    /// How many may wait.
    pub accept_backlog: Option<u64>,
    /// SYNs and finished handshakes that a listener turned away.
    pub listen_drops: u64,
    /// By error.
    pub connect_failures: BTreeMap<String, u64>,
    /// From the first SYN to the connection being open.
    pub connect_p50_ms: Option<f64>,
    pub connect_p99_ms: Option<f64>,
}

impl From<BTreeMap<Role, read::Tcp>> for ConnectionsView {
    fn from(mut tcp: BTreeMap<Role, read::Tcp>) -> Self {
        Self {
            server: tcp.remove(&Role::Server).map(TcpView::from),
            client: tcp.remove(&Role::Client).map(TcpView::from),
        }
    }
}

impl From<read::Tcp> for TcpView {
    fn from(tcp: read::Tcp) -> Self {
        Self {
            opened: tcp.opened,
            open: tcp.open.and_then(whole),
            bytes_received: tcp.bytes_received,
            bytes_sent: tcp.bytes_sent,
            segments_sent: tcp.segments_sent,
            retransmits: tcp.retransmits,
            syn_retransmits: tcp.syn_retransmits,
            zero_windows_sent: tcp.zero_windows_sent,
            zero_windows_received: tcp.zero_windows_received,
            resets_sent: tcp.resets_sent,
            resets_received: tcp.resets_received,
            resets_sent_because: spelled(tcp.resets_sent_because),
            timeouts: tcp.timeouts,
            rtt_p50_ms: tcp.rtt_p50_ms.map(millis),
            rtt_p99_ms: tcp.rtt_p99_ms.map(millis),
            accept_queue: tcp.accept_queue.and_then(whole),
            accept_backlog: tcp.accept_backlog.and_then(whole),
            listen_drops: tcp.listen_drops,
            connect_failures: spelled(tcp.connect_failures),
            connect_p50_ms: tcp.connect_p50_ms.map(millis),
            connect_p99_ms: tcp.connect_p99_ms.map(millis),
        }
    }
}

fn spelled<K: ToString>(counts: BTreeMap<K, u64>) -> BTreeMap<String, u64> {
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| (word.to_string(), count))
        .collect()
}
