-- Time that an objective does not count: maintenance, a deployment, a fault of somebody else. A dated row beside the
-- ledger: nothing in the ledger is rewritten, so that undoing one restores every number.
create table correction (
    correction_id bigint generated always as identity primary key,
    objective_id bigint not null references objective,
    kind text not null
        constraint correction_kind_known check (kind in ('maintenance', 'deployment', 'outside_business_hours', 'other')),
    -- The one time it holds, or the first of those that recur.
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    -- RFC 5545's RRULE, on the clocks of a zone.
    rule text,
    zone text,
    author text not null,
    comment text not null,
    created_at timestamptz not null,
    undone_at timestamptz,
    undone_by text,
    -- Up to when its spans are written; null when all are.
    expanded_to timestamptz,
    constraint correction_not_backwards check (starts_at < ends_at),
    constraint correction_recurrence_whole check ((rule is null) = (zone is null) and (rule is not null or expanded_to is null)),
    constraint correction_undone_whole check ((undone_at is null) = (undone_by is null))
);
create index correction_objective_idx on correction (objective_id) where undone_at is null;

-- When it holds, to the second it was asked for: what is left out is rounded where it is read, to slots or slices.
create table correction_span (
    correction_id bigint not null references correction,
    from_at timestamptz not null,
    to_at timestamptz not null,
    constraint correction_span_pkey primary key (correction_id, from_at)
);
