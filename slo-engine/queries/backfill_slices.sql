-- Adds what the slots after $3 up to $4 counted to the slices of generation $2 of objective $1; $5, $6 and $7 as
-- `backfill_delta` has them. Of a day that is kept too coarsely to say who was watching in which slice, another
-- generation's slices say it. Where nobody kept it, a slice that counted anything was watched, as a slot is.
with book as (
    select g.objective_id, g.generation, g.slice
    from objective_generation g
    where g.objective_id = $1 and g.generation = $2
),
coarse as (
    select x.objective_id, x.generation
    from book b
    cross join lateral backfill_slices_beside(b.objective_id, b.generation, $4) x
    where exists (
        select from ledger_thinned t
        where t.day = ledger_day_of($4) and extract(epoch from b.slice) % extract(epoch from t.step) <> 0
    )
),
counted as (
    select d.at, d.good, d.bad, case when exists (select from coarse) then 0 else d.covered_ms end as covered_ms
    from backfill_delta($1, $2, $3, $4, $5::bigint, $6::int, $7) d
    union all
    select s.at, 0, 0, s.covered_ms
    from coarse c
    join slice s on s.objective_id = c.objective_id and s.generation = c.generation and s.at > $3 and s.at <= $4
)
insert into slice (objective_id, generation, at, good, bad, covered_ms)
select $1, $2, e.at, sum(c.good), sum(c.bad),
       case
           when $5 is null and $7 and sum(c.good + c.bad) > 0
               then greatest(sum(c.covered_ms), (extract(epoch from b.slice) * 1000)::bigint)
           else sum(c.covered_ms)
       end
from counted c
cross join book b
cross join lateral (
    select date_bin(b.slice, c.at - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00') + b.slice as at
) e
group by e.at, b.slice
having sum(c.good + c.bad + c.covered_ms) > 0
on conflict on constraint slice_pkey do update
set good = slice.good + excluded.good, bad = slice.bad + excluded.bad,
    covered_ms = slice.covered_ms + excluded.covered_ms, is_stale = true
