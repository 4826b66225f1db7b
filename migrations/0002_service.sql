-- What is counted for, and where it was found.
create table service (
    service_id bigint generated always as identity primary key,
    name text not null constraint service_name_key unique,
    first_seen_at timestamptz not null
);

-- Why a service carries its name: one dated row a finding, so that a rename touches no counter.
create table endpoint (
    endpoint_id bigint generated always as identity primary key,
    source_id bigint not null references source,
    service_id bigint not null references service,
    port integer not null constraint endpoint_port_range check (port between 0 and 65535),
    cgroup text not null,
    executable text,
    because text not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    -- Another name took this endpoint.
    ended_at timestamptz
);
create unique index endpoint_current_key on endpoint (source_id, port, cgroup) where ended_at is null;
create index endpoint_service_idx on endpoint (service_id);

-- Which source watches which service, and how far it got. Idle is covered with nothing counted;
-- silent is not covered, until the source returns with what the kernel went on counting.
create table watch (
    service_id bigint not null references service,
    role text not null,
    source_id bigint not null references source,
    since_at timestamptz not null,
    -- Booked as covered, and as expected, up to here.
    covered_to_at timestamptz not null,
    expected_to_at timestamptz not null,
    constraint watch_pkey primary key (service_id, role, source_id)
) with (fillfactor = 70);
create index watch_source_idx on watch (source_id);
