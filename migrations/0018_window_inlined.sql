-- As before, and cheaper: the planner inlines no function whose arguments hold a subquery, and a look-up in
-- the ledger that is called instead of inlined takes twenty times as long.
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
    cross join objective_generation g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    -- A window that ends before it begins holds nothing, and is no window.
    where g.objective_id = of_objective and g.generation = of_generation and from_edge <= to_edge
$$;

-- Whether anybody is silent as of then. While nobody is, no window has to be asked for its silence.
create function is_any_silent(as_of timestamptz) returns boolean
    language sql stable parallel safe
as $$
    select exists (
        select from watch w
        join source s using (source_id)
        cross join engine_state e
        where s.state = 'expected' and greatest(w.expected_to_at, s.state_at) < as_of - e.patience
    )
$$;
