-- How much of a slice has to be watched for it to count: what the objective's definition says of missing data, and of a part of a
-- composite that of the whole, as of the slice's end; of what is counted back to before the first definition, that one. Nine tenths
-- where none says anything, as alerts have it.
create function slice_coverage_min(of_objective bigint, of_generation integer, at timestamptz) returns numeric
    language sql stable parallel safe
as $$
    select coalesce((
        select m.coverage_min
        from (
            select of_objective as objective_id, of_generation as generation
            union all
            select p.objective_id, p.generation
            from objective_part p
            where p.part_id = of_objective and p.part_generation = of_generation
        ) o
        cross join lateral (
            select d.from_at
            from objective_definition d
            where d.objective_id = o.objective_id and d.generation = o.generation
            order by d.from_at <= slice_coverage_min.at desc,
                     case when d.from_at <= slice_coverage_min.at then d.from_at end desc,
                     d.from_at
            limit 1
        ) d
        join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = d.from_at
        limit 1
    ), 0.9)
$$;

-- What a slice is worth, as before; the one without a least coverage is the previous release's.
create function judge_slice(
    method text, slice interval, slice_target numeric, good bigint, bad bigint, covered_ms bigint, coverage_min numeric
)
    returns table (worth_good bigint, worth_bad bigint)
    language sql immutable parallel safe
as $$
    select w.units, slice_unit(method) - w.units
    from (
        select case
                   when good + bad = 0 then slice_unit(method)
                   when method = 'RatioTimeslices'
                       then round(good::numeric * slice_unit(method) / (good + bad))::bigint
                   when good >= slice_target * (good + bad) then 1
                   else 0
               end as units
    ) w
    where covered_ms >= extract(epoch from slice) * 1000 * coverage_min
    union all
    select 0, 0
    where covered_ms < extract(epoch from slice) * 1000 * coverage_min
$$;
