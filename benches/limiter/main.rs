//! What the XDP limiter costs a packet, beside programs that do nothing, in one run:
//! `cargo bench --bench limiter`, as root.
//!
//! `BPF_PROG_TEST_RUN` of one frame, 200 000 times a sample, the samples of all cases interleaved.
//! The smallest of fifteen counts, as whatever else the machine does can only add; the median is
//! printed beside it. Caches are warm, so these are lower bounds. Cases with many sources draw one
//! for each packet and reach the limiter by a tail call: what that costs is measured too, and
//! taken off in the column `net`.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{TimeDelta, Utc};
use probes::limit::{
    AllowList, Rule,
    testing::{Peers, Unpinned, run},
};

const SAMPLES: usize = 15;
const REPEAT: u32 = 200_000;
const PORT: u16 = 8080;
const DROP: u32 = 1;
const PASS: u32 = 2;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

struct Case {
    name: &'static str,
    /// `None`: some pass, some do not.
    verdict: Option<u32>,
    rules: Vec<Rule>,
    frame: Vec<u8>,
    /// Bits of the source that are drawn for each packet.
    drawn: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let mut peers = Peers::load().context("load the bare programs (needs root)")?;
    let allowed = AllowList {
        ports: vec![22],
        prefixes: (0..16)
            .map(|net| format!("172.16.{net}.0/24").parse())
            .collect::<Result<_, _>>()?,
    };
    let cases = cases();
    let mut limiters = Vec::new();
    for case in &cases {
        let mut limiter = Unpinned::load()?;
        limiter.allow(&allowed)?;
        for rule in &case.rules {
            limiter.apply(rule)?;
        }
        limiters.push(limiter);
    }
    let opening = segment(SYN);
    let mut bare_drop = Vec::new();
    let mut bare_pass = Vec::new();
    let mut drawn_pass = Vec::new();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..SAMPLES {
        bare_drop.push(run(peers.program("bare_drop")?, &opening, REPEAT)?.0);
        bare_pass.push(run(peers.program("bare_pass")?, &opening, REPEAT)?.0);
        peers.lead(1023, None)?;
        drawn_pass.push(run(peers.program("random_source")?, &opening, REPEAT)?.0);
        for ((case, limiter), samples) in cases.iter().zip(&mut limiters).zip(&mut samples) {
            limiter.table.renew_lease(Duration::from_secs(10))?;
            let (time, verdict) = match case.drawn {
                None => run(limiter.program()?, &case.frame, REPEAT)?,
                Some(mask) => {
                    peers.lead(mask, Some(limiter.program()?))?;
                    run(peers.program("random_source")?, &case.frame, REPEAT)?
                }
            };
            ensure!(
                case.verdict.is_none_or(|expected| verdict == expected),
                "{}: {verdict}",
                case.name
            );
            samples.push(time);
        }
    }
    report(&cases, bare_drop, bare_pass, drawn_pass, samples);
    Ok(())
}

fn cases() -> Vec<Case> {
    let case = |name, verdict, rules, drawn| Case {
        name,
        verdict,
        rules,
        frame: segment(SYN),
        drawn,
    };
    let exact = Some("10.0.0.1");
    let each: Vec<Rule> = (0..1024)
        .map(|id| {
            rule(
                id,
                PORT,
                Some(&format!("10.0.{}.{}", id >> 8, id & 255)),
                u32::MAX,
            )
        })
        .collect();
    vec![
        case("no rule stands", Some(PASS), vec![], None),
        case(
            "rule on another port",
            Some(PASS),
            vec![rule(1, 9090, exact, 1)],
            None,
        ),
        Case {
            frame: segment(ACK),
            ..case(
                "pure acknowledgement",
                Some(PASS),
                vec![rule(1, PORT, exact, 1)],
                None,
            )
        },
        case(
            "rule for another source",
            Some(PASS),
            vec![rule(1, PORT, Some("10.0.0.9"), 1)],
            None,
        ),
        case(
            "rule hit, passed",
            Some(PASS),
            vec![rule(1, PORT, exact, u32::MAX)],
            None,
        ),
        case(
            "rule hit, dropped",
            Some(DROP),
            vec![rule(1, PORT, exact, 1)],
            None,
        ),
        case(
            "every source, passed",
            Some(PASS),
            vec![rule(1, PORT, None, u32::MAX)],
            None,
        ),
        case(
            "every source, dropped",
            Some(DROP),
            vec![rule(1, PORT, None, 1)],
            None,
        ),
        case("1024 sources, a rule each", Some(PASS), each, Some(0x3ff)),
        case(
            "1024 sources, one rule, passed",
            Some(PASS),
            vec![rule(1, PORT, None, u32::MAX)],
            Some(0x3ff),
        ),
        case(
            "1024 sources, one rule, dropped",
            None,
            vec![rule(1, PORT, None, 1)],
            Some(0x3ff),
        ),
        case(
            "1 M sources, one rule",
            None,
            vec![rule(1, PORT, None, 1)],
            Some(0xf_ffff),
        ),
    ]
}

fn rule(id: u32, port: u16, source: Option<&str>, rate_per_second: u32) -> Rule {
    Rule {
        id,
        port,
        source: source.and_then(|text| text.parse().ok()),
        rate_per_second,
        burst: rate_per_second,
        expires_at: Utc::now() + TimeDelta::hours(1),
    }
}

/// A TCP segment without payload from 10.0.0.1.
fn segment(flags: u8) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6]);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[34..36].copy_from_slice(&40_000_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&PORT.to_be_bytes());
    frame[46..48].copy_from_slice(&[0x50, flags]);
    frame
}

fn report(
    cases: &[Case],
    bare_drop: Vec<Duration>,
    bare_pass: Vec<Duration>,
    drawn_pass: Vec<Duration>,
    samples: Vec<Vec<Duration>>,
) {
    let (drop, _) = smallest_and_median(bare_drop.clone());
    let (pass, _) = smallest_and_median(bare_pass.clone());
    let (drawn, _) = smallest_and_median(drawn_pass.clone());
    println!("ns a packet, smallest of {SAMPLES} x {REPEAT}; ratio to a bare XDP_DROP of {drop} ns");
    println!(
        "{:34} {:>5} {:>6} {:>5} {:>6}",
        "", "min", "median", "net", "ratio"
    );
    let line = |name: &str, times: Vec<Duration>, base: f64, off: f64| {
        let (least, median) = smallest_and_median(times);
        let ratio = (least - off) / drop;
        println!(
            "{name:34} {least:5.0} {median:6.0} {:5.0} {ratio:6.2}",
            least - base
        );
    };
    line("bare XDP_DROP", bare_drop, drop, 0.0);
    line("bare XDP_PASS", bare_pass, pass, 0.0);
    line("drawing a source, tail call", drawn_pass, pass, 0.0);
    for (case, samples) in cases.iter().zip(samples) {
        let base = if case.drawn.is_some() { drawn } else { pass };
        line(case.name, samples, base, base - pass);
    }
}

fn smallest_and_median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    (nanoseconds(times[0]), nanoseconds(times[times.len() / 2]))
}
