-- The total before a moment. Where no row is kept that is earlier, it is that of all days before the oldest that is kept, which
-- is nothing for a ledger that is whole; `from_at` is where that day begins. A window that begins earlier begins there: what had been
-- counted until then was taken for counts of the window.
create function ledger_edge(of_objective bigint, of_generation integer, before timestamptz)
    returns table (
        at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint, from_at timestamptz
    )
    language sql stable parallel safe
as $$
    select l.at, coalesce(l.good, b.good, 0), coalesce(l.bad, b.bad, 0), coalesce(l.expected_ms, b.expected_ms, 0),
           coalesce(l.covered_ms, b.covered_ms, 0), coalesce(l.lost, b.lost, 0), b.day::timestamp at time zone 'UTC'
    from (values (true)) once
    left join lateral ledger_total(of_objective, of_generation, before) l on true
    left join lateral (
        select d.*
        from ledger_day d
        where l.at is null and d.objective_id = of_objective and d.generation = of_generation
        order by d.day
        limit 1
    ) b on true
$$;

-- As before, by such edges.
create or replace function own_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select r.good - l.good - coalesce(x.good, 0),
           r.bad - l.bad - coalesce(x.bad, 0),
           coalesce(l.at, greatest(coalesce(g.counted_from_at, g.started_at), l.from_at)),
           least(coalesce(r.at, g.counted_from_at, g.started_at), to_edge),
           r.expected_ms - l.expected_ms + s.silent_ms - coalesce(x.expected_ms, 0),
           r.covered_ms - l.covered_ms - coalesce(x.covered_ms, 0),
           r.lost - l.lost - coalesce(x.lost, 0)
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    cross join lateral ledger_edge(of_objective, of_generation, to_edge + e.slot) r
    cross join lateral ledger_edge(of_objective, of_generation, from_edge + e.slot) l
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

-- As before, by such edges.
create or replace function ledger_left_out(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select coalesce(sum(r.good - l.good), 0)::bigint,
           coalesce(sum(r.bad - l.bad), 0)::bigint,
           coalesce(sum(r.expected_ms - l.expected_ms + s.silent_ms), 0)::bigint,
           coalesce(sum(r.covered_ms - l.covered_ms), 0)::bigint,
           coalesce(sum(r.lost - l.lost), 0)::bigint
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    cross join lateral left_out_spans(of_objective, coalesce(g.slice, e.slot), from_edge, to_edge) c
    cross join lateral ledger_edge(of_objective, of_generation, c.to_at + e.slot) r
    cross join lateral ledger_edge(of_objective, of_generation, c.from_at + e.slot) l
    cross join lateral (
        select coalesce(
                   sum(extract(epoch from c.to_at - least(greatest(w.expected_to_at, c.from_at), c.to_at)) * 1000), 0
               )::bigint as silent_ms
        from watch w
        join source s using (source_id)
        where w.service_id = g.service_id
          and w.role = g.role
          and s.state = 'expected'
          and greatest(w.expected_to_at, s.state_at) < to_edge - e.patience
    ) s
$$;
