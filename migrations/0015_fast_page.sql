-- The fast page of a definition: a sequential test on every count as it comes in. What an event adds
-- is worked out once, by the engine, and kept with the definition that it belongs to.
create table objective_fast_page (
    objective_id bigint not null,
    from_at timestamptz not null,
    burn_rate numeric not null,
    false_pages_a_year numeric not null,
    rate_min numeric not null,
    -- What a bad event adds to the statistic, a good one takes away, one intake adds at most, and pages.
    bad_adds double precision not null,
    good_takes double precision not null,
    intake_most double precision not null,
    pages_at double precision not null,
    constraint objective_fast_page_pkey primary key (objective_id, from_at),
    foreign key (objective_id, from_at) references objective_definition
);

-- Objectives whose statistic is above zero, which on a calm day are few: the events since it left zero.
create table excursion (
    objective_id bigint not null,
    generation integer not null,
    statistic double precision not null,
    since_at timestamptz not null,
    at timestamptz not null,
    good bigint not null,
    bad bigint not null,
    constraint excursion_pkey primary key (objective_id, generation),
    foreign key (objective_id, generation) references objective_generation
) with (fillfactor = 50);
