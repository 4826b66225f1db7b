-- What the slots of a time add to a generation that is counted back: what its series counted in them, and what another
-- generation (`beside`), of the same service and role, kept of who was watching. Where nobody kept that (`beside` is null)
-- and `as_measured`, a slot in which the service counted anything was watched; of others nothing is known. The time lies
-- in one day. Of a budget that counts slices, requests are what goes into them.
create function backfill_delta(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz,
    beside bigint, beside_generation integer, as_measured boolean
)
    returns table (at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable
as $$
    with book as (
        select g.service_id, g.role, (extract(epoch from e.slot) * 1000)::bigint as slot_ms
        from (select * from engine_state limit 1) e
        cross join objective_generation g
        where g.objective_id = of_objective and g.generation = of_generation
    ),
    counted as (
        select m.at, coalesce(sum(m.value) filter (where s.side = 'good'), 0)::bigint as good,
               coalesce(sum(m.value) filter (where s.side = 'bad'), 0)::bigint as bad
        from objective_series s
        join measurement m on m.series_id = s.series_id and m.at > from_edge and m.at <= to_edge
        where s.objective_id = of_objective and s.generation = of_generation
        group by m.at
    ),
    row_beside as (
        select l.at, l.expected_ms, l.covered_ms, l.lost
        from ledger l
        where l.objective_id = beside and l.generation = beside_generation and l.at > from_edge and l.at <= to_edge
        union all
        select r.at, r.expected_ms, r.covered_ms, r.lost
        from ledger_chunk c
        cross join lateral ledger_rows(c) r
        -- No chunk is longer than a stretch.
        where c.objective_id = beside and c.generation = beside_generation
          and c.at > from_edge - interval '6 hours' and c.at <= to_edge
          and r.at > from_edge and r.at <= to_edge
    ),
    watched as (
        select r.at, r.expected_ms - coalesce(lag(r.expected_ms) over w, p.expected_ms, 0) as expected_ms,
               r.covered_ms - coalesce(lag(r.covered_ms) over w, p.covered_ms, 0) as covered_ms,
               r.lost - coalesce(lag(r.lost) over w, p.lost, 0) as lost
        from row_beside r
        left join lateral ledger_latest(beside, beside_generation, from_edge + interval '1 microsecond') p
            on p.at > ledger_day_of(to_edge)::timestamp at time zone 'UTC'
        window w as (order by r.at)
        union all
        select m.at, b.slot_ms, b.slot_ms, 0
        from book b
        join series s on s.service_id = b.service_id and s.role = b.role
        join measurement m on m.series_id = s.series_id and m.at > from_edge and m.at <= to_edge
        where beside is null and as_measured
        group by m.at, b.slot_ms
    )
    select d.*
    from (
        select at, coalesce(c.good, 0) as good, coalesce(c.bad, 0) as bad, coalesce(w.expected_ms, 0) as expected_ms,
               coalesce(w.covered_ms, 0) as covered_ms, coalesce(w.lost, 0) as lost
        from counted c
        full join watched w using (at)
    ) d
    where (d.good, d.bad, d.expected_ms, d.covered_ms, d.lost) <> (0, 0, 0, 0, 0)
$$;
