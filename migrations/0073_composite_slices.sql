-- Composites of Timeslices: a slice of the whole is bad when one of its parts' is, good when all are, and in neither while
-- one that was not watched could still be bad. Each has slices of its own, which its ledger holds as any ledger of slices
-- does; only composites of method 'Composite' are read off their parts' ledgers.

-- As before, for composites that have no ledger of what they count.
create or replace function ledger_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(c.good, w.good), coalesce(c.bad, w.bad), w.from_at, w.to_at, w.expected_ms, w.covered_ms, w.lost
    from own_window(of_objective, of_generation, from_edge, to_edge) w
    left join lateral (
        select * from composite_window(of_objective, of_generation, from_edge, to_edge)
        where exists (
            select from objective_generation g
            where g.objective_id = of_objective and g.generation = of_generation and g.method = 'Composite'
        )
    ) c on true
$$;

-- Objectives whose corrections an objective leaves out: its own, of a part those of its whole, and of a whole that counts
-- slices those of its parts, since a slice of which a part does not count is neither good nor bad.
create function corrected_with(of_objective bigint) returns setof bigint
    language sql stable parallel safe
as $$
    select of_objective
    union all
    select p.objective_id from objective_part p where p.part_id = of_objective
    union all
    select p.part_id
    from objective_part p
    join objective_generation g on g.objective_id = p.objective_id and g.generation = p.generation
    where p.objective_id = of_objective and g.method = 'Timeslices'
$$;

create or replace function left_out_spans(of_objective bigint, step interval, from_edge timestamptz, to_edge timestamptz)
    returns table (from_at timestamptz, to_at timestamptz)
    language sql stable parallel safe
as $$
    select lower(u.span), upper(u.span)
    from (
        select range_agg(
                   tstzrange(
                       date_bin(step, s.from_at, timestamptz 'epoch'),
                       date_bin(step, s.to_at + step - interval '1 microsecond', timestamptz 'epoch')
                   )
               ) * tstzmultirange(tstzrange(from_edge, to_edge)) as spans
        from correction c
        join correction_span s using (correction_id)
        where c.objective_id = any (array(select corrected_with(of_objective)))
          and c.undone_at is null
          and s.from_at < to_edge + step
          and s.to_at > from_edge - step
          and from_edge <= to_edge
    ) corrected
    cross join lateral unnest(corrected.spans) u (span)
$$;

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
           coalesce(l.at, g.started_at),
           least(coalesce(r.at, g.started_at), to_edge),
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
