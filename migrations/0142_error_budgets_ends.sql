-- As before, in fewer steps: whose service is silent is looked for in generations alone.
create or replace function budgets_apart(as_of timestamptz) returns setof bigint
    language sql stable parallel safe
as $$
    select o.objective_id
    from objective o
    where o.withdrawn_at is null
      and (
          o.defined_at > as_of
          or o.objective_id in (
              select x.objective_id from correction x where x.undone_at is null
              union all
              select q.objective_id
              from correction x
              join objective_part q on q.part_id = x.objective_id
              where x.undone_at is null
              union all
              select q.part_id
              from correction x
              join objective_part q on q.objective_id = x.objective_id
              where x.undone_at is null
          )
          or (o.objective_id, o.generation) in (
              select g.objective_id, g.generation
              from objective_generation g
              where g.method = 'Composite'
                 or (g.service_id, g.role) in (
                      select w.service_id, w.role
                      from watch w
                      join source s using (source_id)
                      cross join engine_state e
                      where s.state = 'expected' and greatest(w.expected_to_at, s.state_at) < as_of - e.patience
                 )
          )
      )
$$;

-- As before, and where ledgers end is what evaluation reads (`ledger_ends`); a calendar's period is worked out once and not of each
-- objective that has it; and rows that nothing is known of are joined by hashing, as the planner would sort them to merge.
create or replace function error_budgets(as_of timestamptz default now())
    returns table (
        objective_id bigint,
        remaining numeric, allowed numeric, good bigint, bad bigint, sli numeric, target numeric, period interval,
        from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint, coverage numeric, generation integer,
        method text, counted bigint, period_from_at timestamptz, period_to_at timestamptz
    )
    language plpgsql stable rows 10000
    set enable_mergejoin = off
    set jit = off
as $$
#variable_conflict use_column
declare
    apart constant bigint[] := array(select budgets_apart(as_of));
begin
    return query
    -- As `period_of` has them, of each calendar once. By how steps are spelt: as intervals 30 days and a month are equal.
    with calendar as materialized (
        select c.*, p.from_at, p.to_at
        from (
            select distinct d.calendar_starts, d.calendar_zone, d.calendar_every::text as every
            from objective o
            join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
            where o.withdrawn_at is null and d.calendar_every is not null
        ) c
        cross join lateral (
            select * from calendar_period(c.calendar_starts, c.calendar_zone, c.every::interval, as_of) limit 1
        ) p
    ),
    defined as materialized (
        select o.objective_id, o.generation, d.target, d.period, g.method,
               case when d.calendar_every is not null then g.slice end as calendar_slice,
               coalesce(g.counted_from_at, g.started_at) as counted_from_at, e.slot,
               coalesce(p.from_at, as_of - d.period) as period_from_at, coalesce(p.to_at, as_of) as period_to_at
        from engine_state e
        cross join objective o
        join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
        join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
        left join calendar p
            on p.calendar_starts = d.calendar_starts and p.calendar_zone = d.calendar_zone
            and p.every = d.calendar_every::text
        where o.withdrawn_at is null and o.objective_id not in (select unnest(apart))
          and (d.calendar_every is null or p.from_at is not null)
    ),
    -- Where periods begin that a sixteenth of the objectives have: at the last row of some of them.
    beginning as materialized (
        select edge.period_from_at, l.*
        from (
            select o.period_from_at, o.slot, (array_agg(o.objective_id))[1:8] as samples
            from defined o
            group by o.period_from_at, o.slot
            having count(*) * 16 >= (select count(*) from defined)
        ) edge
        cross join lateral (
            select max(t.at) as at
            from defined o
            cross join lateral ledger_total(o.objective_id, o.generation, o.period_from_at + o.slot) t
            where o.objective_id = any (edge.samples)
        ) last
        cross join lateral ledger_slot(last.at, edge.period_from_at + edge.slot) l
    ),
    counted as (
        select o.*,
               coalesce(r.good, old.good, 0) - coalesce(l.good, old.good, 0) as good,
               coalesce(r.bad, old.bad, 0) - coalesce(l.bad, old.bad, 0) as bad,
               coalesce(l.at, greatest(o.counted_from_at, old.day::timestamp at time zone 'UTC')) as from_at,
               least(coalesce(r.at, o.counted_from_at), as_of) as to_at,
               coalesce(r.expected_ms, old.expected_ms, 0) - coalesce(l.expected_ms, old.expected_ms, 0) as expected_ms,
               coalesce(r.covered_ms, old.covered_ms, 0) - coalesce(l.covered_ms, old.covered_ms, 0) as covered_ms,
               coalesce(r.lost, old.lost, 0) - coalesce(l.lost, old.lost, 0) as lost
        from defined o
        left join ledger_ends(as_of) r1 on r1.objective_id = o.objective_id and r1.generation = o.generation
        left join beginning l1
            on l1.objective_id = o.objective_id and l1.generation = o.generation and l1.period_from_at = o.period_from_at
        left join lateral (
            select t.*
            from ledger_total(o.objective_id, o.generation, as_of + o.slot) t
            where r1.at is null
            limit 1
        ) r2 on true
        left join lateral (
            select t.*
            from ledger_total(o.objective_id, o.generation, o.period_from_at + o.slot) t
            where l1.at is null
            limit 1
        ) l2 on true
        -- What was counted before the oldest day that is kept, as `ledger_edge` has it.
        left join lateral (
            select d.*
            from ledger_day d
            where l1.at is null and l2.at is null and d.objective_id = o.objective_id and d.generation = o.generation
            order by d.day
            limit 1
        ) old on true
        cross join lateral (
            select coalesce(r1.at, r2.at) as at, coalesce(r1.good, r2.good) as good, coalesce(r1.bad, r2.bad) as bad,
                   coalesce(r1.expected_ms, r2.expected_ms) as expected_ms,
                   coalesce(r1.covered_ms, r2.covered_ms) as covered_ms, coalesce(r1.lost, r2.lost) as lost
        ) r
        cross join lateral (
            select coalesce(l1.at, l2.at) as at, coalesce(l1.good, l2.good) as good, coalesce(l1.bad, l2.bad) as bad,
                   coalesce(l1.expected_ms, l2.expected_ms) as expected_ms,
                   coalesce(l1.covered_ms, l2.covered_ms) as covered_ms, coalesce(l1.lost, l2.lost) as lost
        ) l
    )
    select o.objective_id,
           1 - coalesce(trim_scale(round(o.bad / nullif(t.total * (1 - o.target), 0), 9)), 0),
           trim_scale(t.total * (1 - o.target)), o.good, o.bad,
           trim_scale(round(o.good::numeric / nullif(o.good + o.bad, 0), 12)), o.target, o.period,
           o.from_at, o.to_at, o.expected_ms, o.covered_ms, o.lost,
           coverage_of(o.covered_ms, o.expected_ms), o.generation,
           o.method, slice_unit(o.method), o.period_from_at, o.period_to_at
    from counted o
    cross join lateral (
        select case
                   when o.calendar_slice is null then (o.good + o.bad)::numeric
                   else period_slices(o.objective_id, o.calendar_slice, o.period_from_at, o.period_to_at) * slice_unit(o.method)
               end as total
    ) t;

    if cardinality(apart) > 0 then
        return query
        select o.objective_id, b.*
        from unnest(apart) a (objective_id)
        join objective o using (objective_id)
        cross join lateral error_budget(o.name, greatest(as_of, o.defined_at)) b;
    end if;
end
$$;
