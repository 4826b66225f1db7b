//! When nothing is left of a budget, where what is counted is no plain sum: of composites over a rolling period, and where
//! corrections leave out some of the time.

use chrono::{DateTime, Utc};
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::evaluate::EvidenceGate;
use slo_engine::objective::{Objective, Severity, Target};
use slo_engine::{Settings, read};

use crate::composite::{WHOLE, counted, usual};
use crate::support::{DAY, MINUTE, World, at, availability, decimal, seconds};

/// Seconds after noon at which nothing is left, at the pace of so many minutes.
async fn exhausts_at(world: &World, name: &str, now: i64, minutes: i32) -> Option<i64> {
    let found: Option<DateTime<Utc>> =
        sqlx::query_scalar("select budget_exhausts_at($1, $2, make_interval(mins => $3))")
            .bind(name)
            .bind(at(now))
            .bind(minutes)
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    found.map(|found| (found - at(0)).num_seconds())
}

#[tokio::test]
async fn a_young_composite_ends_when_what_it_counts_by_then_allows_no_more() {
    let world = World::with(Settings::default(), usual()).await;
    counted(&world, "host1", 36_000, [36_000, 0, 36_000, 0]).await;
    counted(&world, "host1", 40_000, [39_900, 100, 40_000, 0]).await;
    // 40,000 s at half its budget's pace, the last 4,000 of them at 5: in another 5,000 s that makes 1.
    assert_eq!(exhausts_at(&world, WHOLE, 40_000, 60).await, Some(45_000));
    let slo = read::slo(&world.database.pool, &WHOLE.parse().unwrap(), at(40_000)).await;
    assert_eq!(slo.unwrap().unwrap().exhausts_at, Some(at(45_000)));
    world.database.drop().await;
}

/// Traffic over 48 minutes, which are the period: in each a hundred requests, so many of them answered badly.
async fn period_of(bad: impl Fn(u64) -> u64) -> World {
    let mut objectives = usual();
    for objective in &mut objectives {
        objective.period = seconds(48 * MINUTE);
    }
    let world = World::with(Settings::default(), objectives).await;
    let mut all_bad = 0;
    for minute in 1..=48 {
        all_bad += bad(minute);
        let total = 100 * minute;
        let now = i64::try_from(minute * MINUTE).unwrap();
        counted(&world, "host1", now, [total - all_bad, all_bad, total, 0]).await;
    }
    world
}

#[tokio::test]
async fn what_remains_of_a_whole_period_lasts_for_a_period_over_its_burn_rate() {
    // Four minutes at 10 spend 40 of 48.
    let world = period_of(|minute| if minute > 44 { 5 } else { 0 }).await;
    assert_eq!(exhausts_at(&world, WHOLE, 2880, 4).await, Some(2880 + 48));
    world.database.drop().await;
}

#[tokio::test]
async fn what_leaves_the_period_of_a_composite_by_then_is_spent_no_more() {
    // A minute at 30, and five at 2, spend 40 of 48; 30 of them leave within a minute, and 38 are spent in 19.
    let world = period_of(|minute| match minute {
        1 => 15,
        44.. => 1,
        _ => 0,
    })
    .await;
    assert_eq!(exhausts_at(&world, WHOLE, 2880, 5).await, Some(2880 + 19 * 60));
    world.database.drop().await;
}

const NAME: &str = "web-availability";

/// The day has 1440 minutes, of which a tenth may be bad; two alerts look ahead.
fn of_minutes() -> Objective {
    let starts = "2026-11-01T00:00:00".parse().unwrap();
    let alert = |rule: &str| BudgetAlert {
        name: rule.replace(' ', "-").parse().unwrap(),
        severity: Severity::Ticket,
        rule: rule.parse().unwrap(),
    };
    Objective {
        target: Target::try_from(decimal("0.9")).unwrap(),
        period: seconds(DAY),
        calendar: Some(Calendar {
            starts,
            zone: "UTC".parse().unwrap(),
            every: CalendarStep::Days(1),
        }),
        budgeting: Budgeting::RatioTimeslices {
            slice: seconds(MINUTE),
        },
        tiers: Vec::new(),
        budget_alerts: vec![alert("exhausted within 150m"), alert("exhausted within 156m")],
        evidence: Some(EvidenceGate::Off),
        ..availability(NAME, "web")
    }
}

async fn leave_out(world: &World, [from, to]: [i64; 2]) {
    let correction = NewCorrection {
        objective: NAME.parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(from),
        ends_at: at(to),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    world.engine.correct(&correction, at(601)).await.unwrap();
}

/// Names of the alerts that fire.
async fn fired(world: &World, second: i64) -> Vec<String> {
    let evaluations = world.engine.evaluate_budgets(at(second)).await.unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let recorded = world
        .engine
        .record(&mut transaction, &evaluations, None, at(second))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    recorded.into_iter().map(|one| one.tier.to_string()).collect()
}

#[tokio::test]
async fn slices_that_are_left_out_spend_nothing_until_the_budget_ends() {
    let world = World::with(Settings::default(), vec![of_minutes()]).await;
    for minute in 1..=10 {
        let bad = u64::try_from(minute * 10).unwrap();
        world.counted(at(minute * 60), 0, bad).await;
    }
    world.engine.judge_slices(at(630)).await.unwrap();
    // 134 more minutes like the last five.
    assert_eq!(exhausts_at(&world, NAME, 600, 5).await, Some(600 + 134 * 60));
    // 142 are allowed, and twenty minutes to come count nothing: 132 more, within 152.
    leave_out(&world, [900, 2100]).await;
    assert_eq!(exhausts_at(&world, NAME, 600, 5).await, Some(600 + 152 * 60));
    assert_eq!(fired(&world, 600).await, ["exhausted-within-156m"]);
    // Of the last five count three, and 141.8 are allowed: 133.8 more.
    leave_out(&world, [360, 480]).await;
    assert_eq!(
        exhausts_at(&world, NAME, 600, 5).await,
        Some(600 + 8028 + 20 * 60)
    );
    world.database.drop().await;
}
