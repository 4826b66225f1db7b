-- A window in which nothing was counted has no burn rate, as the API says it; 0 passed for a service that answers well. What burned
-- step by step (`budget_series`) stays a line: there, a gap says that nobody was expected to watch.

create or replace function burn_rate(objective text, "window" interval, as_of timestamptz default now())
    returns table (
        burn_rate numeric, good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer
    )
    language sql stable parallel safe
as $$
    select case when w.good + w.bad > 0 then burn_of(w.good, w.bad, d.target) end, w.good, w.bad, w.from_at, w.to_at,
           w.expected_ms, w.covered_ms, w.lost, coverage_of(w.covered_ms, w.expected_ms), d.generation
    from objective o
    cross join lateral (
        select * from objective_definition d
        where d.objective_id = o.objective_id and d.from_at <= as_of
        order by d.from_at desc
        limit 1
    ) d
    cross join lateral ledger_window(o.objective_id, d.generation, as_of - "window", as_of) w
    where o.name = burn_rate.objective
$$;

create or replace function budget_series(objective text, "from" timestamptz, "to" timestamptz, step interval)
    returns table (
        at timestamptz, budget_remaining numeric, burn_rate numeric, good bigint, bad bigint, coverage numeric
    )
    language sql stable parallel safe
as $$
    select t.at,
           case when b.expected_ms > 0 then b.remaining end,
           case when r.expected_ms > 0 then coalesce(r.burn_rate, 0) end,
           r.good, r.bad, r.coverage
    from generate_series("from" + step, "to", step) t (at)
    cross join lateral burn_rate(budget_series.objective, step, t.at) r
    cross join lateral error_budget(budget_series.objective, t.at) b
    where step > interval '0'
$$;
