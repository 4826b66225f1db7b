-- Who counts. A source is one machine, one boot and one generation of pinned kernel maps: whatever
-- begins to count from zero is another source.
create table source (
    source_id bigint generated always as identity primary key,
    name text not null constraint source_name_key unique,
    machine text not null,
    host text not null,
    -- On the source's clock, sent before it attached anything: what a counter counted before it was
    -- counted under somebody else's eyes, and is a baseline only.
    first_contact_at timestamptz not null,
    -- The latest batch, on the source's clock.
    last_at timestamptz,
    -- What is added to the source's clock to get ours. 0 while the two agree within two seconds.
    shift_ms bigint not null default 0,
    offset_ms bigint not null default 0,
    state text not null constraint source_state_known check (state in ('expected', 'goodbye', 'retired')),
    -- Since when; for an expected source also its latest greeting.
    state_at timestamptz not null
);
create index source_machine_idx on source (machine);
