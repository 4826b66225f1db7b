-- When nothing is left of a composite's budget of a calendar's period, if each part goes on as it did from `pace_from` to
-- `pace_to`. Of partly good slices a part spends a share of all its slices of the period, as `composite_period` has it; of requests
-- a share of those counted by then, which grow. Where a correction of a part is to come, it counts nothing. So what is left is
-- no straight line: the first of 24 spans in which it goes is looked into again, down to some milliseconds.
create function composite_exhaustion(
    of_objective bigint, of_generation integer, as_of timestamptz,
    period_from timestamptz, period_to timestamptz, pace_from timestamptz, pace_to timestamptz
)
    returns timestamptz
    language sql stable parallel safe
as $$
    with recursive part as materialized (
        select q.part_id, coalesce(g.slice, e.slot) as step, p.weight / (1 - p.target) as share,
               p.good + p.bad as counted, p.bad,
               case when g.slice is not null then period_slices(q.part_id, g.slice, period_from, period_to) * p.unit end as fixed,
               r.counted as counted_a_second,
               coalesce(r.counted * pace.bad / nullif(pace.good + pace.bad, 0), 0) as bad_a_second
        from engine_state e
        cross join composite_parts(of_objective, of_generation, period_from, as_of) p
        join composite_parts(of_objective, of_generation, pace_from, pace_to) pace on pace.part = p.part
        join objective o on o.name = p.part
        join objective_part q
            on q.objective_id = of_objective and q.generation = of_generation and q.part_id = o.objective_id
        join objective_generation g on g.objective_id = q.part_id and g.generation = q.part_generation
        cross join lateral (
            select coalesce(sum(x.to_at - x.from_at), interval '0') as length
            from left_out_spans(q.part_id, e.slot, pace_from, pace_to) x
        ) corrected
        cross join lateral (
            select case
                       when g.slice is not null then p.unit / extract(epoch from g.slice)
                       else coalesce(
                           (pace.good + pace.bad) / nullif(extract(epoch from pace_to - pace_from - corrected.length), 0), 0
                       )
                   end as counted
        ) r
    ),
    gone as materialized (
        select p.part_id, extract(epoch from x.from_at - as_of) as from_s, extract(epoch from x.to_at - as_of) as to_s
        from part p
        cross join lateral left_out_spans(p.part_id, p.step, as_of, period_to) x
    ),
    search (lo, hi, level) as (
        select 0::numeric, extract(epoch from period_to - as_of), 0
        union all
        select f.lo, f.hi, s.level + 1
        from search s
        cross join lateral (
            select m.lo, m.hi
            from (
                select lag(t.after) over (order by t.after) as lo, t.after as hi,
                       lag(l.left_over) over (order by t.after) as before, l.left_over
                from (select s.lo + (s.hi - s.lo) * n / 24 as after from generate_series(0, 24) n) t
                cross join lateral (
                    select 1 - sum(
                               p.share * coalesce(
                                   (p.bad + p.bad_a_second * a.seconds)
                                   / nullif(coalesce(p.fixed, p.counted + p.counted_a_second * a.seconds), 0),
                                   0
                               )
                           ) as left_over
                    from part p
                    cross join lateral (
                        select t.after - coalesce(sum(least(x.to_s, t.after) - x.from_s), 0) as seconds
                        from gone x
                        where x.part_id = p.part_id and x.from_s < t.after
                    ) a
                ) l
            ) m
            where m.left_over < 0 and m.before >= 0
            order by m.hi
            limit 1
        ) f
        where s.level < 6
    )
    select date_trunc('second', as_of + make_interval(secs => s.hi::float8)) from search s where s.level = 6
$$;

-- As before, and of composites that follow a calendar by what their parts are to spend: they were taken to spend evenly of all of the
-- period, corrected or not.
create or replace function budget_exhaustion(objective text, as_of timestamptz, pace interval) returns table (at timestamptz)
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
    burning as materialized (
        select o.*, w.good, w.bad, w.from_at, w.to_at
        from budget o
        cross join lateral ledger_window(o.objective_id, o.generation, as_of - o.pace, as_of) w
        where o.remaining > 0 and burn_of(w.good, w.bad, o.target) > o.remaining
    ),
    -- What is over at each moment, once what comes until then has been added at the pace.
    moment as (
        select a.n, extract(epoch from a.after) as after_seconds,
               case
                   when o.is_composite then o.remaining - burn_of(o.good, o.bad, o.target)
                       * extract(epoch from a.after) / extract(epoch from o.period)
                   when o.is_fixed then o.allowed
                   else (1 - o.target) * (a.good + a.bad + (o.good + o.bad) * k.paces)
               end - case when o.is_composite then 0 else a.bad + o.bad * k.paces end as left_over
        from burning o
        cross join lateral budget_ahead(
            o.objective_id, o.generation, as_of, o.period, o.period, o.calendar_from, o.calendar_to,
            o.is_apart, o.total_good, o.total_bad, o.base, o.slot
        ) a
        cross join lateral (
            select extract(epoch from a.after) / nullif(extract(epoch from o.to_at - o.from_at), 0) as paces
        ) k
        where not (o.is_composite and o.calendar_to is not null)
    )
    (
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
    )
    union all
    select composite_exhaustion(
        o.objective_id, o.generation, as_of, o.calendar_from, o.calendar_to, o.from_at, o.to_at
    )
    from burning o
    where o.is_composite and o.calendar_to is not null
$$;
