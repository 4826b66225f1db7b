-- Until when a runbook must not act on a service again.
create table cooldown (
    runbook text not null,
    service text not null,
    until_at timestamptz not null,
    run_id bigint not null references run (run_id) on delete cascade,
    primary key (runbook, service)
);
