-- What happened, in order. Every part of slowburn appends; nobody changes a row.
create table event (
    event_id bigint generated always as identity primary key,
    at timestamptz not null,
    kind text not null,
    subject text not null,
    message text not null,
    data jsonb not null,
    traceparent text
);
-- Old ones go by their time.
create index event_at_idx on event (at);
create index event_subject_idx on event (subject, event_id);
