-- Puts the slots after $3 up to $4 into the ledger of generation $2 of objective $1, which begins at $4: what
-- `backfill_delta` has of them, or of a budget that counts slices, what those are worth that end in this time. $5 is the
-- end of the day, and no earlier row of the generation exists. All parts see the books as they were before.
with book as (
    select g.slice is not null as counts_slices, ledger_day_of($4) as day
    from objective_generation g
    where g.objective_id = $1 and g.generation = $2
),
counted as (
    select d.at, case when b.counts_slices then 0 else d.good end as good,
           case when b.counts_slices then 0 else d.bad end as bad, d.expected_ms, d.covered_ms, d.lost
    from book b
    cross join backfill_delta($1, $2, $3, $4, $6, $7, $8) d
    union all
    select s.at, s.booked_good, s.booked_bad, 0, 0, 0
    from slice s
    where s.objective_id = $1 and s.generation = $2 and s.at > $3 and s.at <= $4
),
delta as (
    select at, sum(good)::bigint as good, sum(bad)::bigint as bad, sum(expected_ms)::bigint as expected_ms,
           sum(covered_ms)::bigint as covered_ms, sum(lost)::bigint as lost
    from counted
    where (good, bad, expected_ms, covered_ms, lost) <> (0, 0, 0, 0, 0)
    group by at
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
-- Nothing is before the oldest day.
new_base as (
    insert into ledger_day (objective_id, generation, day, good, bad, expected_ms, covered_ms, lost)
    select $1, $2, b.day, 0, 0, 0, 0, 0
    from book b
    cross join total t
    where t.rows > 0
    on conflict on constraint ledger_day_pkey do nothing
),
new_row as (
    insert into ledger (objective_id, generation, at, good, bad, expected_ms, covered_ms, lost)
    select $1, $2, d.at, sum(d.good) over w, sum(d.bad) over w, sum(d.expected_ms) over w, sum(d.covered_ms) over w,
           sum(d.lost) over w
    from delta d
    window w as (order by d.at)
)
-- The last slot that was not covered as it was expected.
select max(at) as at from delta where expected_ms <> covered_ms
