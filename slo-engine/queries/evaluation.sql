-- Every window of every tier that is defined (with $2, of this objective only), and every open alert whose
-- tier no longer is; fast pages and missing data are judged by themselves
-- (`fast_page.sql`, `data_outage.sql`).
-- For each objective: one step back in the ledger for the right edge, and one for each left edge. No argument of
-- `ledger_total` holds a subquery: the planner would call it instead of inlining it. What corrections leave out is
-- looked up for objectives that have one.
with right_edge as materialized (
    select o.objective_id, o.name, d.target, o.defined_at, g.service_id, g.role, g.method, g.started_at,
           coalesce(r.at, g.started_at) as at, coalesce(r.good, 0) as good, coalesce(r.bad, 0) as bad,
           coalesce(r.expected_ms, 0) as expected_ms, coalesce(r.covered_ms, 0) as covered_ms,
           coalesce(r.lost, 0) as lost, o.generation, e.slot, m.coverage_min,
           g.started_at > $1 - e.patience or exists (
               select from source where state = 'expected' and state_at > $1 - e.patience
           ) as starting,
           exists (
               select from correction x where x.objective_id = o.objective_id and x.undone_at is null
           ) or (
               g.method = 'Timeslices' and exists (
                   select
                   from objective_part p
                   join correction x on x.objective_id = p.part_id and x.undone_at is null
                   where p.objective_id = o.objective_id and p.generation = o.generation
               )
           ) as is_corrected
    from engine_state e
    cross join objective o
    join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
    join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
    left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
    left join lateral ledger_total(o.objective_id, o.generation, $1::timestamptz + e.slot) r on true
    where o.withdrawn_at is null and ($2::text is null or o.name = $2)
),
-- Apart, so that those without a correction pay nothing for it.
left_out as materialized (
    select o.objective_id, t.tier, l.*, c.good as short_good, c.bad as short_bad, c.expected_ms as short_expected_ms,
           c.covered_ms as short_covered_ms, c.lost as short_lost
    from right_edge o
    join objective_tier t on t.objective_id = o.objective_id and t.from_at = o.defined_at
    cross join lateral ledger_left_out(o.objective_id, o.generation, $1 - t.long_window, $1) l
    cross join lateral ledger_left_out(o.objective_id, o.generation, $1 - t.short_window, $1) c
    where o.is_corrected
),
-- Composites count what their parts burn; what is watched, and how much of it is missing, stands in their own ledger.
composed as materialized (
    select o.objective_id, t.tier, l.good, l.bad, c.good as short_good, c.bad as short_bad
    from right_edge o
    join objective_tier t on t.objective_id = o.objective_id and t.from_at = o.defined_at
    left join lateral composite_window(o.objective_id, o.generation, $1 - t.long_window, $1) l on true
    left join lateral composite_window(o.objective_id, o.generation, $1 - t.short_window, $1) c on true
    where o.method = 'Composite'
)
select o.name as "objective!", s.name as "service!", o.target as "target!", slice_unit(o.method) as "unit!",
       t.tier as "tier!", t.severity as "severity!", t.long_window as "long_window!",
       t.short_window as "short_window!", t.burn_rate as "burn_rate!", t.budget_share, false as "withdrawn!",
       coalesce(p.good, o.good - coalesce(l.good, 0) - coalesce(lx.good, 0)) as "long_good!",
       coalesce(p.bad, o.bad - coalesce(l.bad, 0) - coalesce(lx.bad, 0)) as "long_bad!",
       coalesce(l.at, o.started_at) as "long_from_at!",
       o.expected_ms - coalesce(l.expected_ms, 0) + coalesce(long_silence.silent_ms, 0) - coalesce(lx.expected_ms, 0)
           as "long_expected_ms!",
       o.covered_ms - coalesce(l.covered_ms, 0) - coalesce(lx.covered_ms, 0) as "long_covered_ms!",
       o.lost - coalesce(l.lost, 0) - coalesce(lx.lost, 0) as "long_lost!",
       coalesce(p.short_good, o.good - coalesce(c.good, 0) - coalesce(lx.short_good, 0)) as "short_good!",
       coalesce(p.short_bad, o.bad - coalesce(c.bad, 0) - coalesce(lx.short_bad, 0)) as "short_bad!",
       coalesce(c.at, o.started_at) as "short_from_at!",
       o.expected_ms - coalesce(c.expected_ms, 0) + coalesce(short_silence.silent_ms, 0) - coalesce(lx.short_expected_ms, 0)
           as "short_expected_ms!",
       o.covered_ms - coalesce(c.covered_ms, 0) - coalesce(lx.short_covered_ms, 0) as "short_covered_ms!",
       o.lost - coalesce(c.lost, 0) - coalesce(lx.short_lost, 0) as "short_lost!",
       least(o.at, $1) as "to_at!",
       a.alert_id as "alert_id?", a.state as "state?", a.clear_since_at as "clear_since_at?",
       f.since_at as "frozen_since_at?", o.starting as "starting!", o.coverage_min as "coverage_min?"
from right_edge o
join service s on s.service_id = o.service_id
join objective_tier t on t.objective_id = o.objective_id and t.from_at = o.defined_at
left join lateral ledger_total(o.objective_id, o.generation, $1 - t.long_window + o.slot) l on true
left join lateral ledger_total(o.objective_id, o.generation, $1 - t.short_window + o.slot) c on true
left join lateral (
    select * from ledger_silence(o.service_id, o.role, $1 - t.long_window, $1) where (select is_any_silent($1))
) long_silence on true
left join lateral (
    select * from ledger_silence(o.service_id, o.role, $1 - t.short_window, $1) where (select is_any_silent($1))
) short_silence on true
left join left_out lx on lx.objective_id = o.objective_id and lx.tier = t.tier
left join composed p on p.objective_id = o.objective_id and p.tier = t.tier
left join alert a on a.objective_id = o.objective_id and a.tier = t.tier and a.state <> 'resolved'
left join tier_freeze f on f.objective_id = o.objective_id and f.tier = t.tier
union all
select o.name, s.name, d.target, slice_unit(g.method), a.tier, a.severity, interval '0', interval '0',
       (a.evidence ->> 'threshold')::numeric, null, true,
       0, 0, $1, 0, 0, 0,
       0, 0, $1, 0, 0, 0,
       $1, a.alert_id, a.state, a.clear_since_at, f.since_at, false, null
from alert a
join objective o on o.objective_id = a.objective_id
join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
join service s on s.service_id = g.service_id
left join tier_freeze f on f.objective_id = a.objective_id and f.tier = a.tier
where a.state <> 'resolved'
  and coalesce(a.evidence ->> 'test', 'windows') = 'windows'
  and ($2::text is null or o.name = $2)
  and (
      o.withdrawn_at is not null
      or not exists (
          select from objective_tier t
          where t.objective_id = o.objective_id and t.from_at = o.defined_at and t.tier = a.tier
      )
  )
order by 1, 5
