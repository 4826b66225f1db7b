//! Composites of partly good slices over a period of the calendar, through the real SQL: what each part spends is a share of
//! all its slices of the period, and the whole spends the sum, each times its weight.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use slo_engine::Settings;
use slo_engine::alert::AlertState;
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::correction::{CorrectionId, CorrectionKind, NewCorrection};
use slo_engine::objective::{Objective, Severity};
use slo_engine::read;

use crate::composite::{ANSWERS, LATENCY, WHOLE, answers, burn, composite, counted, latency};
use crate::support::{DAY, HOUR, MINUTE, World, at, decimal, seconds};

/// The day has 1440 minutes, of which answers may spend a tenth, 144; and 288 times five minutes, of which latency, half as
/// dear, may spend a fifth, 57.6. Both gone burn at 1 / 0.1 + 0.5 / 0.2 = 12.5.
fn of_the_day() -> Vec<Objective> {
    let ratios = |slice: u64| Budgeting::RatioTimeslices {
        slice: seconds(slice),
    };
    counted_by([ratios(MINUTE), ratios(5 * MINUTE)])
}

fn counted_by([of_answers, of_latency]: [Budgeting; 2]) -> Vec<Objective> {
    let starts = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
    let calendar = Calendar {
        starts: starts.and_hms_opt(0, 0, 0).unwrap(),
        zone: "UTC".parse().unwrap(),
        every: CalendarStep::Days(1),
    };
    let by = |budgeting, objective| Objective {
        budgeting,
        ..objective
    };
    let mut objectives = composite([
        (by(of_answers, answers("0.9")), "1"),
        (by(of_latency, latency("0.8")), "0.5"),
    ]);
    for objective in &mut objectives {
        objective.period = seconds(DAY);
        objective.calendar = Some(calendar);
    }
    let alert = BudgetAlert {
        name: "nearly".parse().unwrap(),
        severity: Severity::Ticket,
        rule: "remaining 99%".parse().unwrap(),
    };
    objectives[2].budget_alerts.push(alert);
    objectives
}

/// Five minutes: of answers a tenth of the first and half of the second are bad, of latency a quarter of all.
async fn five_minutes() -> World {
    let world = World::with(Settings::default(), of_the_day()).await;
    counted(&world, "host1", 60, [900, 100, 80, 20]).await;
    for second in [120, 180, 240, 300] {
        counted(&world, "host1", second, [901, 101, 90, 30]).await;
    }
    world.engine.judge_slices(at(330)).await.unwrap();
    world
}

/// What is left, what is allowed, good and bad, as psql has it.
async fn budget(world: &World, name: &str, now: i64) -> (Decimal, Decimal, i64, i64) {
    sqlx::query_as("select remaining, allowed, good, bad from error_budget($1, $2)")
        .bind(name)
        .bind(at(now))
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

async fn leave_out(world: &World, objective: &str, [from, to]: [i64; 2]) -> CorrectionId {
    let correction = NewCorrection {
        objective: objective.parse().unwrap(),
        kind: CorrectionKind::Maintenance,
        starts_at: at(from),
        ends_at: at(to),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    world.engine.correct(&correction, at(301)).await.unwrap()
}

#[tokio::test]
async fn each_part_spends_its_share_of_all_slices_of_the_period() {
    let world = five_minutes().await;
    // 0.6 of 144, and 0.25 of 57.6.
    assert_eq!(budget(&world, ANSWERS, 300).await.0, decimal("0.995833333"));
    assert_eq!(budget(&world, LATENCY, 300).await.0, decimal("0.995659722"));
    // 1 - 0.6 / 144 - 0.5 * 0.25 / 57.6; 0.08 of a whole of 10^12 are allowed, of which that share is bad.
    assert_eq!(
        budget(&world, WHOLE, 300).await,
        (
            decimal("0.993663194"),
            decimal("80000000000"),
            2_965_277_778,
            506_944_444
        )
    );
    // How fast it burns is of the time that is over: 0.12 / 0.1 + 0.5 * 0.25 / 0.2.
    assert_eq!(burn(&world, WHOLE, 300, 300).await.0, decimal("1.825"));
    let slo = read::slo(&world.database.pool, &WHOLE.parse().unwrap(), at(300)).await;
    let slo = slo.unwrap().unwrap();
    assert_eq!(slo.budget_remaining, decimal("0.993663194"));
    assert_eq!((slo.method.as_str(), slo.slice), ("Composite", None));
    assert_eq!((slo.period_from, slo.period_to), (at(-12 * 3600), at(12 * 3600)));
    // The next day has spent nothing.
    assert_eq!(
        budget(&world, WHOLE, 12 * 3600 + 1).await,
        (decimal("1"), decimal("80000000000"), 0, 0)
    );
    // Its course is the same numbers.
    let course = read::slo_series(&world.database.pool, &slo.name, at(0), at(300), seconds(300));
    let course = course.await.unwrap().unwrap();
    assert_eq!(course.budget_remaining, [Some(decimal("0.993663194"))]);
    world.database.drop().await;
}

#[tokio::test]
async fn slices_that_are_left_out_are_not_among_those_of_the_period() {
    let world = five_minutes().await;
    for (objective, from, to, left) in [
        // Six hours to come: a quarter of the period allows nothing. 1 - 0.6 / 108 - 0.5 * 0.25 / 43.2.
        (WHOLE, 6 * 3600, 12 * 3600, "0.991550926"),
        // All that was bad of one part: 1 - 0.5 * 0.25 / 57.6, and 1 - 0.6 / 144.
        (ANSWERS, 0, 120, "0.997829861"),
        (LATENCY, 0, 300, "0.995833333"),
    ] {
        let id = leave_out(&world, objective, [from, to]).await;
        assert_eq!(budget(&world, WHOLE, 300).await.0, decimal(left), "{objective}");
        world.engine.undo_correction(id, "ann", at(302)).await.unwrap();
        assert_eq!(budget(&world, WHOLE, 300).await.0, decimal("0.993663194"));
    }
    world.database.drop().await;
}

#[tokio::test]
async fn it_alerts_on_what_is_left_of_the_whole_period_and_says_when_that_is_spent() {
    let world = five_minutes().await;
    let fired = async |second: i64| {
        let evaluations = world.engine.evaluate_budgets(at(second)).await.unwrap();
        let mut transaction = world.database.pool.begin().await.unwrap();
        let recorded = world
            .engine
            .record(&mut transaction, &evaluations, None, at(second))
            .await;
        transaction.commit().await.unwrap();
        let of = |one: slo_engine::alert::Transition| (one.tier.to_string(), one.to);
        recorded.unwrap().into_iter().map(of).collect::<Vec<_>>()
    };
    let exhausts_at = async |second: i64| {
        let slo = read::slo(&world.database.pool, &WHOLE.parse().unwrap(), at(second)).await;
        slo.unwrap().unwrap().exhausts_at
    };
    // 99.37 % is left. At a burn rate of 1.825 that lasts 13 hours, and the day ends before.
    assert_eq!(fired(330).await, []);
    assert_eq!(exhausts_at(330).await, None);
    // A minute without a good answer: 1 - 1.6 / 144 - 0.5 * 0.25 / 57.6.
    counted(&world, "host1", 360, [901, 1101, 90, 30]).await;
    world.engine.judge_slices(at(390)).await.unwrap();
    let left = decimal("0.986718750");
    assert_eq!(budget(&world, WHOLE, 390).await.0, left.normalize());
    assert_eq!(fired(390).await, [("nearly".to_owned(), AlertState::Firing)]);
    // 1.6 of 6 answers: the day's budget lasts a day over the burn rate.
    let (burn_rate, ..) = burn(&world, WHOLE, HOUR, 390).await;
    assert_eq!(burn_rate.round_dp(6), decimal("3.291667"));
    let lasts = exhausts_at(390).await.unwrap() - at(390);
    let expected = (left * Decimal::from(DAY) / burn_rate).floor();
    assert_eq!(Decimal::from(lasts.num_seconds()), expected);
    world.database.drop().await;
}

/// What was counted of each minute up to `now`, and on as in the last one, until nothing is left of the budget: when a minute
/// showed that, half of one after its end, and when it was said to be of `now` at the pace of the last five.
async fn said_and_found(world: &World, minutes: &[[u64; 4]]) -> (Option<i64>, i64) {
    let (mut totals, mut minute, mut said) = ([0; 4], 0, None);
    loop {
        let more = minutes.get(minute).or(minutes.last()).unwrap();
        minute += 1;
        for (total, more) in totals.iter_mut().zip(more) {
            *total += more;
        }
        let ends = i64::try_from(minute).unwrap() * 60;
        counted(world, "host1", ends, totals).await;
        world.engine.judge_slices(at(ends + 30)).await.unwrap();
        let left = budget(world, WHOLE, ends + 30).await.0;
        if left <= Decimal::ZERO {
            return (said, ends + 30);
        }
        if minute == minutes.len() {
            let at_pace: Option<DateTime<Utc>> =
                sqlx::query_scalar("select budget_exhausts_at($1, $2, interval '5 minutes')")
                    .bind(WHOLE)
                    .bind(at(ends + 30))
                    .fetch_one(&world.database.pool)
                    .await
                    .unwrap();
            said = at_pace.map(|said| (said - at(0)).num_seconds());
        }
        assert!(ends < 4 * 3600, "said for {said:?}, and {left} is left");
    }
}

/// Six of 24 hours are left out of both, and half an hour of one while it goes on: that burns slower, of a smaller budget.
#[tokio::test]
async fn partly_good_slices_spend_the_budget_by_when_it_is_said_corrected_or_not() {
    for is_corrected in [false, true] {
        let slices = Budgeting::RatioTimeslices {
            slice: seconds(MINUTE),
        };
        let world = World::with(Settings::default(), counted_by([slices, slices])).await;
        if is_corrected {
            leave_out(&world, WHOLE, [6 * 3600, 12 * 3600]).await;
            leave_out(&world, ANSWERS, [1800, 3600]).await;
        }
        let mut minutes = vec![[100, 0, 100, 0]; 10];
        minutes.extend([[5, 95, 10, 90]; 6]);
        let (said, found) = said_and_found(&world, &minutes).await;
        assert!(
            said.is_some_and(|said| (found - 60..=found).contains(&said)),
            "{said:?} was said, {found} was found, {is_corrected}"
        );
        world.database.drop().await;
    }
}

/// What a part may spend grows with its requests, so that what is left of a calm morning is spent in less time than what is
/// left of the day: the busy one has many, the other few.
#[tokio::test]
async fn requests_spend_the_budget_by_when_it_is_said_corrected_or_not() {
    for is_corrected in [false, true] {
        let objectives = counted_by([Budgeting::Occurrences, Budgeting::Occurrences]);
        let world = World::with(Settings::default(), objectives).await;
        if is_corrected {
            // One of the minutes that are the pace, and ten that are to come.
            leave_out(&world, WHOLE, [1380, 1440]).await;
            leave_out(&world, ANSWERS, [1800, 2400]).await;
        }
        let mut minutes = vec![[1000, 0, 100, 0]; 20];
        minutes.extend([[90, 60, 20, 5]; 5]);
        let (said, found) = said_and_found(&world, &minutes).await;
        assert!(
            said.is_some_and(|said| (found - 60..=found).contains(&said)),
            "{said:?} was said, {found} was found, {is_corrected}"
        );
        world.database.drop().await;
    }
}
