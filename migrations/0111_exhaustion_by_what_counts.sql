-- As before, by what counts. Of the time ahead no more than is left of it by corrections: of that whose slices a calendar counts, and of all else, an
-- hour of maintenance to come was taken for one of errors. And a composite of a rolling period, whose windows are shares, as good a measure of
-- a minute as of a month: what its period holds then weighs as the time of it that was watched, as what is to come does. It was taken for all of
-- the period, so that a young one ended too late, and nothing of it left.
create or replace function budget_exhaustion(objective text, as_of timestamptz, pace interval) returns table (at timestamptz)
    language sql stable parallel safe
as $$
    with budget as materialized (
        select o.objective_id, d.generation, d.target, d.period, e.slot, b.allowed, b.remaining,
               g.slice is not null and d.calendar_every is not null as is_fixed, g.method = 'Composite' as is_composite,
               coalesce(g.slice, e.slot) as step,
               case when d.calendar_every is not null then b.period_from_at end as calendar_from,
               case when d.calendar_every is not null then b.period_to_at end as calendar_to,
               exists (
                   select
                   from correction x
                   where x.undone_at is null and x.objective_id = any (array(select corrected_with(o.objective_id)))
               ) as is_corrected,
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
    burning as materialized (
        select o.*, w.good, w.bad, w.covered_ms, w.from_at, w.to_at,
               nullif(extract(epoch from w.to_at - w.from_at - l.left_out), 0) as counted_s
        from budget o
        cross join lateral ledger_window(o.objective_id, o.generation, as_of - o.pace, as_of) w
        cross join lateral (
            select coalesce(sum(x.to_at - x.from_at), interval '0') as left_out
            from left_out_spans(o.objective_id, o.step, w.from_at, w.to_at) x
            where o.is_corrected
        ) l
        where o.remaining > 0 and burn_of(w.good, w.bad, o.target) > o.remaining
    ),
    -- What is to be left out, and after how much that counts.
    gone as materialized (
        select g.*, g.from_s - sum(g.to_s - g.from_s) over (order by g.from_s) + (g.to_s - g.from_s) as counted_s
        from burning o
        cross join lateral (
            select extract(epoch from x.from_at - as_of) as from_s, extract(epoch from x.to_at - as_of) as to_s
            from left_out_spans(o.objective_id, o.step, as_of, coalesce(o.calendar_to, as_of + o.period)) x
        ) g
        where o.is_corrected
    ),
    -- What is over at each moment, once what comes until then has been added at the pace.
    moment as (
        select a.n, t.counted_s,
               case
                   when o.is_fixed then o.allowed
                   else (1 - o.target) * (a.good + a.bad + (o.good + o.bad) * t.counted_s / o.counted_s)
               end - a.bad - o.bad * t.counted_s / o.counted_s as left_over
        from burning o
        cross join lateral budget_ahead(
            o.objective_id, o.generation, as_of, o.period, o.period, o.calendar_from, o.calendar_to,
            o.is_corrected, o.total_good, o.total_bad, o.base, o.slot
        ) a
        cross join lateral (select extract(epoch from a.after) as seconds) s
        cross join lateral (
            select s.seconds - coalesce(sum(least(g.to_s, s.seconds) - g.from_s), 0) as counted_s
            from gone g
            where g.from_s < s.seconds
        ) t
        where not o.is_composite
        union all
        select n, t.counted_s,
               w.covered_ms * (1 - burn_of(w.good, w.bad, o.target))
               + o.covered_ms * t.counted_s / o.counted_s * (1 - burn_of(o.good, o.bad, o.target))
        from burning o
        cross join generate_series(0, 24) n
        cross join lateral ledger_window(
            o.objective_id, o.generation, as_of + o.period * n / 24 - o.period, as_of
        ) w
        cross join lateral (select extract(epoch from o.period * n / 24) as seconds) s
        cross join lateral (
            select s.seconds - coalesce(sum(least(g.to_s, s.seconds) - g.from_s), 0) as counted_s
            from gone g
            where g.from_s < s.seconds
        ) t
        where o.is_composite and o.calendar_to is null
    )
    (
        select date_trunc(
            'second',
            -- To the millisecond, so that what is rounded makes no second less.
            as_of + make_interval(secs => round(
                e.counted_s + coalesce((select sum(g.to_s - g.from_s) from gone g where g.counted_s < e.counted_s), 0), 3
            )::float8)
        )
        from (
            select m.n,
                   before_s + (counted_s - before_s) * before_left / (before_left - left_over) as counted_s
            from (
                select m.*, lag(counted_s) over (order by n) as before_s, lag(left_over) over (order by n) as before_left
                from moment m
            ) m
            where left_over < 0 and before_left >= 0
        ) e
        order by e.n
        limit 1
    )
    union all
    select composite_exhaustion(
        o.objective_id, o.generation, as_of, o.calendar_from, o.calendar_to, o.from_at, o.to_at
    )
    from burning o
    where o.is_composite and o.calendar_to is not null
$$;
