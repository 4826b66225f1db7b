-- As before, and cheaper for one objective: its generation is looked up, and no more joined with, which the planner
-- took for leave to go through the ledger for each generation of every objective.
create or replace function ledger_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(r.good, 0) - coalesce(l.good, 0),
           coalesce(r.bad, 0) - coalesce(l.bad, 0),
           coalesce(l.at, g.started_at),
           least(coalesce(r.at, g.started_at), to_edge),
           coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) + s.silent_ms,
           coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, 0),
           coalesce(r.lost, 0) - coalesce(l.lost, 0)
    from engine_state e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    -- A window that ends before it begins holds nothing, and is no window.
    where from_edge <= to_edge
$$;
