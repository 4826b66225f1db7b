-- One row is one cumulative counter of one source. Ids are never used again.
create table series (
    series_id bigint generated always as identity primary key,
    source_id bigint not null references source,
    service_id bigint not null references service,
    role text not null,
    -- Null for signals that know no request (TCP).
    route text,
    signal text not null,
    first_seen_at timestamptz not null,
    constraint series_key unique nulls not distinct (source_id, service_id, role, route, signal)
);
create index series_service_idx on series (service_id, role);

-- What was last seen of a counter: the engine alone subtracts, in the transaction that moves this.
create table series_head (
    series_id bigint not null constraint series_head_pkey primary key references series,
    started_at timestamptz not null,
    at timestamptz not null,
    value bigint not null constraint series_head_value_positive check (value >= 0)
) with (fillfactor = 50);
