-- The generation, of the same service and role, whose slices say who was watching in each slice of this one, up to an edge
-- at which it had not ended: its slices divide those of this one. The one that began first, and when; no row: none did.
create function backfill_slices_beside(of_objective bigint, of_generation integer, to_edge timestamptz)
    returns table (objective_id bigint, generation integer, from_at timestamptz)
    language sql stable
as $$
    select x.objective_id, x.generation, coalesce(x.counted_from_at, x.started_at)
    from objective_generation g
    join objective_generation x on x.service_id = g.service_id and x.role = g.role
    where g.objective_id = of_objective and g.generation = of_generation
      and (x.objective_id, x.generation) <> (of_objective, of_generation)
      and extract(epoch from g.slice) % extract(epoch from x.slice) = 0
      and coalesce(x.counted_from_at, x.started_at) < to_edge
      and (x.ended_at is null or x.ended_at >= to_edge)
      -- What a composite's slices stand on are those of its parts.
      and not exists (
          select from objective_part p where p.objective_id = x.objective_id and p.generation = x.generation
      )
    order by 3, 1, 2
    limit 1
$$;
