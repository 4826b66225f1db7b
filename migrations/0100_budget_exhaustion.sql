-- When budgets are exhausted, of many at once: as a table, so that the planner puts it into the query that asks and plans it once. As
-- a value it was started anew for each objective, which took ten times as long as what it looks up. As before, but a composite
-- that follows a calendar spends for as long as its period still lasts, and no longer: what was to come after its end was taken
-- for spent at its end. What periods ahead hold is looked up of no composite, since nothing leaves it.
create function budget_exhaustion(objective text, as_of timestamptz, pace interval) returns table (at timestamptz)
    language sql stable parallel safe
as $$
    with budget as materialized (
        select o.objective_id, d.generation, d.target, d.period, e.slot, b.allowed, b.remaining,
               g.slice is not null and d.calendar_every is not null as is_fixed, g.method = 'Composite' as is_composite,
               case when d.calendar_every is not null then b.period_from_at end as calendar_from,
               case when d.calendar_every is not null then b.period_to_at end as calendar_to,
               g.method <> 'Composite' and exists (
                   select
                   from correction x
                   where x.undone_at is null and x.objective_id = any (array(select corrected_with(o.objective_id)))
               ) as is_apart,
               coalesce(r.good, 0) as total_good, coalesce(r.bad, 0) as total_bad, r.base,
               coalesce(budget_exhaustion.pace, t.long_window, interval '1 hour') as pace
        from engine_state e
        cross join objective o
        cross join lateral (
            select * from objective_definition d
            where d.objective_id = o.objective_id and d.from_at <= as_of
            order by d.from_at desc
            limit 1
        ) d
        join objective_generation g on g.objective_id = o.objective_id and g.generation = d.generation
        left join lateral (
            select t.long_window from objective_tier t
            where t.objective_id = o.objective_id and t.from_at = d.from_at
            order by t.severity, t.long_window
            limit 1
        ) t on true
        left join lateral ledger_total_and_base(o.objective_id, d.generation, as_of + e.slot) r on true
        cross join lateral error_budget(o.name, as_of) b
        where o.name = budget_exhaustion.objective
    ),
    -- What is over at each moment, once what comes until then has been added at the pace.
    moment as (
        select a.n, extract(epoch from a.after) as after_seconds,
               case
                   when o.is_composite then o.remaining - burn_of(w.good, w.bad, o.target)
                       * extract(epoch from a.after) / extract(epoch from coalesce(o.calendar_to - o.calendar_from, o.period))
                   when o.is_fixed then o.allowed
                   else (1 - o.target) * (a.good + a.bad + (w.good + w.bad) * k.paces)
               end - case when o.is_composite then 0 else a.bad + w.bad * k.paces end as left_over
        from budget o
        cross join lateral ledger_window(o.objective_id, o.generation, as_of - o.pace, as_of) w
        cross join lateral budget_ahead(
            o.objective_id, o.generation, as_of, o.period, o.period, o.calendar_from, o.calendar_to,
            o.is_apart, o.total_good, o.total_bad, o.base, o.slot
        ) a
        cross join lateral (
            select extract(epoch from a.after) / nullif(extract(epoch from w.to_at - w.from_at), 0) as paces
        ) k
        where o.remaining > 0 and burn_of(w.good, w.bad, o.target) > o.remaining
    )
    select date_trunc(
        'second',
        as_of + make_interval(secs => (
            before_seconds + (after_seconds - before_seconds) * before_left / (before_left - left_over)
        )::float8)
    )
    from (
        select m.*, lag(after_seconds) over (order by n) as before_seconds, lag(left_over) over (order by n) as before_left
        from moment m
    ) m
    where left_over < 0 and before_left >= 0
    order by n
    limit 1
$$;

-- As before, of one.
create or replace function budget_exhausts_at(objective text, as_of timestamptz default now(), pace interval default null)
    returns timestamptz
    language sql stable parallel safe
as $$
    select x.at from budget_exhaustion(objective, as_of, pace) x
$$;
