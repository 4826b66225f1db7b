-- Budgets of partly good slices that several objectives spend over a period of the calendar. Such a budget is a share of all
-- slices of the period, so a part spends of it what its bad slices are of what all of its own allow, times its weight; what the
-- parts burn until now is a share of the time so far, and says nothing of that.

-- How many slices a period has, without those that corrections leave out.
create function period_slices(of_objective bigint, slice interval, from_edge timestamptz, to_edge timestamptz)
    returns numeric
    language sql stable parallel safe
as $$
    select round(
        extract(epoch from to_edge - from_edge - (
            select coalesce(sum(x.to_at - x.from_at), interval '0')
            from left_out_spans(of_objective, slice, from_edge, to_edge) x
        )) / extract(epoch from slice)
    )
$$;

-- What the parts counted by `as_of` of the period that ends at `to_edge`, as good and bad shares of that whole period. No row:
-- the parts count requests, whose number is not known before.
create function composite_period(
    of_objective bigint, of_generation integer, target numeric,
    from_edge timestamptz, as_of timestamptz, to_edge timestamptz
)
    returns table (good bigint, bad bigint)
    language sql stable parallel safe
as $$
    select round(slice_unit('Composite') * (1 - composite_period.target) * sum(s.good))::bigint,
           least(
               slice_unit('Composite'),
               round(slice_unit('Composite') * (1 - composite_period.target) * sum(s.bad))
           )::bigint
    from composite_parts(of_objective, of_generation, from_edge, as_of) p
    join objective o on o.name = p.part
    join objective_part q
        on q.objective_id = of_objective and q.generation = of_generation and q.part_id = o.objective_id
    join objective_generation g
        on g.objective_id = q.part_id and g.generation = q.part_generation and g.slice is not null
    cross join lateral (
        select nullif(period_slices(q.part_id, g.slice, from_edge, to_edge) * p.unit * (1 - p.target), 0) as allowed
    ) a
    cross join lateral (
        select coalesce(p.weight * p.good / a.allowed, 0) as good, coalesce(p.weight * p.bad / a.allowed, 0) as bad
    ) s
    having count(*) > 0
$$;

-- As before, and of such composites what all slices of the period allow.
create or replace function error_budget(objective text, as_of timestamptz default now())
    returns table (
        remaining numeric, allowed numeric, good bigint, bad bigint, sli numeric, target numeric, period interval,
        from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer,
        method text, counted bigint, period_from_at timestamptz, period_to_at timestamptz
    )
    language sql stable parallel safe
as $$
    select 1 - coalesce(trim_scale(round(k.bad / nullif(t.total * (1 - d.target), 0), 9)), 0),
           trim_scale(t.total * (1 - d.target)), k.good, k.bad,
           trim_scale(round(k.good::numeric / nullif(k.good + k.bad, 0), 12)), d.target, d.period,
           w.from_at, w.to_at, w.expected_ms, w.covered_ms, w.lost,
           coverage_of(w.covered_ms, w.expected_ms), d.generation,
           g.method, slice_unit(g.method), p.from_at, p.to_at
    from objective o
    cross join lateral (
        select * from objective_definition d
        where d.objective_id = o.objective_id and d.from_at <= as_of
        order by d.from_at desc
        limit 1
    ) d
    join objective_generation g on g.objective_id = o.objective_id and g.generation = d.generation
    cross join lateral (
        select * from period_of(d.period, d.calendar_starts, d.calendar_zone, d.calendar_every, as_of) limit 1
    ) p
    cross join lateral ledger_window(o.objective_id, d.generation, p.from_at, as_of) w
    left join lateral (
        select * from composite_period(o.objective_id, d.generation, d.target, p.from_at, as_of, p.to_at)
        where g.method = 'Composite' and d.calendar_every is not null
    ) c on true
    cross join lateral (select coalesce(c.good, w.good) as good, coalesce(c.bad, w.bad) as bad) k
    cross join lateral (
        select case
                   when c.good is not null then slice_unit(g.method)
                   when g.slice is null or d.calendar_every is null then (w.good + w.bad)::numeric
                   else period_slices(o.objective_id, g.slice, p.from_at, p.to_at) * slice_unit(g.method)
               end as total
    ) t
    where o.name = error_budget.objective
$$;
