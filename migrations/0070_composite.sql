-- Objectives whose budget other objectives spend: OpenSLO's composites. A composite burns what its parts burn, each times
-- its weight. Its windows are read off the parts' ledgers and count shares of a whole, 10^12 to one; what its own ledger
-- keeps is how much of the time its service was watched.
create table objective_part (
    objective_id bigint not null,
    generation integer not null,
    position integer not null,
    part_id bigint not null,
    part_generation integer not null,
    weight numeric not null constraint objective_part_weight_positive check (weight > 0),
    constraint objective_part_pkey primary key (objective_id, generation, position),
    foreign key (objective_id, generation) references objective_generation,
    foreign key (part_id, part_generation) references objective_generation
);
create index objective_part_part_idx on objective_part (part_id);

alter table objective_generation
    drop constraint objective_generation_method_known,
    drop constraint objective_generation_slice_whole,
    add constraint objective_generation_method_known
        check (method in ('Occurrences', 'Timeslices', 'RatioTimeslices', 'Composite')),
    add constraint objective_generation_slice_whole
        check (
            (method in ('Occurrences', 'Composite')) = (slice is null)
            and (method = 'Timeslices') = (slice_target is not null)
        );

create or replace function slice_unit(method text) returns bigint
    language sql immutable parallel safe
    return case method when 'RatioTimeslices' then 1000000000 when 'Composite' then 1000000000000 else 1 end;

-- As before, and what a composite leaves out its parts leave out, too.
create or replace function left_out_spans(of_objective bigint, step interval, from_edge timestamptz, to_edge timestamptz)
    returns table (from_at timestamptz, to_at timestamptz)
    language sql stable parallel safe
as $$
    select lower(u.span), upper(u.span)
    from (
        select range_agg(
                   tstzrange(
                       date_bin(step, s.from_at, timestamptz 'epoch'),
                       date_bin(step, s.to_at + step - interval '1 microsecond', timestamptz 'epoch')
                   )
               ) * tstzmultirange(tstzrange(from_edge, to_edge)) as spans
        from correction c
        join correction_span s using (correction_id)
        where c.objective_id = any (array(
                  select of_objective union all
                  select p.objective_id from objective_part p where p.part_id = of_objective
              ))
          and c.undone_at is null
          and s.from_at < to_edge + step
          and s.to_at > from_edge - step
          and from_edge <= to_edge
    ) corrected
    cross join lateral unnest(corrected.spans) u (span)
$$;

-- What an objective's own ledger holds of a window: what `ledger_window` was before there were composites.
create function own_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(r.good, 0) - coalesce(l.good, 0) - coalesce(x.good, 0),
           coalesce(r.bad, 0) - coalesce(l.bad, 0) - coalesce(x.bad, 0),
           coalesce(l.at, g.started_at),
           least(coalesce(r.at, g.started_at), to_edge),
           coalesce(r.expected_ms, 0) - coalesce(l.expected_ms, 0) + s.silent_ms - coalesce(x.expected_ms, 0),
           coalesce(r.covered_ms, 0) - coalesce(l.covered_ms, 0) - coalesce(x.covered_ms, 0),
           coalesce(r.lost, 0) - coalesce(l.lost, 0) - coalesce(x.lost, 0)
    from (select * from engine_state limit 1) e
    cross join lateral (
        select o.*
        from objective_generation o
        where o.objective_id = of_objective and o.generation = of_generation
        limit 1
    ) g
    left join lateral ledger_total(of_objective, of_generation, to_edge + e.slot) r on true
    left join lateral ledger_total(of_objective, of_generation, from_edge + e.slot) l on true
    cross join lateral ledger_silence(g.service_id, g.role, from_edge, to_edge) s
    left join lateral (
        select * from ledger_left_out(of_objective, of_generation, from_edge, to_edge)
        where exists (
            select
            from correction c
            where c.undone_at is null
              and c.objective_id = any (array(
                      select of_objective union all
                      select p.objective_id from objective_part p where p.part_id = of_objective
                  ))
        )
    ) x on true
    -- A window that ends before it begins holds nothing, and is no window.
    where from_edge <= to_edge
$$;

-- Each part of a composite in a window, by the targets of that time. No window begins before the composite's generation:
-- a part that is older has counted without it.
create function composite_parts(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (part text, weight numeric, target numeric, unit bigint, good bigint, bad bigint)
    language sql stable parallel safe
as $$
    select o.name, p.weight, d.target, slice_unit(g.method), w.good, w.bad
    from objective_part p
    join objective_generation c on c.objective_id = p.objective_id and c.generation = p.generation
    join objective_generation g on g.objective_id = p.part_id and g.generation = p.part_generation
    join objective o on o.objective_id = p.part_id
    cross join lateral (
        select d.target from objective_definition d
        where d.objective_id = p.part_id and d.from_at <= greatest(to_edge, o.created_at)
        order by d.from_at desc
        limit 1
    ) d
    cross join lateral own_window(
        p.part_id, p.part_generation,
        case when g.started_at < c.started_at then greatest(from_edge, c.started_at) else from_edge end, to_edge
    ) w
    where p.objective_id = of_objective and p.generation = of_generation
$$;

-- What the parts' burn comes to as good and bad shares of the whole. No row: no part counted anything, or it has none.
create function composite_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (good bigint, bad bigint)
    language sql stable parallel safe
as $$
    select slice_unit('Composite') - c.bad, c.bad
    from (
        -- All parts gone is all of the whole, whatever was rounded.
        select least(
                   slice_unit('Composite'),
                   round(
                       slice_unit('Composite') * (1 - max(d.target))
                       * sum(p.weight * coalesce(p.bad::numeric / nullif(p.good + p.bad, 0), 0) / (1 - p.target))
                   )
               )::bigint as bad
        from objective o
        cross join lateral (
            select d.target from objective_definition d
            where d.objective_id = of_objective and d.from_at <= greatest(to_edge, o.created_at)
            order by d.from_at desc
            limit 1
        ) d
        cross join lateral composite_parts(of_objective, of_generation, from_edge, to_edge) p
        where o.objective_id = of_objective
        having sum(p.good + p.bad) > 0
    ) c
$$;

-- As before, and of a composite what its parts come to.
create or replace function ledger_window(
    of_objective bigint, of_generation integer, from_edge timestamptz, to_edge timestamptz
)
    returns table (
        good bigint, bad bigint, from_at timestamptz, to_at timestamptz,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql stable parallel safe
as $$
    select coalesce(c.good, w.good), coalesce(c.bad, w.bad), w.from_at, w.to_at, w.expected_ms, w.covered_ms, w.lost
    from own_window(of_objective, of_generation, from_edge, to_edge) w
    left join lateral (
        select * from composite_window(of_objective, of_generation, from_edge, to_edge)
        where exists (
            select from objective_part p where p.objective_id = of_objective and p.generation = of_generation
        )
    ) c on true
$$;
