-- What a definition says of missing data, where it says anything: the least coverage with which its alerts fire and
-- resolve, and when missing data is an alert (null severity: never).
create table objective_missing_data (
    objective_id bigint not null,
    from_at timestamptz not null,
    coverage_min numeric not null,
    severity text,
    hold interval,
    look_back interval,
    constraint objective_missing_data_pkey primary key (objective_id, from_at),
    constraint objective_missing_data_whole check (num_nulls(severity, hold, look_back) in (0, 3)),
    foreign key (objective_id, from_at) references objective_definition
);
