-- Alerts, and what they rest on.
create table alert (
    alert_id bigint generated always as identity primary key,
    objective_id bigint not null references objective,
    generation integer not null,
    tier text not null,
    severity text not null,
    state text not null constraint alert_state_known check (state in ('pending', 'firing', 'resolved')),
    opened_at timestamptz not null,
    fired_at timestamptz,
    resolved_at timestamptz,
    -- Since when the condition of an open alert has been gone.
    clear_since_at timestamptz,
    evidence jsonb not null,
    traceparent text,
    constraint alert_resolved_at_set check ((state = 'resolved') = (resolved_at is not null))
);
-- At most one alert is open for a tier: two engines that see the same cannot open two.
create unique index alert_open_key on alert (objective_id, tier) where state <> 'resolved';
create index alert_opened_idx on alert (opened_at desc);

-- Tiers about which nothing can be said now, and since when. While a row stands, nothing of the tier
-- fires and nothing resolves.
create table tier_freeze (
    objective_id bigint not null references objective,
    tier text not null,
    since_at timestamptz not null,
    because text not null,
    constraint tier_freeze_pkey primary key (objective_id, tier)
);
