//! The XDP limiter on the real kernel: `program` runs it packet by packet without a network,
//! `traffic` counts what a host receives, `pins` is about processes that come and go.

#![expect(clippy::unwrap_used, reason = "tests panic")]
#![expect(clippy::print_stderr, reason = "measured figures")]

#[path = "../../../tests/support/patience.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod patience;

mod frame;
mod parser;
mod pins;
mod program;
mod traffic;
mod veth;

use chrono::{TimeDelta, Utc};
use patience::needs_root;
use probes::limit::Rule;

fn rule(id: u32, port: u16, source: Option<&str>, rate_per_second: u32, burst: u32) -> Rule {
    let source = source.map(|text| text.parse().unwrap());
    Rule {
        id,
        port,
        source,
        rate_per_second,
        burst,
        expires_at: Utc::now() + TimeDelta::seconds(60),
    }
}
