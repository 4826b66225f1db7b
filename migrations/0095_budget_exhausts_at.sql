-- What the periods that end now and at 24 moments ahead hold of the counts up to now, of an objective whose right edge is
-- `total_good`, `total_bad` and `base`. A period of the calendar, of `calendar_from` to `calendar_to`, loses nothing, and
-- ends; null is a rolling one. Apart are those with a correction, and composites, whose windows are no subtraction.
create function budget_ahead(
    of_objective bigint, of_generation integer, as_of timestamptz, horizon interval, period interval,
    calendar_from timestamptz, calendar_to timestamptz,
    is_apart boolean, total_good bigint, total_bad bigint, base ledger_day, slot interval
)
    returns table (n integer, after interval, good bigint, bad bigint)
    language sql stable parallel safe
as $$
    select n, p.after, k.good, k.bad
    from generate_series(0, 24) n
    cross join lateral (select least(horizon * n / 24, calendar_to - as_of) as after) p
    cross join lateral (select coalesce(calendar_from, as_of + p.after - period) as from_at) edge
    cross join lateral (
        select total_good - coalesce(l.good, o.good, 0) as good, total_bad - coalesce(l.bad, o.bad, 0) as bad
        from (values (true)) once
        left join lateral ledger_total_beside(of_objective, of_generation, edge.from_at + slot, base) l on true
        -- What was counted before the oldest day that is kept.
        left join lateral (
            select d.* from ledger_day d
            where l.at is null and d.objective_id = of_objective and d.generation = of_generation
            order by d.day
            limit 1
        ) o on true
        where not is_apart and edge.from_at <= as_of
        union all
        select w.good, w.bad from ledger_window(of_objective, of_generation, edge.from_at, as_of) w where is_apart
    ) k
$$;

-- When nothing is left of an objective's budget, if it goes on as in the last `pace`: by default the long window of its
-- first tier. What leaves a rolling period by then is counted; between two moments it is taken to leave evenly. A composite's
-- windows weigh the same however long they are, so of one nothing leaves, and its pace is one of the period. Null where nothing
-- is left now, and where nothing is exhausted within a period, or before that of the calendar ends: to spend what
-- remains within a period of even traffic takes a burn rate above it.
create function budget_exhausts_at(objective text, as_of timestamptz default now(), pace interval default null)
    returns timestamptz
    language sql stable parallel safe
as $$
    with budget as materialized (
        select o.objective_id, d.generation, d.target, d.period, e.slot, b.allowed, b.remaining,
               g.slice is not null and d.calendar_every is not null as is_fixed, g.method = 'Composite' as is_composite,
               case when d.calendar_every is not null then b.period_from_at end as calendar_from,
               case when d.calendar_every is not null then b.period_to_at end as calendar_to,
               g.method = 'Composite' or exists (
                   select
                   from correction x
                   where x.undone_at is null and x.objective_id = any (array(select corrected_with(o.objective_id)))
               ) as is_apart,
               coalesce(r.good, 0) as total_good, coalesce(r.bad, 0) as total_bad, r.base,
               coalesce(budget_exhausts_at.pace, t.long_window, interval '1 hour') as pace
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
        where o.name = budget_exhausts_at.objective
    ),
    -- What is over at each moment, once what comes until then has been added at the pace.
    moment as (
        select a.n, extract(epoch from a.after) as after_seconds,
               case
                   when o.is_composite then o.remaining - burn_of(w.good, w.bad, o.target) * a.n / 24
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
