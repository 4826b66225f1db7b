-- As before, but a slice that was watched for less than nine tenths of its time is in neither, also where requests were
-- counted in it: they were a part of it, and alerts say nothing on as little.
create or replace function judge_slice(
    method text, slice interval, slice_target numeric, good bigint, bad bigint, covered_ms bigint
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
    where covered_ms >= extract(epoch from slice) * 900
    union all
    select 0, 0
    where covered_ms < extract(epoch from slice) * 900
$$;
