-- What a run does, one row a step. The intent is committed before the effect, the result after it,
-- and the result only while the epoch is the one the step was claimed with.
create table step (
    step_id bigint generated always as identity primary key,
    run_id bigint not null references run (run_id) on delete cascade,
    seq integer not null,
    kind text not null,
    spec jsonb not null,
    -- Sent with every attempt of the effect.
    idempotency_key text not null,
    state text not null,
    attempt integer not null default 0,
    epoch bigint not null default 0,
    -- When there is something to do next; null: nothing.
    due_at timestamptz,
    leased_by text,
    leased_until timestamptz,
    -- The host whose kernel holds the effect.
    node text,
    intent jsonb,
    result jsonb,
    -- What undoes it; null: nothing to undo.
    inverse jsonb,
    renewals integer not null default 0,
    error text,
    started_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,
    traceparent text,
    constraint step_seq_in_run unique (run_id, seq),
    constraint step_idempotency_key_unique unique (idempotency_key),
    constraint step_kind_known check (kind in ('xdp_limit', 'page', 'scale', 'verify')),
    constraint step_state_known check (state in ('planned', 'applying', 'applied', 'releasing', 'released',
        'failed', 'skipped', 'shadowed')),
    constraint step_no_effect_without_intent check (state not in ('applying', 'releasing') or intent is not null)
);

create index step_due on step (due_at, step_id) where due_at is not null;
