//! Alerts on budgets: what is left of one, what is to be left, and what was spent at once.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use slo_engine::alert::{AlertState, Transition};
use slo_engine::budget_alert::{BudgetAlert, BudgetRule};
use slo_engine::budgeting::{Calendar, CalendarStep};
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::objective::{Objective, Severity, Target};
use slo_engine::{Settings, read};
use sqlx::Row as _;

use crate::support::{World, at, availability, decimal, definitions, seconds, tier};

const PERIOD: u64 = 3600;

/// 99 % over `period`, and one alert on its budget.
fn objective(period: u64, severity: Severity, rule: &str) -> Objective {
    let rule: BudgetRule = rule.parse().unwrap();
    let mut objective = availability("web-availability", "web");
    objective.target = Target::try_from(decimal("0.99")).unwrap();
    objective.period = seconds(period);
    objective.tiers.clear();
    objective.budget_alerts = vec![BudgetAlert {
        name: rule.default_name().parse().unwrap(),
        severity,
        rule,
    }];
    objective
}

/// Evaluates and records, as the loop does.
async fn judge(world: &World, second: i64) -> Vec<Transition> {
    let evaluations = world.engine.evaluate_budgets(at(second)).await.unwrap();
    let mut transaction = world.database.pool.begin().await.unwrap();
    let transitions = world
        .engine
        .record(&mut transaction, &evaluations, None, at(second))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    transitions
}

/// What the journal says of the alert, in order.
async fn told(world: &World) -> Vec<String> {
    read::events(&world.database.pool, None, Some("web-availability"), 100)
        .await
        .unwrap()
        .into_iter()
        .rev()
        .map(|event| event.message)
        .filter(|message| message.contains("(`budget-"))
        .collect()
}

/// A service that answers ten requests a second.
struct Traffic {
    world: World,
    good: u64,
    bad: u64,
}

impl Traffic {
    async fn of(objective: Objective) -> Self {
        let world = World::with(Settings::default(), vec![objective]).await;
        Self {
            world,
            good: 0,
            bad: 0,
        }
    }

    /// In each ten seconds that end in `span` so many of the hundred requests are bad.
    async fn run(&mut self, span: RangeInclusive<i64>, bad: u64) {
        for second in span.step_by(10) {
            self.good += 100 - bad;
            self.bad += bad;
            self.world.counted(at(second), self.good, self.bad).await;
        }
    }

    /// The same, judging after each: when the alert changed, and into what.
    async fn judged(&mut self, span: RangeInclusive<i64>, bad: u64) -> Vec<(i64, AlertState)> {
        let mut life = Vec::new();
        for second in span.step_by(10) {
            self.run(second..=second, bad).await;
            life.extend(
                judge(&self.world, second)
                    .await
                    .into_iter()
                    .map(|one| (second, one.to)),
            );
        }
        life
    }
}

#[tokio::test]
async fn little_that_is_left_fires_at_once_and_resolves_when_more_has_been_left_for_a_while() {
    let mut web = Traffic::of(objective(PERIOD, Severity::Ticket, "remaining 20%")).await;
    assert_eq!(web.judged(10..=600, 0).await, []);
    // At 650, 50 of the 65 that are allowed are spent; at 660, 60 of 66.
    assert_eq!(web.judged(610..=660, 10).await, [(660, AlertState::Firing)]);
    let name = "web-availability".parse().unwrap();
    let slo = read::slo(&web.world.database.pool, &name, at(660))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(slo.state, read::SloState::Ok, "its burn rate alerts nobody");
    let [alert] = &slo.budget_alerts[..] else {
        panic!("{slo:?}")
    };
    assert_eq!(alert.state, Some(AlertState::Firing));
    assert_eq!(alert.spending.remaining, slo.budget_remaining);
    assert_eq!(alert.spending.limit, decimal("52.8"));
    // At 750 exactly 20 % is left again; it is over when that has held for a tenth of a twelfth of the period.
    assert_eq!(web.judged(670..=900, 0).await, [(780, AlertState::Resolved)]);
    assert_eq!(
        told(&web.world).await,
        [
            "`web-availability` is spending its budget (`budget-remaining-20`): 9.1 % of the error budget is left, fires below 20 %; 60 bad of 6600",
            "`web-availability` (`budget-remaining-20`) has budget again: 23.1 % of the error budget is left, fires below 20 %",
        ]
    );
    web.world.database.drop().await;
}

#[tokio::test]
async fn missing_data_neither_fires_nor_resolves_an_alert_on_the_budget() {
    let mut web = Traffic::of(objective(600, Severity::Ticket, "remaining 20%")).await;
    assert_eq!(web.judged(10..=60, 10).await, [(10, AlertState::Firing)]);
    assert_eq!(web.judged(70..=500, 0).await, []);
    // The errors leave the window while nobody watches it.
    for second in (510..=900).step_by(10) {
        assert_eq!(judge(&web.world, second).await, [], "at {second}");
    }
    // The kernel counted on, so it was watched after all.
    web.good += 4_000;
    assert_eq!(web.judged(910..=960, 0).await, [(920, AlertState::Resolved)]);
    web.world.database.drop().await;
}

#[tokio::test]
async fn exhaustion_ahead_pends_until_the_counts_of_its_pace_are_evidence() {
    let mut web = Traffic::of(objective(PERIOD, Severity::Page, "exhausted within 20m")).await;
    web.run(10..=1800, 0).await;
    // 5 bad in ten seconds. After x seconds of it, 0.5 x are bad; in 20 minutes at the pace of the last five, 2.5 x, of
    // 300 + 0.1 x that are allowed then: more from x = 126 on. That they are no chance shows later.
    assert_eq!(
        web.judged(1810..=2000, 5).await,
        [(1930, AlertState::Pending), (1960, AlertState::Firing)]
    );
    let name = "web-availability".parse().unwrap();
    let slo = read::slo(&web.world.database.pool, &name, at(2000))
        .await
        .unwrap()
        .unwrap();
    // 100 of 200 are spent, and a third of one more each second, of which 0.1 are allowed: 429 s, and the next step.
    assert_eq!(slo.budget_alerts[0].spending.exhausts_at, Some(at(2000 + 450)));
    // All 270 that are allowed by then are spent well before 2700, and nothing is to come any more.
    web.run(2010..=2700, 5).await;
    let slo = read::slo(&web.world.database.pool, &name, at(2700))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (slo.state, slo.budget_alerts[0].state),
        (read::SloState::Exhausted, Some(AlertState::Firing))
    );
    let spending = &slo.budget_alerts[0].spending;
    assert_eq!(spending.exhausts_at, None);
    assert_eq!(spending.to_string(), "the error budget is spent; -66.7 % is left");
    web.world.database.drop().await;
}

#[tokio::test]
async fn spend_that_leaves_a_rolling_period_is_no_exhaustion_ahead() {
    for (spent_at, expected) in [(60, vec![]), (3000, vec![(3600, AlertState::Firing)])] {
        let mut web = Traffic::of(objective(PERIOD, Severity::Page, "exhausted within 20m")).await;
        web.run(10..=spent_at, 0).await;
        // 252 of the 360 that an hour allows.
        web.run(spent_at + 10..=spent_at + 60, 42).await;
        web.run(spent_at + 70..=3300, 0).await;
        // 48 more in 20 minutes would be too many, unless the 252 leave by then.
        web.run(3310..=3590, 2).await;
        assert_eq!(web.judged(3600..=3600, 2).await, expected, "spent at {spent_at}");
        web.world.database.drop().await;
    }
}

#[tokio::test]
async fn what_the_periods_ahead_hold_is_what_their_windows_hold() {
    // So that the periods of the moments ahead begin before, in and after what is booked.
    let mut web = Traffic::of(objective(PERIOD / 3, Severity::Page, "exhausted within 25m")).await;
    web.run(10..=600, 1).await;
    let pool = web.world.database.pool.clone();
    // As the engine reads: compiling what is asked once takes longer than it saves.
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("set jit = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    // Good and bad ahead, and of the same periods the windows.
    let mut held = async || {
        let row = sqlx::query(include_str!("../../queries/budget_alert.sql"))
            .bind(at(605))
            .bind(seconds(300))
            .bind(None::<&str>)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let ahead = ["after_ms!", "kept_good!", "kept_bad!"].map(|name| row.get::<Vec<i64>, _>(name));
        let [after, good, bad] = ahead;
        let mut windows = Vec::new();
        for after in after {
            let window: (i64, i64) = sqlx::query_as(
                "select w.good, w.bad
                 from objective o
                 cross join lateral ledger_window(
                     o.objective_id, o.generation, $1 + $2 * interval '1 ms' - interval '20 minutes', $1
                 ) w",
            )
            .bind(at(605))
            .bind(after)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
            windows.push(window);
        }
        (good.into_iter().zip(bad).collect::<Vec<_>>(), windows)
    };
    let (ahead, windows) = held().await;
    assert_eq!(ahead, windows);
    // A moment later than the period is long has none.
    assert_eq!((ahead.len(), ahead[0].1, ahead[17].1), (19, 60, 7));
    let correction = NewCorrection {
        objective: "web-availability".parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(300),
        ends_at: at(400),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    web.world.engine.correct(&correction, at(605)).await.unwrap();
    let (corrected, windows) = held().await;
    assert_eq!(corrected, windows);
    assert_eq!((corrected[0].1, corrected[17].1), (50, 7));
    drop(connection);
    web.world.database.drop().await;
}

#[tokio::test]
async fn a_drop_is_a_share_of_the_budget_spent_at_once() {
    let mut web = Traffic::of(objective(PERIOD, Severity::Ticket, "drop 10% within 5m")).await;
    web.run(10..=3000, 0).await;
    // Of 300 that are allowed, 35 are spent at 3070: too few to tell from chance before 3090.
    assert_eq!(
        web.judged(3010..=3090, 5).await,
        [(3070, AlertState::Pending), (3090, AlertState::Firing)]
    );
    // Errors leave the five minutes from 3310 on; the budget that they were spent of is as small as before.
    assert_eq!(web.judged(3100..=3400, 0).await, [(3340, AlertState::Resolved)]);
    assert_eq!(
        told(&web.world).await.last().unwrap(),
        "`web-availability` (`budget-drop-10-5m`) no longer spends its budget so fast: \
         7.5 % of the error budget was spent within 5m, fires above 10 %; 86.5 % is left"
    );
    web.world.database.drop().await;
}

#[tokio::test]
async fn an_alert_that_is_no_longer_stated_resolves() {
    let mut web = Traffic::of(objective(PERIOD, Severity::Ticket, "remaining 20%")).await;
    assert_eq!(web.judged(10..=60, 10).await, [(10, AlertState::Firing)]);
    let mut without = objective(PERIOD, Severity::Ticket, "remaining 20%");
    without.budget_alerts.clear();
    web.world
        .engine
        .apply(&definitions(vec![without]), at(65))
        .await
        .unwrap();
    assert_eq!(web.judged(70..=90, 10).await, [(70, AlertState::Resolved)]);
    assert_eq!(
        told(&web.world).await.last().unwrap(),
        "`web-availability` (`budget-remaining-20`) no longer states an alert at `remaining 20%`"
    );
    web.world.database.drop().await;
}

#[tokio::test]
async fn a_service_without_requests_spends_nothing() {
    let web = Traffic::of(objective(PERIOD, Severity::Page, "exhausted within 20m")).await;
    for second in (10..=60).step_by(10) {
        web.world.counted(at(second), 0, 0).await;
        assert_eq!(judge(&web.world, second).await, []);
    }
    web.world.database.drop().await;
}

/// When nothing is left, at the pace of so many minutes; and that the objective says so, whose first tier looks at five.
async fn exhausts_at(web: &Traffic, now: i64, minutes: i32) -> Option<i64> {
    let pool = &web.world.database.pool;
    let found: Option<DateTime<Utc>> =
        sqlx::query_scalar("select budget_exhausts_at('web-availability', $1, make_interval(mins => $2))")
            .bind(at(now))
            .bind(minutes)
            .fetch_one(pool)
            .await
            .unwrap();
    if minutes == 5 {
        let name = "web-availability".parse().unwrap();
        let slo = read::slo(pool, &name, at(now)).await.unwrap().unwrap();
        assert_eq!(slo.exhausts_at, found);
    }
    found.map(|found| (found - at(0)).num_seconds())
}

fn watched(calendar: Option<Calendar>) -> Objective {
    let mut objective = objective(PERIOD, Severity::Page, "exhausted within 20m");
    objective.tiers = vec![tier("page", Severity::Page, 300, 60, "10")];
    objective.calendar = calendar;
    objective
}

#[tokio::test]
async fn a_young_budget_ends_when_what_is_counted_by_then_allows_no_more() {
    let of_days = Calendar {
        starts: "2026-01-01T00:00:00".parse().unwrap(),
        zone: Tz::UTC,
        every: CalendarStep::Days(1),
    };
    for calendar in [None, Some(of_days)] {
        let is_calendar = calendar.is_some();
        let mut web = Traffic::of(watched(calendar)).await;
        web.run(10..=900, 0).await;
        web.run(910..=1200, 2).await;
        // 60 of 120 are spent; each second spends 0.2, and allows 0.1.
        assert_eq!(exhausts_at(&web, 1200, 5).await, Some(1800));
        // As many as are allowed. A day allows ever more; of an hour, the calm minutes before the errors leave first.
        web.run(1210..=1500, 1).await;
        let expected = (!is_calendar).then_some(4200);
        assert_eq!(exhausts_at(&web, 1500, 5).await, expected);
        // 450 of 180.
        web.run(1510..=1800, 12).await;
        assert_eq!(
            exhausts_at(&web, 1800, 5).await,
            None,
            "what is gone ends no more"
        );
        web.world.database.drop().await;
    }
}

/// Table 5-4 of the Workbook, its month being an hour.
#[tokio::test]
async fn a_step_of_errors_exhausts_a_period_in_the_part_of_it_that_its_burn_rate_says() {
    for burn_rate in [1, 2, 10, 35] {
        let mut web = Traffic::of(watched(None)).await;
        web.run(10..=3600, 0).await;
        web.run(3610..=3660, u64::try_from(burn_rate).unwrap()).await;
        let expected = (burn_rate > 1).then_some(3600 + 3600 / burn_rate);
        assert_eq!(exhausts_at(&web, 3660, 1).await, expected, "at {burn_rate}");
        web.world.database.drop().await;
    }
}

#[tokio::test]
async fn what_leaves_a_rolling_period_by_then_is_spent_no_more() {
    let mut web = Traffic::of(watched(None)).await;
    web.run(10..=60, 30).await;
    web.run(70..=3300, 0).await;
    assert_eq!(exhausts_at(&web, 3300, 5).await, None);
    web.run(3310..=3600, 2).await;
    // Of 360 that an hour allows, 240 are spent, at 0.2 a second; the first 180 of them leave within a minute.
    assert_eq!(exhausts_at(&web, 3600, 5).await, Some(3600 + 1500));
    web.world.database.drop().await;
}

#[tokio::test]
async fn what_was_spent_of_late_ends_a_budget_at_a_burn_rate_of_one() {
    let mut web = Traffic::of(watched(None)).await;
    web.run(10..=3000, 0).await;
    web.run(3010..=3300, 6).await;
    web.run(3310..=3600, 1).await;
    // 210 of 360 are spent, and none of it leaves for the next 3000 s.
    assert_eq!(exhausts_at(&web, 3600, 5).await, Some(3600 + 1500));
    // At the pace of the last hour, 210 more within the next. The first slot is watched since two seconds before the hour.
    assert_eq!(exhausts_at(&web, 3600, 60).await, Some(3600 + 2570));
    web.world.database.drop().await;
}
