//! Real servers and real clients: what slowburn counts is what they logged, and its times are those of a capture.
//!
//! A case is a row of a table: `http1.rs`, `odd.rs`, `http2.rs`, `tls.rs`, `turns.rs`. Each runs in network namespaces and a cgroup of
//! its own, so any two may run at once. At the end a table says what was shown.
//! `cargo test -p probes --test conformance nginx` runs the cases with nginx in their names.

#![allow(clippy::unwrap_used, reason = "tests panic")]

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
mod times;
mod tls;
mod turns;
mod uring;

#[path = "../../../tests/support/network.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod network;
#[path = "../../../tests/support/patience.rs"]
mod patience;

use std::io::Write as _;

use libtest_mimic::{Arguments, Trial};
use patience::{eventually, needs_root, pause};

fn main() -> std::process::ExitCode {
    if hyper::serve_when_asked() {
        return std::process::ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Each case is a handful of processes that wait for one another: more at once would time the machine.
    arguments.test_threads.get_or_insert(3);
    let cases = [http1::CASES, odd::CASES, http2::CASES, tls::CASES, turns::CASES].concat();
    let trials = cases.into_iter().map(|case| {
        let name = format!("{}::{}", case.server.name, case.name.replace(' ', "_"));
        Trial::test(name, move || {
            case::run(case);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", case::table()).unwrap();
    conclusion.exit_code()
}
