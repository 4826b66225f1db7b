//! `/metrics` is what a Prometheus can read, and says what was measured.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use sqlx::PgPool;

use crate::shop::{Shop, start};

type Sample = (String, BTreeMap<String, String>, f64);

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn metrics_parse_and_say_what_was_measured(pool: PgPool) {
    let shop = Shop::measured(pool).await;
    shop.limiter.hold(7, start());
    shop.evaluate().await;
    let answer = shop.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let samples = parse(&answer.text);
    let value = |name: &str, wanted: &[(&str, &str)]| {
        let found: Vec<f64> = samples
            .iter()
            .filter(|(family, labels, _)| {
                family == name
                    && wanted
                        .iter()
                        .all(|(label, text)| labels.get(*label).is_some_and(|value| value == text))
            })
            .map(|(.., value)| *value)
            .collect();
        assert_eq!(found.len(), 1, "{name} {wanted:?} in\n{}", answer.text);
        found[0]
    };
    let availability = ("objective", "checkout-availability");
    assert!(value("slowburn_objective_events", &[availability, ("outcome", "good")]) >= 5_900.0);
    assert!(value("slowburn_objective_events", &[availability, ("outcome", "bad")]) >= 110.0);
    assert_eq!(value("slowburn_objective_target_ratio", &[availability]), 0.999);
    assert!(value("slowburn_objective_budget_remaining_ratio", &[availability]) < 0.0);
    assert!(value("slowburn_objective_burn_rate", &[availability, ("window", "5m")]) > 14.4);
    assert!(value("slowburn_source_lag_seconds", &[("host", "shop-1")]) < 60.0);
    assert_eq!(value("slowburn_limits_live", &[]), 1.0);
    assert_eq!(
        value(
            "slowburn_limit_packets_total",
            &[("limit", "7"), ("verdict", "dropped")]
        ),
        34_000.0
    );
    assert_eq!(
        value("slowburn_ingest_batches_total", &[("outcome", "failed")]),
        0.0
    );
    assert!(value("slowburn_ingest_values_total", &[("outcome", "applied")]) > 0.0);
    assert_eq!(
        value("slowburn_alert_open", &[availability, ("tier", "page-1h")]),
        1.0
    );
    assert_eq!(value("slowburn_runs_open", &[("state", "planned")]), 1.0);
    assert!(value("slowburn_outbox_rows", &[("state", "pending")]) >= 0.0);
    let checkout = ("service", "checkout");
    let server = ("role", "server");
    assert_eq!(
        value("slowburn_tcp_connections_opened_total", &[checkout, server]),
        600.0
    );
    let received = ("direction", "receive");
    assert_eq!(
        value("slowburn_tcp_io_bytes_total", &[checkout, received]),
        1_200_000.0
    );
    let closed = ("reason", "tcp_abort_on_close");
    assert_eq!(
        value("slowburn_tcp_resets_sent_by_reason_total", &[checkout, closed]),
        12.0
    );
    let refused = ("error", "connection_refused");
    assert_eq!(
        value(
            "slowburn_tcp_connect_failures_total",
            &[checkout, refused, ("role", "client")]
        ),
        2.0
    );
    assert_eq!(value("slowburn_tcp_listen_drops_total", &[checkout]), 7.0);
    assert_eq!(value("slowburn_tcp_accept_queue_connections", &[checkout]), 1.0);
    assert_eq!(value("slowburn_tcp_rtt_seconds", &[checkout]), 0.00012);
    for part in ["objectives", "sources", "connections", "limits", "runs", "outbox"] {
        assert_eq!(value("slowburn_scrape_ok", &[("part", part)]), 1.0);
    }
}

/// The text format, as strictly as its description: HELP and TYPE before a family's samples, each
/// family in one piece, each series once.
fn parse(text: &str) -> Vec<Sample> {
    let (mut samples, mut closed, mut seen): (Vec<Sample>, BTreeSet<String>, BTreeSet<String>) =
        Default::default();
    let (mut help, mut family) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect(line);
            assert!(!words.is_empty() && closed.insert(name.to_owned()), "{line}");
            name.clone_into(&mut help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(name, help, "{line}");
            assert!(
                kind == "gauge" || kind == "counter" && name.ends_with("_total"),
                "{line}"
            );
            assert!(
                name.starts_with("slowburn_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{line}"
            );
            name.clone_into(&mut family);
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            assert!(seen.insert(series.to_owned()), "twice: {line}");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}').expect(line))),
                None => (series, BTreeMap::new()),
            };
            assert_eq!(name, family, "{line}");
            samples.push((name.to_owned(), labels, value.parse().expect(line)));
        }
    }
    samples
}

fn parse_labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect(text);
        let (mut value, mut letters) = (String::new(), rest.char_indices());
        let end = loop {
            match letters.next().expect(rest) {
                (_, '\\') => value.push(match letters.next().expect(rest).1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    other => panic!("`\\{other}` in {rest}"),
                }),
                (end, '"') => break end,
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}
