-- Periods that follow a calendar: `calendar_every` long (real months, days that daylight saving makes 23 or 25
-- hours), the first of them from `calendar_starts` on the clocks of `calendar_zone`. `period` is then the nominal
-- length, which alert tiers are scaled to.
alter table objective_definition
    add column calendar_starts timestamp,
    add column calendar_zone text,
    add column calendar_every interval,
    add constraint objective_definition_calendar_whole
        check (num_nulls(calendar_starts, calendar_zone, calendar_every) in (0, 3));

-- The period of a calendar that a moment lies in; the moment at which one ends lies in the next.
-- A start on the clock that daylight saving skips is taken an hour later; of one it repeats the later is meant.
create function calendar_period(starts timestamp, zone text, every interval, as_of timestamptz)
    returns table (from_at timestamptz, to_at timestamptz)
    language sql stable parallel safe
as $$
    with guess as (
        -- Right or one off: the clock may have been changed, and days of months differ.
        select case
                   when m.step > 0
                       then div(
                           (extract(year from l.at) * 12 + extract(month from l.at))
                           - (extract(year from starts) * 12 + extract(month from starts)),
                           m.step
                       )
                   else floor(extract(epoch from l.at - starts) / (extract(day from every) * 86400))
               end::integer as number
        from (select as_of at time zone zone as at) l,
             (select extract(year from every) * 12 + extract(month from every) as step) m
    ),
    period as (
        select (starts + n.number * every) at time zone zone as from_at,
               (starts + (n.number + 1) * every) at time zone zone as to_at
        from guess g, generate_series(g.number - 2, g.number + 1) n (number)
    )
    select p.from_at, p.to_at
    from period p
    where p.from_at <= as_of and as_of < p.to_at
$$;

-- The period of a definition that `as_of` lies in: of a rolling one, the period that ends there.
create function period_of(
    rolling interval, starts timestamp, zone text, every interval, as_of timestamptz
)
    returns table (from_at timestamptz, to_at timestamptz)
    language sql stable parallel safe
as $$
    select as_of - rolling, as_of where every is null
    union all
    select c.from_at, c.to_at from calendar_period(starts, zone, every, as_of) c where every is not null
$$;

-- As before, and for all periods and methods. `counted` is what good, bad and allowed count: 1 for requests and
-- slices, 1000000000 where they are billionths of a slice. A calendar budget of slices is a share of all slices
-- of its period; of requests, whose number is not known before, a share of those so far.
drop function error_budget(text, timestamptz);
create function error_budget(objective text, as_of timestamptz default now())
    returns table (
        remaining numeric, allowed numeric, good bigint, bad bigint, sli numeric, target numeric, period interval,
        from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer,
        method text, counted bigint, period_from_at timestamptz, period_to_at timestamptz
    )
    language sql stable parallel safe
as $$
    select 1 - coalesce(trim_scale(round(w.bad / nullif(t.total * (1 - d.target), 0), 9)), 0),
           trim_scale(t.total * (1 - d.target)), w.good, w.bad,
           trim_scale(round(w.good::numeric / nullif(w.good + w.bad, 0), 12)), d.target, d.period,
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
    cross join lateral period_of(d.period, d.calendar_starts, d.calendar_zone, d.calendar_every, as_of) p
    cross join lateral ledger_window(o.objective_id, d.generation, p.from_at, as_of) w
    cross join lateral (
        select case
                   when g.slice is null or d.calendar_every is null then (w.good + w.bad)::numeric
                   else round(extract(epoch from p.to_at - p.from_at) / extract(epoch from g.slice))
                        * slice_unit(g.method)
               end as total
    ) t
    where o.name = error_budget.objective
$$;
