-- Objectives of which a tier is frozen, on a calm day none, those whose definition says what is missing sooner than
-- the windows of its tiers would, and every open alert of a data outage ($3), with what was watched in the $2 before
-- ($1 is now). What was never watched is not missed: it has no row in the ledger.
select o.name as "objective!", s.name as "service!",
       o.withdrawn_at is not null or (m.objective_id is not null and m.severity is null) as "withdrawn!",
       m.coverage_min as "coverage_min?", m.severity as "severity?", m.hold as "hold?",
       w.good as "good!", w.bad as "bad!", w.from_at as "from_at!", w.to_at as "to_at!",
       w.expected_ms as "expected_ms!", w.covered_ms as "covered_ms!", w.lost as "lost!",
       a.alert_id as "alert_id?", a.state as "state?", a.opened_at as "opened_at?",
       a.clear_since_at as "clear_since_at?", silent.sources as "silent_sources!", silent.hosts as "silent_hosts!",
       -- Given up since, or in the time that was looked at then.
       exists (
           select
           from engine_state e
           cross join watch w
           join source f using (source_id)
           where w.service_id = g.service_id and w.role = g.role
             and (
                 (f.state = 'expected' and w.covered_to_at < $1::timestamptz - e.patience)
                 or (f.state = 'retired' and f.state_at > a.opened_at - coalesce(m.look_back, $2::interval))
             )
       ) as "is_awaited!"
from objective o
left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
left join alert a on a.objective_id = o.objective_id and a.tier = $3 and a.state <> 'resolved'
join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
join service s on s.service_id = g.service_id
-- Who should watch it and is silent, the longest silent first; as `ledger_silence` has it. Those that measured what it or
-- its parts count, if any did: what others are silent of is of the service, and not what is missed of this.
cross join lateral (
    select coalesce(array_agg(y.name order by y.since_at, y.name), '{}') as sources,
           coalesce(array_agg(y.host order by y.since_at, y.name), '{}') as hosts
    from (
        select x.*, bool_or(x.counts) over () as any_counts
        from (
            select f.name, f.host, greatest(w.expected_to_at, f.state_at) as since_at,
                   exists (
                       select
                       from series r
                       join objective_series c using (series_id)
                       where r.source_id = f.source_id and r.service_id = g.service_id and r.role = g.role
                         and (c.objective_id, c.generation) in (
                             select g.objective_id, g.generation
                             union all
                             select p.part_id, p.part_generation
                             from objective_part p
                             where p.objective_id = g.objective_id and p.generation = g.generation
                         )
                   ) as counts
            from watch w
            join source f using (source_id)
            where w.service_id = g.service_id and w.role = g.role and f.state = 'expected'
        ) x
        where x.since_at < $1::timestamptz - (select e.patience from engine_state e)
    ) y
    where y.counts or not y.any_counts
) silent
cross join lateral ledger_window(g.objective_id, g.generation, $1::timestamptz - coalesce(m.look_back, $2::interval), $1) w
where a.alert_id is not null
   or (
       o.withdrawn_at is null
       and (m.objective_id is null or m.severity is not null)
       and (
           m.objective_id is not null
           or exists (select from tier_freeze f where f.objective_id = o.objective_id)
       )
       and exists (select from ledger_day l where l.objective_id = o.objective_id)
   )
order by 1
