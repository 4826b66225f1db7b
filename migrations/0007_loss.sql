-- Counts known to be lost, where they were lost. Null service: nobody can tell whose they were.
create table loss_head (
    source_id bigint not null references source,
    service_id bigint references service,
    reason text not null,
    started_at timestamptz not null,
    at timestamptz not null,
    value bigint not null,
    constraint loss_head_key unique nulls not distinct (source_id, service_id, reason)
) with (fillfactor = 50);

create table loss (
    source_id bigint not null references source,
    service_id bigint references service,
    reason text not null,
    at timestamptz not null,
    count bigint not null,
    constraint loss_key unique nulls not distinct (source_id, service_id, reason, at)
);
create index loss_at_idx on loss (at);
