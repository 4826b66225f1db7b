-- Judges the slices of composite $1 in its generation $2 that ended after $3 up to $4, which are in no ledger yet: those of
-- its parts were judged.
insert into slice (objective_id, generation, at, good, bad, covered_ms, booked_good, booked_bad, is_stale)
select $1, $2, x.at, 0, 0, 0, w.worth_good, w.worth_bad, false
from (
    select distinct s.at
    from objective_part p
    join slice s on s.objective_id = p.part_id and s.generation = p.part_generation and s.at > $3 and s.at <= $4
    where p.objective_id = $1 and p.generation = $2 and not s.is_stale
) x
cross join lateral judge_whole($1, $2, x.at) w
on conflict on constraint slice_pkey do update
set booked_good = excluded.booked_good, booked_bad = excluded.booked_bad
