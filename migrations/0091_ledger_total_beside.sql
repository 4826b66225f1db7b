-- `ledger_total` for who knows the base of a later row already: most windows begin on the day they end on. The planner
-- inlines it, as long as no argument holds a subquery.
create function ledger_total_beside(
    of_objective bigint, of_generation integer, before timestamptz, later_base ledger_day
)
    returns table (at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select latest.at,
           latest.good + coalesce(base.good, later_base.good),
           latest.bad + coalesce(base.bad, later_base.bad),
           latest.expected_ms + coalesce(base.expected_ms, later_base.expected_ms),
           latest.covered_ms + coalesce(base.covered_ms, later_base.covered_ms),
           latest.lost + coalesce(base.lost, later_base.lost)
    from ledger_latest(of_objective, of_generation, before) latest
    left join lateral (
        select b.*
        from ledger_day b
        where b.objective_id = of_objective
          and b.generation = of_generation
          and b.day = ledger_day_of(latest.at)
          and ledger_day_of(latest.at) <> later_base.day
        limit 1
    ) base on true
$$;
