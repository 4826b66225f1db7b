//! Periods of the calendar through the real SQL: both changes of the clocks in two zones, and a leap February.
//! What is expected is worked out by chrono-tz, which has zone rules of its own.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use slo_engine::Engine;
use slo_engine::Settings;
use slo_engine::budgeting::{Budgeting, Calendar, CalendarStep};
use slo_engine::objective::{Objective, Target};

use crate::support::{
    Database, MINUTE, availability, batch, budgets_of_all_are_each_ones, decimal, definitions, reading,
    source, status,
};

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The instant at which the clocks of a zone show a time that exists once there.
fn instant(zone: Tz, at: NaiveDateTime) -> DateTime<Utc> {
    zone.from_local_datetime(&at)
        .single()
        .unwrap_or_else(|| panic!("{at} exists once in {zone}"))
        .with_timezone(&Utc)
}

/// The period by counting up from the first, one at a time.
fn expected(calendar: &Calendar, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let start = |number: u32| {
        let at = match calendar.every {
            CalendarStep::Days(days) => calendar.starts + Days::new(u64::from(days) * u64::from(number)),
            CalendarStep::Months(months) => calendar.starts + Months::new(u32::from(months) * number),
        };
        instant(calendar.zone, at)
    };
    let mut number = 0;
    while start(number + 1) <= now {
        number += 1;
    }
    (start(number), start(number + 1))
}

async fn period(
    database: &Database,
    calendar: &Calendar,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let every = match calendar.every {
        CalendarStep::Days(days) => format!("{days} days"),
        CalendarStep::Months(months) => format!("{months} months"),
    };
    sqlx::query_as("select from_at, to_at from calendar_period($1, $2, $3::text::interval, $4)")
        .bind(calendar.starts)
        .bind(calendar.zone.name())
        .bind(every)
        .bind(now)
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn periods_begin_when_the_clocks_of_the_zone_say_so() {
    let database = Database::new().await;
    let steps = [
        CalendarStep::Days(1),
        CalendarStep::Days(7),
        CalendarStep::Months(1),
        CalendarStep::Months(3),
        CalendarStep::Months(12),
    ];
    let mut lengths = BTreeMap::new();
    for zone in ["Europe/Berlin", "America/New_York", "UTC"] {
        for every in steps {
            for starts in ["2027-12-27 00:00:00", "2027-12-31 09:30:00"] {
                let calendar = Calendar {
                    starts: local(starts),
                    zone: zone.parse().unwrap(),
                    every,
                };
                // Around the changes of 2028 in both zones, the leap day, and the ends of months and years.
                for around in [
                    "2028-02-28T00:00:00Z",
                    "2028-03-12T06:00:00Z",
                    "2028-03-26T00:00:00Z",
                    "2028-10-29T00:00:00Z",
                    "2028-11-05T05:00:00Z",
                    "2028-12-31T00:00:00Z",
                ] {
                    for hours in (0..72).step_by(5) {
                        let now = utc(around) + TimeDelta::hours(hours);
                        for now in [now, now - TimeDelta::microseconds(1)] {
                            let found = period(&database, &calendar, now).await;
                            assert_eq!(found, expected(&calendar, now), "{calendar:?} at {now}");
                            if every == CalendarStep::Days(1) {
                                let hours = (found.1 - found.0).num_hours();
                                *lengths.entry((zone, hours)).or_insert(0) += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    let kinds: Vec<_> = lengths.keys().copied().collect();
    let expected: Vec<_> = ["America/New_York", "Europe/Berlin"]
        .into_iter()
        .flat_map(|zone| [(zone, 23), (zone, 24), (zone, 25)])
        .chain([("UTC", 24)])
        .collect();
    assert_eq!(kinds, expected);
    database.drop().await;
}

#[tokio::test]
async fn a_moment_before_the_first_period_has_one_too_and_its_end_is_the_next_one() {
    let database = Database::new().await;
    let calendar = Calendar {
        starts: local("2030-01-31 00:00:00"),
        zone: Tz::UTC,
        every: CalendarStep::Months(1),
    };
    for (now, from, to) in [
        (
            "2028-02-29T12:00:00Z",
            "2028-02-29T00:00:00Z",
            "2028-03-31T00:00:00Z",
        ),
        (
            "2028-02-29T00:00:00Z",
            "2028-02-29T00:00:00Z",
            "2028-03-31T00:00:00Z",
        ),
        (
            "2028-02-28T23:59:59Z",
            "2028-01-31T00:00:00Z",
            "2028-02-29T00:00:00Z",
        ),
    ] {
        assert_eq!(
            period(&database, &calendar, utc(now)).await,
            (utc(from), utc(to)),
            "{now}"
        );
    }
    // What the clocks skip begins an hour later; of what they repeat the later is meant.
    let new_york = |starts: &str| Calendar {
        starts: local(starts),
        zone: "America/New_York".parse().unwrap(),
        every: CalendarStep::Days(1),
    };
    for (starts, noon, from) in [
        (
            "2028-03-12 02:30:00",
            "2028-03-12T16:00:00Z",
            "2028-03-12T07:30:00Z",
        ),
        (
            "2028-11-05 01:30:00",
            "2028-11-05T16:00:00Z",
            "2028-11-05T06:30:00Z",
        ),
    ] {
        assert_eq!(
            period(&database, &new_york(starts), utc(noon)).await.0,
            utc(from),
            "{starts}"
        );
    }
    database.drop().await;
}

/// One request an hour, good: a day has as many as the clocks give it hours, a month as many as it has.
#[tokio::test]
async fn a_budget_holds_the_requests_of_its_own_day_and_month() {
    let database = Database::new().await;
    let engine = Engine::new(database.pool.clone(), Settings::default());
    let of = |name: &str, zone: &str, every| Objective {
        calendar: Some(Calendar {
            starts: local("2027-12-01 00:00:00"),
            zone: zone.parse().unwrap(),
            every,
        }),
        ..availability(name, "web")
    };
    let objectives = vec![
        of("berlin", "Europe/Berlin", CalendarStep::Days(1)),
        of("new-york", "America/New_York", CalendarStep::Days(1)),
        of("month", "UTC", CalendarStep::Months(1)),
        // As intervals they equal a month and a quarter.
        of("thirty", "UTC", CalendarStep::Days(30)),
        of("ninety", "UTC", CalendarStep::Days(90)),
        of("quarter", "UTC", CalendarStep::Months(3)),
    ];
    let begin = utc("2028-02-28T00:00:00Z");
    engine.apply(&definitions(objectives), begin).await.unwrap();
    let host = source("host1");
    let hello = slo_engine::measurement::Hello {
        source: host.clone(),
        host: "host1".to_owned(),
        at: begin,
    };
    engine.hello(&hello).await.unwrap();
    let mut total = 0;
    // From a day before each change to a day after it.
    for (from, hours) in [
        ("2028-02-28T00:00:00Z", 60),
        ("2028-03-11T00:00:00Z", 72),
        ("2028-03-25T00:00:00Z", 72),
        ("2028-10-28T00:00:00Z", 72),
        ("2028-11-04T00:00:00Z", 72),
    ] {
        for hour in 0..hours {
            total += 1;
            let now = utc(from) + TimeDelta::hours(hour) + TimeDelta::minutes(30);
            let counted = vec![reading(status("web", 200), begin, total)];
            engine.ingest_at(&batch(&host, now, counted), now).await.unwrap();
        }
    }
    for (name, now, hours) in [
        ("berlin", "2028-03-26T21:59:59Z", 23),
        ("berlin", "2028-03-25T22:59:59Z", 23), // Counting began an hour late.
        ("berlin", "2028-10-29T22:59:59Z", 25),
        ("new-york", "2028-03-13T03:59:59Z", 23),
        ("new-york", "2028-11-06T04:59:59Z", 25),
        ("month", "2028-02-29T23:59:59Z", 48),
        ("month", "2028-03-01T11:59:59Z", 12),
        ("month", "2028-03-31T23:59:59Z", 12 + 72 + 72),
    ] {
        let good: i64 = sqlx::query_scalar("select good from error_budget($1, $2)")
            .bind(name)
            .bind(utc(now))
            .fetch_one(&database.pool)
            .await
            .unwrap();
        assert_eq!(good, hours, "{name} at {now}");
    }
    let moments = [
        "2028-02-29T12:00:00Z",
        "2028-03-12T00:00:00Z",
        "2028-10-29T12:00:00Z",
    ];
    budgets_of_all_are_each_ones(&database.pool, &moments.map(utc)).await;
    database.drop().await;
}

/// Whose period on a day, its minutes, and how many of them were bad so far.
type Period<'a> = (&'a str, i64, i64);

/// A bad minute on each of some days, and how much of its own day, month, quarter and year it spends: 1,380 minutes of a day
/// of 23 hours, 1,500 of one of 25, 29 days of a leap February.
#[tokio::test]
async fn a_budget_of_slices_allows_a_share_of_all_minutes_of_its_own_period() {
    const METHODS: [(&str, Budgeting, i64); 2] = [
        (
            "whole",
            Budgeting::Timeslices {
                slice: std::time::Duration::from_secs(MINUTE),
                target: Decimal::ONE,
            },
            1,
        ),
        // One of the four requests of the minute.
        (
            "partly",
            Budgeting::RatioTimeslices {
                slice: std::time::Duration::from_secs(MINUTE),
            },
            250_000_000,
        ),
    ];
    let database = Database::new().await;
    let engine = Engine::new(database.pool.clone(), Settings::default());
    let mut objectives = Vec::new();
    for (how, budgeting, _) in METHODS {
        for (name, zone, every) in [
            ("berlin-day", "Europe/Berlin", CalendarStep::Days(1)),
            ("berlin-month", "Europe/Berlin", CalendarStep::Months(1)),
            ("berlin-quarter", "Europe/Berlin", CalendarStep::Months(3)),
            ("berlin-year", "Europe/Berlin", CalendarStep::Months(12)),
            ("new-york-day", "America/New_York", CalendarStep::Days(1)),
            ("new-york-quarter", "America/New_York", CalendarStep::Months(3)),
        ] {
            objectives.push(Objective {
                target: Target::try_from(decimal("0.99")).unwrap(),
                calendar: Some(Calendar {
                    starts: local("2028-01-01 00:00:00"),
                    zone: zone.parse().unwrap(),
                    every,
                }),
                budgeting,
                tiers: Vec::new(),
                ..availability(&format!("{name}-{how}"), "web")
            });
        }
    }
    let begin = utc("2028-02-28T00:00:00Z");
    engine.apply(&definitions(objectives), begin).await.unwrap();
    let host = source("host1");
    let hello = slo_engine::measurement::Hello {
        source: host.clone(),
        host: "host1".to_owned(),
        at: begin,
    };
    engine.hello(&hello).await.unwrap();
    let ingest = async |now: DateTime<Utc>, minutes: u64| {
        let counted = vec![
            reading(status("web", 200), begin, 3 * minutes),
            reading(status("web", 500), begin, minutes),
        ];
        engine.ingest_at(&batch(&host, now, counted), now).await.unwrap();
    };

    let days: [(&str, &[Period]); 6] = [
        ("2028-02-29", &[("berlin-month", 29 * 1440, 1)]),
        (
            "2028-03-12",
            &[("new-york-day", 1380, 1), ("new-york-quarter", 91 * 1440 - 60, 2)],
        ),
        (
            "2028-03-26",
            &[
                ("berlin-day", 1380, 1),
                ("berlin-month", 31 * 1440 - 60, 2),
                ("berlin-quarter", 91 * 1440 - 60, 3),
            ],
        ),
        (
            "2028-03-27",
            &[("berlin-day", 1440, 1), ("new-york-day", 1440, 1)],
        ),
        (
            "2028-10-29",
            &[
                ("berlin-day", 1500, 1),
                ("berlin-month", 31 * 1440 + 60, 1),
                ("berlin-quarter", 92 * 1440 + 60, 1),
                ("new-york-day", 1440, 1),
            ],
        ),
        (
            "2028-11-05",
            &[
                ("new-york-day", 1500, 1),
                ("new-york-quarter", 92 * 1440 + 60, 2),
                ("berlin-year", 366 * 1440, 6),
            ],
        ),
    ];
    let mut judged = Vec::new();
    for (counted, (day, periods)) in (1..).zip(days) {
        let evening = utc(&format!("{day}T20:00:00Z"));
        ingest(evening, counted - 1).await;
        ingest(evening + TimeDelta::minutes(1), counted).await;
        let now = evening + TimeDelta::minutes(2);
        engine.judge_slices(now).await.unwrap();
        judged.push(now);
        for (how, budgeting, worth) in METHODS {
            let slice = if budgeting.method() == "Timeslices" {
                1
            } else {
                1_000_000_000
            };
            for (name, minutes, bad) in periods {
                let name = format!("{name}-{how}");
                let allowed = Decimal::from(minutes * slice) * decimal("0.01");
                let spent = Decimal::from(bad * worth);
                let expected = (
                    allowed.normalize(),
                    bad * worth,
                    (Decimal::ONE - spent / allowed).round_dp(9),
                );
                let found: (Decimal, i64, Decimal) =
                    sqlx::query_as("select allowed, bad, remaining from error_budget($1, $2)")
                        .bind(&name)
                        .bind(now)
                        .fetch_one(&database.pool)
                        .await
                        .unwrap();
                assert_eq!(found, expected, "{name} on {day}");
            }
        }
    }
    budgets_of_all_are_each_ones(&database.pool, &judged[5..]).await;
    database.drop().await;
}
