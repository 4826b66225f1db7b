-- Judges the slices of composites of which a part's slice was judged: those that end at $3, of the parts $1 in their
-- generations $2. Says what that adds to the ledger.
with judged as (
    select p.objective_id, p.generation, x.at
    from unnest($1::bigint[], $2::int[], $3::timestamptz[]) x (part_id, part_generation, at)
    join objective_part p using (part_id, part_generation)
    join objective_generation g on g.objective_id = p.objective_id and g.generation = p.generation
    where g.method = 'Timeslices' and x.at > coalesce(g.counted_from_at, g.started_at)
    group by p.objective_id, p.generation, x.at
),
worth as (
    select j.objective_id, j.generation, j.at, w.worth_good as good, w.worth_bad as bad
    from judged j
    cross join lateral judge_whole(j.objective_id, j.generation, j.at) w
),
booked as (
    insert into slice (objective_id, generation, at, good, bad, covered_ms, booked_good, booked_bad, is_stale)
    select objective_id, generation, at, 0, 0, 0, good, bad, false from worth
    on conflict on constraint slice_pkey do update
    set booked_good = excluded.booked_good, booked_bad = excluded.booked_bad
)
-- What was booked before: a statement does not see what it writes.
select w.objective_id as "objective_id!", w.generation as "generation!", w.at as "at!",
       w.good - coalesce(s.booked_good, 0) as "good!", w.bad - coalesce(s.booked_bad, 0) as "bad!"
from worth w
left join slice s using (objective_id, generation, at)
