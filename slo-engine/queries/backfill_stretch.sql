-- What is to be put into the ledger of generation $2 of objective $1 next, of the time after $3 up to $4: as much as one
-- other generation of the same service and role kept whole of who was watching, and which. Where none did, up to the
-- next edge at which one begins or ends.
with sibling as (
    select x.objective_id, x.generation, x.slice, coalesce(x.counted_from_at, x.started_at) as from_at, x.ended_at
    from objective_generation g
    join objective_generation x on x.service_id = g.service_id and x.role = g.role
    where g.objective_id = $1 and g.generation = $2
      and (x.objective_id, x.generation) <> ($1, $2)
      and coalesce(x.counted_from_at, x.started_at) < $4
      and (x.ended_at is null or x.ended_at > $3)
),
stretch as (
    select case
               when exists (select from sibling s where s.from_at <= $3 and (s.ended_at is null or s.ended_at >= $4)) then $3
               else coalesce((
                   select max(edge.at)
                   from sibling s
                   cross join engine_state e
                   cross join lateral (
                       values (date_bin(e.slot, s.from_at, timestamptz 'epoch')),
                              (date_bin(e.slot, s.from_at + e.slot - interval '1 microsecond', timestamptz 'epoch')),
                              (date_bin(e.slot, s.ended_at, timestamptz 'epoch')),
                              (date_bin(e.slot, s.ended_at + e.slot - interval '1 microsecond', timestamptz 'epoch'))
                   ) edge (at)
                   where edge.at > $3 and edge.at < $4
               ), $3)
           end as from_at
)
select t.from_at as "from!", b.objective_id as "beside?", b.generation as "beside_generation?"
from stretch t
left join lateral (
    select s.objective_id, s.generation
    from sibling s
    cross join lateral (
        select s.from_at <= t.from_at and (s.ended_at is null or s.ended_at >= $4) as is_whole
    ) c
    -- In a slot that nobody kept whole, who kept most of it.
    left join lateral (
        select coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) as expected_ms
        from (select where not c.is_whole) part
        left join ledger_total(s.objective_id, s.generation, $4 + interval '1 microsecond') r on true
        left join ledger_total(s.objective_id, s.generation, t.from_at + interval '1 microsecond') l on true
    ) kept on true
    where s.from_at < $4 and (s.ended_at is null or s.ended_at > t.from_at)
    -- Of budgets that count slices, what came too late for its slice is among what is lost.
    order by c.is_whole desc, s.slice is not null, kept.expected_ms desc nulls last
    limit 1
) b on true
