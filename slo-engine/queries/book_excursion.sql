-- Moves the statistics of the fast pages by what one intake counted, $5 being the intake before and $6
-- this one: `Sequential::step` in SQL. What is back at zero goes. What a correction leaves out moves nothing.
-- Of most nothing bad was counted and none is kept: they are left out before anything is looked up of them.
with moving as (
    select t.*, e.statistic, e.since_at, e.good as good_before, e.bad as bad_before
    from unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[]) as t (objective_id, generation, good, bad)
    left join excursion e using (objective_id, generation)
    where t.bad > 0 or e.objective_id is not null
),
moved as (
    select t.objective_id, t.generation,
           least(
               p.pages_at,
               greatest(
                   0,
                   coalesce(t.statistic, 0) + least(t.bad * p.bad_adds - t.good * p.good_takes, p.intake_most)
               )
           ) as statistic,
           coalesce(t.since_at, $5) as since_at,
           coalesce(t.good_before, 0) + t.good as good,
           coalesce(t.bad_before, 0) + t.bad as bad
    from moving t
    join objective o using (objective_id, generation)
    join objective_fast_page p on p.objective_id = o.objective_id and p.from_at = o.defined_at
    where o.withdrawn_at is null
      and not exists (
          select
          from correction c
          join correction_span s using (correction_id)
          where c.objective_id = t.objective_id and c.undone_at is null and s.from_at < $6 and s.to_at > $5
      )
),
ended as (
    delete from excursion e using moved m
    where e.objective_id = m.objective_id and e.generation = m.generation and m.statistic = 0
)
insert into excursion (objective_id, generation, statistic, since_at, at, good, bad)
select objective_id, generation, statistic, since_at, $6, good, bad
from moved
where statistic > 0
on conflict on constraint excursion_pkey do update
set statistic = excluded.statistic, at = excluded.at, good = excluded.good, bad = excluded.bad
