-- Somebody has seen the alert and takes care of it.
alter table alert
    add column acknowledged_at timestamptz,
    add column acknowledged_by text,
    add column acknowledged_note text,
    add constraint alert_acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null));
