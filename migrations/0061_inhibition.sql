-- What services depend on: a page of one inhibits the tickets of those that need it. As the definitions say now.
create table service_dependency (
    service_id bigint not null references service,
    on_service_id bigint not null references service,
    constraint service_dependency_pkey primary key (service_id, on_service_id),
    constraint service_dependency_on_another check (service_id <> on_service_id)
);

-- The page that inhibits a firing alert now, or did when it resolved. It is held back as if it were silenced.
alter table alert add column inhibited_by bigint references alert;
create index alert_inhibited_idx on alert (inhibited_by) where state = 'firing' and inhibited_by is not null;
