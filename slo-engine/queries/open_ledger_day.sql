-- The base of day $3 for generations that have none: the base of the day before with all of that day.
insert into ledger_day (objective_id, generation, day, good, bad, expected_ms, covered_ms, lost)
select d.objective_id, d.generation, $3,
       coalesce(b.good, 0) + coalesce(l.good, 0),
       coalesce(b.bad, 0) + coalesce(l.bad, 0),
       coalesce(b.expected_ms, 0) + coalesce(l.expected_ms, 0),
       coalesce(b.covered_ms, 0) + coalesce(l.covered_ms, 0),
       coalesce(b.lost, 0) + coalesce(l.lost, 0)
from unnest($1::bigint[], $2::int[]) as d (objective_id, generation)
left join lateral (
    select b.*
    from ledger_day b
    where b.objective_id = d.objective_id and b.generation = d.generation and b.day < $3
    order by b.day desc
    limit 1
) b on true
left join lateral ledger_latest(
    d.objective_id, d.generation, (b.day + 1)::timestamp at time zone 'UTC' + interval '1 microsecond'
) l on l.at > b.day::timestamp at time zone 'UTC'
