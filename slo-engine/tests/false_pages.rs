//! The fast page, over a century: how often it is wrong, and how soon it is right.
//!
//! Every request of the simulated service fails with the chance that its objective allows, which is
//! the hardest case that must not page. Arrivals are steady, bursty and diurnal. Simulated second by
//! second as the engine takes counts in; seconds without an error are taken together, which changes
//! nothing: without errors the statistic only falls.

#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::Duration;

use slo_engine::objective::Target;
use slo_engine::sequential::{FastPage, Sequential};

const YEARS: u64 = 100;
const YEAR_SECONDS: u64 = 31_557_600;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    fn share(&mut self) -> f64 {
        ((self.word() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Good events before the next bad one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, far below 2^64"
    )]
    fn good_run(&mut self, ratio: f64) -> u64 {
        (self.share().ln() / (-ratio).ln_1p()) as u64
    }
}

/// Requests in each second of a cycle that repeats.
struct Arrivals {
    name: &'static str,
    /// Requests before each second of the cycle, and in all of it.
    before: Vec<u64>,
}

impl Arrivals {
    fn new(name: &'static str, seconds: impl Iterator<Item = u64>) -> Self {
        let mut before = vec![0];
        for count in seconds {
            before.push(before.last().unwrap() + count);
        }
        Self { name, before }
    }

    fn cycle(&self) -> u64 {
        *self.before.last().unwrap()
    }

    fn seconds(&self) -> u64 {
        u64::try_from(self.before.len()).unwrap() - 1
    }

    /// First request of the second that this request falls into, and of the next second.
    fn second_of(&self, request: u64) -> (u64, u64) {
        let (cycle, place) = (request / self.cycle() * self.cycle(), request % self.cycle());
        let next = self.before.partition_point(|before| *before <= place);
        (cycle + self.before[next - 1], cycle + self.before[next])
    }

    /// Requests of a hundred years.
    fn total(&self) -> u64 {
        YEARS * YEAR_SECONDS / self.seconds() * self.cycle()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests a second of a day"
)]
fn patterns() -> [Arrivals; 3] {
    let diurnal = |second: u32| {
        let angle = f64::from(second) / 86_400.0 * std::f64::consts::TAU;
        (6.0 - 5.0 * angle.cos()).round() as u64
    };
    [
        Arrivals::new("steady", std::iter::repeat_n(6, 1)),
        // Nothing for 50 s, then 36 a second for 10 s.
        Arrivals::new("bursty", (0..60).map(|second| if second < 50 { 0 } else { 36 })),
        Arrivals::new("diurnal", (0..86_400).map(diurnal)),
    ]
}

fn default_test() -> (Sequential, f64) {
    let target: Target = "0.999".parse().unwrap();
    let page = FastPage::for_period(Duration::from_secs(30 * 86_400)).unwrap();
    (Sequential::new(target, &page), 0.001)
}

/// False pages in a century. Errors come in runs of `cluster` on average; 1: independent.
fn false_pages(arrivals: &Arrivals, cluster: f64, seed: u64) -> u64 {
    let (test, ratio) = default_test();
    let mut random = Random(seed);
    let (mut pages, mut statistic) = (0, 0.0);
    // The first request that is not counted yet, and the next that fails.
    let (mut counted, mut failing) = (0, random.good_run(ratio / cluster));
    let total = arrivals.total();
    while failing < total {
        let (begin, end) = arrivals.second_of(failing);
        statistic = test.step(statistic, begin - counted.min(begin), 0);
        let mut bad = 0;
        while failing < end {
            bad += 1;
            failing += 1;
            if cluster <= 1.0 || random.share() <= 1.0 / cluster {
                failing += random.good_run(ratio / cluster);
            }
        }
        statistic = test.step(statistic, end - begin - bad, bad);
        counted = end;
        if statistic >= test.limit {
            pages += 1;
            statistic = 0.0;
        }
    }
    pages
}

#[test]
fn a_service_that_just_meets_its_objective_pages_falsely_at_most_once_a_year() {
    for (seed, arrivals) in (1..).zip(patterns()) {
        let pages = false_pages(&arrivals, 1.0, seed);
        println!("{}: {pages} false pages in {YEARS} years", arrivals.name);
        assert!(pages <= YEARS, "{}: {pages} false pages", arrivals.name);
    }
}

#[test]
fn clustered_errors_page_more_often_and_how_often_is_known() {
    let [steady, ..] = patterns();
    let mut before = false_pages(&steady, 1.0, 7);
    for cluster in [2.0, 5.0, 10.0] {
        let pages = false_pages(&steady, cluster, 7);
        println!("errors in runs of {cluster}: {pages} false pages in {YEARS} years");
        assert!(
            pages > before,
            "runs of {cluster} are harder: {pages} after {before}"
        );
        before = pages;
    }
}

/// Seconds from the onset to the page, the slowest of many incidents.
fn slowest_page(per_second: u64, error_ratio: f64) -> u64 {
    let (test, _) = default_test();
    let mut random = Random(11);
    (0..10_000)
        .map(|_| {
            let mut statistic = 0.0;
            (1..)
                .find(|_| {
                    let bad = (0..per_second).filter(|_| random.share() <= error_ratio).count();
                    let bad = u64::try_from(bad).unwrap();
                    statistic = test.step(statistic, per_second - bad, bad);
                    statistic >= test.limit
                })
                .unwrap()
        })
        .max()
        .unwrap()
}

#[test]
fn an_outage_pages_within_seconds() {
    // The window tiers need 52 s and 5.8 min (Site Reliability Workbook, chapter 5).
    let total = slowest_page(20, 1.0);
    let partial = slowest_page(20, 0.15);
    println!("20 requests/s: all fail, {total} s; 15 % fail, {partial} s at the slowest of 10,000");
    assert!(total <= 5);
    assert!(partial <= 30);
}
