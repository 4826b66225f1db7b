//! How much of a service a batch saw, of what there was to see.
//!
//! In: the requests that a batch counted, and those that it says were lost. Out: the time that the batch covers, less the share of requests
//! that were lost in it: nine in ten lost are nine tenths of the time unwatched. As time it has the unit of all that is missing, whatever an objective
//! counts, and is weighed against the service's requests, not against the few of a route.

use std::collections::HashMap;

use crate::measurement::{LossReason, Signal};
use crate::objective::{Sli, SliKind};
use crate::store::memory::Generation;

#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// Requests by service.
    counted: HashMap<i64, i64>,
    /// Requests by service; `None`: nobody knows whose they were, so as many of each.
    lost: HashMap<Option<i64>, i64>,
    /// Requests by service that were counted, but of no route, or by no threshold.
    incomplete: HashMap<(i64, LossReason), i64>,
}

impl Unseen {
    pub fn count(&mut self, service_id: i64, signal: Signal, events: i64) {
        if is_of_ends(signal) {
            *self.counted.entry(service_id).or_default() += events;
        }
    }

    pub fn lose(&mut self, service_id: Option<i64>, reason: LossReason, lost: i64) {
        match (reason, service_id) {
            (LossReason::Reduced | LossReason::Untimed, Some(service_id)) => {
                *self.incomplete.entry((service_id, reason)).or_default() += lost;
            }
            // They are counted of no service, or count probes and no requests.
            (LossReason::Reduced | LossReason::Untimed | LossReason::ProbeAbsent, _) => {}
            _ => *self.lost.entry(service_id).or_default() += lost,
        }
    }

    /// What is covered of a time in which all of it was watched.
    pub fn seen_of(&self, ms: i64, service_id: i64, generation: &Generation) -> i64 {
        // What is lost are requests: of segments they say nothing.
        if generation.sli.kind == SliKind::Retransmits {
            return ms;
        }
        let counted = self.counted.get(&service_id).copied().unwrap_or(0);
        let mut seen = ms;
        if let Some(lost) = self.lost.get(&Some(service_id)) {
            seen = share(seen, counted, *lost);
        }
        if let Some(lost) = self.lost.get(&None) {
            seen = share(seen, self.counted.values().sum(), *lost);
        }
        for reason in [LossReason::Reduced, LossReason::Untimed] {
            match self.incomplete.get(&(service_id, reason)) {
                // They are among what was counted.
                Some(lost) if concerns(reason, &generation.sli) => {
                    seen = share(seen, (counted - lost).max(0), *lost);
                }
                _ => {}
            }
        }
        seen
    }
}

/// Whether what is lost is missing from an objective. By some reasons the requests are counted, and lack a part.
pub(super) fn concerns(reason: LossReason, sli: &Sli) -> bool {
    match reason {
        // Segments are counted whether or not requests are followed.
        _ if sli.kind == SliKind::Retransmits => {
            matches!(
                reason,
                LossReason::SignalsFull | LossReason::ReserveFailed | LossReason::ProbeAbsent
            )
        }
        LossReason::Reduced => sli.route.is_some(),
        LossReason::Untimed => matches!(sli.kind, SliKind::Latency { .. }),
        _ => reason.is_of_requests(),
    }
}

/// Whether it counts requests by how they ended: each is counted by one such signal. Of who ended no one knows how,
/// nothing was seen, and some of them are told as lost.
fn is_of_ends(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::Status(_)
            | Signal::Grpc(_)
            | Signal::ResetByServer
            | Signal::ClosedUnanswered
            | Signal::TimedOut
            | Signal::ClientGaveUp
            | Signal::Answered
    )
}

/// To the nearest millisecond: what is less than that of a batch leaves its time as even as it was.
fn share(ms: i64, counted: i64, lost: i64) -> i64 {
    let (counted, all) = (
        i128::from(counted),
        (i128::from(counted) + i128::from(lost)).max(1),
    );
    i64::try_from((i128::from(ms) * counted + all / 2) / all).unwrap_or(ms)
}
