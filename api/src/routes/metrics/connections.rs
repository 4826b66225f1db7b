//! Connections by service, in Prometheus' words. Totals since slowburn first saw the service.

use slo_engine::measurement::{Gauge, Role, ServiceName, Signal};
use slo_engine::read::TcpTotals;

use crate::exposition::{Exposition, Kind, Labels};

/// A label of its own, and its value.
type Extra = Option<(&'static str, &'static str)>;

/// Name, help, and which signals are of it.
type Counter = (&'static str, &'static str, fn(Signal) -> Option<Extra>);

const COUNTERS: [Counter; 10] = [
    (
        "slowburn_tcp_connections_opened_total",
        "Connections that a server accepted, or a client opened.",
        |signal| matches!(signal, Signal::Accepted | Signal::Connected).then_some(None),
    ),
    (
        "slowburn_tcp_connect_failures_total",
        "Connections that could not be opened, by error.",
        |signal| match signal {
            Signal::ConnectFailed(error) => Some(Some(("error", error.as_str()))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_connection_timeouts_total",
        "Connections that TCP gave up on, as the peer acknowledged nothing any more.",
        |signal| (signal == Signal::ConnectionTimeouts).then_some(None),
    ),
    (
        "slowburn_tcp_io_bytes_total",
        "Payload received, and sent and acknowledged.",
        |signal| match signal {
            Signal::BytesReceived => Some(Some(("direction", "receive"))),
            Signal::BytesSent => Some(Some(("direction", "transmit"))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_segments_sent_total",
        "Segments with data, each when it was first sent.",
        |signal| (signal == Signal::SegmentsSent).then_some(None),
    ),
    (
        "slowburn_tcp_retransmits_total",
        "Segments sent again: data, or SYN and SYN-ACK.",
        |signal| match signal {
            Signal::Retransmits => Some(Some(("segment", "data"))),
            Signal::SynRetransmits => Some(Some(("segment", "syn"))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_resets_total",
        "Resets, by direction.",
        |signal| match signal {
            Signal::ResetsReceived => Some(Some(("direction", "receive"))),
            Signal::ResetsSent => Some(Some(("direction", "transmit"))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_resets_sent_by_reason_total",
        "Resets sent, by the kernel's own reason, where it tells one.",
        |signal| match signal {
            Signal::ResetSent(reason) => Some(Some(("reason", reason.as_str()))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_zero_windows_total",
        "Segments that told the peer to stop sending.",
        |signal| match signal {
            Signal::ZeroWindowsReceived => Some(Some(("direction", "receive"))),
            Signal::ZeroWindowsSent => Some(Some(("direction", "transmit"))),
            _ => None,
        },
    ),
    (
        "slowburn_tcp_listen_drops_total",
        "SYNs and finished handshakes that a listener turned away.",
        |signal| (signal == Signal::ListenDrops).then_some(None),
    ),
];

/// Gauge, name, help, and by what a value is divided to be in the unit of its name.
const GAUGES: [(Gauge, &str, &str, f64); 4] = [
    (
        Gauge::OpenConnections,
        "slowburn_tcp_open_connections",
        "Connections open now, of those whose beginning was seen.",
        1.0,
    ),
    (
        Gauge::AcceptQueue,
        "slowburn_tcp_accept_queue_connections",
        "Connections established and not accepted yet.",
        1.0,
    ),
    (
        Gauge::AcceptBacklog,
        "slowburn_tcp_accept_queue_limit_connections",
        "How many connections may wait to be accepted.",
        1.0,
    ),
    (
        Gauge::RttMicros,
        "slowburn_tcp_rtt_seconds",
        "Mean of the smoothed round trip times read last.",
        1e6,
    ),
];

pub(super) fn write(page: &mut Exposition, totals: &TcpTotals) {
    for (name, help, wanted) in COUNTERS {
        page.family(
            name,
            Kind::Counter,
            help,
            totals
                .counters
                .iter()
                .filter_map(|(service, role, signal, value)| {
                    let extra = wanted(*signal)?;
                    Some((labels(service, *role, extra), *value))
                }),
        );
    }
    for (wanted, name, help, unit) in GAUGES {
        page.family(
            name,
            Kind::Gauge,
            help,
            totals
                .gauges
                .iter()
                .filter(|(_, _, gauge, _)| *gauge == wanted)
                .map(|(service, role, _, value)| (labels(service, *role, None), value / unit)),
        );
    }
}

fn labels(service: &ServiceName, role: Role, extra: Extra) -> Labels<'_> {
    let mut labels = vec![("service", service.as_str()), ("role", role.as_str())];
    labels.extend(extra);
    labels
}
