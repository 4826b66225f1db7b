-- `ledger_total`, and the base that it stands on: where a window ends, for who looks up beside it where windows begin
-- (`ledger_total_beside`). The planner inlines it, as long as no argument holds a subquery.
create function ledger_total_and_base(of_objective bigint, of_generation integer, before timestamptz)
    returns table (
        at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint, base ledger_day
    )
    language sql stable parallel safe
as $$
    select latest.at,
           latest.good + day.good,
           latest.bad + day.bad,
           latest.expected_ms + day.expected_ms,
           latest.covered_ms + day.covered_ms,
           latest.lost + day.lost,
           day.base
    from ledger_latest(of_objective, of_generation, before) latest
    cross join lateral (
        select b.good, b.bad, b.expected_ms, b.covered_ms, b.lost, b as base
        from ledger_day b
        where b.objective_id = of_objective and b.generation = of_generation and b.day = ledger_day_of(latest.at)
        limit 1
    ) day
$$;
