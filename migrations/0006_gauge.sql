-- Values that are true now and add up to nothing: only the latest is kept.
create table gauge (
    service_id bigint not null references service,
    role text not null,
    gauge text not null,
    source_id bigint not null references source,
    at timestamptz not null,
    value double precision not null,
    constraint gauge_pkey primary key (service_id, role, gauge, source_id)
) with (fillfactor = 50);
