-- Puts the slots after $3 up to $4 into the ledger of generation $2 of objective $1, which begins at $4: what its series
-- counted in them, and what $6 in its generation $7, of the same service and role, kept of who was watching. Where nobody
-- kept that ($6 is null) and $8, a slot in which the service counted anything was watched; of others nothing is known.
-- $5 is the end of the day, and no earlier row of the generation exists. All parts see the books as they were before.
with book as (
    select g.objective_id, g.generation, g.service_id, g.role, e.slot, ledger_day_of($4) as day
    from objective_generation g
    cross join engine_state e
    where g.objective_id = $1 and g.generation = $2
),
counted as (
    select m.at, coalesce(sum(m.value) filter (where s.side = 'good'), 0)::bigint as good,
           coalesce(sum(m.value) filter (where s.side = 'bad'), 0)::bigint as bad
    from objective_series s
    join measurement m on m.series_id = s.series_id and m.at > $3 and m.at <= $4
    where s.objective_id = $1 and s.generation = $2
    group by m.at
),
row_beside as (
    select l.at, l.expected_ms, l.covered_ms, l.lost
    from ledger l
    where l.objective_id = $6 and l.generation = $7 and l.at > $3 and l.at <= $4
    union all
    select r.at, r.expected_ms, r.covered_ms, r.lost
    from ledger_chunk c
    cross join lateral ledger_rows(c) r
    -- No chunk is longer than a stretch.
    where c.objective_id = $6 and c.generation = $7 and c.at > $3::timestamptz - interval '6 hours' and c.at <= $4
      and r.at > $3 and r.at <= $4
),
watched as (
    select r.at, r.expected_ms - coalesce(lag(r.expected_ms) over w, p.expected_ms, 0) as expected_ms,
           r.covered_ms - coalesce(lag(r.covered_ms) over w, p.covered_ms, 0) as covered_ms,
           r.lost - coalesce(lag(r.lost) over w, p.lost, 0) as lost
    from row_beside r
    cross join book b
    left join lateral ledger_latest($6::bigint, $7::int, $3 + interval '1 microsecond') p
        on p.at > b.day::timestamp at time zone 'UTC'
    window w as (order by r.at)
    union all
    select m.at, (extract(epoch from b.slot) * 1000)::bigint, (extract(epoch from b.slot) * 1000)::bigint, 0
    from book b
    join series s on s.service_id = b.service_id and s.role = b.role
    join measurement m on m.series_id = s.series_id and m.at > $3 and m.at <= $4
    where $6 is null and $8::boolean
    group by m.at, b.slot
),
delta as (
    select *
    from (
        select at, coalesce(c.good, 0) as good, coalesce(c.bad, 0) as bad, coalesce(w.expected_ms, 0) as expected_ms,
               coalesce(w.covered_ms, 0) as covered_ms, coalesce(w.lost, 0) as lost
        from counted c
        full join watched w using (at)
    ) d
    where (good, bad, expected_ms, covered_ms, lost) <> (0, 0, 0, 0, 0)
),
total as (
    select coalesce(sum(good), 0)::bigint as good, coalesce(sum(bad), 0)::bigint as bad,
           coalesce(sum(expected_ms), 0)::bigint as expected_ms, coalesce(sum(covered_ms), 0)::bigint as covered_ms,
           coalesce(sum(lost), 0)::bigint as lost, count(*) as rows
    from delta
),
moved_row as (
    update ledger l
    set good = l.good + t.good,
        bad = l.bad + t.bad,
        expected_ms = l.expected_ms + t.expected_ms,
        covered_ms = l.covered_ms + t.covered_ms,
        lost = l.lost + t.lost
    from total t
    where l.objective_id = $1 and l.generation = $2 and l.at > $4 and l.at <= $5 and t.rows > 0
),
moved_chunk as (
    update ledger_chunk c
    set good = c.good + t.good,
        bad = c.bad + t.bad,
        expected_ms = c.expected_ms + t.expected_ms,
        covered_ms = c.covered_ms + t.covered_ms,
        lost = c.lost + t.lost
    from total t
    where c.objective_id = $1 and c.generation = $2 and c.at > $4 and c.at <= $5 and t.rows > 0
),
moved_base as (
    update ledger_day d
    set good = d.good + t.good,
        bad = d.bad + t.bad,
        expected_ms = d.expected_ms + t.expected_ms,
        covered_ms = d.covered_ms + t.covered_ms,
        lost = d.lost + t.lost
    from total t, book b
    where d.objective_id = $1 and d.generation = $2 and d.day > b.day and t.rows > 0
),
-- As `note_uneven` has it.
uneven as (
    update objective_generation g
    set uneven_at = u.at
    from (select max(at) as at from delta where expected_ms <> covered_ms) u
    where g.objective_id = $1 and g.generation = $2 and g.uneven_at < u.at
),
-- Nothing is before the oldest day.
new_base as (
    insert into ledger_day (objective_id, generation, day, good, bad, expected_ms, covered_ms, lost)
    select $1, $2, b.day, 0, 0, 0, 0, 0
    from book b
    cross join total t
    where t.rows > 0
    on conflict on constraint ledger_day_pkey do nothing
)
insert into ledger (objective_id, generation, at, good, bad, expected_ms, covered_ms, lost)
select $1, $2, d.at, sum(d.good) over w, sum(d.bad) over w, sum(d.expected_ms) over w, sum(d.covered_ms) over w,
       sum(d.lost) over w
from delta d
window w as (order by d.at)
