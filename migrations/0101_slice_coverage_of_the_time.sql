-- As before, but by one definition, which says something of missing data or does not: that of the whole which has the part at the
-- slice's end, else the part's own. Any generation of a whole that ever had the part could say, and where the one of the time
-- did not, another did.
create or replace function slice_coverage_min(of_objective bigint, of_generation integer, at timestamptz) returns numeric
    language sql stable parallel safe
as $$
    select coalesce((
        select m.coverage_min
        from (
            select d.objective_id, d.from_at
            from objective_generation g
            cross join lateral (
                select g.objective_id, g.generation, false as is_whole
                union all
                select p.objective_id, p.generation, true
                from objective_part p
                where p.part_id = g.objective_id and p.part_generation = g.generation
            ) o
            join objective_generation c on c.objective_id = o.objective_id and c.generation = o.generation
            join objective_definition d on d.objective_id = o.objective_id and d.generation = o.generation
            cross join lateral (
                -- A slice that ends behind its generation is the generation's last.
                select least(slice_coverage_min.at, g.ended_at - interval '1 microsecond') as at
            ) last
            cross join lateral (
                select d.from_at <= last.at and (c.ended_at is null or last.at < c.ended_at) as is_in_force
            ) f
            where g.objective_id = of_objective and g.generation = of_generation
            -- Of what is counted back to before all of them, the first.
            order by f.is_in_force desc,
                     case when f.is_in_force then o.is_whole end desc,
                     case when f.is_in_force then d.from_at end desc,
                     d.from_at, o.is_whole desc
            limit 1
        ) d
        left join objective_missing_data m on m.objective_id = d.objective_id and m.from_at = d.from_at
    ), 0.9)
$$;
