-- Judges the slices of generation $2 of objective $1 that ended after $3 up to $4, which are in no ledger yet.
with judged as (
    select s.objective_id, s.generation, s.at, w.worth_good, w.worth_bad
    from slice s
    join objective_generation g using (objective_id, generation)
    cross join lateral (select slice_coverage_min(s.objective_id, s.generation, s.at) as coverage_min offset 0) m
    cross join lateral judge_slice(
        g.method, g.slice, g.slice_target, s.good, s.bad, s.covered_ms, m.coverage_min
    ) w
    where s.objective_id = $1 and s.generation = $2 and s.at > $3 and s.at <= $4
)
update slice s
set booked_good = j.worth_good, booked_bad = j.worth_bad, is_stale = false
from judged j
where s.objective_id = j.objective_id and s.generation = j.generation and s.at = j.at
