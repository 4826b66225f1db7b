-- Windows of the ledger. An edge stands for the slot it falls in: every window is the difference of
-- the same running total at two points, so that windows that meet add up to the window over both.

-- Time that silent sources owe: expected, not covered, in no row yet. A greeting is a sign of life as
-- a batch is: what is owed from before it comes with the first batch, or is owed once patience ends.
create function ledger_silence(of_service bigint, of_role text, from_edge timestamptz, to_edge timestamptz)
    returns table (silent_ms bigint)
    language sql stable parallel safe
as $$
    select coalesce(
               sum(extract(epoch from to_edge - greatest(w.expected_to_at, from_edge)) * 1000), 0
           )::bigint
    from watch w
    join source s using (source_id)
    where w.service_id = of_service
      and w.role = of_role
      and s.state = 'expected'
      and greatest(w.expected_to_at, s.state_at) < to_edge - (select e.patience from engine_state e)
$$;

create function ledger_window(
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
    from objective_generation g
    left join lateral ledger_total(
        of_objective, of_generation, to_edge + (select e.slot from engine_state e)
    ) r on true
    left join lateral ledger_total(
        of_objective, of_generation, from_edge + (select e.slot from engine_state e)
    ) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    -- A window that ends before it begins holds nothing, and is no window.
    where g.objective_id = of_objective and g.generation = of_generation and from_edge <= to_edge
$$;
