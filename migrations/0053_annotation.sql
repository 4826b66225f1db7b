-- What people and pipelines say about a service at a moment: a deploy, a note. Shown where its budgets are.
create table annotation (
    annotation_id bigint generated always as identity primary key,
    service_id bigint not null references service,
    at timestamptz not null,
    kind text not null constraint annotation_kind_known check (kind in ('deploy', 'note')),
    text text not null,
    author text not null,
    created_at timestamptz not null
);
create index annotation_service_idx on annotation (service_id, at);
