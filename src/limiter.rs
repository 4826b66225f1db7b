//! `remediation`'s limits over the XDP limiter of `probes`.
//!
//! In: limits of services. Out: kernel rules of ports. A service may listen on several ports; each is a rule
//! of its own, and their counters are added up again on the way out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use chrono::Utc;
use probes::bpffs;
use probes::limit::{AllowList, Config, Existing, Interface, Limiter, Mode, Prefix, Rule};
use remediation::{Applied, Limit, LimitId, LimitMode, Limits, LimitsError, LiveLimit, SourceRate};
use slo_engine::measurement::ServiceName;
use tokio::sync::Mutex;

use crate::run::SharedAgent;

/// Ports of one service that a limit covers. A rule's id is the limit's times this, plus the port's place.
const PORTS_MAX: u32 = 8;
/// ssh and Postgres; the API's own port is added.
const NEVER_LIMITED: [u16; 2] = [22, 5432];
const NO_INTERFACE: &str = "no interface was named and no runbook limited traffic at the start; restart slowburn, or see `--limit-interface`";

#[derive(Debug)]
pub struct KernelLimits {
    limiter: Result<Arc<Limiter>, String>,
    agent: SharedAgent,
    allowed: AllowList,
    /// What was asked for, by id: the kernel knows ports, not services. Held while the kernel's rules change,
    /// so that the two never disagree.
    asked: Mutex<BTreeMap<u32, Limit>>,
}

impl KernelLimits {
    /// Attaches to the interfaces. Without any, or when they take no program, every limit is refused with the
    /// reason, and the rest of slowburn works.
    pub fn start(
        instance: &str,
        interfaces: &[Interface],
        allow: &[Prefix],
        api: SocketAddr,
        agent: SharedAgent,
    ) -> KernelLimits {
        let mut ports = NEVER_LIMITED.to_vec();
        ports.push(api.port());
        let allowed = AllowList {
            ports,
            prefixes: allow.to_vec(),
        };
        let limiter = if interfaces.is_empty() {
            Err(NO_INTERFACE.to_owned())
        } else {
            let config = Config {
                bpffs: bpffs::DEFAULT_ROOT.into(),
                instance: instance.to_owned(),
                interfaces: interfaces.to_vec(),
                allowed: allowed.clone(),
                existing: Existing::Adopt,
            };
            Limiter::load(config)
                .map(Arc::new)
                .map_err(|error| format!("{:#}", anyhow::Error::new(error)))
        };
        match &limiter {
            Ok(limiter) => {
                for attachment in limiter.attachments() {
                    tracing::info!(
                        interface.name = attachment.interface,
                        limit.mode = attachment.mode.as_str(),
                        "limits can be set"
                    );
                }
            }
            Err(reason) if reason == NO_INTERFACE => tracing::debug!(%reason, "traffic cannot be limited"),
            Err(reason) => tracing::warn!(%reason, "traffic cannot be limited"),
        }
        KernelLimits {
            limiter,
            agent,
            allowed,
            asked: Mutex::default(),
        }
    }

    /// Lets the kernel enforce for a little longer.
    pub async fn renew_lease(&self, lease: Duration) -> Result<()> {
        let Ok(limiter) = &self.limiter else { return Ok(()) };
        let limiter = Arc::clone(limiter);
        let mut asked = self.asked.lock().await;
        let expired = tokio::task::spawn_blocking(move || limiter.renew_lease(lease)).await??;
        for rule in expired {
            asked.remove(&(rule.rule.id / PORTS_MAX));
        }
        Ok(())
    }

    /// Takes away rules of an earlier life that nobody has asked for in this one.
    pub async fn release_unasked(&self) -> Result<()> {
        let Ok(limiter) = &self.limiter else { return Ok(()) };
        let limiter = Arc::clone(limiter);
        let books = self.asked.lock().await;
        let asked: Vec<u32> = books.keys().copied().collect();
        tokio::task::spawn_blocking(move || {
            for live in limiter.list()? {
                if !asked.contains(&(live.rule.id / PORTS_MAX)) {
                    limiter.release(live.rule.id)?;
                }
            }
            Ok(())
        })
        .await?
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Limiter) -> Result<T, probes::limit::LimitError> + Send + 'static,
    ) -> Result<T, LimitsError> {
        let limiter = match &self.limiter {
            Ok(limiter) => Arc::clone(limiter),
            Err(reason) => return Err(LimitsError::Unsupported(reason.clone())),
        };
        tokio::task::spawn_blocking(move || work(&limiter))
            .await
            .map_err(failed)?
            .map_err(failed)
    }

    async fn ports(&self, service: &ServiceName) -> Result<Vec<u16>, LimitsError> {
        let wanted = service.clone();
        let mut ports: Vec<u16> = self
            .agent
            .with(move |agent| agent.discovered())
            .await
            .map_err(|error| LimitsError::Failed(error.into()))?
            .into_iter()
            .filter(|found| found.service == wanted)
            .map(|found| found.port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports.retain(|port| !self.allowed.ports.contains(port));
        if ports.is_empty() {
            return Err(LimitsError::Unsupported(format!(
                "`{service}` listens on no port that may be limited"
            )));
        }
        if ports.len() > PORTS_MAX as usize {
            return Err(LimitsError::Unsupported(format!(
                "`{service}` listens on {} ports, at most {PORTS_MAX} can be limited together",
                ports.len()
            )));
        }
        Ok(ports)
    }
}

#[async_trait]
impl Limits for KernelLimits {
    async fn heaviest_sources(&self, service: &ServiceName) -> Result<Vec<SourceRate>, LimitsError> {
        let service = service.clone();
        let sources = self
            .agent
            .with(move |agent| agent.sources_of(&service))
            .await
            .map_err(|error| LimitsError::Failed(error.into()))?
            .map_err(failed)?;
        let total: f64 = sources.iter().map(|source| source.per_second).sum();
        Ok(sources
            .into_iter()
            .map(|source| SourceRate {
                source: source.source,
                per_second: source.per_second,
                share: if total > 0.0 {
                    source.per_second / total
                } else {
                    0.0
                },
                allow_listed: self
                    .allowed
                    .prefixes
                    .iter()
                    .any(|prefix| prefix.covers(&Prefix::from(source.source))),
            })
            .collect())
    }

    async fn apply(&self, limit: &Limit) -> Result<Applied, LimitsError> {
        let source = Prefix::new(limit.source.address(), limit.source.length()).map_err(failed)?;
        if self.allowed.prefixes.iter().any(|prefix| prefix.covers(&source)) {
            return Ok(Applied::AllowListed);
        }
        let ports = self.ports(&limit.service).await?;
        let Some(ids) = rule_ids(limit.id) else {
            return Err(LimitsError::Unsupported(format!(
                "limit {} has too high a number",
                limit.id
            )));
        };
        let rules: Vec<Rule> = ids
            .clone()
            .zip(&ports)
            .map(|(id, &port)| Rule {
                id,
                port,
                source: Some(source),
                rate_per_second: limit.rate_per_second,
                burst: limit.burst,
                expires_at: limit.expires_at,
            })
            .collect();
        let mut asked = self.asked.lock().await;
        asked.insert(limit.id.0, limit.clone());
        let mode = self
            .with(move |limiter| {
                // A port that the service no longer listens on may be somebody else's by now.
                let stays = |id, port| rules.iter().any(|rule| (rule.id, rule.port) == (id, port));
                for live in limiter.list()? {
                    if ids.contains(&live.rule.id) && !stays(live.rule.id, live.rule.port) {
                        limiter.release(live.rule.id)?;
                    }
                }
                for rule in &rules {
                    limiter.apply(rule)?;
                }
                Ok(slowest_mode(limiter))
            })
            .await?;
        Ok(Applied::Live { mode })
    }

    async fn release(&self, id: LimitId) -> Result<(), LimitsError> {
        let (Ok(_), Some(ids)) = (&self.limiter, rule_ids(id)) else {
            // Nothing renews the lease of what an earlier life left: it is not enforced.
            return Ok(());
        };
        let mut asked = self.asked.lock().await;
        self.with(move |limiter| {
            for id in ids {
                limiter.release(id)?;
            }
            Ok(())
        })
        .await?;
        asked.remove(&id.0);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<LiveLimit>, LimitsError> {
        if self.limiter.is_err() {
            return Ok(Vec::new());
        }
        let (rules, mode) = self
            .with(|limiter| Ok((limiter.list()?, slowest_mode(limiter))))
            .await?;
        let asked = self.asked.lock().await;
        let mut live: BTreeMap<u32, LiveLimit> = BTreeMap::new();
        for rule in rules.into_iter().filter(|rule| rule.remaining > Duration::ZERO) {
            let id = rule.rule.id / PORTS_MAX;
            // A rule of an earlier life that nobody has taken up again is about to be released.
            let Some(limit) = asked.get(&id).filter(|limit| limit.expires_at > Utc::now()) else {
                continue;
            };
            let entry = live.entry(id).or_insert_with(|| LiveLimit {
                limit: limit.clone(),
                passed: 0,
                dropped: 0,
                mode,
            });
            entry.passed += rule.passed;
            entry.dropped += rule.dropped;
        }
        Ok(live.into_values().collect())
    }
}

/// The rules of a limit, one a port. `None`: no limit has such a number.
fn rule_ids(limit: LimitId) -> Option<Range<u32>> {
    let first = limit.0.checked_mul(PORTS_MAX)?;
    Some(first..first.checked_add(PORTS_MAX)?)
}

/// Limits act on every interface; the slowest way is what can be promised.
fn slowest_mode(limiter: &Limiter) -> LimitMode {
    let generic = limiter
        .attachments()
        .iter()
        .any(|attachment| attachment.mode == Mode::Generic);
    if generic {
        LimitMode::Generic
    } else {
        LimitMode::Native
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> LimitsError {
    LimitsError::Failed(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_limits_share_a_rule() {
        assert_eq!(rule_ids(LimitId(1)), Some(8..16));
        assert_eq!(rule_ids(LimitId(2)), Some(16..24));
        // Wrapped round, it would be the first limit's.
        assert_eq!(rule_ids(LimitId(u32::MAX / PORTS_MAX + 2)), None);
        assert_eq!(rule_ids(LimitId(u32::MAX)), None);
    }
}
