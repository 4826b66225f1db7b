-- Windows without what corrections leave out. With T(x) the running total at an edge, the spans that are left out are
-- T(to) - T(from) each, clipped to the window: what is left is still the difference of one function at two points, so
-- windows that meet add up to the window over both, corrected or not.

-- The union of an objective's corrections between two edges. A correction leaves out whole steps: the slots of the
-- ledger, or the slices of a budget that counts slices, that it touches.
create function left_out_spans(of_objective bigint, step interval, from_edge timestamptz, to_edge timestamptz)
    returns table (from_at timestamptz, to_at timestamptz)
    language sql stable parallel safe
as $$
    select lower(u.span), upper(u.span)
    from (
        select range_agg(
                   tstzrange(
                       date_bin(step, s.from_at, timestamptz 'epoch'),
                       date_bin(step, s.to_at + step - interval '1 microsecond', timestamptz 'epoch')
                   )
               ) * tstzmultirange(tstzrange(from_edge, to_edge)) as spans
        from correction c
        join correction_span s using (correction_id)
        where c.objective_id = of_objective
          and c.undone_at is null
          and s.from_at < to_edge + step
          and s.to_at > from_edge - step
          and from_edge <= to_edge
    ) corrected
    cross join lateral unnest(corrected.spans) u (span)
$$;

-- What those spans hold of the ledger, silence that is owed by `to_edge` included (as in `ledger_silence`). One row.
-- `engine_state` has one row, which the planner is told: it takes a table without statistics for a thousand, and what
-- seems so dear is compiled, which takes a second.
create function ledger_left_out(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select coalesce(sum(coalesce(r.good, 0) - coalesce(l.good, 0)), 0)::bigint,
           coalesce(sum(coalesce(r.bad, 0) - coalesce(l.bad, 0)), 0)::bigint,
           coalesce(sum(coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) + s.silent_ms), 0)::bigint,
           coalesce(sum(coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, 0)), 0)::bigint,
           coalesce(sum(coalesce(r.lost, 0) - coalesce(l.lost, 0)), 0)::bigint
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    cross join lateral left_out_spans(of_objective, coalesce(g.slice, e.slot), from_edge, to_edge) c
    left join lateral ledger_total(of_objective, of_generation, c.to_at + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, c.from_at + e.slot) l on true
    cross join lateral (
        select coalesce(
                   sum(extract(epoch from c.to_at - least(greatest(w.expected_to_at, c.from_at), c.to_at)) * 1000), 0
               )::bigint as silent_ms
        from watch w
        join source s using (source_id)
        where w.service_id = g.service_id
          and w.role = g.role
          and s.state = 'expected'
          and greatest(w.expected_to_at, s.state_at) < to_edge - e.patience
    ) s
$$;

-- As before, without what is left out. While there is no correction, nothing more is looked up.
create or replace function ledger_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(r.good, 0) - coalesce(l.good, 0) - coalesce(x.good, 0),
           coalesce(r.bad, 0) - coalesce(l.bad, 0) - coalesce(x.bad, 0),
           coalesce(l.at, g.started_at),
           least(coalesce(r.at, g.started_at), to_edge),
           coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) + s.silent_ms - coalesce(x.expected_ms, 0),
           coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, 0) - coalesce(x.covered_ms, 0),
           coalesce(r.lost, 0) - coalesce(l.lost, 0) - coalesce(x.lost, 0)
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    left join lateral (
        select * from ledger_left_out(of_objective, of_generation, from_edge, to_edge)
        where exists (select from correction c where c.objective_id = of_objective and c.undone_at is null)
    ) x on true
    -- A window that ends before it begins holds nothing, and is no window.
    where from_edge <= to_edge
$$;

-- As before; of a calendar budget of slices, those left out are not among all slices of the period.
create or replace function error_budget(objective text, as_of timestamptz default now())
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
    cross join lateral (
        select * from period_of(d.period, d.calendar_starts, d.calendar_zone, d.calendar_every, as_of) limit 1
    ) p
    cross join lateral ledger_window(o.objective_id, d.generation, p.from_at, as_of) w
    cross join lateral (
        select case
                   when g.slice is null or d.calendar_every is null then (w.good + w.bad)::numeric
                   else round(
                       extract(epoch from p.to_at - p.from_at - (
                           select coalesce(sum(x.to_at - x.from_at), interval '0')
                           from left_out_spans(o.objective_id, g.slice, p.from_at, p.to_at) x
                       )) / extract(epoch from g.slice)
                   ) * slice_unit(g.method)
               end as total
    ) t
    where o.name = error_budget.objective
$$;

-- What corrections leave out of an objective, for people and pages: each span of the union, the rows of the ledger that
-- its edges stand for (of days that were thinned before the correction was made they lie earlier), and what is between.
create function left_out(objective text, "from" timestamptz, "to" timestamptz)
    returns table (
        from_at timestamptz, to_at timestamptz, counted_from_at timestamptz, counted_to_at timestamptz,
        good bigint, bad bigint
    )
    language sql stable parallel safe
as $$
    select c.from_at, c.to_at, l.at, least(r.at, c.to_at),
           coalesce(r.good, 0) - coalesce(l.good, 0), coalesce(r.bad, 0) - coalesce(l.bad, 0)
    from (select * from engine_state limit 1) e
    cross join objective o
    join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
    cross join lateral left_out_spans(o.objective_id, coalesce(g.slice, e.slot), left_out."from", left_out."to") c
    left join lateral ledger_total(o.objective_id, o.generation, c.to_at + e.slot) r on true
    left join lateral ledger_total(o.objective_id, o.generation, c.from_at + e.slot) l on true
    where o.name = left_out.objective
    order by c.from_at
$$;
