//! The hands: runs, deliveries, and the lease on the kernel's limits.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use remediation::{Delivered, Outbox, Worked, Worker};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limiter::KernelLimits;

/// How long a worker without a wake-up waits before it looks again.
const POLL: Duration = Duration::from_secs(1);
/// The kernel drops nothing once its lease has run out, so this is how long a limit can outlive slowburn.
const LEASE: Duration = Duration::from_secs(5);
const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(1);
/// Discovery names a service within two seconds of its listening.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(10);

/// Carries out due steps until cancelled.
pub async fn steps(worker: Arc<Worker>, wake: Arc<Notify>, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match worker.work_once(Utc::now()).await {
            Ok(Worked::Idle) => {}
            Ok(_) => continue,
            Err(error) => tracing::warn!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "a step could not be worked on"
            ),
        }
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return,
        }
    }
}

/// Notifications on their way at a time: a receiver that does not answer must not hold up the others.
pub const DELIVERIES: usize = 4;

/// Sends due notifications until cancelled, one at a time.
pub async fn deliveries(outbox: Arc<Outbox>, wake: Arc<Notify>, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match outbox.deliver_once(Utc::now()).await {
            Ok(Delivered::Idle) => {}
            Ok(_) => continue,
            Err(error) => tracing::warn!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "a notification could not be worked on"
            ),
        }
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return,
        }
    }
}

/// Takes up the limits of an earlier life, then renews the kernel's lease while we live.
///
/// Until this has happened the lease is not renewed: a limit stands only if its run is taken up again and its
/// deadline has not passed.
pub async fn lease(worker: Arc<Worker>, limits: Arc<KernelLimits>, cancel: CancellationToken) {
    let give_up = Instant::now() + TAKE_UP_PATIENCE;
    while let Err(error) = worker.reconcile(Utc::now()).await {
        if Instant::now() > give_up {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "limits of an earlier run could not be taken up and end now"
            );
            break;
        }
        // A service that has not been discovered yet has no port to limit.
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return,
        }
    }
    if let Err(error) = limits.release_unasked().await {
        tracing::error!(
            error = format!("{error:#}"),
            "limits of an earlier run could not be released"
        );
    }
    let mut tick = tokio::time::interval(LEASE_RENEWED_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = cancel.cancelled() => return,
        }
        if let Err(error) = limits.renew_lease(LEASE).await {
            tracing::error!(
                error = format!("{error:#}"),
                "could not renew the lease: limits end by themselves"
            );
        }
    }
}
