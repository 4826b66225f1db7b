-- Notifications that are to be delivered, written in the transaction of their reason.
create table outbox (
    outbox_id bigint generated always as identity primary key,
    -- The same over all attempts; receivers know a repetition by it.
    message_id text not null default gen_random_uuid()::text,
    run_id bigint not null references run (run_id) on delete cascade,
    step_id bigint references step (step_id) on delete set null,
    target text not null,
    sink text not null,
    action text not null,
    idempotency_key text not null,
    -- What a receiver joins and resolves by.
    dedup_key text not null,
    notice jsonb not null,
    state text not null default 'pending',
    attempts integer not null default 0,
    epoch bigint not null default 0,
    leased_by text,
    leased_until timestamptz,
    not_before_at timestamptz not null,
    deadline_at timestamptz not null,
    created_at timestamptz not null,
    delivered_at timestamptz,
    last_status integer,
    last_error text,
    traceparent text,
    constraint outbox_idempotency_key_unique unique (idempotency_key),
    constraint outbox_message_id_unique unique (message_id),
    constraint outbox_sink_known check (sink in ('pagerduty', 'slack', 'webhook')),
    constraint outbox_action_known check (action in ('trigger', 'escalate', 'resolve')),
    constraint outbox_state_known check (state in ('pending', 'delivered', 'failed')),
    constraint outbox_delivered_when check ((delivered_at is not null) = (state = 'delivered'))
);

create index outbox_pending on outbox (not_before_at, outbox_id) where state = 'pending';
-- A resolve never overtakes its trigger.
create index outbox_pending_in_order on outbox (target, dedup_key, outbox_id) where state = 'pending';
create index outbox_by_run on outbox (run_id);
