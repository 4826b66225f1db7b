//! The kernel's numbers in the engine's words.

use probes_ebpf::wire::{loss, what};
use slo_engine::measurement::{ConnectError, LossReason, ResetReason, Signal};

/// What was lost, by index of the kernel's counters.
pub(crate) const REASONS: [(u32, LossReason); 14] = [
    (loss::COUNTS_FULL, LossReason::MapFull),
    (loss::LATENCIES_FULL, LossReason::Untimed),
    (loss::SIGNALS_FULL, LossReason::SignalsFull),
    (loss::SOURCES_FULL, LossReason::SignalsFull),
    (loss::PENDING_FULL, LossReason::MapFull),
    (loss::STORAGE_FULL, LossReason::ReserveFailed),
    (loss::PIPELINED, LossReason::Unparsable),
    (loss::UNPARSABLE, LossReason::Unparsable),
    (loss::UNFRAMED, LossReason::Unparsable),
    (loss::INTERRUPTED, LossReason::ReserveFailed),
    (loss::UNROUTED, LossReason::Reduced),
    (loss::HTTP2_RING_FULL, LossReason::ReserveFailed),
    (loss::HTTP2_HOLE, LossReason::GapInSequence),
    (loss::HTTP2_JOINED_LATE, LossReason::Unparsable),
];

/// What a number counts. `reasons` are those of resets, of the kernel that runs.
pub(crate) fn signal_of(number: u16, reasons: &[ResetReason]) -> Option<Signal> {
    Some(match number {
        100..=999 => Signal::Status(number),
        what::GRPC..=what::GRPC_END => Signal::Grpc(u8::try_from(number - what::GRPC).ok()?),
        what::RESET_BY_SERVER => Signal::ResetByServer,
        what::CLOSED_UNANSWERED => Signal::ClosedUnanswered,
        what::TIMED_OUT => Signal::TimedOut,
        what::CLIENT_GAVE_UP => Signal::ClientGaveUp,
        what::UNKNOWN => Signal::Unknown,
        what::ANSWERED => Signal::Answered,
        what::RETRANSMITS => Signal::Retransmits,
        what::SYN_RETRANSMITS => Signal::SynRetransmits,
        what::CONNECT_FAILURES => Signal::ConnectFailures,
        what::ACCEPTED => Signal::Accepted,
        what::CONNECTED => Signal::Connected,
        what::RESETS_SENT => Signal::ResetsSent,
        what::RESETS_RECEIVED => Signal::ResetsReceived,
        what::BYTES_RECEIVED => Signal::BytesReceived,
        what::BYTES_SENT => Signal::BytesSent,
        what::SEGMENTS_SENT => Signal::SegmentsSent,
        what::ZERO_WINDOWS_SENT => Signal::ZeroWindowsSent,
        what::ZERO_WINDOWS_RECEIVED => Signal::ZeroWindowsReceived,
        what::CONNECTION_TIMEOUTS => Signal::ConnectionTimeouts,
        what::CONNECT_REFUSED => Signal::ConnectFailed(ConnectError::Refused),
        what::CONNECT_TIMED_OUT => Signal::ConnectFailed(ConnectError::TimedOut),
        what::CONNECT_HOST_UNREACHABLE => Signal::ConnectFailed(ConnectError::HostUnreachable),
        what::CONNECT_NETWORK_UNREACHABLE => Signal::ConnectFailed(ConnectError::NetworkUnreachable),
        what::CONNECT_RESET => Signal::ConnectFailed(ConnectError::Reset),
        what::CONNECT_CANCELED => Signal::ConnectFailed(ConnectError::Canceled),
        what::CONNECT_OTHER => Signal::ConnectFailed(ConnectError::Other),
        what::RESET_SENT_BECAUSE..what::RESET_REASONS_END => {
            let reason = reasons.get(usize::from(number - what::RESET_SENT_BECAUSE));
            Signal::ResetSent(reason.copied().unwrap_or(ResetReason::Other))
        }
        _ => return None,
    })
}
