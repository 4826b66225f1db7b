-- Alerts of which nobody wants to be told for a while.
create table silence (
    silence_id bigint generated always as identity primary key,
    -- All must hold: `service=web`, `tier=~page-.*`.
    matchers text[] not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    author text not null,
    comment text not null,
    created_at timestamptz not null,
    -- Ended by hand, before its time.
    ended_at timestamptz,
    ended_by text,
    constraint silence_ends_after_it_starts check (ends_at > starts_at),
    constraint silence_ended_by_somebody check ((ended_at is null) = (ended_by is null))
);
create index silence_standing_idx on silence (ends_at) where ended_at is null;

alter table alert
    -- What silences a firing alert now, or did when it resolved.
    add column silenced_by bigint references silence,
    -- It has fired, and nobody has been told: when the silence ends they are.
    add column is_held_back boolean not null default false;
create index alert_silenced_idx on alert (silenced_by) where state = 'firing' and silenced_by is not null;
