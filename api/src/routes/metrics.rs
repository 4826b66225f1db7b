//! What a Prometheus scrapes.
//!
//! A part that cannot be read is left out and said so by `slowburn_scrape_ok`: the rest is still
//! true, and a scrape never fails because the database is away.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use http::header::CONTENT_TYPE;
use remediation::read::{OutboxDepth, Run, RunFilter};
use remediation::{LiveLimit, RunState};
use slo_engine::read::{self, Slo, Source};
use slo_engine::{EngineError, duration};

use crate::exposition::{self, Exposition, Kind, Labels};
use crate::state::AppState;
use crate::views::{ReadinessView, measured, number};

mod connections;

pub async fn show(State(state): State<AppState>) -> Response {
    let now = Utc::now();
    let open_runs = RunFilter {
        open: true,
        limit: Some(500),
        ..RunFilter::default()
    };
    let (slos, sources, connections, limits, open, outbox) = tokio::join!(
        read::slos(&state.pool, now),
        read::sources(&state.pool, now),
        read::tcp_totals(&state.pool, now),
        state.limits.list(),
        remediation::read::runs(&state.pool, &open_runs),
        remediation::read::outbox_depth(&state.pool),
    );
    let mut page = Exposition::default();
    process(&mut page, &state);
    state.probes.write(&mut page);
    let mut parts = Vec::new();
    // Those that can be read are told beside that not all could.
    let (rest, slos) = match slos {
        Ok(slos) => (Some(slos), Ok(())),
        Err(partly) => {
            let is_rest = matches!(partly.error, EngineError::LeftOut { .. });
            (is_rest.then_some(partly.rest), Err(partly.error))
        }
    };
    rest.iter().for_each(|slos| objectives(&mut page, slos));
    write(&mut page, &mut parts, "objectives", slos, |_, ()| {});
    write(&mut page, &mut parts, "sources", sources, |page, found| {
        self::sources(page, &found);
    });
    write(
        &mut page,
        &mut parts,
        "connections",
        connections,
        |page, totals| {
            connections::write(page, &totals);
        },
    );
    write(&mut page, &mut parts, "limits", limits, |page, live| {
        self::limits(page, &live);
    });
    write(&mut page, &mut parts, "runs", open, |page, open| {
        runs(page, &open);
    });
    write(&mut page, &mut parts, "outbox", outbox, |page, depth| {
        self::outbox(page, depth);
    });
    page.family(
        "slowburn_scrape_ok",
        Kind::Gauge,
        "Whether this part of the scrape could be read.",
        parts.iter().map(|(part, ok)| (vec![("part", *part)], *ok)),
    );
    ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], page.finish()).into_response()
}

fn write<T, E: std::fmt::Display>(
    page: &mut Exposition,
    parts: &mut Vec<(&'static str, bool)>,
    part: &'static str,
    found: Result<T, E>,
    written: impl FnOnce(&mut Exposition, T),
) {
    parts.push((part, found.is_ok()));
    match found {
        Ok(found) => written(page, found),
        Err(error) => tracing::warn!(part, %error, "a part of the scrape could not be read"),
    }
}

fn process(page: &mut Exposition, state: &AppState) {
    let version = env!("CARGO_PKG_VERSION");
    page.family(
        "slowburn_build_info",
        Kind::Gauge,
        "Version of this binary.",
        [(vec![("version", version)], true)],
    );
    let readiness = ReadinessView::from(&*state.readiness.borrow());
    page.family(
        "slowburn_ready",
        Kind::Gauge,
        "Whether this part of the process can do its work.",
        readiness
            .checks
            .iter()
            .map(|check| (vec![("check", check.name.as_str())], check.ready)),
    );
    page.family(
        "slowburn_ingest_reads_total",
        Kind::Counter,
        "Batches of measurements that were read from the kernel.",
        [(vec![], state.ingest.reads())],
    );
    page.family(
        "slowburn_ingest_batches_waiting",
        Kind::Gauge,
        "Batches of measurements that wait to be booked.",
        [(vec![], state.ingest.waiting())],
    );
    page.family(
        "slowburn_ingest_batches_total",
        Kind::Counter,
        "Batches of measurements by what became of them.",
        state
            .ingest
            .batches()
            .map(|(outcome, count)| (vec![("outcome", outcome)], count)),
    );
    page.family(
        "slowburn_ingest_values_total",
        Kind::Counter,
        "Values in booked batches by what became of them.",
        state
            .ingest
            .values()
            .map(|(outcome, count)| (vec![("outcome", outcome)], count)),
    );
    let connections = u64::from(state.pool.size());
    let idle = u64::try_from(state.pool.num_idle())
        .unwrap_or(u64::MAX)
        .min(connections);
    page.family(
        "slowburn_database_connections",
        Kind::Gauge,
        "Connections of this process to its database.",
        [
            (vec![("state", "idle")], idle),
            (vec![("state", "used")], connections - idle),
        ],
    );
}

fn objectives(page: &mut Exposition, slos: &[Slo]) {
    page.family(
        "slowburn_objective_target_ratio",
        Kind::Gauge,
        "Share of good events that the objective asks for.",
        slos.iter()
            .map(|slo| (objective(slo), number(slo.target.ratio()))),
    );
    page.family(
        "slowburn_objective_budget_remaining_ratio",
        Kind::Gauge,
        "Share of the error budget left over the period: 1 is all of it, below 0 is overspent.",
        slos.iter()
            .filter(|slo| measured(&slo.counts))
            .map(|slo| (objective(slo), number(slo.budget_remaining))),
    );
    page.family(
        "slowburn_objective_events",
        Kind::Gauge,
        "Events of the rolling period: it falls when old ones leave the period. Good and bad only where events are counted, \
         and not shares of slices or of a composite.",
        slos.iter().flat_map(|slo| {
            let counted = [("good", slo.counts.good), ("bad", slo.counts.bad)];
            let counted = counted.into_iter().filter(|_| slo.unit == 1);
            counted.chain([("lost", slo.counts.lost)]).map(|(outcome, count)| (and(objective(slo), "outcome", outcome), count))
        }),
    );
    page.family(
        "slowburn_objective_coverage_ratio",
        Kind::Gauge,
        "Share of the period that was measured.",
        slos.iter()
            .filter_map(|slo| Some((objective(slo), number(slo.counts.coverage()?)))),
    );
    page.family(
        "slowburn_objective_backfill_ratio",
        Kind::Gauge,
        "Of the time before the SLI was defined, the share that is counted back already; while it is.",
        slos.iter()
            .filter_map(|slo| Some((objective(slo), number(slo.backfill?.share())))),
    );
    let windows: Vec<(&Slo, String, f64)> = slos
        .iter()
        .flat_map(|slo| slo.burn.iter().map(move |burn| (slo, burn)))
        .filter(|(_, burn)| burn.counts.total() > 0)
        .map(|(slo, burn)| (slo, duration::format(burn.window), number(burn.burn_rate)))
        .collect();
    page.family(
        "slowburn_objective_burn_rate",
        Kind::Gauge,
        "How fast the budget burns over the window: 1 spends it in exactly the period.",
        windows
            .iter()
            .map(|(slo, window, rate)| (and(objective(slo), "window", window), *rate)),
    );
    page.family(
        "slowburn_objective_state",
        Kind::Gauge,
        "1 for the state the objective is in.",
        slos.iter()
            .map(|slo| (and(objective(slo), "state", slo.state.as_str()), true)),
    );
    page.family(
        "slowburn_alert_open",
        Kind::Gauge,
        "1 for every pending or firing alert of a tier.",
        slos.iter()
            .flat_map(|slo| slo.tiers.iter().map(move |tier| (slo, tier)))
            .filter_map(|(slo, tier)| {
                let labels = and(objective(slo), "tier", tier.name.as_str());
                Some((
                    and(
                        and(labels, "severity", tier.severity.as_str()),
                        "state",
                        tier.state?.as_str(),
                    ),
                    true,
                ))
            }),
    );
}

fn sources(page: &mut Exposition, sources: &[Source]) {
    page.family(
        "slowburn_source_lag_seconds",
        Kind::Gauge,
        "How long ago the newest batch of the agent was measured that is booked as a whole: up to a slot where many counters move.",
        sources.iter().map(|from| (source(from), seconds(from.lag_ms))),
    );
    page.family(
        "slowburn_source_clock_offset_seconds",
        Kind::Gauge,
        "How far the agent's clock is ahead of the engine's.",
        sources.iter().map(|from| (source(from), seconds(from.offset_ms))),
    );
}

fn objective(slo: &Slo) -> Labels<'_> {
    vec![
        ("objective", slo.name.as_str()),
        ("service", slo.service.as_str()),
    ]
}

fn source(source: &Source) -> Labels<'_> {
    vec![
        ("source", source.id.as_str()),
        ("host", source.host.as_str()),
        ("state", source.state.as_str()),
    ]
}

fn limits(page: &mut Exposition, live: &[LiveLimit]) {
    let count = u64::try_from(live.len()).unwrap_or(u64::MAX);
    page.family(
        "slowburn_limits_live",
        Kind::Gauge,
        "Rate limits in the kernel.",
        [(vec![], count)],
    );
    let named: Vec<(String, String, &LiveLimit)> = live
        .iter()
        .map(|live| (live.limit.id.to_string(), live.limit.source.to_string(), live))
        .collect();
    page.family(
        "slowburn_limit_packets_total",
        Kind::Counter,
        "Packets under a limit by what became of them.",
        named.iter().flat_map(|(id, source, live)| {
            [("passed", live.passed), ("dropped", live.dropped)].map(|(verdict, count)| {
                let service = live.limit.service.as_str();
                (
                    vec![
                        ("limit", id.as_str()),
                        ("service", service),
                        ("source", source),
                        ("verdict", verdict),
                    ],
                    count,
                )
            })
        }),
    );
}

fn runs(page: &mut Exposition, open: &[Run]) {
    let count = |state: RunState| {
        u64::try_from(open.iter().filter(|run| run.state == state).count()).unwrap_or(u64::MAX)
    };
    page.family(
        "slowburn_runs_open",
        Kind::Gauge,
        "Runs of runbooks that are not over, by state. At most 500 are counted.",
        RunState::ALL
            .iter()
            .filter(|state| !state.is_final())
            .map(|state| (vec![("state", state.as_str())], count(*state))),
    );
}

fn outbox(page: &mut Exposition, depth: OutboxDepth) {
    let rows = [
        ("pending", depth.pending),
        ("delivered", depth.delivered),
        ("failed", depth.failed),
    ];
    page.family(
        "slowburn_outbox_rows",
        Kind::Gauge,
        "Notifications kept, by what became of them.",
        rows.map(|(state, count)| (vec![("state", state)], count)),
    );
}

fn and<'a>(mut labels: Labels<'a>, name: &'static str, value: &'a str) -> Labels<'a> {
    labels.push((name, value));
    labels
}

fn seconds(millis: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a lag of 285 million years is not told apart from its neighbour"
    )]
    let seconds = millis as f64 / 1_000.0;
    seconds
}
