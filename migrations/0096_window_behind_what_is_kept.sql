-- As before; a window that begins before the oldest day that is kept begins with it: what had been counted until then was
-- taken for counts of the window. The first day of a ledger that is whole begins at nothing.
create or replace function own_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(r.good, 0) - coalesce(l.good, b.good, 0) - coalesce(x.good, 0),
           coalesce(r.bad, 0) - coalesce(l.bad, b.bad, 0) - coalesce(x.bad, 0),
           coalesce(
               l.at,
               greatest(coalesce(g.counted_from_at, g.started_at), b.day::timestamp at time zone 'UTC')
           ),
           least(coalesce(r.at, g.counted_from_at, g.started_at), to_edge),
           coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, b.expected_ms, 0) + s.silent_ms - coalesce(x.expected_ms, 0),
           coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, b.covered_ms, 0) - coalesce(x.covered_ms, 0),
           coalesce(r.lost, 0) - coalesce(l.lost, b.lost, 0) - coalesce(x.lost, 0)
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    left join lateral (
        select d.*
        from ledger_day d
        where l.at is null and r.at is not null
          and d.objective_id = of_objective and d.generation = of_generation and d.day >= ledger_day_of(from_edge)
        order by d.day
        limit 1
    ) b on true
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
