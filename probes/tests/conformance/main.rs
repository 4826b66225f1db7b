//! Real servers and real clients: what slowburn counts is what they logged, and its times are those of a capture.
//!
//! A case is a row of a table: `http1.rs`, `callers.rs`, `odd.rs`, `http2.rs`, `tls.rs`, `turns.rs`. Each runs in network namespaces and a cgroup of
//! its own, so any two may run at once. At the end a table says what was shown.
//! `cargo test -p probes --test conformance nginx` runs the cases with nginx in their names.

#![allow(clippy::unwrap_used, reason = "tests panic")]

mod callers;
mod capture;
mod case;
mod client;
mod compare;
mod http1;
mod http2;
mod hyper;
mod odd;
mod raw;
mod server;
mod servers;
mod speaker;
mod times;
mod tls;
mod turns;
mod uring;

#[path = "../../../tests/support/network.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod network;
#[path = "../../../tests/support/patience.rs"]
mod patience;

use std::{collections::BTreeSet, io::Write as _};

use case::Case;
use libtest_mimic::{Arguments, Trial};
use patience::{eventually, needs_root, pause};

fn main() -> std::process::ExitCode {
    let cases = [
        http1::CASES,
        callers::CASES,
        odd::CASES,
        http2::CASES,
        tls::CASES,
        turns::CASES,
    ]
    .concat();
    if hyper::serve_when_asked() || speaker::speak_when_asked(&cases) {
        return std::process::ExitCode::SUCCESS;
    }
    let titles: BTreeSet<String> = cases.iter().map(Case::title).collect();
    assert_eq!(titles.len(), cases.len(), "two cases have one title");
    let mut arguments = Arguments::from_args();
    // Each case is a handful of processes that wait for one another: more at once would time the machine.
    arguments.test_threads.get_or_insert(3);
    let trials = cases.into_iter().map(|case| {
        Trial::test(case.title(), move || {
            case::run(case);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", case::table()).unwrap();
    conclusion.exit_code()
}
