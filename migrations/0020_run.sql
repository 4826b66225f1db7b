-- One row for every decision of a runbook, refusals included.
create table run (
    run_id bigint generated always as identity primary key,
    -- What receivers join notifications by: no other installation has it.
    public_key text not null default gen_random_uuid()::text,
    runbook text not null,
    mode text not null,
    -- Runbook and service: what two runs must not work on at the same time.
    dedup_key text not null,
    -- The alert that caused it; others may have joined (table run_alert).
    alert_id bigint not null,
    service text not null,
    objective text not null,
    tier text not null,
    severity text not null,
    state text not null,
    -- How a run that is releasing will end.
    ending text,
    verdict text,
    -- Why it was refused, gave up, or had nothing to do.
    reason text,
    -- Whether a step of it changes anything: pages alone do not.
    acts boolean not null,
    -- What was measured when the alert fired, to verify against.
    evidence jsonb not null,
    verify jsonb not null,
    -- No limit of this run is lower.
    floor_per_second bigint not null,
    traceparent text,
    -- When the first run of the same incident began: attempts are counted by it.
    incident_at timestamptz not null,
    started_at timestamptz not null,
    acted_at timestamptz,
    deadline_at timestamptz,
    alerts_resolved_at timestamptz,
    finished_at timestamptz,
    constraint run_mode_known check (mode in ('active', 'shadow')),
    constraint run_state_known check (state in ('planned', 'applying', 'verifying', 'holding', 'releasing',
        'done', 'failed', 'reverted', 'expired', 'shadowed', 'refused', 'cancelled')),
    constraint run_ending_known check (ending in ('done', 'failed', 'reverted', 'expired', 'cancelled')),
    constraint run_verdict_known check (verdict in ('recovered', 'no_effect', 'worse', 'unknown')),
    constraint run_finished_when_final check ((finished_at is not null) = (state in
        ('done', 'failed', 'reverted', 'expired', 'shadowed', 'refused', 'cancelled')))
);

create unique index run_one_open_per_dedup_key on run (dedup_key) where finished_at is null;
create index run_by_runbook on run (runbook, started_at desc);
create index run_by_objective on run (objective, started_at desc);
