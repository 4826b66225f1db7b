-- Makes room for what is booked late, in the stretch from $8 to $9, on a day that ends at $10: what is packed of
-- the stretch becomes rows again, and the chunks after it grow.
with delta as (
    select *
    from unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        as t (objective_id, generation, good, bad, expected_ms, covered_ms, lost)
),
moved as (
    update ledger_chunk c
    set good = c.good + d.good,
        bad = c.bad + d.bad,
        expected_ms = c.expected_ms + d.expected_ms,
        covered_ms = c.covered_ms + d.covered_ms,
        lost = c.lost + d.lost
    from delta d
    where c.objective_id = d.objective_id and c.generation = d.generation and c.at > $9 and c.at <= $10
),
unpacked as (
    delete from ledger_chunk c using delta d
    where c.objective_id = d.objective_id and c.generation = d.generation and c.at > $8 and c.at <= $9
    returning c
)
insert into ledger (objective_id, generation, at, good, bad, expected_ms, covered_ms, lost)
select r.* from unpacked u cross join lateral ledger_rows(u.c) r
