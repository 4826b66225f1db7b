-- Every alert on a budget that is defined (with $3, of this objective only): what is left of the budget, what the
-- alert looks back on, how much was watched in the $2 before ($1 is now), and of one that looks ahead, what the
-- periods of 24 moments ahead hold of the counts up to now, and how much of the time until then counts. A calendar's period loses nothing, and ends. Those periods all
-- end now: of who has no correction and is no composite, each is one look-up of where it begins.
with budget as materialized (
    select o.objective_id, o.generation, o.defined_at, o.name, s.name as service, d.target, d.period, g.method,
           g.slice is not null and d.calendar_every is not null as is_fixed, coalesce(g.slice, e.slot) as step,
           m.coverage_min, d.evidence,
           b.allowed, b.remaining, b.good, b.bad, b.period_from_at, e.slot,
           case when d.calendar_every is not null then b.period_from_at end as calendar_from,
           case when d.calendar_every is not null then b.period_to_at end as calendar_to,
           coalesce(r.good, 0) as total_good, coalesce(r.bad, 0) as total_bad, r.base,
           g.method = 'Composite' or exists (
               select
               from correction x
               where x.undone_at is null and x.objective_id = any (array(select corrected_with(o.objective_id)))
           ) as is_apart,
           g.started_at > $1 - e.patience or exists (
               select from source where state = 'expected' and state_at > $1 - e.patience
           ) as starting
    from engine_state e
    cross join objective o
    join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
    join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
    join service s on s.service_id = g.service_id
    left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
    left join lateral ledger_total_and_base(o.objective_id, o.generation, $1::timestamptz + e.slot) r on true
    cross join lateral error_budget(o.name, greatest($1::timestamptz, o.defined_at)) b
    where o.withdrawn_at is null
      and ($3::text is null or o.name = $3)
      and exists (
          select from objective_budget_alert b where b.objective_id = o.objective_id and b.from_at = o.defined_at
      )
)
select o.name as "objective!", o.service as "service!", o.target as "target!", slice_unit(o.method) as "unit!",
       o.period as "period!", o.is_fixed as "is_fixed!", o.allowed as "allowed!", o.remaining as "remaining!",
       b.name as "alert!", b.severity as "severity!", b.rule as "rule!",
       -- Of the period so far what its budget counts, which of some composites is no window.
       case when b.look_back is null then o.good else w.good end as "good!",
       case when b.look_back is null then o.bad else w.bad end as "bad!",
       w.from_at as "from_at!", w.to_at as "to_at!",
       w.expected_ms as "expected_ms!", w.covered_ms as "covered_ms!", w.lost as "lost!",
       r.good as "recent_good!", r.bad as "recent_bad!", r.from_at as "recent_from_at!", r.to_at as "recent_to_at!",
       r.expected_ms as "recent_expected_ms!", r.covered_ms as "recent_covered_ms!", r.lost as "recent_lost!",
       coalesce(ahead.after_ms, '{}') as "after_ms!", coalesce(ahead.counted_ms, '{}') as "counted_ms!",
       coalesce(ahead.good, '{}') as "kept_good!", coalesce(ahead.bad, '{}') as "kept_bad!",
       -- Of the window looked back on, the time that corrections leave out.
       (
           select coalesce(extract(epoch from sum(x.to_at - x.from_at)) * 1000, 0)::bigint
           from left_out_spans(o.objective_id, o.step, w.from_at, w.to_at) x
           where o.is_apart and b.horizon is not null
       ) as "left_out_ms!",
       a.alert_id as "alert_id?", a.state as "state?", a.clear_since_at as "clear_since_at?",
       f.since_at as "frozen_since_at?", o.starting as "starting!", o.coverage_min as "coverage_min?",
       o.evidence as "evidence?"
from budget o
join objective_budget_alert b on b.objective_id = o.objective_id and b.from_at = o.defined_at
cross join lateral ledger_window(
    o.objective_id, o.generation,
    case
        when b.horizon is not null then $1 - b.look_back
        -- What was spent of an earlier period is not spent of this one.
        else greatest(coalesce($1 - b.look_back, o.period_from_at), o.period_from_at)
    end,
    $1
) w
cross join lateral ledger_window(o.objective_id, o.generation, $1 - $2::interval, $1) r
left join lateral (
    select array_agg((extract(epoch from p.after) * 1000)::bigint order by p.n) as after_ms,
           array_agg((extract(epoch from p.after - t.left_out) * 1000)::bigint order by p.n) as counted_ms,
           array_agg(p.good order by p.n) as good, array_agg(p.bad order by p.n) as bad
    from budget_ahead(
        o.objective_id, o.generation, $1, b.horizon, o.period, o.calendar_from, o.calendar_to,
        o.is_apart, o.total_good, o.total_bad, o.base, o.slot
    ) p
    cross join lateral (
        select coalesce(sum(x.to_at - x.from_at), interval '0') as left_out
        from left_out_spans(o.objective_id, o.step, $1, $1 + p.after) x
        where o.is_apart
    ) t
    where p.n > 0
) ahead on b.horizon is not null
left join alert a on a.objective_id = o.objective_id and a.tier = b.name and a.state <> 'resolved'
left join tier_freeze f on f.objective_id = o.objective_id and f.tier = b.name
order by o.name, b.position
