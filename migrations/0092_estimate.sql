-- What a latency objective with a new threshold would have counted before its ledger begins, as an interval: thresholds are
-- counted only once they are defined, but latencies have always been in histograms. Kept apart from the ledger, which is exact.
create table estimate (
    objective_id bigint not null,
    generation integer not null,
    -- Where it is to end, and where it is: the newest hour comes first.
    from_at timestamptz not null,
    reached_at timestamptz not null,
    finished_at timestamptz,
    constraint estimate_pkey primary key (objective_id, generation),
    foreign key (objective_id, generation) references objective_generation
);
create index estimate_open_idx on estimate (reached_at) where finished_at is null;

-- By the hour, the first and the last of which may be shorter. An hour of which nothing is known has no row.
create table estimate_hour (
    objective_id bigint not null,
    generation integer not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    good_min bigint not null,
    good_max bigint not null,
    bad_min bigint not null,
    bad_max bigint not null,
    constraint estimate_hour_pkey primary key (objective_id, generation, from_at),
    foreign key (objective_id, generation) references estimate,
    constraint estimate_hour_forward check (from_at < to_at),
    constraint estimate_hour_bounds check (0 <= good_min and good_min <= good_max and 0 <= bad_min and bad_min <= bad_max)
);

-- The hours of a generation that lie between an edge and where its ledger begins, and what is left of a budget that also
-- counted `good` and `bad`. Hours that touch a correction are left out whole. No row: nothing is estimated.
create function budget_estimate(
    of_objective bigint, of_generation integer, from_edge timestamptz, good bigint, bad bigint, target numeric
)
    returns table (
        from_at timestamptz, to_at timestamptz, good_min bigint, good_max bigint, bad_min bigint, bad_max bigint,
        sli_min numeric, sli_max numeric, remaining_min numeric, remaining_max numeric
    )
    language sql stable parallel safe
as $$
    select e.from_at, e.to_at, e.good_min, e.good_max, e.bad_min, e.bad_max,
           trim_scale(round(e.good_min::numeric / nullif(e.good_min + e.bad_max, 0), 12)),
           trim_scale(round(e.good_max::numeric / nullif(e.good_max + e.bad_min, 0), 12)),
           1 - burn_of(budget_estimate.good + e.good_min, budget_estimate.bad + e.bad_max, budget_estimate.target),
           1 - burn_of(budget_estimate.good + e.good_max, budget_estimate.bad + e.bad_min, budget_estimate.target)
    from (
        select min(h.from_at) as from_at, max(h.to_at) as to_at,
               sum(h.good_min)::bigint as good_min, sum(h.good_max)::bigint as good_max,
               sum(h.bad_min)::bigint as bad_min, sum(h.bad_max)::bigint as bad_max
        from estimate_hour h
        where h.objective_id = of_objective and h.generation = of_generation and h.from_at >= from_edge
          and not exists (
              select
              from correction c
              join correction_span s using (correction_id)
              where c.objective_id = any (array(select corrected_with(of_objective))) and c.undone_at is null
                and s.from_at < h.to_at and s.to_at > h.from_at
          )
    ) e
    where e.good_max + e.bad_max > 0
$$;

-- What histograms tell of the part of an objective's period that lies before its ledger begins, and of what is left of the
-- budget with that part. No row: all of the period is counted, or nothing is known of the rest.
create function error_budget_estimate(objective text, as_of timestamptz default now())
    returns table (
        from_at timestamptz, to_at timestamptz, good_min bigint, good_max bigint, bad_min bigint, bad_max bigint,
        sli_min numeric, sli_max numeric, remaining_min numeric, remaining_max numeric
    )
    language sql stable parallel safe
as $$
    select e.*
    from objective o
    cross join lateral error_budget(o.name, as_of) b
    cross join lateral budget_estimate(o.objective_id, b.generation, b.period_from_at, b.good, b.bad, b.target) e
    where o.name = error_budget_estimate.objective
$$;
