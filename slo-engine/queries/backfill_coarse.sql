-- Up to when it is kept too coarsely who was watching to say it of each slice of generation $2 of objective $1, whose ledger
-- begins at $3, not before $4: of days that were thinned to more than a slice, where no other generation's slices say it.
select max(
           case
               when s.objective_id is null then d.to_at
               when s.from_at > d.from_at
                   then date_bin(g.slice, s.from_at + g.slice - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00')
           end
       ) as at
from objective_generation g
join ledger_thinned t on extract(epoch from g.slice) % extract(epoch from t.step) <> 0
cross join lateral (
    select greatest(t.day::timestamp at time zone 'UTC', $4) as from_at,
           least((t.day + 1)::timestamp at time zone 'UTC', $3) as to_at
) d
left join lateral backfill_slices_beside(g.objective_id, g.generation, d.to_at) s on true
where g.objective_id = $1 and g.generation = $2 and d.from_at < d.to_at
  -- What counted was watched where nobody kept that.
  and exists (
      select
      from objective_generation x
      where x.service_id = g.service_id and x.role = g.role
        and (x.objective_id, x.generation) <> (g.objective_id, g.generation)
        and coalesce(x.counted_from_at, x.started_at) < d.to_at and (x.ended_at is null or x.ended_at > d.from_at)
  )
