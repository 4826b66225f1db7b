//! The words in which probes tell the engine what they counted.
//!
//! In: nothing; these are values. Out: one [`Batch`] a read, every value in it cumulative since its
//! `start_time`. Nothing is subtracted on this side: the engine alone knows what it has booked.
//! A series that is not in a batch is a gap. It is never zero and never success.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::duration;

pub use crate::name::{NameError, ServiceName, SourceId};
pub use crate::route::{METHODS, ROUTE_MAX, Route, RouteError};

/// Everything one source read at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub source: SourceId,
    /// When the counters were read, on the source's clock.
    pub at: DateTime<Utc>,
    /// When the batch left the source, on the same clock: the engine measures the offset by it.
    pub sent_at: DateTime<Utc>,
    pub readings: Vec<Reading>,
    pub histograms: Vec<HistogramReading>,
    pub gauges: Vec<GaugeReading>,
    pub losses: Vec<Loss>,
}

/// Sent before anything is attached: its `at` is the source's first contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub source: SourceId,
    pub host: String,
    pub at: DateTime<Utc>,
}

/// One cumulative counter as read: `value` events since `start_time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub series: Series,
    pub start_time: DateTime<Utc>,
    pub value: u64,
}

/// What a counter counts. `route` is `None` for signals that know no request (TCP).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    pub service: ServiceName,
    pub role: Role,
    pub route: Option<Route>,
    pub signal: Signal,
}

/// Buckets an octave are `2^HISTOGRAM_SCALE`, as in OTLP's exponential histograms.
pub const HISTOGRAM_SCALE: i32 = 4;

/// A cumulative latency histogram. Bucket `i` counts latencies in
/// `(2^(i/16), 2^((i+1)/16)]` nanoseconds; buckets that count nothing are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramReading {
    pub service: ServiceName,
    pub role: Role,
    pub route: Option<Route>,
    pub clock: Clock,
    pub start_time: DateTime<Utc>,
    pub buckets: Vec<(i32, u64)>,
    pub sum: Duration,
}

/// A value that is true now and adds up to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct GaugeReading {
    pub service: ServiceName,
    pub role: Role,
    pub gauge: Gauge,
    pub value: f64,
}

/// Counts known to be lost, cumulative since `start_time`. `service` is `None` when the loss
/// cannot be given to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub service: Option<ServiceName>,
    pub reason: LossReason,
    pub value: u64,
    pub start_time: DateTime<Utc>,
}

/// One counter of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Answered with exactly this code.
    Status(u16),
    /// A gRPC call that ended with exactly this code, 0 to 16.
    Grpc(u8),
    /// Reset by the server with a request unanswered.
    ResetByServer,
    /// Closed by the server with a request unanswered.
    ClosedUnanswered,
    /// In flight past the service's timeout. Final: its later end is no second event.
    TimedOut,
    /// The client went away first. In no ratio by default.
    ClientGaveUp,
    /// Ended in a way the probe could not tell. In no ratio by default.
    Unknown,
    /// Answered in a protocol whose status cannot be read, TLS among them: good by default.
    Answered,
    /// Answered within the threshold, and not with 5xx.
    Within {
        clock: Clock,
        threshold: Duration,
    },
    /// In flight past the threshold, or ended past it however it ended.
    Over {
        clock: Clock,
        threshold: Duration,
    },
    Retransmits,
    SynRetransmits,
    ConnectFailures,
    Accepted,
    Connected,
    ResetsSent,
    ResetsReceived,
    /// Segments that a listener turned away, mostly as its accept queue was full: at least its `ListenDrops`.
    ListenDrops,
    BytesReceived,
    /// Acknowledged by the peer.
    BytesSent,
    /// Segments with data, each when first sent: again is [`Self::Retransmits`].
    SegmentsSent,
    /// Segments that told the peer to stop sending.
    ZeroWindowsSent,
    ZeroWindowsReceived,
    /// Connections that TCP gave up on, as the peer acknowledged nothing any more.
    ConnectionTimeouts,
    /// [`Self::ResetsSent`] by reason. The sum is the same where the kernel tells reasons.
    ResetSent(ResetReason),
    /// [`Self::ConnectFailures`] by error. The sum is the same.
    ConnectFailed(ConnectError),
}

impl Signal {
    /// Whether this counts segments and connections rather than requests: such series have no route.
    #[must_use]
    pub fn is_tcp(self) -> bool {
        matches!(
            self,
            Self::Retransmits
                | Self::SynRetransmits
                | Self::ConnectFailures
                | Self::Accepted
                | Self::Connected
                | Self::ResetsSent
                | Self::ResetsReceived
                | Self::ListenDrops
                | Self::BytesReceived
                | Self::BytesSent
                | Self::SegmentsSent
                | Self::ZeroWindowsSent
                | Self::ZeroWindowsReceived
                | Self::ConnectionTimeouts
                | Self::ResetSent(_)
                | Self::ConnectFailed(_)
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status:{code}"),
            Self::Grpc(code) => write!(f, "grpc:{code}"),
            Self::Within { clock, threshold } => write!(f, "within:{clock}:{}", duration::format(*threshold)),
            Self::Over { clock, threshold } => write!(f, "over:{clock}:{}", duration::format(*threshold)),
            Self::ResetSent(reason) => write!(f, "reset_sent:{reason}"),
            Self::ConnectFailed(error) => write!(f, "connect_failed:{error}"),
            plain => {
                let (_, text) = PLAIN_SIGNALS
                    .iter()
                    .find(|(signal, _)| signal == plain)
                    .ok_or(fmt::Error)?;
                f.write_str(text)
            }
        }
    }
}

impl FromStr for Signal {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            what: "signal",
            text: text.to_owned(),
        };
        if let Some((signal, _)) = PLAIN_SIGNALS.iter().find(|(_, spelling)| *spelling == text) {
            return Ok(*signal);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        if kind == "status" {
            return rest.parse().map(Self::Status).map_err(|_| unknown());
        }
        if kind == "grpc" {
            let code = rest.parse().ok().filter(|code| *code <= 16);
            return code.map(Self::Grpc).ok_or_else(unknown);
        }
        match kind {
            "reset_sent" => return rest.parse().map(Self::ResetSent).map_err(|_| unknown()),
            "connect_failed" => return rest.parse().map(Self::ConnectFailed).map_err(|_| unknown()),
            _ => {}
        }
        let (clock, threshold) = rest.split_once(':').ok_or_else(unknown)?;
        let clock = clock.parse().map_err(|_| unknown())?;
        let threshold = duration::parse(threshold).map_err(|_| unknown())?;
        match kind {
            "within" => Ok(Self::Within { clock, threshold }),
            "over" => Ok(Self::Over { clock, threshold }),
            _ => Err(unknown()),
        }
    }
}

const PLAIN_SIGNALS: &[(Signal, &str)] = &[
    (Signal::ResetByServer, "outcome:reset_by_server"),
    (Signal::ClosedUnanswered, "outcome:closed_unanswered"),
    (Signal::TimedOut, "outcome:timed_out"),
    (Signal::ClientGaveUp, "outcome:client_gave_up"),
    (Signal::Unknown, "outcome:unknown"),
    (Signal::Answered, "outcome:answered"),
    (Signal::Retransmits, "tcp:retransmits"),
    (Signal::SynRetransmits, "tcp:syn_retransmits"),
    (Signal::ConnectFailures, "tcp:connect_failures"),
    (Signal::Accepted, "tcp:accepted"),
    (Signal::Connected, "tcp:connected"),
    (Signal::ResetsSent, "tcp:resets_sent"),
    (Signal::ResetsReceived, "tcp:resets_received"),
    (Signal::ListenDrops, "tcp:listen_drops"),
    (Signal::BytesReceived, "tcp:bytes_received"),
    (Signal::BytesSent, "tcp:bytes_sent"),
    (Signal::SegmentsSent, "tcp:segments_sent"),
    (Signal::ZeroWindowsSent, "tcp:zero_windows_sent"),
    (Signal::ZeroWindowsReceived, "tcp:zero_windows_received"),
    (Signal::ConnectionTimeouts, "tcp:connection_timeouts"),
];

/// A stored or configured word that names nothing we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no known {what}")]
pub struct UnknownWord {
    pub what: &'static str,
    pub text: String,
}

/// Gives an enum of plain words its stored spelling once, for `Display`, `FromStr` and `ALL`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal, { $($(#[$variant_meta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stored spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::measurement::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::measurement::UnknownWord { what: $what, text: text.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use words;

words!(
    /// Which end of the connection the service was.
    Role, "role", { Server => "server", Client => "client" }
);

words!(
    /// From when to when a request is timed.
    Clock, "clock", {
        /// Last request byte in to first response byte out. The default.
        Turnaround => "turnaround",
        /// First request byte in to first response byte out.
        FirstByte => "first_byte",
        /// First request byte in to last response byte out.
        LastByte => "last_byte",
        /// First SYN out to the connection being open. Of connections, not of requests.
        Connect => "connect",
        /// Last request byte in to the server's first read after it: the part of the turnaround
        /// that a request spends waiting. Of all routes together.
        Queue => "queue",
        /// TCP's smoothed round trip time. Of connections, not of requests.
        RoundTrip => "round_trip",
    }
);

impl Clock {
    /// Those that time requests, which objectives can be about.
    pub const OF_REQUESTS: &'static [Self] = &[Self::Turnaround, Self::FirstByte, Self::LastByte];
}

words!(
    /// Why the kernel sent a reset, in the words of its `sk_rst_reason`.
    ResetReason, "reset reason", {
        NotSpecified => "not_specified",
        NoSocket => "no_socket",
        InvalidAckSequence => "tcp_invalid_ack_sequence",
        Paws => "tcp_rfc7323_paws",
        TooOldAck => "tcp_too_old_ack",
        AckUnsentData => "tcp_ack_unsent_data",
        Flags => "tcp_flags",
        OldAck => "tcp_old_ack",
        /// Data came after the socket was closed.
        AbortOnData => "tcp_abort_on_data",
        TimewaitSocket => "tcp_timewait_socket",
        InvalidSyn => "invalid_syn",
        /// Closed with data unread.
        AbortOnClose => "tcp_abort_on_close",
        AbortOnLinger => "tcp_abort_on_linger",
        AbortOnMemory => "tcp_abort_on_memory",
        /// Disconnected, as by closing with `SO_LINGER` at 0.
        State => "tcp_state",
        KeepaliveTimeout => "tcp_keepalive_timeout",
        DisconnectWithData => "tcp_disconnect_with_data",
        Error => "error",
        /// One that is not in this list.
        Other => "other",
    }
);

impl ResetReason {
    /// The kernel's own spelling, such as `TCP_ABORT_ON_CLOSE`.
    #[must_use]
    pub fn of_kernel(name: &str) -> Self {
        name.to_ascii_lowercase().parse().unwrap_or(Self::Other)
    }
}

words!(
    /// Why a connection could not be opened.
    ConnectError, "connect error", {
        /// `ECONNREFUSED`
        Refused => "connection_refused",
        /// `ETIMEDOUT`: no answer to any SYN.
        TimedOut => "timed_out",
        /// `EHOSTUNREACH`
        HostUnreachable => "host_unreachable",
        /// `ENETUNREACH`
        NetworkUnreachable => "network_unreachable",
        /// `ECONNRESET`
        Reset => "connection_reset",
        /// Closed by whoever opened it, before there was an answer.
        Canceled => "canceled",
        Other => "other",
    }
);

words!(
    /// What a gauge shows.
    Gauge, "gauge", {
        RttMicros => "rtt_micros",
        InFlight => "in_flight",
        /// In flight past the service's smallest threshold.
        Overdue => "overdue",
        OpenConnections => "open_connections",
        /// Connections established and not yet accepted, of all listeners together.
        AcceptQueue => "accept_queue",
        /// How many may wait so.
        AcceptBacklog => "accept_backlog",
    }
);

words!(
    /// Where counts were lost.
    LossReason, "loss reason", {
        /// A kernel map had no room for a new key.
        MapFull => "map_full",
        /// The same of what counts no request: TCP's signals, and who asked.
        SignalsFull => "signals_full",
        /// Bytes that no protocol of ours could read.
        Unparsable => "unparsable",
        /// The ring buffer had no room.
        ReserveFailed => "reserve_failed",
        /// Sequence numbers of events skipped.
        GapInSequence => "gap_in_sequence",
        /// Counted for an endpoint that has no service name.
        Unnamed => "unnamed",
        /// A probe could not attach, so its signals are missing.
        ProbeAbsent => "probe_absent",
        /// Counted by status alone: the thresholds of its service were not known yet, or its latency found no room.
        Untimed => "untimed",
        /// Not looked at closely enough, to stay within the overhead budget.
        Reduced => "reduced",
    }
);

impl LossReason {
    /// Whether events of objectives may be missing.
    #[must_use]
    pub fn is_of_requests(self) -> bool {
        !matches!(self, Self::Unnamed | Self::SignalsFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_signal_reads_back_from_its_stored_spelling() {
        let mut signals: Vec<Signal> = PLAIN_SIGNALS.iter().map(|(signal, _)| *signal).collect();
        signals.extend([Signal::Status(200), Signal::Status(503)]);
        signals.extend(ResetReason::ALL.iter().map(|reason| Signal::ResetSent(*reason)));
        signals.extend(
            ConnectError::ALL
                .iter()
                .map(|error| Signal::ConnectFailed(*error)),
        );
        for clock in Clock::ALL {
            signals.push(Signal::Within {
                clock: *clock,
                threshold: millis(250),
            });
            signals.push(Signal::Over {
                clock: *clock,
                threshold: millis(1500),
            });
        }
        for signal in signals {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        assert_eq!(
            Signal::Within {
                clock: Clock::Turnaround,
                threshold: millis(250)
            }
            .to_string(),
            "within:turnaround:250ms"
        );
    }

    #[test]
    fn a_signal_that_is_none_is_refused() {
        for text in [
            "",
            "status:",
            "status:abc",
            "within:turnaround",
            "within:noon:250ms",
            "over:turnaround:0ms",
            "tcp:",
            "reset_sent:boredom",
            "connect_failed:",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_word_reads_back_from_its_stored_spelling() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(*role));
        }
        for clock in Clock::ALL {
            assert_eq!(clock.to_string().parse(), Ok(*clock));
        }
        for gauge in Gauge::ALL {
            assert_eq!(gauge.to_string().parse(), Ok(*gauge));
        }
        for reason in LossReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(*reason));
        }
    }
}
