//! When slowburn started and stopped, in the list of events.
//!
//! What is killed cannot say so: the next start finds that the last one has no end.

use anyhow::{Context as _, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use slo_engine::event::{self, Event, EventKind};
use slo_engine::{Engine, read};
use sqlx::PgPool;

use super::host_name;

/// One of an instance on a host, life after life.
#[derive(Debug, Clone)]
pub struct Life {
    subject: String,
}

impl Life {
    pub fn of(instance: &str) -> Self {
        Self {
            subject: format!("{}/{instance}", host_name()),
        }
    }

    /// To be said before the engine is greeted: what the last life measured tells until when it lived.
    pub async fn started(&self, engine: &Engine, now: DateTime<Utc>) -> Result<()> {
        let sources = read::sources(engine.pool(), now).await?;
        let host = host_name();
        let of_host = sources.iter().filter(|source| source.host == host);
        let measured = of_host.map(|source| source.last_at).max();
        let mut transaction = engine.pool().begin().await?;
        let kinds = [EventKind::SlowburnStarted, EventKind::SlowburnStopped];
        let last = event::newest(&mut transaction, &self.subject, &kinds).await?;
        if let Some((EventKind::SlowburnStarted, since)) = last {
            // Of a life that booked nothing, what came before it tells nothing.
            let until = measured.filter(|at| *at >= since);
            let said = match until {
                Some(until) => format!("; the last it measured is of {}", spelt(until)),
                None => String::new(),
            };
            let message = format!(
                "slowburn, started {}, did not stop in order: it was killed, or could not write that it stopped{said}",
                spelt(since)
            );
            tracing::warn!("{message}");
            let data = json!({ "started_at": since, "measured_until": until });
            let died = self.event(EventKind::SlowburnDied, message, data, now);
            event::record(&mut transaction, &died).await?;
        }
        let version = env!("CARGO_PKG_VERSION");
        let message = format!("slowburn {version} started");
        let data = json!({ "version": version, "process": std::process::id() });
        let started = self.event(EventKind::SlowburnStarted, message, data, now);
        event::record(&mut transaction, &started).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The last that is written.
    pub async fn stopped(&self, pool: &PgPool, why: &str) -> Result<()> {
        let message = format!("slowburn stopped {why}; the probes stay attached and go on counting");
        let stopped = self.event(
            EventKind::SlowburnStopped,
            message,
            json!({ "process": std::process::id() }),
            Utc::now(),
        );
        let mut connection = pool.acquire().await?;
        event::record(&mut connection, &stopped)
            .await
            .context("record it")?;
        Ok(())
    }

    fn event(&self, kind: EventKind, message: String, data: Value, at: DateTime<Utc>) -> Event {
        Event {
            at,
            kind,
            subject: self.subject.clone(),
            message,
            data,
            traceparent: None,
        }
    }
}

fn spelt(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
