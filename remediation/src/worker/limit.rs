//! Limits on sources: whom, how much, and making them live.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};
use slo_engine::event::EventKind;
use slo_engine::measurement::ServiceName;
use sqlx::PgConnection;

use super::effect::{Done, Prepared};
use super::{Failure, Reconciled, Worker};
use crate::error::{Error, chain};
use crate::limits::{Applied, LimitId, LimitsError, SourcePrefix, SourceRate};
use crate::run::StepEvent;
use crate::runbook::{Rate, Sources, XdpLimit};
use crate::store;
use crate::store::limit::Wanted;
use crate::store::run::RunRow;
use crate::store::step::Claim;

/// Most sources that one step limits: more at once is no flood from somewhere but a crowd.
const SOURCES_MAX: usize = 16;

impl Worker {
    pub(super) async fn prepare_limit(&self, limit: &XdpLimit, run: &RunRow) -> Result<Prepared, Error> {
        let service: ServiceName = run.service.parse()?;
        let sources = match self.limits.heaviest_sources(&service).await {
            Ok(sources) => sources,
            Err(error) => return Ok(Prepared::Failed(error.into())),
        };
        let chosen = choose(limit, &sources);
        if chosen.limited.is_empty() {
            let reason = match limit.sources {
                Sources::Heaviest => format!("no source sent at least {} of everything", limit.min_share),
                Sources::Listed(_) => "every listed source is on the allow list".to_owned(),
            };
            return Ok(Prepared::Nothing { reason, again: true });
        }
        let (rate, because) = rate(limit, &chosen.honest, run.floor_per_second);
        let wanted: Vec<Wanted> = chosen
            .limited
            .iter()
            .map(|source| Wanted {
                source: *source,
                rate_per_second: rate,
                burst: limit.burst.unwrap_or(rate),
            })
            .collect();
        let left_alone: Vec<Value> = chosen
            .left_alone
            .iter()
            .map(|(source, share, because)| json!({ "source": source, "share": share, "because": because }))
            .collect();
        Ok(Prepared::Intent {
            intent: json!({ "limits": wanted, "rate_because": because, "left_alone": left_alone }),
            inverse: Some(json!({ "release": "limits" })),
        })
    }

    /// Writes the limits that a claim's intent names, so that they outlive this process.
    pub(super) async fn want_limits(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
        run: &RunRow,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let intent = claim
            .intent
            .as_ref()
            .map_or(Value::Null, |intent| intent["limits"].clone());
        let wanted: Vec<Wanted> = serde_json::from_value(intent)?;
        for wanted in &wanted {
            store::limit::want(
                connection,
                claim.step_id,
                &run.service,
                &self.node,
                wanted,
                expires_at,
                now,
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn effect_limit(
        &self,
        claim: &Claim,
        run: &RunRow,
        now: DateTime<Utc>,
    ) -> Result<Done, Failure> {
        let mut connection = self.pool.acquire().await.map_err(database)?;
        let limits = store::limit::of_step(&mut connection, claim.step_id)
            .await
            .map_err(broken)?;
        let mut results = Vec::new();
        let mut live = Vec::new();
        for limit in limits.iter().filter(|limit| limit.expires_at > now) {
            let applied = match self.limits.apply(limit).await? {
                Applied::Live { mode } => {
                    store::limit::applied(&mut connection, limit.id, mode, now)
                        .await
                        .map_err(broken)?;
                    live.push(limit);
                    mode.as_str()
                }
                Applied::AllowListed => {
                    store::limit::released(&mut connection, limit.id, now)
                        .await
                        .map_err(broken)?;
                    "allow_listed"
                }
            };
            results.push(json!({
                "id": limit.id, "source": limit.source, "rate_per_second": limit.rate_per_second,
                "burst": limit.burst, "expires_at": limit.expires_at, "mode": applied,
            }));
        }
        let names: Vec<String> = live
            .iter()
            .map(|limit| format!("{} to {}/s", limit.source, limit.rate_per_second))
            .collect();
        let expires_at = live.iter().map(|limit| limit.expires_at).max();
        let (event, message) = if live.is_empty() {
            (
                StepEvent::NothingToDo,
                format!("run {} limited nobody: allow-listed, or too late", run.id),
            )
        } else {
            (
                StepEvent::Effected,
                format!("run {} limits {} on `{}`", run.id, names.join(", "), run.service),
            )
        };
        Ok(Done {
            event,
            result: json!({ "limits": results }),
            expires_at,
            said: EventKind::LimitApplied,
            message,
        })
    }

    pub(super) async fn release_limits(
        &self,
        claim: &Claim,
        _run: &RunRow,
        now: DateTime<Utc>,
    ) -> Result<Value, Failure> {
        let mut connection = self.pool.acquire().await.map_err(database)?;
        let limits = store::limit::of_step(&mut connection, claim.step_id)
            .await
            .map_err(broken)?;
        let live = self.limits.list().await.unwrap_or_else(|error| {
            // Releasing matters more than what was counted until now.
            tracing::warn!(%error, "counts of limits could not be read");
            Vec::new()
        });
        let mut released = Vec::new();
        for limit in limits {
            self.limits.release(limit.id).await?;
            store::limit::released(&mut connection, limit.id, now)
                .await
                .map_err(broken)?;
            let counts = live.iter().find(|live| live.limit.id == limit.id);
            released.push(json!({
                "id": limit.id, "source": limit.source,
                "passed": counts.map(|live| live.passed), "dropped": counts.map(|live| live.dropped),
            }));
        }
        Ok(json!({ "released": released }))
    }

    /// Makes the limiter agree with the books: what stands and is not live is made live, what is live
    /// and no longer stands is released. Called at start, and again whenever something may have
    /// changed the kernel behind our back. Limits that no book knows are left alone.
    ///
    /// # Errors
    /// When the limiter or the database fails; what could be done is.
    pub async fn reconcile(&self, now: DateTime<Utc>) -> Result<Reconciled, Error> {
        let mut connection = self.pool.acquire().await?;
        let mut live: Vec<LimitId> = Vec::new();
        let mut reconciled = Reconciled::default();
        let mut failed = None;
        let before = self.limits.list().await?;
        live.extend(before.iter().map(|live| live.limit.id));
        for limit in store::limit::standing(&mut connection, &self.node, now).await? {
            if before.iter().any(|live| live.limit == limit) {
                continue;
            }
            match self.limits.apply(&limit).await {
                Ok(Applied::Live { mode }) => {
                    live.push(limit.id);
                    store::limit::applied(&mut connection, limit.id, mode, now).await?;
                    reconciled.applied += 1;
                }
                Ok(Applied::AllowListed) => {
                    store::limit::released(&mut connection, limit.id, now).await?;
                }
                // The others must not end because of this one.
                Err(error) => failed = Some(error),
            }
        }
        // Read again: what was let go of in the meantime may have been released before it was live.
        let standing = store::limit::standing(&mut connection, &self.node, now).await?;
        for id in live {
            let stands = standing.iter().any(|limit| limit.id == id);
            if !stands && store::limit::run_of(&mut connection, id).await?.is_some() {
                self.limits.release(id).await?;
                reconciled.released += 1;
            }
        }
        if reconciled != Reconciled::default() {
            tracing::warn!(
                limits.applied = reconciled.applied,
                limits.released = reconciled.released,
                "limiter did not agree with the books"
            );
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(reconciled),
        }
    }
}

/// Whom to limit, whom not, and why not.
#[derive(Debug, PartialEq)]
struct Chosen {
    limited: Vec<SourcePrefix>,
    left_alone: Vec<(IpAddr, f64, &'static str)>,
    /// What each source sends that is left alone and is on no allow list.
    honest: Vec<f64>,
}

fn choose(limit: &XdpLimit, sources: &[SourceRate]) -> Chosen {
    let mut sorted: Vec<&SourceRate> = sources.iter().collect();
    sorted.sort_by(|a, b| b.share.total_cmp(&a.share));
    let min_share = limit.min_share.to_f64().unwrap_or(1.0);
    let mut chosen = Chosen {
        limited: Vec::new(),
        left_alone: Vec::new(),
        honest: Vec::new(),
    };
    for source in sorted {
        let wanted = match &limit.sources {
            Sources::Heaviest => source.share >= min_share,
            Sources::Listed(list) => list.iter().any(|prefix| prefix.contains(source.source)),
        };
        if source.allow_listed {
            chosen
                .left_alone
                .push((source.source, source.share, "allow list"));
        } else if !wanted {
            chosen.left_alone.push((source.source, source.share, "share"));
            chosen.honest.push(source.per_second);
        } else if limit.sources == Sources::Heaviest {
            if chosen.limited.len() < SOURCES_MAX {
                chosen.limited.push(source.source.into());
            } else {
                chosen.left_alone.push((source.source, source.share, "enough"));
            }
        }
    }
    if let Sources::Listed(list) = &limit.sources {
        // Listed sources are limited whether they send now or not; the limiter has its allow list.
        chosen.limited.clone_from(list);
    }
    chosen.left_alone.truncate(SOURCES_MAX);
    chosen
}

/// How much a limited source may still send, never less than the floor, and why so much.
fn rate(limit: &XdpLimit, honest: &[f64], floor: u32) -> (u32, String) {
    let (rate, because) = match &limit.rate {
        Rate::PerSecond(rate) => (*rate, "as the runbook says".to_owned()),
        Rate::Keep(factor) => match median(honest) {
            Some(median) => {
                let wanted = factor.to_f64().unwrap_or(1.0) * median;
                let wanted = Decimal::from_f64_retain(wanted.ceil()).and_then(|rate| rate.to_u32());
                (
                    wanted.unwrap_or(u32::MAX),
                    format!("{factor} times the median of the others, {median:.1}/s"),
                )
            }
            None => (floor, "nobody else sends, so the floor".to_owned()),
        },
    };
    if rate < floor {
        (floor, format!("{because}, raised to the floor"))
    } else {
        (rate, because)
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

impl From<LimitsError> for Failure {
    fn from(error: LimitsError) -> Self {
        match &error {
            LimitsError::Unsupported(_) => Self::for_good(error.to_string()),
            LimitsError::Failed(_) => Self::again(chain(&error)),
        }
    }
}

fn database(error: sqlx::Error) -> Failure {
    broken(error.into())
}

fn broken(error: Error) -> Failure {
    let error = chain(&error);
    tracing::warn!(error, "books could not be kept about a limit");
    Failure::again(error)
}
