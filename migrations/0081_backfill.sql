-- A generation counts back: what its series measured before it began is put into its ledger, newest first, a stretch of the
-- ledger at a time. Each stretch is booked in the transaction that moves the edge, so that nothing is counted twice or left out.

-- Where the generation's ledger begins; null is where it started, as the previous release writes it. A slot that ends
-- later is counted whole. Moves back only.
alter table objective_generation add column counted_from_at timestamptz;

create table backfill (
    objective_id bigint not null,
    generation integer not null,
    -- Where it is to end: the oldest that was measured, or is kept.
    from_at timestamptz not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    constraint backfill_pkey primary key (objective_id, generation),
    foreign key (objective_id, generation) references objective_generation
);
create index backfill_open_idx on backfill (objective_id, generation) where finished_at is null;

-- As before, from where the ledger begins.
create or replace function own_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(r.good, 0) - coalesce(l.good, 0) - coalesce(x.good, 0),
           coalesce(r.bad, 0) - coalesce(l.bad, 0) - coalesce(x.bad, 0),
           coalesce(l.at, g.counted_from_at, g.started_at),
           least(coalesce(r.at, g.counted_from_at, g.started_at), to_edge),
           coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) + s.silent_ms - coalesce(x.expected_ms, 0),
           coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, 0) - coalesce(x.covered_ms, 0),
           coalesce(r.lost, 0) - coalesce(l.lost, 0) - coalesce(x.lost, 0)
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    left join lateral (
        select * from ledger_left_out(of_objective, of_generation, from_edge, to_edge)
        where exists (
            select
            from correction c
            where c.undone_at is null and c.objective_id = any (array(select corrected_with(of_objective)))
        )
    ) x on true
    -- A window that ends before it begins holds nothing, and is no window.
    where from_edge <= to_edge
$$;

-- As before: no window begins before the composite counts, however far back a part does.
create or replace function composite_parts(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (part text, weight numeric, target numeric, unit bigint, good bigint, bad bigint)
    language sql stable parallel safe
as $$
    select o.name, p.weight, d.target, slice_unit(g.method), w.good, w.bad
    from objective_part p
    join objective_generation c on c.objective_id = p.objective_id and c.generation = p.generation
    join objective_generation g on g.objective_id = p.part_id and g.generation = p.part_generation
    join objective o on o.objective_id = p.part_id
    cross join lateral (
        select d.target from objective_definition d
        where d.objective_id = p.part_id and d.from_at <= greatest(to_edge, o.created_at)
        order by d.from_at desc
        limit 1
    ) d
    cross join lateral own_window(
        p.part_id, p.part_generation,
        case
            when coalesce(g.counted_from_at, g.started_at) < coalesce(c.counted_from_at, c.started_at)
                then greatest(from_edge, coalesce(c.counted_from_at, c.started_at))
            else from_edge
        end,
        to_edge
    ) w
    where p.objective_id = of_objective and p.generation = of_generation
$$;
