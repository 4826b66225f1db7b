//! Rate limits that are live in the kernel.

use chrono::{DateTime, Utc};
use remediation::LiveLimit;
use remediation::read::OwnedLimit;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LimitView {
    pub id: u32,
    pub service: String,
    /// Address or prefix the limit is on.
    #[schema(example = "10.0.0.9/32")]
    pub source: String,
    pub rate_per_second: u32,
    pub burst: u32,
    pub expires_at: DateTime<Utc>,
    /// Packets let through and dropped since the limit was set.
    pub passed: u64,
    pub dropped: u64,
    /// `native` or `generic`: where the driver runs the program.
    pub mode: String,
    pub run_id: Option<i64>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClearedView {
    pub cleared: u64,
    pub runs_cancelled: u64,
}

impl From<remediation::Cleared> for ClearedView {
    fn from(cleared: remediation::Cleared) -> Self {
        Self {
            cleared: cleared.limits,
            runs_cancelled: cleared.runs_cancelled,
        }
    }
}

impl From<OwnedLimit> for LimitView {
    fn from(OwnedLimit { live, run_id }: OwnedLimit) -> Self {
        let LiveLimit {
            limit,
            passed,
            dropped,
            mode,
        } = live;
        Self {
            id: limit.id.0,
            service: limit.service.to_string(),
            source: limit.source.to_string(),
            rate_per_second: limit.rate_per_second,
            burst: limit.burst,
            expires_at: limit.expires_at,
            passed,
            dropped,
            mode: mode.to_string(),
            run_id: run_id.map(|id| id.0),
        }
    }
}
