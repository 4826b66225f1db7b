-- Adds deltas to one slot: $8 is the slot's end, $9 and $10 are the start and the end of its day $11.
-- All parts see the books as they were before: none reads what another writes.
with delta as (
    select *
    from unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        as t (objective_id, generation, good, bad, expected_ms, covered_ms, lost)
),
-- The slot itself when it is open already, and what comes after it in its day.
moved_row as (
    update ledger l
    set good = l.good + d.good,
        bad = l.bad + d.bad,
        expected_ms = l.expected_ms + d.expected_ms,
        covered_ms = l.covered_ms + d.covered_ms,
        lost = l.lost + d.lost
    from delta d
    where l.objective_id = d.objective_id
      and l.generation = d.generation
      and l.at >= $8
      and l.at <= $10
),
new_row as (
    insert into ledger (objective_id, generation, at, good, bad, expected_ms, covered_ms, lost)
    select d.objective_id, d.generation, $8,
           coalesce(b.good, p.good, 0) + d.good,
           coalesce(b.bad, p.bad, 0) + d.bad,
           coalesce(b.expected_ms, p.expected_ms, 0) + d.expected_ms,
           coalesce(b.covered_ms, p.covered_ms, 0) + d.covered_ms,
           coalesce(b.lost, p.lost, 0) + d.lost
    from delta d
    -- Most have a row in the slot before, which is their last unless slots were shorter then; for the others it is looked up.
    left join ledger b
        on b.objective_id = d.objective_id and b.generation = d.generation
        and b.at = $8 - (select e.slot from engine_state e) and b.at > $9
        and not exists (select from ledger l where l.at > $8 - (select e.slot from engine_state e) and l.at < $8)
    left join lateral (
        select l.* from ledger_latest(d.objective_id, d.generation, $8) l where b.at is null and l.at > $9 limit 1
    ) p on true
    where not exists (
        select
        from ledger l
        where l.objective_id = d.objective_id and l.generation = d.generation and l.at = $8
    )
),
moved_base as (
    update ledger_day b
    set good = b.good + d.good,
        bad = b.bad + d.bad,
        expected_ms = b.expected_ms + d.expected_ms,
        covered_ms = b.covered_ms + d.covered_ms,
        lost = b.lost + d.lost
    from delta d
    where b.objective_id = d.objective_id and b.generation = d.generation and b.day > $11
)
-- What has no base for this day yet: the day's first rows.
select d.objective_id as "objective_id!", d.generation as "generation!"
from delta d
where not exists (
    select
    from ledger_day b
    where b.objective_id = d.objective_id and b.generation = d.generation and b.day = $11
)
