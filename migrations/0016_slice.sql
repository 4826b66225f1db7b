-- Budgets that count slices of time instead of requests. The ledger of such an objective holds slices: good
-- and bad ones (Timeslices), or billionths of a slice (RatioTimeslices), so that windows, burn rates and
-- budgets are the same subtractions, and integers, whatever is counted.
alter table objective_generation
    add column method text not null default 'Occurrences',
    add column slice interval,
    -- The share of good requests that makes a slice good.
    add column slice_target numeric,
    add constraint objective_generation_method_known
        check (method in ('Occurrences', 'Timeslices', 'RatioTimeslices')),
    add constraint objective_generation_slice_whole
        check (
            (method = 'Occurrences') = (slice is null)
            and (method = 'Timeslices') = (slice_target is not null)
        );

-- What one slice counts as a whole in the ledger.
create function slice_unit(method text) returns bigint
    language sql immutable parallel safe
    return case method when 'RatioTimeslices' then 1000000000 else 1 end;

-- The requests of each slice, which ends at `at` and lies in UTC as all slices do, and what the ledger has of
-- it. A slice that changes after it was judged is judged again, so late batches move the ledger by what they change.
create table slice (
    objective_id bigint not null,
    generation integer not null,
    at timestamptz not null,
    good bigint not null,
    bad bigint not null,
    covered_ms bigint not null,
    booked_good bigint not null default 0,
    booked_bad bigint not null default 0,
    is_stale boolean not null default true,
    constraint slice_pkey primary key (objective_id, generation, at),
    foreign key (objective_id, generation) references objective_generation
) with (fillfactor = 70);
create index slice_stale_idx on slice (at) where is_stale;

-- What a slice is worth, as (good, bad). One that was watched and had no request is good; one that was not
-- watched is in neither.
create function judge_slice(
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
    where good + bad > 0 or covered_ms >= extract(epoch from slice) * 900
    union all
    select 0, 0
    where good + bad = 0 and covered_ms < extract(epoch from slice) * 900
$$;
