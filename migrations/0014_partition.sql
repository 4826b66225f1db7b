-- Partitions are one UTC day each. Made apart and then attached, which locks out no reader or writer.
create function add_partition(parent text, day date) returns boolean
    language plpgsql
as $$
declare
    child constant text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
begin
    perform pg_advisory_xact_lock(hashtext('slowburn.partition'));
    if to_regclass(quote_ident(child)) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including all) with (fillfactor = 80)', child, parent);
    execute format(
        'alter table %I attach partition %I for values from (%L) to (%L)',
        parent, child, day::text || ' 00:00:00.000001+00', (day + 1)::text || ' 00:00:00.000001+00'
    );
    return true;
end
$$;

create function drop_partition(parent text, day date) returns boolean
    language plpgsql
as $$
declare
    child constant text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
begin
    perform pg_advisory_xact_lock(hashtext('slowburn.partition'));
    if to_regclass(quote_ident(child)) is null then
        return false;
    end if;
    execute format('drop table %I', child);
    return true;
end
$$;

-- How coarse each day of the ledger has become.
create table ledger_thinned (
    day date not null constraint ledger_thinned_pkey primary key,
    step interval not null,
    thinned_at timestamptz not null
);

-- Copies one day's kept rows, the last of each step of each generation, to a coarser partition, and
-- drops the fine one. The rows at which a generation ends are kept, too: they are the last of it.
-- Totals are running, so a row that goes takes no count with it.
create function thin_ledger(of_day date, step interval) returns bigint
    language plpgsql
as $$
declare
    child constant text := format('ledger_%s', to_char(of_day, 'YYYYMMDD'));
    coarse constant text := child || '_coarse';
    kept bigint;
begin
    perform pg_advisory_xact_lock(hashtext('slowburn.partition'));
    if to_regclass(quote_ident(child)) is null
       or exists (select from ledger_thinned t where t.day = of_day and t.step >= thin_ledger.step) then
        return 0;
    end if;
    -- Nothing may be booked between the copy and the swap.
    execute format('lock table %I in share row exclusive mode', child);
    execute format('create table %I (like ledger including all) with (fillfactor = 80)', coarse);
    execute format(
        'insert into %I
         select distinct on (objective_id, generation, date_bin(%L, at - interval ''1 microsecond'', %L)) *
         from %I
         order by objective_id, generation, date_bin(%L, at - interval ''1 microsecond'', %L), at desc',
        coarse, step, of_day::text || ' 00:00:00+00', child, step, of_day::text || ' 00:00:00+00'
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
