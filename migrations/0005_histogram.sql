-- Latency histograms: exponential buckets of scale 4, as in OTLP.
create table histogram (
    histogram_id bigint generated always as identity primary key,
    source_id bigint not null references source,
    service_id bigint not null references service,
    role text not null,
    route text,
    clock text not null,
    first_seen_at timestamptz not null,
    constraint histogram_key unique nulls not distinct (source_id, service_id, role, route, clock)
);
create index histogram_service_idx on histogram (service_id, role, clock);

create table histogram_head (
    histogram_id bigint not null constraint histogram_head_pkey primary key references histogram,
    started_at timestamptz not null,
    at timestamptz not null,
    buckets integer[] not null,
    counts bigint[] not null,
    sum_ns bigint not null
) with (fillfactor = 50);

-- What fell into each bucket in each slot; partitioned as `measurement` is.
create table histogram_bucket (
    histogram_id bigint not null,
    at timestamptz not null,
    bucket integer not null,
    count bigint not null,
    constraint histogram_bucket_pkey primary key (histogram_id, at, bucket)
) partition by range (at);
