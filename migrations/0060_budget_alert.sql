-- Alerts on what is left of a budget, which a definition may state. `rule` is as the definition spells it; the spans in
-- it are kept apart for the windows: what is looked back on (null: the period), and how far ahead is looked.
create table objective_budget_alert (
    objective_id bigint not null,
    from_at timestamptz not null,
    name text not null,
    position integer not null,
    severity text not null,
    rule text not null,
    look_back interval,
    horizon interval,
    constraint objective_budget_alert_pkey primary key (objective_id, from_at, name),
    foreign key (objective_id, from_at) references objective_definition
);
