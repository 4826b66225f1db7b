-- The same running totals in a fifth of the space. A row of the ledger costs 155 bytes, of which 16 are its counts. What is
-- over for an hour is packed: a chunk holds the rows of a stretch of the day, the first as it is and the others as what
-- they add to it. `ledger` keeps the rows of the last hour and is no more partitioned, since rows leave it as they are packed;
-- chunks, a few a day, need no partition either, and a look-up no longer begins by opening a table for each day.
alter table ledger rename to ledger_by_day;
alter index ledger_pkey rename to ledger_by_day_pkey;

-- Of one generation, every row is later than every chunk: what is looked up is here, or else in the last chunk.
create table ledger (
    objective_id bigint not null,
    generation integer not null,
    at timestamptz not null,
    good bigint not null,
    bad bigint not null,
    expected_ms bigint not null,
    covered_ms bigint not null,
    lost bigint not null,
    constraint ledger_pkey primary key (objective_id, generation, at)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- `at` to `lost` are the first row's. Element n of the arrays is row n less the first. What is nearly always the same is not
-- written: null `expected_after` is `watchers` times the time that has passed, null `covered_after` is all that was
-- expected, and null `lost_after` is nothing. Kept in line up to a page, because a look-up would decompress all for one element.
create table ledger_chunk (
    objective_id bigint not null,
    at timestamptz not null,
    good bigint not null,
    bad bigint not null,
    expected_ms bigint not null,
    covered_ms bigint not null,
    lost bigint not null,
    generation integer not null,
    watchers integer not null,
    after_ms integer[] not null,
    good_after bigint[] not null,
    bad_after bigint[] not null,
    expected_after bigint[],
    covered_after bigint[],
    lost_after bigint[],
    constraint ledger_chunk_pkey primary key (objective_id, generation, at)
) with (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);

-- What is not later is in chunks, or goes there.
alter table engine_state add column packed_to timestamptz not null default '-infinity';
-- A day is said to be thinned before its first row goes, so that what is booked late meanwhile goes by the coarser chunks; null until it is done.
alter table ledger_thinned alter column thinned_at drop not null;

-- How long a chunk's stretch is when its rows are a step apart: about a hundred rows, three chunks to a page.
-- Each length divides the next, and the last a day.
create function ledger_span(step interval) returns interval
    language sql immutable parallel safe
    return case
        when step < interval '1 minute' then interval '20 minutes'
        when step < interval '5 minutes' then interval '2 hours'
        else interval '6 hours'
    end;

-- The stretch that `at` falls in. A slot that ends at its end belongs to it.
create function ledger_stretch(at timestamptz) returns table (from_at timestamptz, to_at timestamptz, span interval)
    language sql stable parallel safe
as $$
    select s.from_at, s.from_at + s.span, s.span
    from (select * from engine_state limit 1) e
    cross join lateral (
        select ledger_span(
                   coalesce((select t.step from ledger_thinned t where t.day = ledger_day_of(ledger_stretch.at)), e.slot)
               ) as span
    ) l
    cross join lateral (
        select l.span, date_bin(l.span, ledger_stretch.at - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00') as from_at
    ) s
$$;

-- The rows of a chunk.
create function ledger_rows(c ledger_chunk)
    returns table (
        objective_id bigint, generation integer, at timestamptz, good bigint, bad bigint,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language sql immutable parallel safe
as $$
    select c.objective_id, c.generation, c.at + r.after_ms * interval '1 millisecond', c.good + r.good, c.bad + r.bad,
           c.expected_ms + coalesce(r.expected_ms, c.watchers::bigint * r.after_ms),
           c.covered_ms + coalesce(r.covered_ms, r.expected_ms, c.watchers::bigint * r.after_ms),
           c.lost + coalesce(r.lost, 0)
    from unnest(c.after_ms, c.good_after, c.bad_after, c.expected_after, c.covered_after, c.lost_after)
        as r (after_ms, good, bad, expected_ms, covered_ms, lost)
$$;

-- Every row that is kept, for people and tests.
create view ledger_row as
    select * from ledger
    union all
    select r.* from ledger_chunk c cross join lateral ledger_rows(c) r;

-- The last row before `before`, as it is within its day. The chunk is looked for only when no row was found.
create function ledger_latest(of_objective bigint, of_generation integer, before timestamptz)
    returns table (at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select coalesce(o.at, p.at), coalesce(o.good, p.good), coalesce(o.bad, p.bad),
           coalesce(o.expected_ms, p.expected_ms), coalesce(o.covered_ms, p.covered_ms), coalesce(o.lost, p.lost)
    from (values (true)) once
    left join lateral (
        select l.*
        from ledger l
        where l.objective_id = of_objective and l.generation = of_generation and l.at < before
        order by l.at desc
        limit 1
    ) o on true
    left join lateral (
        select c.at + c.after_ms[f.n] * interval '1 millisecond' as at,
               c.good + c.good_after[f.n] as good,
               c.bad + c.bad_after[f.n] as bad,
               c.expected_ms + coalesce(c.expected_after[f.n], c.watchers::bigint * c.after_ms[f.n]) as expected_ms,
               c.covered_ms + coalesce(
                   c.covered_after[f.n], c.expected_after[f.n], c.watchers::bigint * c.after_ms[f.n]
               ) as covered_ms,
               c.lost + coalesce(c.lost_after[f.n], 0) as lost
        from (
            select k.*
            from ledger_chunk k
            where k.objective_id = of_objective and k.generation = of_generation and k.at < before and o.at is null
            order by k.at desc
            limit 1
        ) c
        -- How many of its rows are before: found once, by halving.
        cross join lateral (
            select width_bucket(
                       ceil(extract(epoch from least(before, c.at + interval '1 day') - c.at) * 1000)::integer - 1, c.after_ms
                   ) as n
            offset 0
        ) f
    ) p on true
    where o.at is not null or p.at is not null
$$;

-- As before.
create or replace function ledger_total(of_objective bigint, of_generation integer, before timestamptz)
    returns table (at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select latest.at,
           latest.good + base.good,
           latest.bad + base.bad,
           latest.expected_ms + base.expected_ms,
           latest.covered_ms + base.covered_ms,
           latest.lost + base.lost
    from ledger_latest(of_objective, of_generation, before) latest
    cross join lateral (
        select b.*
        from ledger_day b
        where b.objective_id = of_objective and b.generation = of_generation and b.day = ledger_day_of(latest.at)
        limit 1
    ) base
$$;

-- Packs what these generations have of a time whose edges are stretches', in rows and in chunks, and keeps of it the last
-- row of each step (all of them when `step` is null) and the rows at the edges of corrections: a correction made
-- before its day is thinned leaves out the same counts ever after. How many rows were kept. The caller holds the services' locks.
create function pack_ledger(
    objectives bigint[], generations integer[], from_edge timestamptz, to_edge timestamptz, step interval, span interval
)
    returns bigint
    language sql
as $$
    with book as (
        select * from unnest(objectives, generations) b (objective_id, generation)
    ),
    opened as (
        delete from ledger l using book b
        where l.objective_id = b.objective_id and l.generation = b.generation and l.at > from_edge and l.at <= to_edge
        returning l.*
    ),
    unpacked as (
        delete from ledger_chunk c using book b
        where c.objective_id = b.objective_id and c.generation = b.generation and c.at > from_edge and c.at <= to_edge
        returning c
    ),
    kept as (
        (
            select distinct on (
                       a.objective_id, a.generation,
                       date_bin(coalesce(step, '1 millisecond'), a.at - interval '1 microsecond', from_edge)
                   ) a.*
            from (
                select * from opened
                union all
                select r.* from unpacked u cross join lateral ledger_rows(u.c) r
            ) a
            order by a.objective_id, a.generation,
                     date_bin(coalesce(step, '1 millisecond'), a.at - interval '1 microsecond', from_edge), a.at desc
        )
        union
        select b.objective_id, b.generation, l.*
        from (select * from engine_state limit 1) e
        cross join book b
        join objective_generation g on g.objective_id = b.objective_id and g.generation = b.generation
        cross join lateral left_out_spans(b.objective_id, coalesce(g.slice, e.slot), from_edge, to_edge) x
        cross join lateral (values (x.from_at), (x.to_at)) edge (at)
        cross join lateral ledger_latest(b.objective_id, b.generation, edge.at + e.slot) l
        where step is not null and l.at > from_edge and l.at <= to_edge
    ),
    -- Each row less the first of its chunk.
    placed as (
        select k.*, first_value(k.at) over w as first_at,
               (extract(epoch from k.at - first_value(k.at) over w) * 1000)::integer as after_ms,
               k.good - first_value(k.good) over w as more_good,
               k.bad - first_value(k.bad) over w as more_bad,
               k.expected_ms - first_value(k.expected_ms) over w as more_expected,
               k.covered_ms - first_value(k.covered_ms) over w as more_covered,
               k.lost - first_value(k.lost) over w as more_lost
        from kept k
        window w as (
            partition by k.objective_id, k.generation, date_bin(span, k.at - interval '1 microsecond', from_edge)
            order by k.at
        )
    ),
    written as (
        insert into ledger_chunk (
            objective_id, generation, at, good, bad, expected_ms, covered_ms, lost, watchers,
            after_ms, good_after, bad_after, expected_after, covered_after, lost_after
        )
        select p.objective_id, p.generation, p.first_at, (array_agg(p.good order by p.at))[1],
               (array_agg(p.bad order by p.at))[1], (array_agg(p.expected_ms order by p.at))[1],
               (array_agg(p.covered_ms order by p.at))[1], (array_agg(p.lost order by p.at))[1],
               coalesce(min(p.more_expected / nullif(p.after_ms, 0)), 0),
               array_agg(p.after_ms order by p.at), array_agg(p.more_good order by p.at), array_agg(p.more_bad order by p.at),
               case
                   when min(p.more_expected / nullif(p.after_ms, 0)) <> max(p.more_expected / nullif(p.after_ms, 0))
                     or bool_or(p.more_expected % nullif(p.after_ms, 0) <> 0)
                   then array_agg(p.more_expected order by p.at)
               end,
               case when not bool_and(p.more_covered = p.more_expected) then array_agg(p.more_covered order by p.at) end,
               case when not bool_and(p.more_lost = 0) then array_agg(p.more_lost order by p.at) end
        from placed p
        group by p.objective_id, p.generation, p.first_at
        returning cardinality(after_ms) as rows
    )
    select coalesce(sum(rows), 0)::bigint from written
$$;

drop function thin_ledger(date, interval);

-- What is kept already moves as it is, day by day; of the day that is not over, and of the one before, rows stay open.
do $$
declare
    day date;
    step interval;
    starts timestamptz;
    done timestamptz;
begin
    for day in
        select to_date(right(c.relname, 8), 'YYYYMMDD')
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ledger_by_day'::regclass
        order by 1
    loop
        starts := day::timestamp at time zone 'UTC';
        insert into ledger select * from ledger_by_day l where l.at > starts and l.at <= starts + interval '1 day';
        if starts + interval '2 days' <= now() then
            step := coalesce(
                (select t.step from ledger_thinned t where t.day = ledger_day_of(starts + interval '1 day')),
                (select e.slot from engine_state e)
            );
            perform pack_ledger(
                array_agg(g.objective_id), array_agg(g.generation), starts, starts + interval '1 day', null, ledger_span(step)
            )
            from objective_generation g;
            done := starts + interval '1 day';
            truncate ledger;
        end if;
    end loop;
    update engine_state set packed_to = done where done is not null;
end
$$;
drop table ledger_by_day;
