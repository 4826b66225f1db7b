//! The decision as a table: what was counted, what stood before, what becomes of it.

use std::time::Duration;

use super::*;
use crate::objective::BurnRate;

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-02T12:00:00Z".parse().unwrap()
}

fn window(good: u64, bad: u64, seconds: i64) -> WindowCounts {
    let length = u64::try_from(seconds).unwrap() * 1000;
    WindowCounts {
        good,
        bad,
        from: now() - TimeDelta::seconds(seconds),
        to: now(),
        expected_ms: length,
        covered_ms: length,
        lost: 0,
    }
}

/// Page at 14.4 over an hour and five minutes, 99.9 %.
fn input(long: (u64, u64), short: (u64, u64)) -> EvaluationInput {
    EvaluationInput {
        now: now(),
        objective: "web-availability".parse().unwrap(),
        service: "web".parse().unwrap(),
        unit: 1,
        parts: Vec::new(),
        target: Target::try_from(decimal("0.999")).unwrap(),
        tier: Tier {
            name: "page-1h".parse().unwrap(),
            severity: Severity::Page,
            long: Duration::from_secs(3600),
            short: Duration::from_secs(300),
            burn_rate: BurnRate::try_from(decimal("14.4")).unwrap(),
            budget_share: None,
            after: Duration::ZERO,
        },
        long: window(long.0, long.1, 3600),
        short: window(short.0, short.1, 300),
        open: None,
        open_since: None,
        frozen_since: None,
        starting: false,
        withdrawn: false,
        rules: Rules::default(),
    }
}

fn open(state: AlertState, clear_since: Option<i64>) -> Option<OpenAlert> {
    Some(OpenAlert {
        id: AlertId(1),
        state,
        clear_since: clear_since.map(|ago| now() - TimeDelta::seconds(ago)),
    })
}

#[test]
fn a_tier_that_waits_is_pending_until_it_has_burnt_for_so_long() {
    let after = |seconds, state, since: Option<i64>| {
        let mut input = input((9_000, 1_000), (500, 500));
        input.tier.after = Duration::from_secs(seconds);
        input.open = since.and_then(|_| open(state, None));
        input.open_since = since.map(|ago| now() - TimeDelta::seconds(ago));
        evaluate(&input).decision
    };
    assert_eq!(after(300, AlertState::Pending, None), Decision::Pend);
    assert_eq!(after(300, AlertState::Pending, Some(299)), Decision::Pend);
    assert_eq!(after(300, AlertState::Pending, Some(300)), Decision::Fire);
    // One that fires goes on, though its tier has come to wait.
    assert_eq!(after(3600, AlertState::Firing, Some(300)), Decision::Fire);
    let mut few = input((9, 1), (4, 1));
    few.open = open(AlertState::Pending, None);
    few.open_since = Some(now() - TimeDelta::hours(1));
    assert_eq!(evaluate(&few).decision, Decision::Pend, "time is no evidence");
}

#[test]
fn what_becomes_of_an_alert() {
    let burning = input((9_000, 1_000), (500, 500));
    let calm = input((10_000, 1), (1_000, 0));
    let over_in_short = input((9_000, 1_000), (1_000, 0));
    let few = input((9, 1), (4, 1));
    for (name, input, expected) in [
        ("both burn", burning.clone(), Decision::Fire),
        ("neither burns", calm, Decision::Quiet),
        ("only the long burns", over_in_short.clone(), Decision::Quiet),
        ("burns on too few", few.clone(), Decision::Pend),
        // The short window says that it goes on, and is no evidence of its own.
        ("few in the short", input((9_000, 1_000), (1, 1)), Decision::Fire),
        (
            "few in the long, all of them bad in the short",
            input((9, 1), (0, 1)),
            Decision::Pend,
        ),
        (
            "few, but fires already",
            EvaluationInput {
                open: open(AlertState::Firing, None),
                ..few
            },
            Decision::Fire,
        ),
        (
            "was pending, now evident",
            EvaluationInput {
                open: open(AlertState::Pending, None),
                ..burning.clone()
            },
            Decision::Fire,
        ),
        (
            "just over",
            EvaluationInput {
                open: open(AlertState::Firing, None),
                ..over_in_short.clone()
            },
            Decision::Clearing(now()),
        ),
        (
            "over for 29 s of the 30 s",
            EvaluationInput {
                open: open(AlertState::Firing, Some(29)),
                ..over_in_short.clone()
            },
            Decision::Clearing(now() - TimeDelta::seconds(29)),
        ),
        (
            "over for 30 s",
            EvaluationInput {
                open: open(AlertState::Firing, Some(30)),
                ..over_in_short
            },
            Decision::Resolve,
        ),
        (
            "withdrawn while firing",
            EvaluationInput {
                open: open(AlertState::Firing, None),
                withdrawn: true,
                ..burning
            },
            Decision::Resolve,
        ),
    ] {
        assert_eq!(evaluate(&input).decision, expected, "{name}");
    }
}

#[test]
fn too_little_watched_freezes_whatever_stands() {
    for open in [
        None,
        open(AlertState::Firing, None),
        open(AlertState::Pending, None),
    ] {
        let mut frozen = input((9_000, 1_000), (500, 500));
        frozen.open = open;
        frozen.short.covered_ms = 269_999;
        assert!(
            matches!(evaluate(&frozen).decision, Decision::Freeze(Freeze::Coverage(_))),
            "{open:?}"
        );
        frozen.short.covered_ms = 270_000;
        assert_eq!(evaluate(&frozen).decision, Decision::Fire, "{open:?}");
        frozen.short.expected_ms = 0;
        assert_eq!(
            evaluate(&frozen).decision,
            Decision::Freeze(Freeze::NoData),
            "{open:?}"
        );
    }
}

#[test]
fn at_the_threshold_is_not_above_it() {
    let mut at = input((9_856, 144), (9_856, 144));
    at.rules.evidence = EvidenceGate::Off;
    assert_eq!(
        evaluate(&at).evidence.burning().unwrap().burn_rate_long,
        decimal("14.4")
    );
    assert_eq!(evaluate(&at).decision, Decision::Quiet);
    at.long.bad += 1;
    at.short.bad += 1;
    assert_eq!(evaluate(&at).decision, Decision::Fire);
}

#[test]
fn evidence_says_how_many_bad_events_would_do() {
    // Facts 3e: of 60 requests at 14.4, 5 bad are evidence and 1 is enough for the ratio.
    let weighed = evaluate(&input((56, 4), (6, 4)));
    assert_eq!(weighed.decision, Decision::Pend);
    assert_eq!(weighed.evidence.burning().unwrap().bad_needed, Some(5));
    assert_eq!(evaluate(&input((55, 5), (5, 5))).decision, Decision::Fire);
}

#[test]
fn of_slices_that_were_partly_bad_only_whole_ones_are_evidence() {
    const SLICE: u64 = 1_000_000_000;
    // As above, of 60 slices 5 bad ones are evidence; here 4.99 are.
    let mut input = input((55 * SLICE, 5 * SLICE), (SLICE, 5 * SLICE));
    input.unit = SLICE;
    assert_eq!(evaluate(&input).decision, Decision::Fire);
    input.long.good += SLICE / 100;
    input.long.bad -= SLICE / 100;
    let weighed = evaluate(&input);
    assert_eq!(weighed.decision, Decision::Pend);
    assert_eq!(weighed.evidence.burning().unwrap().bad_needed, Some(5 * SLICE));
}

#[test]
fn no_data_at_the_start_is_no_news() {
    let mut fresh = input((0, 0), (0, 0));
    fresh.short.expected_ms = 0;
    assert_eq!(evaluate(&fresh).decision, Decision::Freeze(Freeze::NoData));
    fresh.starting = true;
    fresh.open = open(AlertState::Firing, None);
    assert_eq!(evaluate(&fresh).decision, Decision::Quiet);
    // What froze before stays frozen.
    fresh.frozen_since = Some(now());
    assert_eq!(evaluate(&fresh).decision, Decision::Freeze(Freeze::NoData));
}

#[test]
fn chances_are_computed_only_where_they_decide() {
    for (counts, state, decides) in [
        ((9_000, 1_000), None, true),
        ((9_000, 1_000), open(AlertState::Pending, None), true),
        ((9_000, 1_000), open(AlertState::Firing, None), false),
        ((9_000, 0), None, false),
    ] {
        let mut input = input(counts, counts);
        input.open = state;
        assert_eq!(
            evaluate(&input).evidence.burning().unwrap().chance.is_some(),
            decides,
            "{counts:?} {state:?}"
        );
    }
}
