// Data in the shapes of ../../openapi.json, for looking at the pages without an engine: a small shop
// in the middle of an incident. Everything is a function of the time, so pages move as they would.
const MIN = 60, HOUR = 3600, DAY = 86_400;
export const began = Math.floor(Date.now() / 1000) - 4 * MIN;
const iso = (seconds) => new Date(seconds * 1000).toISOString();
const noise = (n) => { const x = Math.sin(n * 12.9898) * 43758.5453; return x - Math.floor(x); };
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SOURCE = "5e2f0c1b9a7d4c66:b1f6d9a2-4c1e:3";

/** Share of bad requests of an objective at a time. */
function badShare(name, t) {
  if (name === "checkout-availability") {
    if (t > began && t < began + 2 * MIN) return 0.52 * Math.min(1, (t - began) / 30);
    if (t >= began + 2 * MIN) return 0.52 * Math.exp(-(t - began - 2 * MIN) / 25) + 0.0002;
    const old = began - 9 * DAY;
    return t > old && t < old + 40 * MIN ? 0.03 : 0.0001 + 0.0002 * noise(Math.floor(t / 600));
  }
  if (name === "checkout-latency") return t > began && t < began + 130 ? 0.11 : 0.004 + 0.006 * noise(Math.floor(t / 900));
  if (name === "stock-latency") return 0.013 + 0.006 * noise(Math.floor(t / 7200));
  if (name === "fresh") return 0.007;
  return 0.00002 + (noise(Math.floor(t / 40_000)) > 0.93 ? 0.0006 : 0);
}
const RATE = { "checkout-availability": 420, "checkout-latency": 420, "web-availability": 1180, "stock-latency": 96, fresh: 3 };
/** Times that nothing was measured: an upgrade long ago, a host that was down. */
const dark = (name, t) => name === "nightly-report" || (name === "fresh" && t < began) || (t > began - 12 * DAY && t < began - 11.3 * DAY) || (name === "stock-latency" && t < began - 14 * DAY);

function span(name, from, to, step = Math.max(1, (to - from) / 400)) {
  let good = 0, bad = 0, covered = 0, n = 0;
  for (let t = from + step / 2; t < to; t += step) {
    n += 1;
    if (dark(name, t)) continue;
    covered += 1;
    const all = RATE[name] * step * (0.75 + 0.35 * Math.sin((t / DAY) * 6.283) + 0.06 * noise(t));
    const wrong = all * badShare(name, t);
    bad += wrong; good += all - wrong;
  }
  return { good: Math.round(good), bad: Math.round(bad), coverage: n ? covered / n : null };
}
const burnOf = (counts, target) => (counts.good + counts.bad ? counts.bad / (counts.good + counts.bad) / (1 - target) : null);

const OBJECTIVES = [
  ["checkout-availability", "Checkout answers", "checkout", "availability", 0.999, null, "A customer who presses pay gets an answer that is not our fault. Server side, all routes but health checks."],
  ["checkout-latency", "Checkout is quick", "checkout", "latency", 0.98, 250, "Answered within 250 ms of the last request byte."],
  ["web-availability", "Shop pages load", "web", "availability", 0.9995, null, "Every page of the shop."],
  ["stock-latency", "Stock lookups are quick", "stock", "latency", 0.99, 50, ""],
  ["fresh", "", "stock", "availability", 0.999, null, "Defined minutes ago."],
  ["nightly-report", "", "reports", "availability", 0.99, null, "The nightly export."],
];
const PERIOD = 30 * DAY;
const TIERS = [["page-1h", "page", HOUR, 5 * MIN, 14.4], ["page-6h", "page", 6 * HOUR, 30 * MIN, 6], ["ticket-1d", "ticket", DAY, 2 * HOUR, 3], ["ticket-3d", "ticket", 3 * DAY, 6 * HOUR, 1]];
const CLOSE = [["page-30s", "page", 2 * MIN, 30, 2], ["ticket-2m", "ticket", 5 * MIN, 2 * MIN, 1.8], ["ticket-1h", "ticket", HOUR, 5 * MIN, 1.5]];

const cache = new Map();
function summary([name, display_name, service, kind, target, threshold_ms], now) {
  const slow = Math.floor(now / 5);
  const key = name + slow;
  if (!cache.has(key)) cache.set(key, span(name, now - PERIOD, began - 60, 900));
  const base = cache.get(key), recent = span(name, began - 60, now, 1);
  const good = base.good + recent.good, bad = base.bad + recent.bad;
  const total = (good + bad) * (1 - target);
  const burn = [5 * MIN, HOUR, 6 * HOUR, DAY].map((seconds) => {
    const counts = span(name, now - seconds, now);
    return { window_seconds: seconds, burn_rate: burnOf(counts, target), ...counts };
  });
  const left = good + bad ? 1 - bad / total : null;
  const state = left === null ? "no_data" : left <= 0 ? "exhausted" : name === "checkout-availability" ? "firing" : burn[0].burn_rate > 2 ? "burning" : "ok";
  return {
    name, display_name, service, kind, target, threshold_ms, period_seconds: PERIOD, period_from: new Date(Date.now() - 2_592_000_000).toISOString(), period_to: new Date().toISOString(), budgeting_method: 'Occurrences', slice_seconds: null, unit: 1, good, bad, sli: good + bad ? good / (good + bad) : null,
    budget_remaining: left, budget_spent_events: bad, budget_total_events: total, burn, state, coverage: base.coverage, lost: name === "stock-latency" ? 1_204 : 0,
    exhausts_at: left > 0 && burn[0].burn_rate > 1 ? iso(now + (left * PERIOD) / burn[0].burn_rate) : null,
  };
}
const view = (name, from, to) => { const { coverage, ...counts } = span(name, from, to); return { ...counts, from: iso(from), to: iso(to), coverage, lost: 0 }; };
function evidence(name, target, long, short, threshold, now) {
  const l = view(name, now - long, now), s = view(name, now - short, now);
  return { test: "windows", long: l, short: s, burn_rate_long: burnOf(l, target), burn_rate_short: burnOf(s, target), threshold, bad_needed: Math.round(threshold * (1 - target) * (l.good + l.bad)), chance: 0.00004, parts: [], silent: [], budget: null };
}
function alerts(now) {
  const base = { objective: "checkout-availability", service: "checkout", severity: "page", trace_id: TRACE, unit: 1, owner: "Payments", runbook_url: "https://wiki.example.com/slo/checkout" };
  return [
    { ...base, id: 42, tier: "page-1h", state: "firing", opened_at: iso(began + 20), fired_at: iso(began + 31), resolved_at: null, evidence: evidence("checkout-availability", 0.999, HOUR, 5 * MIN, 14.4, now) },
    { ...base, id: 43, tier: "page-6h", state: "pending", opened_at: iso(began + 90), fired_at: null, resolved_at: null, evidence: evidence("checkout-availability", 0.999, 6 * HOUR, 30 * MIN, 6, now) },
    { ...base, id: 44, objective: "checkout-latency", tier: "ticket-1d", severity: "ticket", state: "pending", opened_at: iso(began + 70), fired_at: null, resolved_at: null, evidence: evidence("checkout-latency", 0.98, DAY, 2 * HOUR, 3, now), trace_id: null },
    { ...base, id: 37, tier: "page-1h", state: "resolved", opened_at: iso(began - 9 * DAY), fired_at: iso(began - 9 * DAY + 40), resolved_at: iso(began - 9 * DAY + 45 * MIN), evidence: evidence("checkout-availability", 0.999, HOUR, 5 * MIN, 14.4, began - 9 * DAY + 20 * MIN) },
  ];
}
const limits = (now) => released.has(7) || cancelled ? [] : [{ id: 7, service: "checkout", source: "10.77.0.66/32", rate_per_second: 50, burst: 100, expires_at: iso(began + 14 * MIN), passed: 50 * Math.max(0, Math.floor(now - began - 60)), dropped: 8_730 * Math.max(0, Math.floor(now - began - 60)), mode: "generic", run_id: 12 }];
export const released = new Set();
let cancelled = false;
export const cancel = () => { cancelled = true; };

function runs(now) {
  const base = { runbook: "shed-the-flood", service: "checkout", objective: "checkout-availability", tier: "page-1h", severity: "page", reason: null, acted_at: iso(began + 31.4), trace_id: TRACE };
  return [
    { ...base, id: 12, alert_id: 42, state: cancelled ? "cancelled" : now > began + 150 ? "holding" : "verifying", mode: "active", verdict: now > began + 150 ? "recovered" : null, started_at: iso(began + 31), finished_at: cancelled ? iso(now) : null, deadline_at: iso(began + 15 * MIN) },
    { ...base, id: 11, runbook: "scale-checkout", alert_id: 43, state: "shadowed", mode: "shadow", tier: "page-6h", verdict: null, started_at: iso(began + 95), acted_at: null, finished_at: iso(began + 96), deadline_at: iso(began + 30 * MIN), trace_id: null },
    { ...base, id: 9, alert_id: 37, state: "reverted", mode: "active", verdict: "no_effect", reason: "the burn rate went from 30.1 to 29.4: no effect", acted_at: iso(began - 9 * DAY + 41), started_at: iso(began - 9 * DAY + 40), finished_at: iso(began - 9 * DAY + 6 * MIN), deadline_at: iso(began - 9 * DAY + 15 * MIN) },
  ];
}
function runDetail(id, now) {
  const run = runs(now).find((each) => each.id === id);
  if (!run) return null;
  const step = (seq, kind, state, at, took, intent, result, more = {}) => ({ seq, kind, state, attempt: 1, intent, result, started_at: at === null ? null : iso(at), finished_at: took === null ? null : iso(at + took), expires_at: null, error: null, ...more });
  const t = Date.parse(run.started_at) / 1000;
  const told = (target, kind, state, attempts, last_error, delivered, action = "trigger") => ({ target, kind, action, state, attempts, last_error, created_at: iso(t + 0.1), delivered_at: delivered === null ? null : iso(t + delivered) });
  if (id === 12) {
    const limit = { source: "10.77.0.66/32", rate_per_second: 50, burst: 100 };
    return { ...run, steps: [
      step(1, "page", "applied", t + 0.1, 0.1, { target: "on-call", summary: "checkout-availability burns 231 times too fast" }, null),
      step(2, "xdp_limit", "applied", t + 0.2, 0.03, { limits: [limit], rate_because: "4 times the median of the others, 12.5/s", left_alone: [{ source: "10.77.0.2", share: 0.011, because: "allow list" }, ...Array.from({ length: 8 }, (_, i) => ({ source: `fd73::${i}`, share: 0.042 - i / 1000, because: "share" }))] }, { limits: [{ id: 7, ...limit, expires_at: iso(began + 14 * MIN), mode: "generic" }] }, { expires_at: iso(began + 14 * MIN) }),
      now > began + 150
        ? step(3, "verify", "applied", t + 5, 86, { window_seconds: 60, until: iso(t + 120) }, { verdict: "recovered", before: { burn_rate: "61.887406172", good: 22_110, bad: 1_456 }, after: { burn_rate: 2.9, good: 25_140, bad: 73, coverage: 1 } })
        : step(3, "verify", "applying", t + 5, null, { window_seconds: 60, until: iso(t + 120) }, { after: { burn_rate: 21.4, good: 11_020, bad: 236, coverage: 1 } }),
    ], deliveries: [
      told("on-call", "pagerduty", "delivered", 2, "503 from the receiver", 1.6), told("shop-alerts", "slack", "delivered", 1, null, 0.4), told("status-hook", "webhook", "pending", 5, "connection refused", null),
    ] };
  }
  if (id === 11) return { ...run, steps: [step(1, "scale", "shadowed", t + 0.1, 0.01, { deployment: "checkout", namespace: "shop", from: 3, to: 5 }, null), step(2, "verify", "skipped", null, null, null, null)], deliveries: [] };
  return { ...run, steps: [
    step(1, "xdp_limit", "released", t + 0.2, 100.03, { limits: [{ source: "10.77.0.14/32", rate_per_second: 50, burst: 100, share: 0.41 }] }, { undone: { released: [{ id: 5, source: "10.77.0.14/32", passed: null, dropped: null }] } }),
    step(2, "scale", "failed", t + 1, 12, { command: ["scale-checkout", "--to", "5"] }, null, { attempt: 3, error: "`scale-checkout` ended with exit status 1: quota of 3 reached" }),
    step(3, "verify", "applied", t + 90, 0.1, { window_seconds: 60 }, { verdict: "no_effect", before: { burn_rate: 30.1 }, after: { burn_rate: 29.4 } }),
  ], deliveries: [told("on-call", "pagerduty", "delivered", 1, null, 1), told("on-call", "pagerduty", "delivered", 1, null, 104, "escalate")] };
}

const SERVICES = [
  ["checkout", 8082, "/shop/checkout", "/usr/bin/checkout", "executable `checkout`, named by config/shop.yaml", 420, 0.0021, 6.8, 212, 0.4, 31, 4],
  ["web", 8081, "/shop/web", "/usr/bin/web", "port 8081, named by config/shop.yaml", 1180, 0.00002, 3.1, 41.7, 0.02, 12, 0],
  ["stock", 8083, "/shop/stock", "/usr/bin/stock", "cgroup /shop/stock, named by config/shop.yaml", 96, 0, 12.4, 88, 0, 2, 0],
  ["reports", 9300, "/system.slice/reports.service", null, "unit reports.service, found by its listening socket", null, null, null, null, null, 0, 0],
];
const WORST = { checkout: "firing", web: "ok", stock: "ok", reports: "no_data" };
const service = ([name, port, cgroup, executable, because, rps, error_ratio, p50_ms, p99_ms, retransmits_per_second, in_flight, overdue], now) => ({
  name, because, endpoints: [{ port, cgroup, executable, source: SOURCE, because, last_seen_at: iso(rps ? now - 20 : now - 3 * HOUR), gone_at: rps ? null : iso(now - 3 * HOUR) }], requests_per_second: rps && rps * (1 + 0.05 * noise(Math.floor(now))), error_ratio, p50_ms, p99_ms,
  retransmits_per_second, rtt_ms: rps ? 0.084 : null, in_flight, overdue, coverage: rps ? 1 : 0, slos: OBJECTIVES.filter((o) => o[2] === name).map((o) => o[0]), worst_state: WORST[name],
});
function serviceDetail(name, window, now) {
  const row = SERVICES.find((each) => each[0] === name);
  if (!row) return null;
  const seconds = { m: MIN, h: HOUR, d: DAY }[window.at(-1)] * Number(window.slice(0, -1));
  const step = [1, 5, 15, 60, 300, 600].find((s) => seconds / s <= 200);
  const end = Math.floor(now / step) * step;
  const at = Array.from({ length: Math.round(seconds / step) }, (_, i) => end - seconds + (i + 1) * step);
  const [, , , , , rps, , p50, p99, retransmits] = row;
  const objective = name + "-availability";
  const dim = (t) => !rps || (t > now - seconds * 0.72 && t < now - seconds * 0.66);
  const hot = (t) => (name === "checkout" && t > began && t < began + 140 ? 1 : 0);
  const per = (f) => at.map((t) => (dim(t) ? null : f(t)));
  return { ...service(row, now), series: {
    step_seconds: step, at,
    requests: per((t) => Math.round(rps * step * (0.95 + 0.1 * noise(t) + 1.6 * hot(t)))),
    errors: per((t) => Math.round(rps * step * badShare(objective, t) * (hot(t) ? 2.6 : 1))),
    p50_ms: per((t) => p50 * (1 + 0.1 * noise(t) + 4 * hot(t))), p99_ms: per((t) => p99 * (0.4 + 0.2 * noise(t + 1) + 3 * hot(t))),
    queue_p99_ms: per((t) => p99 * (0.05 + 2.6 * hot(t))),
    retransmits: per((t) => Math.round(retransmits * step * noise(t + 2) * (1 + 30 * hot(t)))), coverage: at.map((t) => (dim(t) ? 0 : 1)),
  }, routes: !rps ? [] : [
    { route: "GET /api/cart", requests: 246_310, errors: 211, p50_ms: 4.2, p99_ms: 96, statuses: { 200: 246_010, 304: 89, 503: 211 } },
    { route: "POST /api/pay", requests: 98_112, errors: 1_602, p50_ms: 38.4, p99_ms: 941, statuses: { 200: 92_114, 201: 2_210, 402: 2_012, 422: 174, 500: 41, 503: 1_561 } },
    { route: "GET /healthz", requests: 900, errors: 0, p50_ms: 0.11, p99_ms: 0.31, statuses: { 200: 900 } },
    { route: "other", requests: 44, errors: 0, p50_ms: 0.4, p99_ms: 1.3, statuses: { 404: 44 } },
  ], queue_p50_ms: 0.02, queue_p99_ms: hot(now) ? 640 : 0.2, connections: { server: !rps ? null : tcp({ accept_queue: hot(now) ? 129 : 2, accept_backlog: 128, listen_drops: hot(now) ? 311 : 0 }), client: name !== "checkout" ? null : tcp({ connect_failures: { connection_refused: 3, timed_out: 1 }, connect_p50_ms: 0.31, connect_p99_ms: 1003 }) } };
}
const tcp = (more) => ({
  opened: 1_204, open: 31, bytes_received: 48_211_090, bytes_sent: 1_311_874_002, retransmits: 14, syn_retransmits: 2, zero_windows_sent: 0, zero_windows_received: 3,
  resets_sent: 5, resets_received: 2, resets_sent_because: { tcp_abort_on_close: 4, tcp_state: 1 }, timeouts: 0, rtt_p50_ms: 0.084, rtt_p99_ms: 2.1,
  accept_queue: null, accept_backlog: null, listen_drops: 0, connect_failures: {}, connect_p50_ms: null, connect_p99_ms: null, ...more,
});
function series(name, from, to, step) {
  const [, , , , target] = OBJECTIVES.find((o) => o[0] === name);
  const out = { step_seconds: step, at: [], budget_remaining: [], burn_rate: [], good: [], bad: [], coverage: [] };
  const now = Date.now() / 1000;
  const total = summary(OBJECTIVES.find((o) => o[0] === name), now).budget_total_events;
  let spent = 0;
  for (let t = from + step; t <= to; t += step) {
    const counts = span(name, t - step, t, Math.max(1, step / (name === "fresh" ? 400 : 40)));
    // The answer for an objective that is minutes old holds only its newest steps.
    if (name === "fresh" && !counts.coverage) continue;
    spent += counts.bad;
    out.at.push(t); out.good.push(counts.good); out.bad.push(counts.bad); out.coverage.push(counts.coverage);
    out.burn_rate.push(burnOf(counts, target));
    out.budget_remaining.push(counts.coverage ? 0.72 - (0.9 * spent) / total + 0.1 * Math.sin(t / (4 * DAY)) : null);
  }
  return out;
}

const SLO = "checkout-availability";
const STORY = [
  [-11.3 * DAY, "source_seen", "edge-1", "source on `edge-1` is back after 16 h 48 min; the gap is not covered"],
  [-9 * DAY + 40, "alert_firing", SLO, "`checkout-availability` burns 30.1 times too fast over 5 min and 24 over 1 h (page-1h)"],
  [-9 * DAY + 45 * MIN, "alert_resolved", SLO, "page-1h is over after 45 min"],
  [-80, "definitions_refused", "definition files", "definitions refused: 1 mistake, the last good set stays"],
  [-41, "slowburn_died", "edge-1/default", "slowburn, started 2026-11-20T08:12:40Z, did not stop in order: it was killed, or could not write that it stopped; the last it measured is of 2026-11-27T09:02:11Z"],
  [-41, "slowburn_started", "edge-1/default", "slowburn 0.1.0 started"],
  [-40, "definitions_taken_up", "definition files", "definitions taken up: 1 new, 0 changed, 0 withdrawn"],
  [-40, "definition_changed", "stock-latency", "objective `stock-latency` is kept from now on"],
  [20, "alert_pending", SLO, "page-1h is pending: 18.2 times too fast over 5 min"],
  [31, "alert_firing", SLO, "`checkout-availability` burns 231 times too fast over 5 min and 15.6 over 1 h (page-1h)"],
  [31, "run_queued", SLO, "run 12 of `shed-the-flood` is queued"],
  [31.1, "run_started", SLO, "run 12 of `shed-the-flood` starts"],
  [31.3, "limit_applied", SLO, "run 12 limited 10.77.0.66/32 to 50/s"],
  [31.5, "notification_sent", SLO, "`shop-alerts` was told that it fires"],
  [32.6, "notification_sent", SLO, "`on-call` was told that it fires, at the second attempt"],
  [122, "run_verdict", SLO, "run 12 helped: 61.8 times too fast before, 2.9 after"],
  [140, "notification_failed", SLO, "`status-hook` could not be told: connection refused"],
];
export function events(now) {
  return STORY.map(([offset, kind, subject, message], i) => ({ id: i + 1, at: iso(began + offset), kind, subject, message, data: {}, trace_id: TRACE })).filter((event) => Date.parse(event.at) / 1000 <= now);
}

/** The answer to a GET, or null for 404. `scene` is `incident`, `calm` or `empty`. */
export function answer(path, query, scene) {
  const now = Date.now() / 1000;
  const items = (list) => ({ items: list });
  const empty = scene === "empty", calm = scene === "calm";
  const slos = () => empty ? [] : OBJECTIVES.filter((o) => !calm || o[0] !== "nightly-report").map((o) => ({ ...summary(o, now), ...(calm ? { state: "ok" } : {}) }));
  const parts = path.split("/").slice(1).map(decodeURIComponent);
  if (path === "/overview") {
    return { items: slos(), alerts: empty || calm ? [] : alerts(now).filter((a) => a.state !== "resolved"), limits: empty || calm ? [] : limits(now), generated_at: iso(now), notes: [],
      sources: empty ? [{ id: SOURCE, host: "edge-1", last_at: iso(now - 0.4), lag_ms: 400, offset_ms: 0, state: "expected" }] : [
        { id: SOURCE, host: "edge-1", last_at: iso(now - 0.6), lag_ms: 600, offset_ms: 3, state: "expected" },
        { id: "77aa", host: "edge-2.shop.internal", last_at: iso(now - 41), lag_ms: 41_000, offset_ms: 2_400, state: "expected" }] };
  }
  if (path === "/slos") return items(slos());
  if (parts[0] === "slos") {
    const found = OBJECTIVES.find((o) => o[0] === parts[1]);
    if (!found) return null;
    if (parts[2] === "series") return series(found[0], Date.parse(query.get("from")) / 1000, Date.parse(query.get("to")) / 1000, { s: 1, m: 60, h: 3600 }[query.get("step").at(-1)] * parseInt(query.get("step")));
    const state = (name) => alerts(now).find((a) => a.objective === found[0] && a.tier === name && a.state !== "resolved")?.state ?? "ok";
    const fast_page = { burn_rate: 14.4, false_pages_a_year: 1, rate_min: 1, bad_needed: 7, evidence: 0.12, state: "ok" };
    const budget_alerts = [{
      name: "budget-remaining-20", severity: "ticket", state: "ok", frozen_since: null,
      spending: { rule: "remaining 20%", says: "64 % of the error budget is left, fires below 20 %", remaining: 0.64, spent: 0.36, bad: 36, limit: 80, exhausts_at: null },
    }];
    return { ...summary(found, now), description: found[6], owner: "Payments", runbook_url: "https://wiki.example.com/slo/checkout", parts: [], fast_page, budget_alerts, evidence_gate: { page: 0.01, ticket: 0.05 }, tiers: (found[0] === "fresh" ? CLOSE : TIERS).map(([name, severity, long_seconds, short_seconds, burn_rate_threshold]) => {
      const e = evidence(found[0], found[4], long_seconds, short_seconds, burn_rate_threshold, now);
      return { name, severity, long_seconds, short_seconds, burn_rate_threshold, burn_rate_long: e.burn_rate_long, burn_rate_short: e.burn_rate_short, frozen_since: null, state: state(name) };
    }) };
  }
  if (path === "/services") return items(SERVICES.map((s) => service(s, now)));
  if (parts[0] === "services") return serviceDetail(parts[1], query.get("window") ?? "15m", now);
  if (path === "/alerts") return items(empty || calm ? [] : alerts(now));
  if (parts[0] === "alerts") return alerts(now).find((a) => a.id === Number(parts[1])) ?? null;
  if (path === "/runs") return items(empty || calm ? [] : runs(now).filter((run) => (!query.has("open") || !run.finished_at) && (!query.has("alert") || run.alert_id === Number(query.get("alert"))) && (!query.has("objective") || run.objective === query.get("objective"))));
  if (parts[0] === "runs") return runDetail(Number(parts[1]), now);
  if (path === "/limits") return items(empty || calm ? [] : limits(now));
  if (path === "/silences") return items(empty || calm ? [] : [
    { id: 4, state: "active", matchers: ["service=chekout"], matches: 0, starts_at: iso(now - HOUR), ends_at: iso(now + 3 * HOUR), author: "ann", comment: "moving to the new database", created_at: iso(now - HOUR), ended_at: null, ended_by: null },
    { id: 3, state: "active", matchers: ["service=stock", "tier=~ticket-.*"], matches: 4, starts_at: iso(now - HOUR), ends_at: iso(now + HOUR), author: "ben", comment: "known, see the wiki", created_at: iso(now - HOUR), ended_at: null, ended_by: null },
  ]);
  if (path === "/annotations") return items(empty || query.get("service") !== "checkout" ? [] : [{ id: 1, service: "checkout", at: iso(now - 9 * 86_400), kind: "deploy", text: "v1.4.2", author: "ci", created_at: iso(now - 9 * 86_400) }, { id: 2, service: "checkout", at: iso(now - 24 * MIN), kind: "note", text: "sale begins", author: "ann", created_at: iso(now - 24 * MIN) }]);
  if (path === "/corrections") {
    const night = { from: iso(now - 6 * 86_400), to: iso(now - 6 * 86_400 + 40 * 3600) };
    const made = { objective: "checkout-availability", author: "ann", created_at: iso(now - 7 * 86_400), undone_at: null, undone_by: null };
    if (empty || query.get("objective") !== made.objective) return { items: [], left_out: [] };
    return {
      items: [
        { ...made, id: 2, kind: "maintenance", comment: "the switch in rack 4 is replaced", starts_at: night.from, ends_at: night.to, recurrence: { rule: "FREQ=WEEKLY;BYDAY=SU", zone: "Europe/Berlin", rdate: [], exdate: [] }, spans: [night] },
        { ...made, id: 1, kind: "other", comment: "", starts_at: iso(now - 50 * MIN), ends_at: iso(now - 40 * MIN), recurrence: null, undone_at: iso(now - 30 * MIN), undone_by: "bob", spans: [] },
      ],
      left_out: [{ ...night, counted_from: night.from, counted_to: night.to, good: 41_200, bad: 812 }],
    };
  }
  if (path === "/runbooks") return items([{ name: "shed-the-flood", description: "One source takes most of the requests: hold it back, tell a person, see whether it helped.", mode: "active", when: ["a page tier of a checkout objective fires"], guards: ["at most 3 runs an hour", "30 min of rest after a run"], verify: "within 2 min, every 5 s, on the same SLI", steps: [{ kind: "page", summary: "on-call and #shop-alerts" }, { kind: "xdp_limit", summary: "the heaviest source, 50/s, for 13 min at most" }] }]);
  if (path === "/events") return items(empty ? [] : events(now).reverse().filter((e) => !query.get("subject") || e.subject === query.get("subject")));
  return null;
}
