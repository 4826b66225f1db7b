-- Which alerts a run answers to: a second tier of the same incident joins the open run.
create table run_alert (
    run_id bigint not null references run (run_id) on delete cascade,
    alert_id bigint not null,
    resolved_at timestamptz,
    primary key (run_id, alert_id)
);

create index run_alert_unresolved on run_alert (alert_id) where resolved_at is null;
