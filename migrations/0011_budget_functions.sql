-- The numbers that everybody shows: psql, API, dashboard and report ask these.

-- The error ratio over the allowed error ratio, to nine decimals; 0 when nothing was counted.
create function burn_of(good bigint, bad bigint, target numeric) returns numeric
    language sql immutable parallel safe
    return coalesce(trim_scale(round(bad / nullif((good + bad) * (1 - target), 0), 9)), 0);

-- The watched share of the time that should have been watched; null when nobody should.
create function coverage_of(covered_ms bigint, expected_ms bigint) returns numeric
    language sql immutable parallel safe
    return least(1, trim_scale(round(covered_ms::numeric / nullif(expected_ms, 0), 9)));

-- How fast an objective burns over a window. No row: no objective of this name was defined by then.
create function burn_rate(objective text, "window" interval, as_of timestamptz default now())
    returns table (
        burn_rate numeric, good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer
    )
    language sql stable parallel safe
as $$
    select burn_of(w.good, w.bad, d.target), w.good, w.bad, w.from_at, w.to_at,
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

-- What is left of an objective's budget over its period. `remaining` is 1 when all is left and below
-- 0 when it is overspent; `allowed` counts the bad events that the total allows.
create function error_budget(objective text, as_of timestamptz default now())
    returns table (
        remaining numeric, allowed numeric, good bigint, bad bigint, sli numeric, target numeric, period interval,
        from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer
    )
    language sql stable parallel safe
as $$
    select 1 - burn_of(w.good, w.bad, d.target), trim_scale((w.good + w.bad) * (1 - d.target)), w.good, w.bad,
           trim_scale(round(w.good::numeric / nullif(w.good + w.bad, 0), 12)), d.target, d.period,
           w.from_at, w.to_at, w.expected_ms, w.covered_ms, w.lost,
           coverage_of(w.covered_ms, w.expected_ms), d.generation
    from objective o
    cross join lateral (
        select * from objective_definition d
        where d.objective_id = o.objective_id and d.from_at <= as_of
        order by d.from_at desc
        limit 1
    ) d
    cross join lateral ledger_window(o.objective_id, d.generation, as_of - d.period, as_of) w
    where o.name = error_budget.objective
$$;

-- Budget and burn rate over time, `at` being the end of each step: the burn rate is the step's, the
-- budget that of the period ending there. Both are null where nobody was expected to watch.
create function budget_series(objective text, "from" timestamptz, "to" timestamptz, step interval)
    returns table (
        at timestamptz, budget_remaining numeric, burn_rate numeric, good bigint, bad bigint, coverage numeric
    )
    language sql stable parallel safe
as $$
    select t.at,
           case when b.expected_ms > 0 then b.remaining end,
           case when r.expected_ms > 0 then r.burn_rate end,
           r.good, r.bad, r.coverage
    from generate_series("from" + step, "to", step) t (at)
    cross join lateral burn_rate(budget_series.objective, step, t.at) r
    cross join lateral error_budget(budget_series.objective, t.at) b
    where step > interval '0'
$$;
