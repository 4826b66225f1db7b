-- Every tier that is defined (with $2, of this objective only) and that is not calm (with $3, the calm ones, too), with
-- both its windows; and every open alert whose tier no longer is; fast pages and missing data are judged by themselves
-- (`fast_page.sql`, `data_outage.sql`).
-- A tier is calm when nothing of it stands, its short window does not burn, and both are surely covered whole: then its
-- long window is not looked up. Where windows end, and where short ones begin that many have, is read of all at once, slot
-- by slot (`ledger_ends`, `ledger_slot`). Tiers are several times as many as objectives, so they are read only of whom a short
-- window may burn enough for any tier that has one (`near`), and then held against what each says itself. Who has no row in
-- that very slot is looked up, as are all others. A look-up for those alone is a subquery with a limit, which is not begun for
-- the rest; no argument of `ledger_total` holds a subquery: the planner would call it instead of inlining it. What corrections
-- leave out is looked up for objectives that have one.
with silent as materialized (
    select w.service_id, w.role
    from watch w
    join source s using (source_id)
    cross join engine_state e
    where s.state = 'expected' and greatest(w.expected_to_at, s.state_at) < $1::timestamptz - e.patience
),
right_edge as (
    select o.objective_id, o.generation, o.name, d.target, (1 - d.target)::float8 as allowed, o.defined_at,
           g.service_id, g.role, g.method, coalesce(g.counted_from_at, g.started_at) as counted_from_at,
           coalesce(l.at, r.at, g.counted_from_at, g.started_at) as at,
           coalesce(l.good, r.good, 0) as good, coalesce(l.bad, r.bad, 0) as bad,
           coalesce(l.expected_ms, r.expected_ms, 0) as expected_ms,
           coalesce(l.covered_ms, r.covered_ms, 0) as covered_ms,
           coalesce(l.lost, r.lost, 0) as lost, g.uneven_at, e.slot, m.coverage_min, d.evidence,
           (g.service_id, g.role) in (select service_id, role from silent) as is_silent,
           g.started_at > $1 - e.patience or (
               select exists (
                   select from source s cross join engine_state e
                   where s.state = 'expected' and s.state_at > $1 - e.patience
               )
           ) as starting,
           o.objective_id in (select x.objective_id from correction x where x.undone_at is null) or (
               g.method = 'Timeslices' and (o.objective_id, o.generation) in (
                   select p.objective_id, p.generation
                   from objective_part p
                   join correction x on x.objective_id = p.part_id and x.undone_at is null
               )
           ) as is_corrected,
           o.objective_id in (
               select a.objective_id from alert a where a.state <> 'resolved'
               union all
               select t.objective_id from tier_freeze t
           ) as stands
    from engine_state e
    cross join objective o
    join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
    join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
    left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
    left join ledger_ends(case when $2::text is null then $1 end) l
        on l.objective_id = o.objective_id and l.generation = o.generation
    left join lateral (
        select t.* from ledger_total(o.objective_id, o.generation, $1 + e.slot) t where l.at is null limit 1
    ) r on true
    -- So that the planner expects half of them, not a few; and that nothing is worked out for each short window anew.
    where o.withdrawn_at is null and case when $2::text is null then true else o.name = $2 end
    offset 0
),
-- Short windows: the least burn rate of the tiers that have one, the longest window beside one, and whether a sixteenth of the
-- objectives have one.
short as materialized (
    select t.short_window, min(t.burn_rate)::float8 as burn_rate, greatest(max(t.long_window), t.short_window) as longest,
           count(*) * 16 >= (select count(*) from objective o where o.withdrawn_at is null) as is_common
    from objective o
    join objective_tier t on t.objective_id = o.objective_id and t.from_at = o.defined_at
    where $2::text is null and o.withdrawn_at is null
    group by t.short_window
),
-- Where those begin that many have. One row for all others, if there are any, in whose slot nobody has a row. A millionth less than
-- what burns, since floats are rounded.
edge as materialized (
    select s.short_window, s.burn_rate * 0.999999 as burn_rate, $1 - s.longest - interval '1 hour' as even_from_at,
           date_bin(e.slot, $1 - s.short_window + e.slot - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00') as at,
           $1 - s.short_window + e.slot as until
    from engine_state e
    cross join short s
    where s.is_common
    union all
    select null, null, null, null, null
    where $2::text is not null or exists (select from short s where not s.is_common)
),
-- Of which objectives some tier with such a window may not be calm, and their totals where it begins.
near as (
    select o.*, edge.short_window
    from edge
    cross join lateral (
        select o.*, l.at as short_at, l.good as short_good, l.bad as short_bad, l.expected_ms as short_expected_ms,
               l.covered_ms as short_covered_ms, l.lost as short_lost
        from right_edge o
        left join ledger_slot(edge.at, edge.until) l on l.objective_id = o.objective_id and l.generation = o.generation
    ) o
    where $3::boolean
       or o.short_at is null
       or o.method = 'Composite'
       or o.is_corrected
       or o.is_silent
       or o.stands
       or o.uneven_at > edge.even_from_at
       or o.expected_ms <= o.short_expected_ms
       or o.bad > o.short_bad
          and o.bad - o.short_bad > edge.burn_rate * o.allowed * (o.good - o.short_good + o.bad - o.short_bad)
    offset 0
),
-- Time is covered as expected in each slot since `uneven_at`, so in every window that begins later, by more than the
-- hour that a row of a thinned day may be away from its edge; and if anything is expected of the short window, it is of
-- the long one.
tier as materialized (
    select o.objective_id, o.generation, o.name, o.target, o.service_id, o.role, o.method, o.counted_from_at, o.at,
           o.good, o.bad, o.expected_ms, o.covered_ms, o.lost, o.slot, o.coverage_min, o.evidence, o.is_silent,
           o.starting, o.is_corrected,
           t.tier, t.severity, t.long_window, t.short_window, t.burn_rate, t.budget_share, t.fires_after,
           c.at as short_at, c.good as short_good, c.bad as short_bad, c.expected_ms as short_expected_ms,
           c.covered_ms as short_covered_ms, c.lost as short_lost
    from near o
    join objective_tier t
        on t.objective_id = o.objective_id and t.from_at = o.defined_at
        and case
                when o.short_window is not null then t.short_window = o.short_window
                else t.short_window not in (select s.short_window from short s where s.is_common)
            end
    left join lateral (
        select l.* from ledger_total(o.objective_id, o.generation, $1 - t.short_window + o.slot) l
        where o.short_at is null
        limit 1
    ) l on true
    cross join lateral (
        select coalesce(o.short_at, l.at) as at, coalesce(o.short_good, l.good, 0) as good,
               coalesce(o.short_bad, l.bad, 0) as bad,
               coalesce(o.short_expected_ms, l.expected_ms, 0) as expected_ms,
               coalesce(o.short_covered_ms, l.covered_ms, 0) as covered_ms, coalesce(o.short_lost, l.lost, 0) as lost
    ) c
    where $3::boolean
       or (o.objective_id, t.tier) in (select a.objective_id, a.tier from alert a where a.state <> 'resolved')
       or (o.objective_id, t.tier) in (select f.objective_id, f.tier from tier_freeze f)
       or o.method = 'Composite'
       or o.is_corrected
       or o.is_silent
       or o.uneven_at > $1 - greatest(t.long_window, t.short_window) - interval '1 hour'
       or o.expected_ms <= c.expected_ms
       or o.bad > c.bad and o.bad - c.bad > t.burn_rate * (1 - o.target) * (o.good - c.good + o.bad - c.bad)
),
-- Apart, so that those without a correction pay nothing for it.
left_out as materialized (
    select o.objective_id, o.tier, l.*, c.good as short_good, c.bad as short_bad, c.expected_ms as short_expected_ms,
           c.covered_ms as short_covered_ms, c.lost as short_lost
    from tier o
    cross join lateral ledger_left_out(o.objective_id, o.generation, $1 - o.long_window, $1) l
    cross join lateral ledger_left_out(o.objective_id, o.generation, $1 - o.short_window, $1) c
    where o.is_corrected
),
-- Composites count what their parts burn; what is watched, and how much of it is missing, stands in their own ledger.
composed as materialized (
    select o.objective_id, o.tier, l.good, l.bad, c.good as short_good, c.bad as short_bad
    from tier o
    left join lateral composite_window(o.objective_id, o.generation, $1 - o.long_window, $1) l on true
    left join lateral composite_window(o.objective_id, o.generation, $1 - o.short_window, $1) c on true
    where o.method = 'Composite'
)
select o.name as "objective!", s.name as "service!", o.target as "target!", slice_unit(o.method) as "unit!",
       o.tier as "tier!", o.severity as "severity!", o.long_window as "long_window!",
       o.short_window as "short_window!", o.burn_rate as "burn_rate!", o.budget_share,
       o.fires_after as "fires_after!", false as "withdrawn!",
       coalesce(p.good, o.good - coalesce(l.good, old.good, 0) - coalesce(lx.good, 0)) as "long_good!",
       coalesce(p.bad, o.bad - coalesce(l.bad, old.bad, 0) - coalesce(lx.bad, 0)) as "long_bad!",
       coalesce(l.at, o.counted_from_at) as "long_from_at!",
       o.expected_ms - coalesce(l.expected_ms, old.expected_ms, 0) + coalesce(long_silence.silent_ms, 0) - coalesce(lx.expected_ms, 0)
           as "long_expected_ms!",
       o.covered_ms - coalesce(l.covered_ms, old.covered_ms, 0) - coalesce(lx.covered_ms, 0) as "long_covered_ms!",
       o.lost - coalesce(l.lost, old.lost, 0) - coalesce(lx.lost, 0) as "long_lost!",
       coalesce(p.short_good, o.good - o.short_good - coalesce(lx.short_good, 0)) as "short_good!",
       coalesce(p.short_bad, o.bad - o.short_bad - coalesce(lx.short_bad, 0)) as "short_bad!",
       coalesce(o.short_at, o.counted_from_at) as "short_from_at!",
       o.expected_ms - o.short_expected_ms + coalesce(short_silence.silent_ms, 0) - coalesce(lx.short_expected_ms, 0)
           as "short_expected_ms!",
       o.covered_ms - o.short_covered_ms - coalesce(lx.short_covered_ms, 0) as "short_covered_ms!",
       o.lost - o.short_lost - coalesce(lx.short_lost, 0) as "short_lost!",
       least(o.at, $1) as "to_at!",
       a.alert_id as "alert_id?", a.state as "state?", a.opened_at as "opened_at?", a.clear_since_at as "clear_since_at?",
       f.since_at as "frozen_since_at?", o.starting as "starting!", o.coverage_min as "coverage_min?",
       o.evidence as "evidence?"
from tier o
join service s on s.service_id = o.service_id
left join lateral ledger_total(o.objective_id, o.generation, $1 - o.long_window + o.slot) l on true
-- What was counted before the oldest day that is kept, as `ledger_edge` has it.
left join lateral (
    select d.*
    from ledger_day d
    where l.at is null and d.objective_id = o.objective_id and d.generation = o.generation
    order by d.day
    limit 1
) old on true
left join lateral (
    select * from ledger_silence(o.service_id, o.role, $1 - o.long_window, $1) where o.is_silent limit 1
) long_silence on true
left join lateral (
    select * from ledger_silence(o.service_id, o.role, $1 - o.short_window, $1) where o.is_silent limit 1
) short_silence on true
left join left_out lx on lx.objective_id = o.objective_id and lx.tier = o.tier
left join composed p on p.objective_id = o.objective_id and p.tier = o.tier
left join alert a on a.objective_id = o.objective_id and a.tier = o.tier and a.state <> 'resolved'
left join tier_freeze f on f.objective_id = o.objective_id and f.tier = o.tier
union all
select o.name, s.name, d.target, slice_unit(g.method), a.tier, a.severity, interval '0', interval '0',
       -- What is no number is no burn rate, and leaves out its own alert.
       case
           when a.evidence ->> 'threshold' ~ '^[0-9]{1,9}(\.[0-9]{1,28})?$' then (a.evidence ->> 'threshold')::numeric
           else 0
       end, null, interval '0', true,
       0, 0, $1, 0, 0, 0,
       0, 0, $1, 0, 0, 0,
       $1, a.alert_id, a.state, a.opened_at, a.clear_since_at, f.since_at, false, null, null
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
