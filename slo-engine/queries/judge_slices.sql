-- Judges what changed of the slices that ended by $1, of the services $2 (the caller holds their locks), and
-- says what that adds to the ledger.
with judged as (
    select s.objective_id, s.generation, s.at, w.worth_good, w.worth_bad, s.booked_good, s.booked_bad
    from slice s
    join objective_generation g using (objective_id, generation)
    cross join lateral (select slice_coverage_min(s.objective_id, s.generation, s.at) as coverage_min offset 0) m
    cross join lateral judge_slice(
        g.method, g.slice, g.slice_target, s.good, s.bad, s.covered_ms, m.coverage_min
    ) w
    where s.is_stale and s.at <= $1 and g.service_id = any($2)
)
update slice s
set booked_good = j.worth_good, booked_bad = j.worth_bad, is_stale = false
from judged j
where s.objective_id = j.objective_id and s.generation = j.generation and s.at = j.at
returning s.objective_id, s.generation, s.at,
          j.worth_good - j.booked_good as "good!", j.worth_bad - j.booked_bad as "bad!"
