//! Delivers notifications: at least once, in order per receiver, repeatable by receivers that look
//! at the identity they are given.
//!
//! In: rows that were committed with their reason. Out: one call a time, and what came of it. A
//! receiver that is down is asked again until the notification's deadline; one that refuses for good
//! (4xx) is not asked again. `Retry-After` holds back everything for that target.

mod answer;
mod pagerduty;
mod slack;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::{Client, Request};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use slo_engine::event::{self, Event, EventKind};
use sqlx::PgPool;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::error::Error;
use crate::outgoing::{self, SMALL};
use crate::runbook::Playbook;
use crate::secret::SecretError;
use crate::store::outbox::{self as store, Parcel};
use crate::target::{Sink, SinkKind, Target};
use crate::trace;
use crate::words::words;
use answer::Class;

words!(
    /// What a notification is about.
    NoticeAction, "notice action", {
        /// An alert fires.
        Trigger => "trigger",
        /// Acting did not help, or could not be done.
        Escalate => "escalate",
        /// Somebody takes care of an alert.
        Acknowledge => "acknowledge",
        /// All alerts are over.
        Resolve => "resolve",
    }
);

words!(
    /// Where a notification is.
    DeliveryState, "delivery state", {
        Pending => "pending",
        Delivered => "delivered",
        /// Given up: refused for good, or past its deadline.
        Failed => "failed",
    }
);

/// Longer than a call can take.
const LEASE: Duration = Duration::from_secs(30);
/// A notification that could not be delivered for so long is given up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(24 * 3_600);

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Nothing is due, or its target must not be told yet.
    Idle,
    Sent {
        target: String,
        action: NoticeAction,
    },
    /// Will be tried again then.
    Later {
        target: String,
        at: DateTime<Utc>,
        error: String,
    },
    GivenUp {
        target: String,
        error: String,
    },
    /// Another worker took it over while this one was at it.
    TakenOver,
}

/// Delivers what is due, one notification a call.
#[derive(Debug, Clone)]
pub struct Outbox {
    pool: PgPool,
    playbook: watch::Receiver<Arc<Playbook>>,
    http: Client,
    name: String,
    dashboard: Option<String>,
}

impl Outbox {
    /// `name` says in rows who holds a lease. `http` comes from [`outgoing::client`].
    #[must_use]
    pub fn new(
        pool: PgPool,
        playbook: watch::Receiver<Arc<Playbook>>,
        http: Client,
        name: impl Into<String>,
    ) -> Self {
        Self {
            pool,
            playbook,
            http,
            name: name.into(),
            dashboard: None,
        }
    }

    /// The dashboard's address, for links in messages.
    #[must_use]
    pub fn with_dashboard(mut self, url: impl Into<String>) -> Self {
        self.dashboard = Some(url.into());
        self
    }

    /// Claims one due notification, sends it, records what came of it. Safe to run twice and in
    /// parallel. Call again at once unless it was idle.
    ///
    /// # Errors
    /// When the database fails. A receiver that fails is no error.
    pub async fn deliver_once(&self, now: DateTime<Utc>) -> Result<Delivered, Error> {
        let Some(parcel) = store::claim(&self.pool, &self.name, LEASE, pace, now).await? else {
            return Ok(Delivered::Idle);
        };
        let span = tracing::info_span!(
            "deliver",
            otel.name = format!("deliver {}", parcel.target),
            messaging.message.id = parcel.message_id,
            run.id = parcel.notice.run_id,
            target.name = parcel.target,
            delivery.attempt = parcel.attempts,
        );
        trace::continue_from(&span, parcel.traceparent.as_deref());
        self.deliver(parcel, now).instrument(span).await
    }

    async fn deliver(&self, parcel: Parcel, now: DateTime<Utc>) -> Result<Delivered, Error> {
        let began = Instant::now();
        let playbook = Arc::clone(&self.playbook.borrow());
        let (class, status, error) = match playbook.target(&parcel.target) {
            None => (Class::Final, None, Some("target is no longer defined".to_owned())),
            Some(target) => self.send(target, &parcel, now).await,
        };
        let now = now + began.elapsed();
        let not_before = match class {
            Class::Accepted | Class::Final => now,
            Class::Later(Some(wait)) => now + wait,
            Class::Later(None) => now + answer::backoff(parcel.attempts, &parcel.message_id),
        };
        let error = error.unwrap_or_default();
        let delivered = match class {
            Class::Accepted => Delivered::Sent {
                target: parcel.target.clone(),
                action: parcel.action,
            },
            Class::Later(_) if not_before < parcel.deadline_at => Delivered::Later {
                target: parcel.target.clone(),
                at: not_before,
                error: error.clone(),
            },
            Class::Final | Class::Later(_) => Delivered::GivenUp {
                target: parcel.target.clone(),
                error: error.clone(),
            },
        };
        let state = match delivered {
            Delivered::Sent { .. } => DeliveryState::Delivered,
            Delivered::GivenUp { .. } => DeliveryState::Failed,
            _ => DeliveryState::Pending,
        };
        let mut transaction = self.pool.begin().await?;
        let error = Some(error.as_str()).filter(|error| !error.is_empty());
        let mine = store::conclude(&mut transaction, &parcel, state, status, error, not_before, now).await?;
        if !mine {
            return Ok(Delivered::TakenOver);
        }
        if let Class::Later(Some(_)) = class {
            store::hold_back(&mut transaction, &parcel.target, not_before).await?;
        }
        if let Some(event) = report(&parcel, &delivered, now) {
            event::record(&mut transaction, &event).await?;
        }
        transaction.commit().await?;
        Ok(delivered)
    }

    /// Sends once: how it went, the status if there was an answer, and the error without secrets.
    async fn send(
        &self,
        target: &Target,
        parcel: &Parcel,
        now: DateTime<Utc>,
    ) -> (Class, Option<u16>, Option<String>) {
        let request = match self.request(&target.sink, parcel, now).await {
            Ok(request) => request,
            // Someone may be about to put the secret in its place.
            Err(error) => return (Class::Later(None), None, Some(error.to_string())),
        };
        match outgoing::call(&self.http, request, parcel.traceparent.as_deref(), SMALL, now).await {
            Ok(answer) => {
                let class = answer::class(target.sink.kind(), &answer);
                let error = (class != Class::Accepted).then(|| answer::explain(target.sink.kind(), &answer));
                (class, Some(answer.status.as_u16()), error)
            }
            Err(error) => (Class::Later(None), None, Some(error.to_string())),
        }
    }

    async fn request(
        &self,
        sink: &Sink,
        parcel: &Parcel,
        now: DateTime<Utc>,
    ) -> Result<Request, RequestError> {
        let link = self.dashboard.as_deref();
        match sink {
            Sink::PagerDuty { routing_key, url } => {
                let key = routing_key.read().await?;
                let request = self.http.post(url).json(&pagerduty::body(parcel, &key, link));
                request.build().map_err(|_| RequestError::Url)
            }
            Sink::Slack { url } => {
                let url = url.read().await?;
                let request = self.http.post(url.expose()).json(&slack::body(parcel, link));
                request.build().map_err(|_| RequestError::Url)
            }
            Sink::Webhook { url, secret } => {
                let secret = secret.read().await?;
                let body = webhook::body(parcel, link);
                let headers = webhook::headers(&parcel.message_id, now, body.as_bytes(), &secret)?;
                let mut request = self
                    .http
                    .post(url)
                    .header("content-type", "application/json")
                    .body(body);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                request.build().map_err(|_| RequestError::Url)
            }
        }
    }
}

/// Why there is nothing to send yet. `Display` has no secret in it.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("{0}")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    SigningKey(#[from] webhook::KeyError),
    #[error("target's address is no URL")]
    Url,
}

/// How far apart deliveries to one target are, and how many may come at once, as time.
fn pace(sink: SinkKind) -> (Duration, Duration) {
    match sink {
        // 120 a minute by their documentation.
        SinkKind::PagerDuty => (Duration::from_millis(600), Duration::from_secs(6)),
        // One a second; Slack may switch off an app that does not keep to it.
        SinkKind::Slack => (Duration::from_secs(1), Duration::from_secs(1)),
        SinkKind::Webhook => (Duration::from_millis(100), Duration::from_secs(1)),
    }
}

fn report(parcel: &Parcel, delivered: &Delivered, now: DateTime<Utc>) -> Option<Event> {
    let Parcel {
        target,
        action,
        notice,
        ..
    } = parcel;
    let (kind, message) = match delivered {
        Delivered::Sent { .. } => (
            EventKind::NotificationSent,
            format!("told `{target}` about run {} ({action})", notice.run_id),
        ),
        // The first failure is news, the following are not.
        Delivered::Later { error, .. } if parcel.attempts == 1 => {
            tracing::warn!(
                target.name = target,
                run.id = notice.run_id,
                error,
                "notification failed, trying again"
            );
            (
                EventKind::NotificationFailed,
                format!(
                    "could not tell `{target}` about run {}: {error}; trying again",
                    notice.run_id
                ),
            )
        }
        Delivered::GivenUp { error, .. } => {
            tracing::error!(
                target.name = target,
                run.id = notice.run_id,
                error,
                "notification given up"
            );
            (
                EventKind::NotificationFailed,
                format!("gave up telling `{target}` about run {}: {error}", notice.run_id),
            )
        }
        _ => return None,
    };
    Some(Event {
        at: now,
        kind,
        subject: notice.objective.clone(),
        message,
        data: serde_json::json!({
            "target": target, "action": action, "run_id": notice.run_id, "attempt": parcel.attempts,
        }),
        traceparent: parcel.traceparent.clone(),
    })
}

/// The numbers behind a notification, for receivers that show them.
fn details(parcel: &Parcel) -> serde_json::Value {
    let notice = &parcel.notice;
    let mut details = serde_json::json!({
        "alert_id": notice.alert_id,
        "run_id": notice.run_id,
        "runbook": notice.runbook,
        "burn_rate_long": notice.burn_rate_long.and_then(number),
        "burn_rate_short": notice.burn_rate_short.and_then(number),
        "threshold": notice.threshold.and_then(number),
        "good": notice.good,
        "bad": notice.bad,
    });
    for (key, said) in [
        ("owner", &notice.owner),
        ("runbook_url", &notice.runbook_url),
        ("silent", &notice.silent),
        ("remark", &notice.remark),
    ] {
        if let Some(said) = said {
            details[key] = serde_json::json!(said);
        }
    }
    if let Some(trace_id) = parcel.traceparent.as_deref().and_then(trace::trace_id) {
        details["trace_id"] = serde_json::json!(trace_id);
    }
    details
}

/// Receivers want numbers, four decimals are plenty for them.
fn number(decimal: Decimal) -> Option<f64> {
    decimal.round_dp(4).to_f64()
}
