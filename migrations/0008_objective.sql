-- What is promised. An objective keeps its name and its identity; what it says is dated.
create table objective (
    objective_id bigint generated always as identity primary key,
    name text not null constraint objective_name_key unique,
    created_at timestamptz not null,
    withdrawn_at timestamptz,
    -- The definition and the generation that hold now.
    defined_at timestamptz not null,
    generation integer not null
);

-- Which events count. A new SLI is a new generation, and no window crosses from one to another.
create table objective_generation (
    objective_id bigint not null references objective,
    generation integer not null,
    service_id bigint not null references service,
    role text not null,
    sli text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    constraint objective_generation_pkey primary key (objective_id, generation)
);
create index objective_generation_service_idx on objective_generation (service_id, role);

-- What is asked of them: another target changes no count.
create table objective_definition (
    objective_id bigint not null references objective,
    from_at timestamptz not null,
    generation integer not null,
    display_name text not null,
    description text not null,
    target numeric not null constraint objective_definition_target_range check (target > 0 and target < 1),
    period interval not null,
    -- Everything a definition says, in one text: it changes when and only when the definition does.
    fingerprint text not null,
    constraint objective_definition_pkey primary key (objective_id, from_at)
);

create table objective_tier (
    objective_id bigint not null,
    from_at timestamptz not null,
    tier text not null,
    position integer not null,
    severity text not null,
    long_window interval not null,
    short_window interval not null,
    burn_rate numeric not null,
    budget_share numeric,
    constraint objective_tier_pkey primary key (objective_id, from_at, tier),
    foreign key (objective_id, from_at) references objective_definition
);

-- Which counters count good and which count bad. Decided once, by the code of that day, and kept.
create table objective_series (
    objective_id bigint not null,
    generation integer not null,
    series_id bigint not null references series,
    side text not null constraint objective_series_side_known check (side in ('good', 'bad')),
    constraint objective_series_pkey primary key (objective_id, generation, series_id),
    foreign key (objective_id, generation) references objective_generation
);
create index objective_series_series_idx on objective_series (series_id);

-- One row: what SQL must know of the engine's settings, and a number that moves with every change of
-- definitions, so that engines know when what they remember is stale.
create table engine_state (
    single boolean not null default true constraint engine_state_pkey primary key,
    slot interval not null,
    patience interval not null,
    definition_version bigint not null,
    constraint engine_state_single check (single)
);
insert into engine_state (slot, patience, definition_version) values ('10 s', '30 s', 0);
