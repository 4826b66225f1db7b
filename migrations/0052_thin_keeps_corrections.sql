-- As before, and the rows at the edges of corrections are kept: a correction made before its day is thinned leaves out
-- the same counts ever after. A thinned day is full: what is booked late to it is rare, and may move.
create or replace function thin_ledger(of_day date, step interval) returns bigint
    language plpgsql
as $$
declare
    child constant text := format('ledger_%s', to_char(of_day, 'YYYYMMDD'));
    coarse constant text := child || '_coarse';
    starts constant timestamptz := of_day::timestamp at time zone 'UTC';
    kept bigint;
begin
    perform pg_advisory_xact_lock(hashtext('slowburn.partition'));
    if to_regclass(quote_ident(child)) is null
       or exists (select from ledger_thinned t where t.day = of_day and t.step >= thin_ledger.step) then
        return 0;
    end if;
    -- Nothing may be booked between the copy and the swap.
    execute format('lock table %I in share row exclusive mode', child);
    execute format('create table %I (like ledger including all) with (fillfactor = 100)', coarse);
    execute format(
        'insert into %1$I
         with stepped as (
             select distinct on (objective_id, generation, date_bin(%2$L, at - interval ''1 microsecond'', %3$L)) *
             from %4$I
             order by objective_id, generation, date_bin(%2$L, at - interval ''1 microsecond'', %3$L), at desc
         ),
         at_edges as (
             select l.*
             from engine_state e
             cross join objective_generation g
             cross join lateral left_out_spans(g.objective_id, coalesce(g.slice, e.slot), %3$L, %5$L) c
             cross join lateral (values (c.from_at), (c.to_at)) edge (at)
             cross join lateral (
                 select f.* from %4$I f
                 where f.objective_id = g.objective_id and f.generation = g.generation and f.at < edge.at + e.slot
                 order by f.at desc
                 limit 1
             ) l
         )
         select * from stepped union select * from at_edges',
        coarse, step, starts, child, starts + interval '1 day'
    );
    get diagnostics kept = row_count;
    execute format('alter table ledger detach partition %I', child);
    execute format('drop table %I', child);
    execute format('alter table %I rename to %I', coarse, child);
    execute format(
        'alter table ledger attach partition %I for values from (%L) to (%L)',
        child, of_day::text || ' 00:00:00.000001+00', (of_day + 1)::text || ' 00:00:00.000001+00'
    );
    insert into ledger_thinned values (of_day, step, now())
        on conflict (day) do update set step = excluded.step, thinned_at = excluded.thinned_at;
    return kept;
end
$$;
