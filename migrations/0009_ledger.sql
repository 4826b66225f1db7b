-- The books. A row is the running total, within its UTC day, of everything booked up to `at`, which
-- is the end of a slot; `ledger_day` holds the total of all days before. So any window is a
-- subtraction of two rows, and a late batch rewrites one day and the bases after it.
-- A slot belongs to the day it lies in, so the row at midnight belongs to the day that ends: the
-- bounds of partitions lie one microsecond after midnight.
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
) partition by range (at);

create table ledger_day (
    objective_id bigint not null,
    generation integer not null,
    day date not null,
    good bigint not null,
    bad bigint not null,
    expected_ms bigint not null,
    covered_ms bigint not null,
    lost bigint not null,
    constraint ledger_day_pkey primary key (objective_id, generation, day)
);

-- The UTC day that a slot ending at `at` lies in.
create function ledger_day_of(at timestamptz) returns date
    language sql immutable parallel safe
    return (at at time zone 'UTC' - interval '1 microsecond')::date;

-- The running total over all days at the last row before `before`. No row: nothing was booked.
-- Written so that the planner inlines it: one step back in the index, one base.
create function ledger_total(of_objective bigint, of_generation integer, before timestamptz)
    returns table (at timestamptz, good bigint, bad bigint, expected_ms bigint, covered_ms bigint, lost bigint)
    language sql stable parallel safe
as $$
    select latest.at,
           latest.good + base.good,
           latest.bad + base.bad,
           latest.expected_ms + base.expected_ms,
           latest.covered_ms + base.covered_ms,
           latest.lost + base.lost
    from (
        select l.*
        from ledger l
        where l.objective_id = of_objective and l.generation = of_generation and l.at < before
        order by l.at desc
        limit 1
    ) latest
    cross join lateral (
        select b.*
        from ledger_day b
        where b.objective_id = of_objective and b.generation = of_generation and b.day = ledger_day_of(latest.at)
        limit 1
    ) base
$$;
