//! The SRE Workbook's numbers (facts 3a to 3c): step outages are replayed through what the engine does in its life, intake, the
//! evaluation's own SQL and the record of alerts, and fire and resolve when the tables say.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use slo_engine::Settings;
use slo_engine::alert::AlertState;
use slo_engine::objective::{Objective, Severity, Target, Tier};

use crate::support::{
    HOUR, MINUTE, World, at, availability, batch, decimal, noon, reading, seconds, status, tier,
    without_evidence, workbook_tiers,
};

/// A step of errors after five clean days, at a thousand requests a second.
pub const CLEAN: i64 = 5 * 86_400;
const RATE: i64 = 1000;
/// It does not end.
pub const FOREVER: i64 = i64::MAX;

/// A service whose errors step up, and down again.
#[derive(Debug, Clone)]
pub struct Step {
    pub objective: Objective,
    per_mille: i64,
    until: i64,
}

impl Step {
    pub fn new(name: &str, percent: &str, until: i64, tiers: Vec<Tier>) -> Self {
        Self {
            objective: Objective {
                tiers,
                ..availability(name, name)
            },
            per_mille: (decimal(percent) * Decimal::TEN).to_i64().unwrap(),
            until,
        }
    }

    /// With the Workbook's tiers, named by its percentage.
    fn of(percent: &str, until: i64) -> Self {
        Self::new(&named(percent), percent, until, workbook_tiers())
    }
}

fn named(percent: &str) -> String {
    format!("e{}", percent.replace('.', "-"))
}

/// When counters are read, and when the engine judges.
#[derive(Default)]
pub struct Instants {
    read: BTreeSet<i64>,
    pub judged: BTreeSet<i64>,
}

impl Instants {
    /// Counters are also read wherever a window of these tiers begins that ends when the engine judges.
    fn all<'a>(mut self, tiers: impl Iterator<Item = &'a Tier> + Clone) -> BTreeMap<i64, bool> {
        for now in &self.judged {
            let begins = tiers.clone().flat_map(|tier| [tier.long, tier.short]);
            self.read.extend(begins.map(|window| now - length(window)));
        }
        let read = self.read.into_iter().filter(|now| *now > 0);
        let mut all: BTreeMap<i64, bool> = read.map(|now| (now, false)).collect();
        all.extend(self.judged.into_iter().map(|now| (now, true)));
        all
    }
}

/// When the alerts of services' tiers changed, and to what.
pub type Life = BTreeMap<(String, String), Vec<(i64, AlertState)>>;

pub async fn replay(steps: &[Step], mut instants: Instants, keeps_house: bool) -> Life {
    let settings = Settings {
        slot: seconds(1),
        ..without_evidence()
    };
    let objectives = steps.iter().map(|step| step.objective.clone()).collect();
    let world = World::with(settings, objectives).await;
    instants.read.insert(CLEAN);
    instants.read.extend(
        steps
            .iter()
            .map(|step| step.until)
            .filter(|until| *until < FOREVER),
    );
    let tiers = steps.iter().flat_map(|step| &step.objective.tiers);
    let mut life = Life::new();
    let mut quarter = 0;
    for (now, is_judged) in instants.all(tiers) {
        if keeps_house && now / 21_600 > quarter {
            quarter = now / 21_600;
            world.engine.maintain(at(now)).await.unwrap();
        }
        let readings = steps.iter().flat_map(|step| {
            let bad = step.per_mille * (now.min(step.until) - CLEAN).max(0);
            let value = |value: i64| u64::try_from(value).unwrap();
            let service = step.objective.service.as_str();
            [
                reading(status(service, 200), noon(), value(RATE * now - bad)),
                reading(status(service, 500), noon(), value(bad)),
            ]
        });
        world
            .ingest(&batch(&world.source, at(now), readings.collect()))
            .await;
        if is_judged {
            for one in world.step(at(now)).await {
                let of = (one.objective.to_string(), one.tier.to_string());
                life.entry(of).or_default().push((now, one.to));
            }
        }
    }
    if keeps_house {
        let is_thinned =
            sqlx::query_scalar::<_, i64>("select count(*) from ledger_thinned where thinned_at is not null");
        assert!(is_thinned.fetch_one(&world.database.pool).await.unwrap() >= 4);
    }
    world.database.drop().await;
    life
}

fn length(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap()
}

/// The last whole second before an instant, and the first one after it.
pub fn around(seconds: f64) -> (i64, i64) {
    #[expect(clippy::cast_possible_truncation, reason = "days of seconds")]
    let (before, after) = ((seconds - 0.001).floor() as i64, (seconds + 1.001).floor() as i64);
    (before, after)
}

/// That an alert came to this after `before`, by `after`, and not another time.
pub fn came(life: &Life, service: &str, tier: &Tier, to: AlertState, (before, after): (i64, i64)) {
    let changes = life
        .get(&(service.to_owned(), tier.name.to_string()))
        .map_or(&[][..], Vec::as_slice);
    let when: Vec<i64> = changes
        .iter()
        .filter(|(_, state)| *state == to)
        .map(|(when, _)| *when)
        .collect();
    assert!(
        matches!(when[..], [when] if before < when && when <= after),
        "{service} {}: {to} at {when:?}, expected after {before}, by {after}",
        tier.name
    );
}

fn never_burns(life: &Life, service: &str, tier: &Tier) {
    let found = life.get(&(service.to_owned(), tier.name.to_string()));
    assert_eq!(found, None, "{service} {}", tier.name);
}

/// Errors in percent, and when each tier detects them, in seconds: facts 3b. `None`: never.
const DETECTION: [(&str, [Option<f64>; 4]); 11] = [
    ("100", [Some(51.84), Some(129.6), Some(259.2), Some(259.2)]),
    ("50", [Some(103.68), Some(259.2), Some(518.4), Some(518.4)]),
    ("15", [Some(345.6), Some(864.0), Some(1728.0), Some(1728.0)]),
    ("10", [Some(518.4), Some(1296.0), Some(2592.0), Some(2592.0)]),
    ("5", [Some(1036.8), Some(2592.0), Some(5184.0), Some(5184.0)]),
    ("2", [Some(2592.0), Some(6480.0), Some(12_960.0), Some(12_960.0)]),
    ("1", [None, Some(12_960.0), Some(25_920.0), Some(25_920.0)]),
    ("0.5", [None, None, Some(51_840.0), Some(51_840.0)]),
    ("0.3", [None, None, None, Some(86_400.0)]),
    ("0.2", [None, None, None, Some(129_600.0)]),
    ("0.1", [None, None, None, None]),
];

#[tokio::test]
async fn a_step_of_errors_is_detected_when_the_table_says() {
    let tiers = workbook_tiers();
    let steps: Vec<Step> = DETECTION
        .iter()
        .map(|(percent, _)| Step::of(percent, FOREVER))
        .collect();
    let mut instants = Instants::default();
    for detected in DETECTION.iter().flat_map(|(_, row)| row) {
        let (before, after) = detected.map_or((2 * 86_400, 3 * 86_400), around);
        instants.judged.extend([CLEAN + before, CLEAN + after]);
    }
    let life = replay(&steps, instants, false).await;
    for (percent, row) in DETECTION {
        for (tier, detected) in tiers.iter().zip(row) {
            let Some(detected) = detected else {
                never_burns(&life, &named(percent), tier);
                continue;
            };
            let (before, after) = around(detected);
            let between = (CLEAN + before, CLEAN + after);
            came(&life, &named(percent), tier, AlertState::Firing, between);
        }
    }
}

/// Errors in percent, and when each tier's short window is clear again, in minutes: facts 3c.
/// `None`: it never burnt.
const RESET: [(&str, [Option<f64>; 4]); 7] = [
    ("100", [Some(4.93), Some(29.82), Some(119.64), Some(359.64)]),
    ("50", [Some(4.86), Some(29.64), Some(119.28), Some(359.28)]),
    ("15", [Some(4.52), Some(28.8), Some(117.6), Some(357.6)]),
    ("10", [Some(4.28), Some(28.2), Some(116.4), Some(356.4)]),
    ("5", [Some(3.56), Some(26.4), Some(112.8), Some(352.8)]),
    ("2", [Some(1.4), Some(21.0), Some(102.0), Some(342.0)]),
    ("1", [None, Some(12.0), Some(84.0), Some(324.0)]),
];
/// All of them last for the longest window.
const UNTIL: i64 = CLEAN + 3 * 86_400;

/// The table is rounded to a hundredth of a minute.
fn reset(minutes: f64) -> (i64, i64) {
    (
        UNTIL + around(minutes * 60.0 - 1.0).0,
        UNTIL + around(minutes * 60.0 + 1.0).1,
    )
}

#[tokio::test]
async fn an_outage_is_over_when_the_table_says() {
    let tiers = workbook_tiers();
    let steps: Vec<Step> = RESET
        .iter()
        .map(|(percent, _)| Step::of(percent, UNTIL))
        .collect();
    let mut instants = Instants::default();
    instants.judged.insert(UNTIL);
    for minutes in RESET.iter().flat_map(|(_, row)| row).flatten() {
        let (before, after) = reset(*minutes);
        instants.judged.extend([before, after]);
    }
    let life = replay(&steps, instants, false).await;
    for (percent, row) in RESET {
        for (tier, minutes) in tiers.iter().zip(row) {
            let Some(minutes) = minutes else {
                never_burns(&life, &named(percent), tier);
                continue;
            };
            came(&life, &named(percent), tier, AlertState::Firing, (CLEAN, UNTIL));
            came(&life, &named(percent), tier, AlertState::Resolved, reset(minutes));
        }
    }
}

/// As it is in production: days that are over are packed and thinned, so that a window may begin with the row before its
/// edge, five minutes earlier at most.
#[tokio::test]
async fn so_it_is_where_older_days_are_thinned() {
    let tiers = workbook_tiers();
    let (detections, resets): (BTreeMap<_, _>, BTreeMap<_, _>) = (DETECTION.into(), RESET.into());
    let percents = ["15", "2", "1", "0.2"];
    let steps = percents.map(|percent| Step::of(percent, UNTIL));
    let late = |detected: f64, tier: &Tier| detected * (1.0 + 300.0 / tier.long.as_secs_f64());
    let mut instants = Instants::default();
    // Nobody is given up.
    instants
        .read
        .extend((1..(UNTIL + 86_400) / 3000).map(|nth| nth * 3000));
    let mut edges = BTreeSet::new();
    for percent in percents {
        for (tier, detected) in tiers.iter().zip(detections[percent]) {
            if let Some(detected) = detected {
                let between = [around(detected).0, around(late(detected, tier)).1];
                for now in between.map(|after| CLEAN + after) {
                    instants.judged.insert(now);
                    edges.insert(now - length(tier.long));
                }
            }
        }
        for minutes in resets.get(percent).into_iter().flatten().flatten() {
            let (before, after) = reset(*minutes);
            instants.judged.extend([before, after]);
        }
    }
    // Around where windows begin there are more rows than are kept.
    for edge in edges {
        instants
            .read
            .extend((-330_i64..=330).step_by(30).map(|beside| edge + beside));
    }
    let life = replay(&steps, instants, true).await;
    for percent in percents {
        for (tier, detected) in tiers.iter().zip(detections[percent]) {
            let Some(detected) = detected else {
                never_burns(&life, &named(percent), tier);
                continue;
            };
            let between = (CLEAN + around(detected).0, CLEAN + around(late(detected, tier)).1);
            came(&life, &named(percent), tier, AlertState::Firing, between);
        }
        for (tier, minutes) in tiers.iter().zip(resets.get(percent).into_iter().flatten()) {
            if let Some(minutes) = minutes {
                came(
                    &life,
                    &named(percent),
                    tier,
                    AlertState::Resolved,
                    reset(*minutes),
                );
            }
        }
    }
}

/// One window at a burn rate: the percentage of errors for so many seconds, and when after their first it burns and when
/// after their last it does no more, in seconds: facts 3a.
const WINDOWS: [(u64, &str, &str, i64, f64, f64); 5] = [
    // Ten minutes with more errors than the objective allows: 0.6 s of an outage.
    (600, "1", "100", 1, 0.6, 599.4),
    // Fig 5-6: 15 % for ten minutes.
    (300, "14.4", "15", 600, 28.8, 271.2),
    (3600, "14.4", "15", 600, 345.6, 3254.4),
    // 5 % of 30 days in an hour: an outage that ends when it is detected keeps it burning for 57.84 minutes.
    (3600, "36", "100", 130, 129.6, 3470.4),
    // The same share in 36 hours.
    (36 * 3600, "1", "100", 130, 129.6, 129_470.4),
];

#[tokio::test]
async fn a_window_burns_and_is_calm_again_when_the_book_says() {
    let mut instants = Instants::default();
    let mut steps = Vec::new();
    for (number, (window, burn_rate, percent, lasts, burns_after, calm_after)) in (1..).zip(WINDOWS) {
        let until = CLEAN + lasts;
        let tier = tier("window", Severity::Page, window, window, burn_rate);
        for (since, after) in [(CLEAN, burns_after), (until, calm_after)] {
            let (before, after) = around(after);
            instants.judged.extend([since + before, since + after]);
        }
        steps.push(Step::new(&format!("w{number}"), percent, until, vec![tier]));
    }
    let life = replay(&steps, instants, false).await;
    for (step, (.., lasts, burns_after, calm_after)) in steps.iter().zip(WINDOWS) {
        let [tier] = &step.objective.tiers[..] else {
            panic!()
        };
        let shifted = |by: i64, (before, after): (i64, i64)| (by + before, by + after);
        let service = step.objective.service.as_str();
        let burns = shifted(CLEAN, around(burns_after));
        came(&life, service, tier, AlertState::Firing, burns);
        let calm = shifted(CLEAN + lasts, around(calm_after));
        came(&life, service, tier, AlertState::Resolved, calm);
    }
}

/// Ten minutes of them page for every blip: 0.7 s of an outage each, again as soon as the last has left.
#[tokio::test]
async fn alerts_on_a_window_of_ten_minutes_fire_144_times_a_day() {
    let objective = Objective {
        tiers: vec![tier("page-10m", Severity::Page, 600, 600, "1")],
        ..availability("web-availability", "web")
    };
    let settings = Settings {
        slot: seconds(1),
        ..without_evidence()
    };
    let world = World::with(settings, vec![objective]).await;
    let (mut bad, mut life) = (0, Vec::new());
    let counted = async |now: i64, bad| {
        let asked = u64::try_from(RATE * now).unwrap();
        world.counted(at(now), asked - bad, bad).await;
    };
    for blip in 1..=144 {
        let from = blip * 602;
        counted(from, bad).await;
        bad += 700;
        for now in [from + 1, from + 601] {
            counted(now, bad).await;
            life.extend(world.step(at(now)).await.into_iter().map(|one| (now, one.to)));
        }
    }
    let expected = (1..=144).flat_map(|blip| {
        [
            (blip * 602 + 1, AlertState::Firing),
            (blip * 602 + 601, AlertState::Resolved),
        ]
    });
    assert_eq!(life, expected.collect::<Vec<_>>());
    world.database.drop().await;
}

/// 90 %: an outage of an hour spends 1.39 % of the budget, and burns at 10, so a page at 2 % never fires (facts 3a).
#[tokio::test]
async fn no_outage_burns_faster_than_all() {
    let tiers = vec![
        tier("page-2", Severity::Page, HOUR, 5 * MINUTE, "14.4"),
        tier("page-1-39", Severity::Page, HOUR, 5 * MINUTE, "9.99"),
    ];
    let mut step = Step::new("loose", "100", FOREVER, tiers);
    step.objective.target = Target::try_from(decimal("0.9")).unwrap();
    let tiers = step.objective.tiers.clone();
    let mut instants = Instants::default();
    instants
        .judged
        .extend([1, 30, 59, 60, 61, 600].map(|minutes| CLEAN + minutes * 60));
    let life = replay(&[step], instants, false).await;
    never_burns(&life, "loose", &tiers[0]);
    let between = (CLEAN + 59 * 60, CLEAN + 3600);
    came(&life, "loose", &tiers[1], AlertState::Firing, between);
}
